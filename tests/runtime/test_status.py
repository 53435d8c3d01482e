"""A decision as a status, and what a restart finds in it."""

import pytest
from support.world import OVERFLOW, World

from flyball.core.names import WorkloadKey
from flyball.runtime.recall import recall
from flyball.runtime.status import Status, parse_time, rfc3339

CHAT = WorkloadKey("team", "chat")


@pytest.mark.parametrize("text", ["", None, "soon", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_none(text: str | None) -> None:
    assert parse_time(text) is None


def test_times_are_written_as_kubernetes_writes_them() -> None:
    assert rfc3339(1_767_960_000.9) == "2026-01-09T12:00:00Z"
    assert parse_time("2026-01-09T12:00:00Z") == 1_767_960_000.0


async def test_conditions_keep_their_transition_time_until_they_turn(world: World) -> None:
    world.apply()
    await world.tick(3)
    first = world.condition("SLOMet")["lastTransitionTime"]
    world.metrics.good = 0.5
    await world.tick(2)
    turned = world.condition("SLOMet")
    assert (turned["status"], turned["lastTransitionTime"] > first) == ("False", True)
    assert world.condition("Ready")["lastTransitionTime"] == first


async def test_columns_for_people(world: World) -> None:
    world.with_route()
    world.apply(
        fallback=OVERFLOW,
        cost={"ceilings": [{"period": "Hour", "amount": "5"}]},
        value={"perRequest": "0.01", "source": "survey"},
        roiTargets=[{"name": "worth", "metric": "ValueCostRatio", "amount": "2", "window": "1h"}],
    )
    await world.tick(10)
    summary = world.status()["summary"]
    assert summary["slo"] == "1/1 met"
    assert summary["cost"] == "$1.60/h of $5.00"
    assert summary["replicas"] == "2"
    assert summary["fallback"] == "Primary"
    assert summary["roi"].split()[0] in ("Met", "Insufficient")
    assert "requests/s arrive" in summary["reason"]


async def test_memory_survives_a_restart_through_the_status(overflowing: World) -> None:
    world = overflowing
    await world.tick(4)
    known = world.ticker._known[CHAT]
    await world.ticker._cluster.write_status(CHAT, known.status)
    memory, conditions = recall(world.cluster.workloads[CHAT])
    assert conditions == known.conditions
    assert memory.fallback.active
    assert memory.fallback.share == pytest.approx(known.memory.fallback.share, abs=0.005)
    assert memory.fallback.since == known.memory.fallback.since
    assert memory.fallback.cause == known.memory.fallback.cause
    remembered = dict(memory.states)
    for subject, state in known.memory.states:
        if subject != "fallback" and state:
            assert remembered[subject] == state


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="none yet"),
        pytest.param({"cost": {"monthToDate": "much", "asOf": "2026-01-09T12:00:00Z"}}, id="money in words"),
        pytest.param({"cost": {"monthToDate": "NaN", "perHour": "-Inf", "asOf": "2026-01-09T12:00:00Z"}}, id="no sum"),
        pytest.param({"cost": {"monthToDate": "1", "asOf": "yesterday"}}, id="no time"),
        pytest.param({"fallback": {"state": "Fallback", "weight": "half", "since": "now"}}, id="no share"),
        pytest.param({"conditions": [{"type": "Foreign", "status": "True", "reason": "X", "message": "",
                                      "lastTransitionTime": "2026-01-09T12:00:00Z"}]}, id="another writer's condition"),
        pytest.param({"conditions": "many"}, id="no status at all"),
    ],
)  # fmt: skip
def test_a_status_that_says_nothing_usable_is_no_memory(status: Status) -> None:
    memory, conditions = recall({"spec": {}, "status": status})
    assert (memory.spend.month_to_date, conditions, memory.fallback.share) == (0, (), 0.0)


def test_ceilings_are_recalled_from_condition_and_figures() -> None:
    condition = {"type": "WithinBudget", "status": "False", "reason": "CeilingReached",
                 "message": "reached: $5 per Hour", "lastTransitionTime": "2026-01-09T12:00:00Z"}  # fmt: skip
    ceilings = [
        {"period": "Hour", "amount": "5"},
        {"period": "Month", "amount": "14"},
        {"period": "Day", "amount": "99"},
    ]
    cost = {"perHour": "1.6000", "monthToDate": "12.000000", "asOf": "2026-01-09T12:00:00Z"}
    raw = {"spec": {"cost": {"ceilings": ceilings}}, "status": {"conditions": [condition], "cost": cost}}
    states = dict(recall(raw)[0].states)
    assert {name: state for name, state in states.items() if name.startswith("ceiling")} == {
        "ceiling/Hour": "Reached",
        "ceiling/Month": "Approaching",
        "ceiling/Day": "Within",
    }
