"""Ticks with GPUs that are short: who is scaled, who yields, what is said of it, and what is not written."""

import pytest
from support.world import OVERFLOW, PRICED, World

from flyball.core import decision as decisions
from flyball.core.names import WorkloadKey
from flyball.core.pools.gpu_pools import NodeGpus
from flyball.core.ports import Missing, PortError, Rejected, Unavailable
from flyball.runtime import pools as pools_module

L4 = {"example.com/pool": "shared"}


def replicas(world: World, *names: str) -> list[int]:
    return [world.deployment(name).replicas for name in names]


@pytest.fixture
def two(world: World) -> World:
    """Two workloads that run two replicas each, in a pool that is one GPU short of what a surge asks for."""
    world.apply("chat", priority=10)
    world.apply("search")
    world.pool(7)
    return world


async def test_without_a_pool_everybody_is_scaled(world: World) -> None:
    world.apply("chat")
    world.apply("search")
    await world.surge(8)
    assert replicas(world, "chat", "search") == [4, 4]
    assert world.cluster.reads == []


async def test_of_a_pool_short_by_one_gpu_the_higher_priority_has_all_it_needs(two: World) -> None:
    await two.surge(8)
    assert replicas(two, "chat", "search") == [4, 3]
    target = two.status("search")["targets"][0]
    assert (target["current"], target["desired"], target["limitedBy"]) == (3, 3, "GPUPool shared")
    capacity = two.condition("CapacityAvailable", "search")
    assert (capacity["status"], capacity["reason"]) == ("False", "GPUsShort")
    assert capacity["message"].startswith(
        "3 of the 4 replicas asked for are granted: GPUPool shared hands out 7 NVIDIA-L4, 4 to team/chat (priority 10)"
    )
    assert "GPUsShort" not in two.condition("CapacityAvailable", "chat")["reason"]
    blocked = [event for key, event, _ in two.events.told if event.reason == "ScaleBlocked"]
    assert [event.message.split(":")[0] for event in blocked] == ["cannot scale Deployment/search beyond 3 replicas"]
    assert all(event.warning for event in blocked)


async def test_the_pool_says_who_is_short_and_why(two: World) -> None:
    await two.surge(8)
    status = two.cluster.statuses["shared"]
    why = "GPUPool shared hands out 7 NVIDIA-L4, 4 to team/chat (priority 10)"
    assert status["summary"] == {"granted": "7 of 7", "asked": "8", "short": f"team/search 3 of 4: {why}"}
    assert status["accelerators"] == [
        {"accelerator": "NVIDIA-L4", "capacity": 7, "reserve": 0, "granted": 7, "asked": 8}
    ]
    assert [(w["name"], w["granted"], w["asked"]) for w in status["workloads"]] == [("search", 3, 4), ("chat", 4, 4)]
    assert two.pool_condition("CapacityAvailable")["message"] == "team/search is short of 1 GPU"
    assert two.pool_condition("Ready")["status"] == "True"


async def test_what_runs_for_a_lower_priority_is_given_to_a_higher_one_and_comes_back(world: World) -> None:
    world.apply("search")
    world.pool(6)
    await world.surge(8)
    assert replicas(world, "search") == [4]
    world.apply("chat", priority=10)
    await world.surge(8)
    assert replicas(world, "chat", "search") == [4, 2]
    world.delete("chat")
    await world.tick(3)
    assert replicas(world, "search") == [4]
    assert world.condition("CapacityAvailable", "search")["reason"] != "GPUsShort"
    assert world.cluster.statuses["shared"]["summary"]["short"] == "nobody"


async def test_what_a_pool_does_not_grant_overflows_to_the_fallback(two: World) -> None:
    two.apply("search", fallback={**OVERFLOW, "triggers": ["CapacityShort"]})
    two.with_route()
    await two.surge(8)
    assert two.weights() == (50, 50)
    fallback = two.status("search")["fallback"]
    assert (fallback["state"], fallback["reason"].partition(":")[0]) == (
        "Shedding",
        "the GPUs are saturated and 3 of the 4 replicas asked for are granted",
    )
    two.metrics.rate, two.metrics.busy, two.metrics.waiting, two.metrics.good = 2.0, 0.6, 0.0, 0.999
    await two.tick(12)
    assert two.weights() == (1, 0), "what serves carries it again"


async def test_among_equals_nobody_loses_what_runs(world: World) -> None:
    world.apply("search")
    world.pool(6)
    await world.surge(8)
    world.apply("chat", value={"perRequest": "5", "source": "survey"})
    await world.surge(8)
    assert replicas(world, "chat", "search") == [2, 4], "but for the minimum of two"


async def test_a_shortage_that_lasts_is_told_once_and_written_once_also_by_a_new_process(two: World) -> None:
    await two.surge(40)
    assert two.events.reasons("search").count("ScaleBlocked") == 1
    two.cluster.writes.clear()
    await two.tick(20)
    assert "write_pool_status" not in two.cluster.counted()
    two.restart()
    await two.tick(5)
    assert two.events.reasons("search").count("ScaleBlocked") == 1
    assert "write_pool_status" not in two.cluster.counted()
    assert replicas(two, "chat", "search") == [4, 3]


async def test_a_target_that_flyball_may_not_change_holds_its_gpus(world: World) -> None:
    world.apply("chat", mode="Recommend")
    world.apply("search", priority=10)
    world.deployment("chat").replicas = 4
    world.pool(7)
    await world.surge(8)
    assert replicas(world, "chat", "search") == [4, 3]
    assert world.condition("CapacityAvailable", "chat")["reason"] != "GPUsShort"
    world.deployment("chat").contender = "HorizontalPodAutoscaler/chat"
    world.apply("chat")
    await world.tick(3)
    assert replicas(world, "chat", "search") == [4, 3]


async def test_who_cannot_be_seen_or_decided_keeps_what_it_had(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await two.surge(8)
    two.deployment("search").replicas = 2  # somebody else's doing: one GPU is free, and search wants two more
    observe = two.cluster.observe

    async def half_blind(workloads):  # type: ignore[no-untyped-def]
        found = dict(await observe(workloads))
        found[WorkloadKey("team", "chat")] = type(found[WorkloadKey("team", "chat")])(problem="list pods: no answer")
        return found

    monkeypatch.setattr(two.cluster, "observe", half_blind)
    await two.tick()
    assert replicas(two, "chat", "search") == [4, 3], "chat's four are not given away while nobody can see them"


async def test_a_defect_in_the_arbitration_holds_nobody_up(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> tuple[decisions.Decision, ...]:
        raise ZeroDivisionError

    monkeypatch.setattr(pools_module, "arbitrate", broken)
    await two.surge(8)
    assert replicas(two, "chat", "search") == [4, 4]


async def test_gpus_are_counted_from_the_nodes_once_a_minute(world: World) -> None:
    world.apply("chat")
    world.apply("search", priority=10)
    world.cluster.nodes = [NodeGpus("NVIDIA-L4", 4, L4), NodeGpus("NVIDIA-L4", 2, L4), NodeGpus("NVIDIA-L4", 9, {})]
    world.pool(None, nodeSelector=L4)
    await world.surge(8)
    assert replicas(world, "chat", "search") == [2, 4]
    assert len(world.cluster.reads) == 2
    world.cluster.nodes = world.cluster.nodes[:1]
    await world.tick(5)
    assert replicas(world, "chat", "search") == [2, 2], "a node less, and the minimum stays"
    assert world.cluster.statuses["shared"]["accelerators"][0]["capacity"] == 4


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            Rejected("forbidden; grant verb 'list' on 'nodes'"),
            "NVIDIA-L4: the nodes cannot be counted: forbidden; grant verb 'list' on 'nodes'; set gpuPools.discovery "
            "in the chart, or write inventory[].gpus; until then nobody is limited",
            id="refused",
        ),
        pytest.param(
            Unavailable("timed out"), "NVIDIA-L4: the nodes cannot be counted: timed out; until then nobody is limited",
            id="down",
        ),
    ],
)  # fmt: skip
async def test_gpus_that_cannot_be_counted_limit_nobody_and_it_is_said(
    world: World, error: PortError, said: str
) -> None:
    world.apply("chat")
    world.cluster.fail["list_gpus"] = error
    world.pool(None)
    await world.surge(8)
    assert replicas(world, "chat") == [4]
    capacity = world.pool_condition("CapacityAvailable")
    assert (capacity["status"], capacity["reason"], capacity["message"]) == ("Unknown", "InventoryUnknown", said)
    assert "capacity" not in world.cluster.statuses["shared"]["accelerators"][0]


async def test_a_count_that_fails_later_leaves_the_last(world: World) -> None:
    world.apply("chat")
    world.cluster.nodes = [NodeGpus("NVIDIA-L4", 3, {})]
    world.pool(None)
    await world.tick(1)
    world.cluster.fail["list_gpus"] = Unavailable("timed out")
    await world.surge(8)
    assert replicas(world, "chat") == [3]


async def test_an_invalid_pool_is_not_heeded_and_says_so(two: World) -> None:
    two.pool(7, nodeSelector="all")
    await two.surge(8)
    assert replicas(two, "chat", "search") == [4, 4]
    ready = two.pool_condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "spec.nodeSelector" in ready["message"]


@pytest.mark.parametrize(
    "error", [Unavailable("500"), Missing("gone"), Rejected("403")], ids=lambda e: type(e).__name__
)
async def test_a_status_that_cannot_be_written_stops_nothing(two: World, error: PortError) -> None:
    two.cluster.fail["write_pool_status"] = error
    await two.surge(8)
    assert replicas(two, "chat", "search") == [4, 3]
    two.cluster.fail.clear()
    await two.tick()
    assert two.cluster.statuses["shared"]["summary"]["granted"] == "7 of 7"


async def test_the_last_replica_of_a_workload_stays(world: World) -> None:
    """Without any replica nobody would be served, and no metric would say how many wait."""
    target = {**PRICED, "minReplicas": 0, "maxReplicas": 4, "name": "gpu", "targetRef": {"name": "batch"}}
    world.apply("batch", targets=[target], priority=-10)
    world.apply("chat", priority=10)
    world.pool(4)
    await world.surge(8)
    assert replicas(world, "chat", "batch") == [3, 1]
    await world.tick(20)
    assert replicas(world, "chat", "batch") == [3, 1]
