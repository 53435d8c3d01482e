"""A decision as a status, and what a restart finds in it."""

import pytest
from support.world import OVERFLOW, PRICED, World

from flyball.core.decision import StageReport
from flyball.core.names import WorkloadKey
from flyball.core.service.sources import SignalQuality, SignalSource
from flyball.runtime.recall import recall
from flyball.runtime.status import Status, _stage, parse_time, rfc3339

CHAT = WorkloadKey("team", "chat")


@pytest.mark.parametrize(
    ("seconds", "least", "shown"),
    [
        pytest.param(0.12, 0.3, "under 300ms", id="within the first bucket"),
        pytest.param(0.3, 0.3, "under 300ms", id="at its edge"),
        pytest.param(0.31, 0.3, "310ms", id="above it"),
        pytest.param(0.12, 0.0, "120ms", id="no such bucket"),
    ],
)
def test_what_a_histogram_does_not_tell_is_not_made_up(seconds: float, least: float, shown: str) -> None:
    assert _stage(StageReport("Queue", seconds, 5.0, 9.0, None, least))["p50"] == shown


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


@pytest.mark.parametrize(
    ("state", "weight", "recalled"),
    [
        pytest.param("Probing", "95%", "Probing", id="as it was"),
        pytest.param("Fallback", "100%", "Fallback", id="all of it"),
        pytest.param("Fallback", "50%", "Shedding", id="a part, as versions before Shedding called it"),
        pytest.param("Elsewhere", "50%", "Primary", id="a state that nobody knows"),
    ],
)
def test_where_the_fallback_stood_is_recalled(state: str, weight: str, recalled: str) -> None:
    status = {"fallback": {"state": state, "weight": weight, "since": "2026-01-09T12:00:00Z", "reason": "short"}}
    memory, _ = recall({"spec": {}, "status": status})
    assert (memory.fallback.state, memory.fallback.active) == (recalled, recalled != "Primary")


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


def test_budgets_that_are_spent_down_are_recalled_with_what_was_forecast() -> None:
    message = (
        "reached: $5.00 per Hour; forecast over: $99.00 per Month; "
        "today $12.00 of $20.00 are spent; this month $40.00 of $99.00 are spent, $120.00 if all demand is served"
    )
    condition = {"type": "WithinBudget", "status": "False", "reason": "CeilingReached", "message": message,
                 "lastTransitionTime": "2026-01-09T12:00:00Z"}  # fmt: skip
    ceilings = [{"period": p, "amount": a} for p, a in (("Hour", "5"), ("Day", "20"), ("Month", "99"))]
    cost = {"perHour": "1", "monthToDate": "40", "dayToDate": "12", "asOf": "2026-01-09T12:00:00Z"}
    raw = {"spec": {"cost": {"ceilings": ceilings}}, "status": {"conditions": [condition], "cost": cost}}
    memory, _ = recall(raw)
    assert {name: state for name, state in memory.states if name.startswith(("ceiling", "forecast"))} == {
        "ceiling/Hour": "Reached",
        "ceiling/Day": "Half",
        "forecast/Day": "Within",
        "ceiling/Month": "Within",
        "forecast/Month": "Over",
    }
    assert (memory.spend.day, memory.spend.day_to_date, memory.spend.month_to_date) == ("2026-01-09", 12, 40)


async def test_reclaims_are_shown_and_survive_a_restart(world: World) -> None:
    spot = {**PRICED, "targetRef": {"name": "chat"}, "maxReplicas": 4, "capacityType": "Spot", "spotRisk": "10%"}
    world.apply(targets=[spot])
    await world.tick(4)
    world.deployment().most_ready = 1
    await world.tick(8)
    target = world.status()["targets"][0]
    assert (target["spotRisk"], target["reclaims"]) == ("10.0%", 1)
    world.restart()
    await world.tick(2)
    assert world.status()["targets"][0]["reclaims"] == 1


async def test_a_month_that_is_spent_holds_the_minimum_also_for_a_new_process(world: World) -> None:
    ceiling = {"period": "Month", "amount": "1", "enforcement": "Clamp"}
    world.apply(cost={"ceilings": [ceiling]}, precedence="Cost")
    world.metrics.rate, world.metrics.busy, world.metrics.waiting, world.metrics.good = 60.0, 1.0, 60.0, 0.5
    await world.tick(200)
    target = world.status()["targets"][0]
    assert (target["desired"], target["limitedBy"]) == (2, "cost.ceilings[Month]")
    assert "the monthly ceiling of $1.00 pays for 0% of what is wanted beyond the minimum" in target["reason"]
    told = world.events.reasons("chat")
    assert told.count("BudgetCeilingReached") == 1
    assert told.count("BudgetCeilingApproaching") == 2, "at half and at four fifths"
    spent = float(world.status()["cost"]["monthToDate"])
    world.restart()
    await world.tick(2)
    assert float(world.status()["cost"]["monthToDate"]) >= spent
    assert world.deployment().replicas == 2
    assert world.events.reasons("chat").count("BudgetCeilingReached") == 1


@pytest.mark.parametrize(
    ("age", "told"),
    [(0.0, "<1m"), (60.0, "<1m"), (61.0, "<5m"), (3600.0, "<1h"), (1e9, ">1h"), (None, "unknown")],
)
async def test_ages_of_signals_are_told_in_steps(world: World, age: float | None, told: str | None) -> None:
    world.metrics.sources = (SignalSource("Running", "VLLM vllm:num_requests_running", SignalQuality.EXACT, age),)
    world.apply()
    await world.tick(3)
    (signal,) = world.status()["signals"]
    assert (signal["name"], signal["quality"], signal.get("age")) == ("Running", "Exact", told)


async def test_what_is_missing_has_no_age(world: World) -> None:
    world.metrics.sources = (SignalSource("Running", "not exported", SignalQuality.MISSING),)
    world.apply()
    await world.tick(3)
    assert world.status()["signals"] == [{"name": "Running", "source": "not exported", "quality": "Missing"}]


async def test_signals_that_age_from_scrape_to_scrape_cost_no_write(world: World) -> None:
    world.apply()
    await world.tick(10)
    before = len(world.cluster.writes)
    for age in (1.0, 14.0, 31.0, 3.0):
        world.metrics.sources = (SignalSource("Running", "VLLM", SignalQuality.EXACT, age),)
        await world.tick(1)
    assert [write for write in world.cluster.writes[before:] if "status" in write.split()[0]][1:] == []
