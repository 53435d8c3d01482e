"""What a review says of figures: each proposal where it is due, changes, and what is not known left out."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from flyball.core.evidence.review import build
from flyball.core.evidence.review_figures import Figures, Kind, Known
from flyball.core.money.bill import FALLBACK_PATH, PathUse
from flyball.core.money.statement import Statement, state
from flyball.core.names import WorkloadKey

KEY = WorkloadKey("shop", "chat")
WEEK = 7 * 86_400_000
HOUR = 3_600_000
BUSY = PathUse(
    "gpu", HOUR, 2 * HOUR, 17 * HOUR, loading=Decimal(1), idle=Decimal(2), serving=Decimal(17), requests=Decimal(1000)
)


def figures(*uses: PathUse, week: int = 0, **fields: Any) -> Figures:
    statement = fields.pop("statement", None) or state(uses or (BUSY,), (), ())
    return Figures(week * WEEK, (week + 1) * WEEK, statement, **fields)


def review(*found: Figures, kind: Kind = Kind.WEEKLY, before: Any = None, **known: Any) -> dict[str, Any]:
    document = build(kind, "a", "UTC", {KEY: Known(found, **known)}, before)
    each: dict[str, Any] = document["workloads"][0]
    return each


def unpriced() -> Statement:
    return replace(state((BUSY,), (), ()), unpriced=(("vectors", Decimal(3)),))


GOOD, BAD = {"first": (960.0, 1000.0)}, {"first": (900.0, 1000.0)}
IDLE = replace(BUSY, idle_ms=30 * HOUR, idle=Decimal(30))


@pytest.mark.parametrize(
    ("found", "actions"),
    [
        pytest.param([figures(objectives=GOOD)], [], id="all is well"),
        pytest.param([figures(IDLE, objectives=GOOD)], ["LowerMinReplicas"], id="mostly idle"),
        pytest.param([figures(IDLE, objectives=BAD)], ["FindCause"], id="idle, and an objective is missed"),
        pytest.param([figures(objectives=BAD)], ["AddCapacity"], id="busy, and an objective is missed"),
        pytest.param(
            [figures(replace(BUSY, loading_ms=9 * HOUR, loading=Decimal(9)))], ["ShortenStartup"], id="much loading"
        ),
        pytest.param(
            [figures(BUSY, PathUse(FALLBACK_PATH, requests=Decimal(500)))],
            ["ReviewFallback"],
            id="much on the fallback",
        ),
        pytest.param([figures(statement=unpriced())], ["AddPrices"], id="a price is missing"),
        pytest.param(
            [figures(replace(BUSY, requests=Decimal(2000))), figures(week=1)], ["FindCostRise"], id="dearer than before"
        ),
        pytest.param(
            [figures(replace(BUSY, requests=Decimal(990))), figures(week=1)], [], id="about as dear as before"
        ),
        pytest.param([figures(replace(IDLE, idle=Decimal("0.5")))], [], id="idle for less than a dollar"),
    ],
)
def test_proposals(found: list[Figures], actions: list[str]) -> None:
    each = review(*found, targets={"first": 0.95})
    assert [part["action"] for part in each["proposals"]] == actions


def test_changes_are_against_the_period_before_and_averages_over_four() -> None:
    weeks = [figures(replace(BUSY, requests=Decimal(1000 + 100 * week)), week=week) for week in range(6)]
    each = review(*weeks)
    assert each["change"] == {"dollars": 0.0, "requests": 0.0714, "perRequest": -0.0667}
    assert each["moving"] == {"periods": 4, "dollars": "20.00", "requests": 1350.0, "perRequest": "0.014814815"}
    assert [part["requests"] for part in each["trend"]] == [1000.0, 1100.0, 1200.0, 1300.0, 1400.0, 1500.0]


def test_a_cohort_s_moving_average_is_what_was_paid_for_its_requests() -> None:
    old = PathUse("v1", serving=Decimal(30), requests=Decimal(100))
    weeks = [
        figures(PathUse("v1", serving=Decimal(999), requests=Decimal(1))),
        figures(old, week=1),
        figures(old, week=2),
        figures(old, PathUse("v2", serving=Decimal(5), requests=Decimal(50)), week=3),
        figures(PathUse("v1", serving=Decimal(10)), PathUse("v2", serving=Decimal(15), requests=Decimal(50)), week=4),
    ]
    found = {each["path"]: each for each in review(*weeks)["cohorts"]}
    assert (found["v1"]["movingPerRequest"], "perRequest" in found["v1"]) == ("0.333333333", False)
    assert (found["v2"]["movingPerRequest"], found["v2"]["change"]) == ("0.200000000", 2.0)


def test_what_is_not_known_is_left_out() -> None:
    each = review(figures(PathUse("gpu", unmeasured_ms=HOUR, unmeasured=Decimal(1)), objectives={"first": (0.0, 0.0)}))
    assert {"perRequest", "utilization"} & each.keys() == set()
    assert each["objectives"] == []
    assert each["change"] == {"dollars": None, "requests": None, "perRequest": None}


@pytest.mark.parametrize(
    ("known", "action"),
    [
        pytest.param({"advice": "Scale: it pays"}, "Scale", id="scale"),
        pytest.param({"advice": "Re-architect: half is idle"}, "Re-architect", id="re-architect"),
        pytest.param({"advice": "Retire: it does not"}, "Retire", id="retire"),
        pytest.param({}, "Keep", id="nothing follows"),
        pytest.param({"advice": "Retire: x", "unproven": "a guard lacks cases"}, "Unproven", id="nothing is proven"),
    ],
)
def test_recommendations_are_of_months(known: dict[str, str], action: str) -> None:
    assert review(figures(), kind=Kind.MONTHLY, **known)["recommendation"]["action"] == action
    assert "recommendation" not in review(figures(), **known)


def test_a_month_is_held_against_its_own_forecast_and_the_last_review_s() -> None:
    first = build(
        Kind.MONTHLY, "a", "UTC", {KEY: Known([figures(objectives=GOOD, outcomes={"solved": (40.0, 100.0)})])}
    )
    now = figures(
        replace(BUSY, requests=Decimal(1200)), week=1, objectives=BAD, outcomes={"solved": (50.0, 100.0)}
    )  # fmt: skip
    document = build(Kind.MONTHLY, "b", "UTC", {KEY: Known([now], forecast=(16.0, 12.0, 25.0))}, first)
    found = {each["of"]: each for each in document["workloads"][0]["forecast"]}
    assert found["cost"] == {"of": "cost", "forecast": 16.0, "actual": 20.0, "error": 0.25, "low": 12.0, "high": 25.0}
    assert found["requests"]["error"] == pytest.approx(0.2)
    assert (found["first"]["forecast"], found["first"]["actual"]) == (0.96, 0.9)
    assert found["solved"]["error"] == pytest.approx(0.25)
    assert build(Kind.MONTHLY, "c", "UTC", {KEY: Known([now])})["workloads"][0]["forecast"] == []


def test_outcomes_are_shares_or_minutes_with_their_change_and_their_forecast() -> None:
    def month(week: int, solved: float, minutes: float) -> Figures:
        return figures(
            week=week, outcomes={"solved": (solved, 100.0), "handling": (50.0, 50.0)},
            minutes={"handling": (minutes, 50.0)},
        )  # fmt: skip

    first = build(Kind.MONTHLY, "a", "UTC", {KEY: Known([month(0, 40.0, 400.0)])})
    assert first["workloads"][0]["outcomes"] == [
        {"kpi": "handling", "outcomes": 50.0, "cases": 50.0, "minutes": 8.0},
        {"kpi": "solved", "outcomes": 40.0, "cases": 100.0, "rate": 0.4},
    ]
    both = [month(0, 40.0, 400.0), month(1, 50.0, 300.0)]
    document = build(Kind.MONTHLY, "b", "UTC", {KEY: Known(both)}, first)["workloads"][0]
    assert {each["kpi"]: each["change"] for each in document["outcomes"]} == {"handling": -0.25, "solved": 0.25}
    found = {each["of"]: each for each in document["forecast"]}
    assert found["handling"] == {"of": "handling", "forecast": 8.0, "actual": 6.0, "error": -0.25, "unit": "minutes"}
    assert found["solved"]["forecast"] == 0.4


def test_waste_is_what_idled_and_loaded() -> None:
    document = build(Kind.WEEKLY, "a", "UTC", {KEY: Known([figures()])})
    assert (document["dollars"], document["waste"]) == ("20.00", "3.00")
