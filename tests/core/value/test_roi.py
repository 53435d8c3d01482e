from decimal import Decimal

import pytest

from flyball.core.memory import SpendMemory, SpendRate
from flyball.core.names import RoiMetric
from flyball.core.spec import RoiTarget
from flyball.core.value.roi import judge

AT, HOUR = 1_800_000_000.0, 3600.0
RATIO = RoiTarget("worth", RoiMetric.VALUE_COST_RATIO, Decimal(2), HOUR)
CHEAP = RoiTarget("cheap", RoiMetric.COST_PER_REQUEST, Decimal("0.01"), HOUR)
TEN_DOLLARS = SpendMemory(as_of=AT, rates=(SpendRate(AT - 2 * HOUR, Decimal(10)),))


def state(target: RoiTarget, requests: float | None, before: str | None = None, **fields: object) -> str:
    given = {"spend": TEN_DOLLARS, "covered_seconds": 2 * HOUR, "priced": True, **fields}
    found = judge(target, Decimal("0.02"), requests, at=AT, before=before, **given)
    assert found is not None
    return found.state


@pytest.mark.parametrize(
    ("target", "requests", "before", "expected"),
    [
        pytest.param(RATIO, 1100.0, None, "Met", id="1100 × $0.02 / $10 = 2.2 of 2"),
        pytest.param(RATIO, 990.0, None, "Met", id="1.98, but 2 lies well within 990 ± 31 requests"),
        pytest.param(RATIO, 960.0, None, "AtRisk", id="1.92, and 2 lies beyond one deviation, within two"),
        pytest.param(RATIO, 900.0, None, "Breached", id="1.8, and at most 961 requests were meant: 1.92"),
        pytest.param(RATIO, 990.0, "Breached", "Breached", id="what was breached needs more than no proof"),
        pytest.param(RATIO, 1030.0, "Breached", "Breached", id="2.06 is no relief: 998 may have been meant"),
        pytest.param(RATIO, 1040.0, "Breached", "Met", id="2.08 is: likely 1008 were"),
        pytest.param(RATIO, 1030.0, "AtRisk", "AtRisk", id="nor from being at risk"),
        pytest.param(RATIO, 975.0, "Met", "Met", id="what was met stays so within chance"),
        pytest.param(RATIO, 1030.0, "Insufficient", "Met", id="what was not judged yet is met by its value"),
        pytest.param(RATIO, 0.0, None, "Insufficient", id="no requests prove nothing"),
        pytest.param(RATIO, 2.0, None, "Insufficient", id="nor do two"),
        pytest.param(RATIO, 2.0, "Breached", "Breached", id="but they are no reason to forget a verdict"),
        pytest.param(RATIO, 0.0, "Breached", "Insufficient", id="none is"),
        pytest.param(RATIO, None, None, "Insufficient", id="unknown requests prove nothing"),
        pytest.param(CHEAP, 1100.0, None, "Met", id="$10 / 1100 is under a cent"),
        pytest.param(CHEAP, 960.0, None, "AtRisk", id="1.04 cents, likely over a cent"),
        pytest.param(CHEAP, 900.0, None, "Breached", id="1.11 cents, and 1.04 at best"),
        pytest.param(CHEAP, 1030.0, "Breached", "Breached", id="0.97 cents may be a cent"),
        pytest.param(CHEAP, 1040.0, "Breached", "Met", id="0.96 cents are not"),
    ],
)
def test_the_state_of_a_target(target: RoiTarget, requests: float | None, before: str | None, expected: str) -> None:
    assert state(target, requests, before) == expected


def test_a_value_that_hovers_at_its_target_is_told_once() -> None:
    told, before = [], None
    for requests in (1010, 975, 1040, 980, 1010, 960, 1030, 970, 1055, 990, 1070, 975, 1001):
        now = state(RATIO, float(requests), before)
        told += [now] if now != before else []
        before = now
    assert told == ["Met", "AtRisk", "Met"]


def test_the_interval_is_that_of_the_count() -> None:
    """400 requests are 361.8 to 441.2 (Poisson, 95%); at $0.02 each over $10: 0.72 to 0.88."""
    found = judge(RATIO, Decimal("0.02"), 400.0, TEN_DOLLARS, AT, None, HOUR, True)
    assert found is not None
    assert (found.low, found.value, found.high) == pytest.approx((0.7236, 0.8, 0.8824), abs=1e-3)


def test_without_prices_the_state_says_so_and_without_cost_there_is_no_ratio() -> None:
    assert state(RATIO, 1000.0, priced=False) == "PriceMissing"
    free = SpendMemory(as_of=AT, rates=(SpendRate(AT - HOUR, Decimal(0)),))
    assert state(RATIO, 1000.0, spend=free) == "Insufficient"


def test_a_window_that_costs_do_not_cover_yet_proves_nothing() -> None:
    assert state(RATIO, 1.0e6, covered_seconds=HOUR - 1) == "Insufficient"


def test_requests_of_the_fallback_count_with_their_cost() -> None:
    """500 own and 1/6 per second × 3600 = 600 overflowed: 1100 for $10."""
    moved = SpendMemory(as_of=AT, rates=(SpendRate(AT - HOUR, Decimal(4), Decimal(6), 1 / 6),))
    assert state(RATIO, 500.0, spend=moved) == "Met"


@pytest.mark.parametrize(
    ("target", "worth"),
    [
        pytest.param(RoiTarget("kpi", RoiMetric.KPI, Decimal(1), HOUR), Decimal(1), id="a KPI needs a source"),
        pytest.param(RATIO, None, id="a ratio needs a value per request"),
    ],
)
def test_what_cannot_be_judged_has_no_report(target: RoiTarget, worth: Decimal | None) -> None:
    assert judge(target, worth, 1000.0, TEN_DOLLARS, AT, None, HOUR, True) is None
