"""Announced load in ticks: what reaches the decision, and what an event's status says."""

from typing import Any

import pytest
from support.world import World

from flyball.core.names import WorkloadKey
from flyball.core.ports import Unavailable
from flyball.core.traffic.demand_events import multiplier

HOUR = 3600.0
CHAT = {"workloads": ["chat"]}


def ready(world: World, key: WorkloadKey) -> dict[str, Any]:
    found: dict[str, Any] = world.cluster.statuses[key]["conditions"][0]
    assert found["type"] == "Ready"
    return found


async def test_what_is_announced_reaches_the_observation_of_those_it_concerns(world: World) -> None:
    world.apply("chat")
    world.apply("search")
    world.announce(HOUR, 2 * HOUR, ramp="10m", **CHAT)
    report = await world.tick()
    chat, search = (outcome.observation for outcome in report.outcomes)
    assert multiplier(chat.expected, world.at, 2 * HOUR) == 3.0
    assert chat.expected[0].ramp_seconds == 600
    assert search.expected == ()


async def test_an_event_by_labels_follows_the_labels(world: World) -> None:
    key = world.announce(HOUR, 2 * HOUR, selector={"matchLabels": {"team": "billing"}})
    chat = world.apply("chat")
    report = await world.tick()
    assert report.outcomes[0].observation.expected == ()
    assert ready(world, key)["reason"] == "NoWorkload"
    assert "meant by team=billing" in ready(world, key)["message"]
    raw = world.cluster.workloads[chat]
    world.mirror.put({**raw, "metadata": {**raw["metadata"], "labels": {"team": "billing"}}})
    report = await world.tick()
    assert len(report.outcomes[0].observation.expected) == 1
    assert (ready(world, key)["status"], world.cluster.statuses[key]["workloads"]) == ("True", ["chat"])


async def test_the_phase_goes_by_and_each_is_written_once(world: World) -> None:
    world.apply("chat")
    key = world.announce(60, 120, **CHAT)
    phases = []
    for _ in range(12):
        await world.tick()
        phases.append(world.cluster.statuses[key]["phase"])
    assert phases == ["Upcoming"] * 4 + ["Active"] * 4 + ["Past"] * 4
    assert world.cluster.counted()["write_demand_event_status"] == 3
    assert world.cluster.statuses[key]["summary"] == "1: chat"
    assert ready(world, key)["message"] == "the event is past and has no effect"
    world.restart()
    await world.tick(4)
    assert world.cluster.counted()["write_demand_event_status"] == 3


async def test_a_past_event_is_harmless(world: World) -> None:
    world.apply("chat")
    key = world.announce(-2 * HOUR, -HOUR, **CHAT)
    report = await world.tick()
    assert report.outcomes[0].observation.expected == ()
    assert world.cluster.statuses[key]["phase"] == "Past"


@pytest.mark.parametrize(
    ("spec", "reason", "said"),
    [
        pytest.param(
            {"workloads": ["nobody"]}, "NoWorkload",
            "no WorkloadSLO in namespace team is meant by nobody; correct it, or create one", id="nobody of that name",
        ),
        pytest.param(
            {"workloads": ["chat", "serach"]}, "WorkloadMissing", "no WorkloadSLO in namespace team is called serach",
            id="one of two",
        ),
        pytest.param({"multiple": "0.5", **CHAT}, "InvalidSpec", "spec.multiple: '0.5' does not fit", id="invalid"),
    ],
)  # fmt: skip
async def test_an_event_that_concerns_nobody_says_so(
    world: World, spec: dict[str, Any], reason: str, said: str
) -> None:
    world.apply("chat")
    key = world.announce(HOUR, 2 * HOUR, **spec)
    await world.tick(3)
    found = ready(world, key)
    assert (found["status"], found["reason"]) == ("False", reason)
    assert found["message"].startswith(said)
    assert world.cluster.counted()["write_demand_event_status"] == 1


async def test_a_status_that_could_not_be_written_is_written_by_the_next_tick(world: World) -> None:
    world.apply("chat")
    key = world.announce(HOUR, 2 * HOUR, **CHAT)
    world.cluster.fail["write_demand_event_status"] = Unavailable("500")
    await world.tick()
    assert key not in world.cluster.statuses
    world.cluster.fail.clear()
    await world.tick()
    assert world.cluster.statuses[key]["phase"] == "Upcoming"


async def test_an_event_that_is_deleted_ends(world: World) -> None:
    world.apply("chat")
    key = world.announce(HOUR, 2 * HOUR, **CHAT)
    await world.tick()
    world.mirror.remove_demand_event(world.mirror.demand_events.raw[key])
    report = await world.tick()
    assert report.outcomes[0].observation.expected == ()
    assert world.cluster.counted()["write_demand_event_status"] == 1
