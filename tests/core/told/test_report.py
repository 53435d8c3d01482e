import math
from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import (
    BREACHED,
    BURNING,
    GOOD,
    START,
    condition,
    decided,
    fallback,
    hourly,
    observation,
    overflowing,
    route,
    running,
    shares,
    signals,
    spec,
    variant,
)

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.money.books import Books
from flyball.core.names import Mode, Precedence, RoiMetric
from flyball.core.observation import BucketEdges, Observation, VariantSignals, VariantState
from flyball.core.spec import RoiTarget, WorkloadSpec
from flyball.core.value import baseline
from flyball.core.value.baseline import Baseline

TEN = signals(rate=10.0, gpu_utilization=0.95)
MISSING = VariantState("gpu", exists=False, scalable=False)


@pytest.mark.parametrize(
    ("kind", "workload", "seen", "expected"),
    [
        pytest.param("Ready", spec(), observation(), (True, "Reconciled"), id="ready means reconciled"),
        pytest.param(
            "Ready", spec(), observation(objectives=BREACHED), (True, "Reconciled"), id="not that SLOs are met"
        ),
        pytest.param("Ready", spec(), observation(state=MISSING), (False, "TargetMissing"), id="a missing target"),
        pytest.param(
            "Ready",
            spec(),
            observation(state=running(scalable=False)),
            (False, "TargetMissing"),
            id="one without a scale",
        ),
        pytest.param(
            "Ready", spec(), observation(cluster_problem="503"), (None, "ClusterUnknown"), id="an API server down"
        ),
        pytest.param("SLOMet", spec(), observation(objectives=GOOD), (True, "Met"), id="met"),
        pytest.param("SLOMet", spec(), observation(objectives=BURNING), (True, "Met"), id="burning is no breach yet"),
        pytest.param("SLOMet", spec(), observation(objectives=BREACHED), (False, "Breached"), id="breached"),
        pytest.param(
            "SLOMet", spec(), observation(objectives=shares((1, 2))), (None, "InsufficientData"), id="two requests"
        ),
        pytest.param("WithinBudget", spec(), observation(), (True, "NoCeiling"), id="no ceiling"),
        pytest.param(
            "WithinBudget", spec(ceilings=hourly("9")), observation(), (True, "WithinCeilings"), id="$4 of $9"
        ),
        pytest.param(
            "WithinBudget", spec(ceilings=hourly("3")), observation(), (False, "CeilingReached"), id="$4 of $3"
        ),
        pytest.param(
            "WithinBudget",
            spec(variant(price=None), ceilings=hourly("3")),
            observation(),
            (None, "Unknown"),
            id="without a price nobody knows",
        ),
        pytest.param("TelemetryHealthy", spec(), observation(), (True, "Fresh"), id="fresh"),
        pytest.param("TelemetryHealthy", spec(), observation(problem="401"), (False, "Absent"), id="no source"),
        pytest.param(
            "TelemetryHealthy",
            spec(),
            observation(signal=signals(reporting_replicas=1.0)),
            (None, "Partial"),
            id="a silent replica is neither healthy nor bad",
        ),
        pytest.param(
            "TelemetryHealthy",
            spec(),
            observation(state=running(1, ready=0)),
            (None, "NothingReady"),
            id="none to report",
        ),
        pytest.param("PriceTrusted", spec(), observation(), (True, "Priced"), id="priced"),
        pytest.param("PriceTrusted", spec(variant(price=None)), observation(), (False, "PriceMissing"), id="no price"),
        pytest.param("CapacityAvailable", spec(), observation(), (True, "Enough"), id="enough"),
        pytest.param(
            "CapacityAvailable",
            spec(),
            observation(state=running(3, ready=2, unschedulable=1)),
            (False, "Unschedulable"),
            id="no node",
        ),
        pytest.param(
            "CapacityAvailable", spec(variant(high=2)), observation(signal=TEN), (False, "MaxReplicas"), id="maximum"
        ),
        pytest.param(
            "CapacityAvailable",
            spec(ceilings=hourly("4"), precedence=Precedence.COST),
            observation(signal=TEN),
            (False, "CostCeiling"),
            id="ceiling",
        ),
        pytest.param("ScalingActive", spec(), observation(), (True, "Acting"), id="acting"),
        pytest.param("ScalingActive", spec(mode=Mode.RECOMMEND), observation(), (False, "Recommend"), id="only shown"),
        pytest.param("ScalingActive", spec(mode=Mode.PAUSED), observation(), (False, "Paused"), id="paused"),
        pytest.param(
            "ScalingActive", spec(), observation(state=running(contender="HPA/x")), (False, "Contended"), id="contended"
        ),
        pytest.param("ScalingActive", spec(), observation(state=MISSING), (False, "TargetMissing"), id="missing"),
    ],
)
def test_conditions(kind: str, workload: WorkloadSpec, seen: Observation, expected: tuple[bool | None, str]) -> None:
    assert condition(decided(workload, seen), kind) == expected


@pytest.mark.parametrize(
    ("kind", "workload", "seen"),
    [
        pytest.param("Contended", spec(), observation(state=running(contender="HPA/x")), id="another scaler"),
        pytest.param(
            "RouteConflict",
            spec(fallback=fallback()),
            observation(routes=(route(primary_weight=9, applied_weights=(50, 50)),)),
            id="a foreign hand on a route",
        ),
        pytest.param("DeclaredNotActedOn", spec(not_acted_on=("spec.forecast",)), observation(), id="a later part"),
    ],
)
def test_some_conditions_exist_only_while_they_hold(kind: str, workload: WorkloadSpec, seen: Observation) -> None:
    assert condition(decided(workload, seen), kind)[0] is True
    assert kind not in {c.type for c in decided(spec(), observation()).conditions}


def test_an_active_fallback_says_how_much_and_why() -> None:
    active = overflowing(cause="the hourly ceiling allows 2 of 3")
    decision, _ = decide(spec(fallback=fallback()), observation(routes=(route(),)), Memory(fallback=active))
    found = next(c for c in decision.conditions if c.type == "FallbackActive")
    assert found.message == "50% of traffic overflows: the hourly ceiling allows 2 of 3"


@pytest.mark.parametrize(
    ("edges", "note"),
    [
        pytest.param(BucketEdges(False, 0.25, 0.75), "interpolated between 250ms and 750ms", id="between two edges"),
        pytest.param(
            BucketEdges(False, 0.0, 0.75), "below the smallest bucket edge 750ms: unmeasurable", id="below all"
        ),
        pytest.param(BucketEdges(False, 0.25, math.inf), "above the largest bucket edge 250ms", id="above all"),
    ],
)
def test_a_threshold_that_is_no_edge_names_the_nearest(edges: BucketEdges, note: str) -> None:
    decision = decided(spec(), observation(objectives=replace(GOOD, edges=edges)))
    found = next(c for c in decision.conditions if c.type == "ThresholdBetweenEdges")
    assert note in found.message


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        pytest.param(1000.0, (True, "Met"), id="1000 × $0.02 / $4 = 5 of 2"),
        pytest.param(375.0, (True, "AtRisk"), id="1.88 may be 2"),
        pytest.param(200.0, (False, "Breached"), id="1 is not"),
        pytest.param(1.0, (None, "InsufficientData"), id="one request"),
    ],
)
def test_the_return(requests: float, expected: tuple[bool | None, str]) -> None:
    target = RoiTarget("worth", RoiMetric.VALUE_COST_RATIO, Decimal(2), 3600.0)
    workload = spec(roi_targets=(target,), value_per_request=Decimal("0.02"))
    _, memory = decide(workload, observation(), Memory())
    decision, _ = decide(workload, observation(at=START + 3600.0, completions=((3600.0, requests),)), memory)
    assert condition(decision, "ROIMet") == expected


def test_without_targets_there_is_no_word_on_the_return() -> None:
    assert "ROIMet" not in {c.type for c in decided(spec(), observation()).conditions}


def test_the_summary_says_what_happens_and_why_in_a_line() -> None:
    decision = decided(spec(), observation(signal=TEN, state=running(1)))
    assert decision.summary.startswith(
        "gpu 1→3: 10.00 requests/s arrive; in 1m15s 10.00 are expected, up to 12.24; one"
    )
    assert decided(spec(), observation(signal=TEN, state=running(3))).summary.startswith("gpu stays at 3: ")


def test_pods_that_were_not_scraped_yet_are_waited_for() -> None:
    decision, _ = decide(spec(), observation(signal=VariantSignals("gpu")), Memory())
    assert condition(decision, "TelemetryHealthy") == (None, "FirstScrape")
    found = next(c for c in decision.conditions if c.type == "TelemetryHealthy")
    assert found.message == "target gpu: its pods have just become ready; waiting for the first scrapes"


RELATIVE = spec(
    roi_targets=(RoiTarget("cheaper", RoiMetric.COST_PER_REQUEST, Decimal("0.9"), 7 * 86_400.0, relative=True),)
)
NOW_MS = round(START * 1000)
RECORDED = Baseline(
    NOW_MS - 15 * baseline.DAY_MS, NOW_MS - baseline.DAY_MS, NOW_MS, baseline.fingerprint(RELATIVE), Decimal(5000),
    Decimal("0.1"), Decimal("0.2"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("books", "expected"),
    [
        pytest.param(None, (None, "Missing"), id="nobody read the ledger"),
        pytest.param(Books(START), (False, "Missing"), id="none was recorded"),
        pytest.param(Books(START, baseline=RECORDED), (True, "Recorded"), id="one of two weeks"),
        pytest.param(
            Books(START, baseline=replace(RECORDED, fingerprint="other")), (False, "Stale"), id="of other prices"
        ),
    ],
)
def test_what_a_relative_target_is_held_against(books: Books | None, expected: tuple[bool | None, str]) -> None:
    assert condition(decided(RELATIVE, replace(observation(), books=books)), "BaselineRecorded") == expected
