"""Experiments from their registration to their verdict: what is switched, measured, written, and kept."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core.experiments import BEGIN, HOUR, cheaper, plan
from core.experiments import blocks as blocks_like
from support.experiments import KEY, ROUTE, ExperimentWorld, FakeExperimentCluster
from support.fakes import FakeEvents

from flyball.core.evidence.experiment import Arm
from flyball.core.names import WorkloadKey
from flyball.core.ports import Unavailable
from flyball.ledger.errors import LedgerError
from flyball.ledger.experiments import Registered, blocks, decision, find, listed
from flyball.ledger.objective_slots import within
from flyball.runtime.counts import Counts
from flyball.runtime.experiment_fleet import Fleet
from flyball.runtime.experiments import Experiments, _Running
from flyball.runtime.mirror import Mirror

SWITCHED = {"route": ROUTE, "guards": [{"objective": "first-token"}]}
HOURS = 60


def cheap(arm: Arm, at: int) -> float:
    """Treated requests cost 40% less, and each half hour is a little different."""
    uneven = 1.0 + 0.02 * ((at // 1_800_000 * 7919) % 11 - 5) / 5
    return 0.01 * uneven * (0.6 if arm is Arm.TREATMENT else 1.0)


def same(arm: Arm, at: int) -> float:
    return cheap(Arm.BASELINE, at)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


async def test_a_claim_that_is_true_is_supported_and_everything_is_given_back(url: str) -> None:
    world = await ExperimentWorld.of(url, cheap)
    world.apply(**SWITCHED)
    await world.run_to_the_end()
    status = world.status
    assert (status["phase"], status["verdict"], status["evidence"]) == ("Decided", "Supported", "Randomized")
    assert -60 < float(status["effect"]["low"].rstrip("%")) < -40 < float(status["effect"]["high"].rstrip("%")) < -18
    assert status["guards"][0]["state"] == "Held"
    assert (world.cluster.route.primary_weight, world.cluster.route.fallback_weight) == (1, 0)
    assert world.world.mirror.experiments.raw[KEY]["metadata"]["finalizers"] == []
    assert [str(event.reason) for _, event, _ in world.events.told] == ["ExperimentStarted", "ExperimentDecided"]
    assert decision(world.ledger, "x-1").verdict == "Supported"  # type: ignore[union-attr]


async def test_a_claim_without_an_effect_is_refuted(url: str) -> None:
    world = await ExperimentWorld.of(url, same)
    world.apply()
    await world.run_to_the_end()
    assert (world.status["verdict"], world.status["reason"]) == ("Refuted", "EffectMissed")


def test_time_is_not_over_before_the_last_block_is_measured(url: str) -> None:
    of = plan(guards=(), min_pairs=6, max_ms=12 * HOUR)
    found = blocks_like(of, 6, cheaper(0.18))
    known = Registered(of.uid, of.key, BEGIN, BEGIN, "", "{}")
    mirror = Mirror()
    experiments = Experiments(mirror, FakeExperimentCluster(mirror), FakeEvents(), Counts(), url)
    verdicts = [
        experiments._judged(_Running(of, known, None, part), Fleet({}, {}), BEGIN + 12 * HOUR).verdict
        for part in (found[:-1], found)
    ]
    assert verdicts == ["Running", "Inconclusive"]


async def test_traffic_moves_in_quarters_and_only_the_arm_of_the_block_gets_it(url: str) -> None:
    world = await ExperimentWorld.of(url, same)
    world.apply(**SWITCHED)
    seen = []
    for _ in range(3 * HOURS):
        await world.run(1)
        seen.append((world.status.get("arm"), world.cluster.route.fallback_weight))
    assert {weight for _, weight in seen} == {0, 25, 50, 75, 100}
    settled = [(arm, weight) for (arm, weight), (before, _) in zip(seen[10:], seen, strict=False) if arm == before]
    assert {pair for pair in settled if pair[0]} == {("Baseline", 0), ("Treatment", 100)}


async def test_at_rest_nothing_is_written(url: str) -> None:
    world = await ExperimentWorld.of(url, same)
    world.apply(**SWITCHED)
    await world.run(45)
    arm, until = world.status["arm"], world.status["armUntil"]
    while (world.status["arm"], world.status["armUntil"]) == (arm, until):
        await world.run(1)
    await world.run(15)
    before = len(world.cluster.writes)
    await world.run(10)
    assert len(world.cluster.writes) == before


async def test_a_restart_goes_on_with_the_same_coins_and_blocks(url: str) -> None:
    world = await ExperimentWorld.of(url, cheap)
    world.apply(**SWITCHED)
    for _ in range(2):
        await world.run(2 * HOURS + 7)
        world.restart()
    await world.run(1)
    found = blocks(world.ledger, "x-1")
    assert len(found) == 8
    assert [(each.block.pair, each.block.place) for each in found] == [(n // 2, n % 2) for n in range(len(found))]
    assert [each.unusable for each in found if each.unusable] == []
    assert len(listed(world.ledger)) == 1


async def test_a_restart_loses_no_count_of_an_objective(url: str) -> None:
    world = await ExperimentWorld.of(url, cheap)
    world.apply(**SWITCHED)
    for _ in range(6):
        await world.run(19)
        world.restart()
    await world.run(60)
    found = blocks(world.ledger, "x-1")
    assert len(found) >= 4
    assert all("first-token" in each.objectives for each in found)


async def test_counts_that_the_ledger_does_not_take_wait_for_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise LedgerError("the disk is full")

    world = await ExperimentWorld.of(url, cheap)
    world.apply(**SWITCHED)
    await world.run(2)
    with monkeypatch.context() as patched:
        patched.setattr("flyball.runtime.experiments.add_slots", refuse)
        await world.run(5)
    await world.run(1)
    assert within(world.ledger, [WorkloadKey("team", "chat")], "first-token", 0, 1 << 62)[2] >= 5 * 60_000


async def test_a_spec_that_was_changed_all_the_same_ends_the_experiment(url: str) -> None:
    world = await ExperimentWorld.of(url, cheap)
    world.apply()
    await world.run(3 * HOURS)
    world.apply(hypothesis={"metric": "CostPerRequest", "direction": "Decrease", "by": "5%"})
    await world.run(1)
    assert (world.status["verdict"], world.status["reason"]) == ("Inconclusive", "ChangedAfterStart")
    assert json.loads(find(world.ledger, "x-1").spec)["hypothesis"]["by"] == "18%"  # type: ignore[union-attr]


async def test_a_verdict_never_changes(url: str) -> None:
    world = await ExperimentWorld.of(url, cheap)
    world.apply()
    await world.run_to_the_end()
    before = dict(world.status)
    world.cost = same
    world.restart()
    await world.run(3 * HOURS)
    assert world.status == before


async def test_a_deletion_gives_the_route_back_first(url: str) -> None:
    world = await ExperimentWorld.of(url, same)
    world.apply(**SWITCHED)
    while world.cluster.route.fallback_weight != 100:
        await world.run(1)
    world.cluster.fail["restore"] = Unavailable("down")
    world.delete()
    await world.run(1)
    assert world.world.mirror.experiments.raw[KEY]["metadata"]["finalizers"]
    world.cluster.fail.clear()
    await world.run(1)
    assert world.cluster.route.fallback_weight == 0
    assert not world.world.mirror.experiments.raw[KEY]["metadata"]["finalizers"]


async def test_blocks_in_which_nobody_answers_are_lost_and_traffic_stays(url: str) -> None:
    world = await ExperimentWorld.of(url, same)
    world.cluster.route = world.cluster.route.__class__("chat", 1, 0, primary_ready_endpoints=2)
    world.apply(**SWITCHED)
    await world.run(4 * HOURS)
    assert world.cluster.route.fallback_weight == 0
    assert world.status["unusablePairs"] == world.status["pairs"] + world.status["unusablePairs"] > 0
    lost = [each for each in blocks(world.ledger, "x-1") if each.unusable]
    assert {each.block.arm for each in lost} == {Arm.TREATMENT}
    assert "no pod behind Service chat-int4 is ready" in lost[0].unusable


@pytest.mark.parametrize("dead", [Arm.BASELINE, Arm.TREATMENT], ids=str)
async def test_an_arm_that_dies_in_its_block_loses_its_traffic_at_once_and_the_block_is_lost(
    url: str, dead: Arm
) -> None:
    world = await ExperimentWorld.of(url, same)
    world.apply(**SWITCHED)
    whole, other = ((0, 100), (100, 0)) if dead is Arm.TREATMENT else ((100, 0), (0, 100))
    while (world.cluster.route.primary_weight, world.cluster.route.fallback_weight) != whole:
        await world.run(1)
    endpoints = "fallback_ready_endpoints" if dead is Arm.TREATMENT else "primary_ready_endpoints"
    world.cluster.route = replace(world.cluster.route, **{endpoints: 0})
    await world.run(1)
    assert (world.cluster.route.primary_weight, world.cluster.route.fallback_weight) == other
    await world.run(3 * HOURS)
    assert (world.cluster.route.primary_weight, world.cluster.route.fallback_weight) == other
    lost = [each for each in blocks(world.ledger, "x-1") if each.unusable]
    assert {each.block.arm for each in lost} == {dead}
    world.cluster.route = replace(world.cluster.route, **{endpoints: 1})
    await world.run(2 * HOURS)
    assert [each for each in blocks(world.ledger, "x-1") if each.block.arm is dead and not each.unusable], "it goes on"


async def test_where_nobody_serves_an_experiment_moves_nothing(url: str) -> None:
    world = await ExperimentWorld.of(url, same)
    world.apply(**SWITCHED)
    await world.run(50)
    world.cluster.route = replace(world.cluster.route, primary_ready_endpoints=0, fallback_ready_endpoints=0)
    before = world.cluster.route
    await world.run(2 * HOURS)
    assert world.cluster.route == before


async def test_somebody_else_s_weights_stay(url: str) -> None:
    world = await ExperimentWorld.of(url, same)
    world.apply(**SWITCHED)
    await world.run(50)
    route = world.cluster.route
    world.cluster.route = route.__class__(
        "chat", 50, 50, route.original_weights or (1, 0), route.applied_weights or (100, 0), 2, 2
    )
    await world.run(40)
    assert (world.cluster.route.primary_weight, world.cluster.route.fallback_weight) == (50, 50)
    ready = next(each for each in world.status["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "RouteNotMoved")


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        pytest.param(
            {"treatment": {"workloads": ["nobody"]}}, "NoWorkload", "spec.treatment means no valid", id="nobody"
        ),
        pytest.param(
            {"treatment": {"workloads": ["chat"], "targets": ["big"]}}, "TargetMissing",
            "none of its WorkloadSLOs has a target big", id="no such target",
        ),
        pytest.param(
            {"guards": [{"objective": "speed"}]}, "ObjectiveMissing", "has an objective speed", id="no such guard"
        ),
        pytest.param(
            {"design": "SideBySide", "treatment": {"workloads": ["chat"]}}, "SameArms", "both arms are the same",
            id="nothing to compare",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_start_says_why_and_is_not_registered(
    url: str, changes: dict[str, Any], reason: str, said: str
) -> None:
    world = await ExperimentWorld.of(url, same)
    world.apply(**changes)
    await world.run(3)
    assert (world.status["phase"], world.status["conditions"][0]["reason"]) == ("Pending", reason)
    assert said in world.status["summary"]
    assert listed(world.ledger) == []


async def test_without_a_ledger_nothing_starts(url: str) -> None:
    world = await ExperimentWorld.of(url, same)
    world.url = ""
    world.restart()
    world.apply()
    await world.run(2)
    assert world.status["conditions"][0]["reason"] == "NoLedger"


async def test_a_past_that_is_compared_is_observational(url: str) -> None:
    world = await ExperimentWorld.of(url, lambda arm, at: cheap(arm, at) * (0.5 if at > SPLIT else 1.0))
    world.pass_by(13 * HOURS)
    world.apply(
        design="BeforeAfter",
        baseline={"workloads": ["chat"], "begin": "2026-01-09T13:00:00Z", "end": "2026-01-09T18:00:00Z"},
        treatment={"workloads": ["chat"], "begin": "2026-01-09T19:00:00Z", "end": "2026-01-10T00:00:00Z"},
        minPairs=10,
    )
    await world.run(10)
    assert (world.status["verdict"], world.status["evidence"]) == ("Supported", "Observational")
    assert world.status["effect"]["estimate"].startswith("-5")


SPLIT = 1_767_983_400_000
"""2026-01-09T18:30:00Z."""
