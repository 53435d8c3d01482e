"""What is told, when and how often: one Event for each transition, and what people read in it."""

import math
from decimal import Decimal

import pytest
from core.cases import (
    BREACHED,
    BURNING,
    GOOD,
    START,
    fallback,
    hourly,
    observation,
    reasons,
    route,
    running,
    shares,
    signals,
    spec,
    variant,
)

from flyball.core.decide import decide
from flyball.core.decision import Event
from flyball.core.memory import Memory
from flyball.core.names import Enforcement, Period, Precedence, RoiMetric
from flyball.core.observation import (
    ABSENT,
    ObjectiveReading,
    Percentiles,
    Reading,
    SignalState,
    VariantSignals,
    VariantState,
)
from flyball.core.spec import Ceiling, RoiTarget, WorkloadSpec

Sight = dict[str, object]


def tell(workload: WorkloadSpec, *sights: Sight, step: float = 15.0, memory: Memory | None = None) -> list[list[Event]]:
    """The Events of ticks in sequence."""
    told, known = [], memory or Memory()
    for tick, sight in enumerate(sights):
        decision, known = decide(workload, observation(at=START + step * tick, **sight), known)
        told.append(list(decision.events))
    return told


def names(told: list[list[Event]]) -> list[list[str]]:
    return [[str(event.reason) for event in events] for events in told]


MET, BAD, WARM = {"objectives": GOOD}, {"objectives": BREACHED}, {"objectives": BURNING}
SILENT = {"objectives": ObjectiveReading("ttft", SignalState.ABSENT)}
DOWN, UP = {"problem": "Prometheus is down"}, {}


def unscraped(reading: Reading) -> Sight:
    return {"signal": VariantSignals("gpu", running=reading, waiting=reading, completions_per_second=reading)}


NEW = unscraped(ABSENT)
LOST, GONE = (unscraped(Reading(math.nan, SignalState.STALE, age)) for age in (5.0, 120.0))


@pytest.mark.parametrize(
    ("sights", "told"),
    [
        pytest.param([MET, MET], [[], []], id="a first look that finds all in order tells nothing"),
        pytest.param([BAD, BAD], [["SLOBreached"], []], id="a breach is told once"),
        pytest.param([MET, WARM, BAD, MET], [[], [], ["SLOBreached"], ["SLORecovered"]], id="and its end"),
        pytest.param([BAD, SILENT, BAD], [["SLOBreached"], [], []], id="silence in between is no recovery"),
        pytest.param([BAD, SILENT, MET], [["SLOBreached"], [], ["SLORecovered"]], id="and hides none"),
        pytest.param([UP, DOWN, DOWN, UP], [[], ["TelemetryStale"], [], ["TelemetryRecovered"]], id="bad telemetry"),
        pytest.param([DOWN], [["TelemetryStale"]], id="bad telemetry at the first look"),
        pytest.param([NEW, NEW, UP], [[], [], []], id="new pods that are not scraped yet"),
        pytest.param([NEW] * 8, [[], [], [], [], [], [], [], ["TelemetryStale"]], id="nor in a window and a half"),
        pytest.param([UP] * 7 + [NEW], [[]] * 7 + [["TelemetryStale"]], id="pods that were ready before are not new"),
        pytest.param([NEW, LOST], [[], ["TelemetryStale"]], id="a sample of theirs that got old is theirs"),
        pytest.param([NEW, GONE, UP], [[], [], []], id="an older one is of pods that are gone"),
        pytest.param([DOWN, NEW, UP], [["TelemetryStale"], [], ["TelemetryRecovered"]], id="what was told stays told"),
        pytest.param(
            [{"state": running(contender="HPA/chat")}] * 2 + [{}],
            [["Contended"], [], []],
            id="another scaler is told once",
        ),
        pytest.param(
            [{"state": VariantState("gpu", exists=False, scalable=False)}, {}],
            [["TargetMissing"], []],
            id="a missing target",
        ),
    ],
)
def test_transitions_are_told_and_nothing_else(sights: list[Sight], told: list[list[str]]) -> None:
    assert names(tell(spec(), *sights)) == told


def test_a_missing_price_is_told_with_its_fix() -> None:
    (events,) = tell(spec(variant(price=None)), {})
    assert [str(e.reason) for e in events] == ["PriceMissing"]
    assert "set pricePerGpuHour" in events[0].message


def test_what_people_read_of_a_breach() -> None:
    seen = ObjectiveReading("ttft", SignalState.OK, BREACHED.shares, Percentiles(0.2, 1.23456, 2.0))
    (events,) = tell(spec(), {"objectives": seen})
    assert events[0].message == "ttft is breached: fewer than 95% of requests within 500ms (burn rate 10.0, p95 1.23s)"
    assert events[0].warning
    _, (back,) = tell(spec(), BAD, MET)
    assert back.message == "ttft is met again: at least 95% of requests within 500ms (burn rate 0.0)"
    assert not back.warning


def test_the_error_budget_is_told_on_its_way_down_only() -> None:
    def hour(bad: float) -> Sight:
        return {"objectives": shares((0, 100), (0, 500), (bad, 7200))}

    told = tell(spec(), hour(0), hour(300), hour(300), hour(400), hour(100))
    assert names(told) == [[], ["ErrorBudgetLow"], [], ["ErrorBudgetExhausted"], []]
    assert told[1][0].message == "ttft: 17% of its 1h error budget is left"
    assert told[3][0].message == "ttft: its 1h error budget is used up"


def test_an_hourly_ceiling_is_told_as_it_nears_binds_and_is_left() -> None:
    """$2 each under $8: 3 replicas are 75%, 4 all of it, and five are needed."""
    workload = spec(precedence=Precedence.COST, ceilings=hourly("8", Enforcement.FALLBACK))
    busy = signals(rate=22.0, running=60.0, gpu_utilization=0.95)
    told = tell(
        workload, {"state": running(3)}, {"state": running(4), "signal": busy}, {"state": running(2)}, step=400.0
    )
    assert names(told) == [[], ["BudgetCeilingReached"], ["BudgetRecovered"]]
    assert told[1][0].message == (
        "spend of $8.00 per hour has reached its ceiling of $8.00: 4 of the 5 replicas needed are allowed "
        "(enforcement Fallback)"
    )
    assert told[2][0].message == "spend of $4.00 per hour is well within its ceiling of $8.00 again"


def test_spend_that_wavers_about_the_line_is_told_once() -> None:
    """Cents per request around 80% of a ceiling of 0.5: the requests of the hour waver by 2%."""
    workload = spec(ceilings=(Ceiling(Period.REQUEST, Decimal("0.005"), Enforcement.ALERT),))
    counts = (1020.0, 990.0, 1010.0, 985.0, 1015.0, 1000.0, 1012.0)
    sights = [{"completions": ((3600.0, count),)} for count in (1020.0, *counts)]
    told = names(tell(workload, *sights, step=3600.0))
    assert [reason for events in told for reason in events] == ["BudgetCeilingApproaching"]


def test_the_return_is_told_with_its_interval_and_its_cost() -> None:
    """$4/h for 100 requests of $0.02 each is 0.5 of 2; 500 requests are 2.5."""
    target = RoiTarget("worth", RoiMetric.VALUE_COST_RATIO, Decimal(2), 3600.0)
    workload = spec(roi_targets=(target,), value_per_request=Decimal("0.02"))

    def sight(requests: float) -> Sight:
        return {"completions": ((3600.0, requests),)}

    told = tell(workload, sight(100.0), sight(100.0), sight(100.0), sight(500.0), sight(500.0), step=3600.0)
    assert names(told) == [[], ["ROITargetBreached"], [], ["ROITargetMet"], []]
    assert told[1][0].message == (
        "worth is breached: ValueCostRatio 0.5, target at least 2 over 1h (95% interval 0.407 to 0.608); "
        "spend $4.00/h on 2 replicas"
    )


def test_a_target_met_from_the_start_is_no_news() -> None:
    target = RoiTarget("worth", RoiMetric.VALUE_COST_RATIO, Decimal(2), 3600.0)
    workload = spec(roi_targets=(target,), value_per_request=Decimal("0.02"))
    sight = {"completions": ((3600.0, 500.0),)}
    assert names(tell(workload, sight, sight, sight, step=3600.0)) == [[], [], []]


def test_a_foreign_hand_on_a_route_is_told_as_such_and_not_as_a_blocked_fallback() -> None:
    foreign = {"routes": (route(primary_weight=9, fallback_weight=1, applied_weights=(50, 50)),)}
    blocked = {"routes": (route(fallback_ready_endpoints=0),)}
    priced = fallback(price_per_request=Decimal("0.004"))
    told = tell(spec(fallback=priced), {"routes": (route(),)}, foreign, foreign, blocked, {"routes": (route(),)})
    assert names(told) == [[], ["RouteConflict"], [], ["FallbackBlocked"], []]


def test_after_a_restart_the_announced_states_silence_what_was_told() -> None:
    remembered = Memory(states=(("breach/ttft", "Breached"), ("objective/ttft", "Breached"), ("telemetry", "Good")))
    assert names(tell(spec(), BAD, MET, memory=remembered)) == [[], ["SLORecovered"]]


def test_reasons_are_those_of_the_api() -> None:
    decision, _ = decide(spec(), observation(objectives=BREACHED), Memory())
    assert reasons(decision) == ["SLOBreached"]
