"""What of a status is written, when, and what a restart finds in it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from support.world import OVERFLOW, World

from flyball.core.names import WorkloadKey
from flyball.runtime.recall import recall
from flyball.runtime.status import (
    LARGE_MOVE_SECONDS,
    SOFT_REFRESH_SECONDS,
    Status,
    material,
    parse_time,
    rfc3339,
)

CHAT = WorkloadKey("team", "chat")
BEFORE: Status = {
    "observedGeneration": 3,
    "mode": "Auto",
    "summary": {"slo": "1/1 met", "reason": "2.00 requests/s arrive"},
    "conditions": [
        {"type": "TelemetryHealthy", "status": "False", "reason": "Absent", "message": "Prometheus is down for 15 s",
         "lastTransitionTime": "2026-01-09T12:00:00Z", "observedGeneration": 3},
    ],
    "objectives": [{"name": "first", "state": "Met", "p50": "200ms", "p95": "400ms", "p99": "1m30s",
                    "attained": "99.90%", "burnRateShort": "0.40", "burnRateLong": "0.20", "budgetLeft": "60.0%"}],
    "targets": [{"name": "gpu", "current": 2, "desired": 2, "ready": 2, "reason": "2.00 requests/s arrive",
                 "pricePerGpuHour": "0.80"}],
    "gpu": {"verdict": "Efficient", "utilization": "60%", "queue": "0.0", "running": "8.0"},
    "cost": {"perHour": "1.6000", "monthToDate": "12.000000", "asOf": "2026-01-09T12:00:00Z", "monthForecast": "900",
             "perRequest": "0.002000"},
    "roi": [{"name": "worth", "state": "Met", "value": "3.1", "low": "2.9", "high": "3.3", "target": "2"}],
    "fallback": {"state": "Fallback", "weight": "50%", "since": "2026-01-09T12:00:00Z"},
    "lastDecision": {"id": "abc", "time": "2026-01-09T12:00:00Z"},
}  # fmt: skip


def change(path: str, value: object) -> Callable[[Status], None]:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]

    def apply(status: Status) -> None:
        found: Any = status
        for part in parents:
            found = found[part]
        found[last] = value

    return apply


AT_ONCE, FAR, DRIFT, NEVER = "at once", "when moved far", "after a quarter of an hour", "never"


@pytest.mark.parametrize(
    ("path", "value", "when"),
    [
        pytest.param("observedGeneration", 4, AT_ONCE, id="another generation"),
        pytest.param("mode", "Paused", AT_ONCE, id="another mode"),
        pytest.param("conditions.0.status", "True", AT_ONCE, id="a condition turns"),
        pytest.param("conditions.0.reason", "Stale", AT_ONCE, id="a condition's reason changes"),
        pytest.param("conditions.0.message", "Prometheus answers 401", FAR, id="a condition has another cause"),
        pytest.param("conditions.0.message", "Prometheus is down for 90 s", NEVER, id="a count in a message"),
        pytest.param("conditions", [], AT_ONCE, id="a condition ends"),
        pytest.param("objectives.0.state", "Breached", AT_ONCE, id="an objective is breached"),
        pytest.param("objectives.0.p95", "900ms", FAR, id="a latency doubles"),
        pytest.param("objectives.0.p95", "1m10s", FAR, id="a latency of more than a minute"),
        pytest.param("objectives.0.p95", "440ms", DRIFT, id="a latency wavers"),
        pytest.param("objectives.0.p99", "9s", NEVER, id="the last percentile"),
        pytest.param("objectives.0.burnRateShort", "0.95", DRIFT, id="a burn rate within the budget"),
        pytest.param("objectives.0.burnRateShort", "2.50", FAR, id="a burn rate above the budget"),
        pytest.param("objectives.0.attained", "99.10%", NEVER, id="the share attained"),
        pytest.param("targets.0.current", 3, AT_ONCE, id="replicas"),
        pytest.param("targets.0.desired", 3, AT_ONCE, id="replicas wanted"),
        pytest.param("targets.0.ready", 1, AT_ONCE, id="replicas ready"),
        pytest.param("targets.0.limitedBy", "maxReplicas", AT_ONCE, id="a bound"),
        pytest.param("targets.0.pricePerGpuHour", "0.90", AT_ONCE, id="a price"),
        pytest.param("targets.0.reason", "2.10 requests/s arrive", NEVER, id="figures in a reason"),
        pytest.param("gpu.verdict", "Saturated", AT_ONCE, id="GPUs are saturated"),
        pytest.param("gpu.verdict", "Headroom", NEVER, id="a calm verdict after another"),
        pytest.param("gpu.utilization", "75%", NEVER, id="utilization"),
        pytest.param("cost.perHour", "2.4000", AT_ONCE, id="dollars per hour"),
        pytest.param("cost.monthToDate", "12.400000", NEVER, id="money that ran on at the announced rate"),
        pytest.param("cost.perRequest", "0.005000", FAR, id="a request costs more than twice as much"),
        pytest.param("cost.perRequest", "0.002100", DRIFT, id="dollars per request waver"),
        pytest.param("roi.0.state", "AtRisk", AT_ONCE, id="an ROI target's state"),
        pytest.param("roi.0.value", "3.3", DRIFT, id="an ROI target's figure"),
        pytest.param("fallback.state", "Primary", AT_ONCE, id="the fallback's state"),
        pytest.param("fallback.weight", "95%", AT_ONCE, id="the fallback's share"),
        pytest.param("summary.reason", "2.20 requests/s arrive", NEVER, id="the summary"),
        pytest.param("lastDecision.id", "def", NEVER, id="the decision's id"),
    ],
)
def test_which_change_is_written_when(path: str, value: object, when: str) -> None:
    now = copy.deepcopy(BEFORE)
    change(path, value)(now)
    written = tuple(material(BEFORE, now, seconds) for seconds in (1.0, LARGE_MOVE_SECONDS, SOFT_REFRESH_SECONDS))
    assert (
        written
        == {
            AT_ONCE: (True, True, True),
            FAR: (False, True, True),
            DRIFT: (False, False, True),
            NEVER: (False, False, False),
        }[when]
    )


def test_a_first_status_is_written() -> None:
    assert material(None, BEFORE, 0.0)
    assert not material(BEFORE, copy.deepcopy(BEFORE), 1e9)


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
    raw = {"spec": {"cost": {"ceilings": ceilings}}, "status": {"conditions": [condition], "cost": BEFORE["cost"]}}
    states = dict(recall(raw)[0].states)
    assert {name: state for name, state in states.items() if name.startswith("ceiling")} == {
        "ceiling/Hour": "Reached",
        "ceiling/Month": "Approaching",
        "ceiling/Day": "Within",
    }
