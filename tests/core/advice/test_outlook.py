"""When a plan is told again, and what buying for the peak costs against scaling to each hour."""

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from core import cases
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.advice.outlook import HourOfLoad, Outlook, past_of, purchase, stale, worth_telling
from flyball.core.advice.plan import Kind, plan
from flyball.core.fleet.capacity import ReplicaLimits, RequestShape, replica_capacity, start_fit
from flyball.core.fleet.misses import carried, prior
from flyball.core.traffic.demand_events import DemandWindow
from flyball.core.traffic.trends import DAY_SECONDS

MONDAY = 1_767_571_200.0
REQUEST = RequestShape(100.0, 100.0, 100.0)
FIT = start_fit(cases.ENGINE)
CARRIES = replica_capacity(FIT, REQUEST, ReplicaLimits()).requests_per_second
KIND = Kind("gpu", None, FIT, 1, 10, Decimal(2))


def carry(replicas: int) -> float:
    return carried(prior(), replicas, CARRIES)


def hours(*rates: float, peak: float = 1.0) -> list[HourOfLoad]:
    return [HourOfLoad(MONDAY + 3600 * (n + 1), rate, rate * peak, 100.0) for n, rate in enumerate(rates)]


def outlook(rate: float = 10.0, days: int = 8, kind: Kind = KIND, windows: tuple[DemandWindow, ...] = ()) -> Outlook:
    past = past_of(hours(*[rate] * (24 * days)))
    return Outlook(past.end, 24 * days, plan(past, REQUEST, (kind,), ReplicaLimits(), windows, 90))


def test_hours_are_steps_that_begin_where_the_hour_does() -> None:
    past = past_of(hours(1.0, 2.0, peak=3.0))
    assert past.local.tolist() == [MONDAY, MONDAY + 3600]
    assert (past.end, past.step_seconds) == (MONDAY + 7200, 3600.0)
    assert past.peaks is not None
    assert past.peaks.tolist() == [3.0, 6.0]


def test_scaling_pays_each_hours_peak_and_buying_the_highest_of_all() -> None:
    # Three hours that one replica carries, one that takes four.
    past = past_of(hours(*[0.9 * carry(1)] * 3, 0.99 * carry(4)))
    found = purchase(past, REQUEST, [KIND], ReplicaLimits())
    assert found is not None
    assert (found.kind, found.peak_replicas, found.scaled_replicas) == ("gpu", 4, 7 / 4)
    assert (found.buying, found.scaling) == (Decimal(4 * 2 * 720), Decimal("1.75") * 2 * 720)


def test_an_hours_peak_counts_where_its_mean_would_take_fewer() -> None:
    found = purchase(past_of(hours(carry(1) / 2, peak=1.9 * carry(2) / carry(1))), REQUEST, [KIND], ReplicaLimits())
    assert found is not None
    assert found.peak_replicas == 2


def test_the_cheapest_at_the_peak_is_bought_and_without_prices_the_fewest() -> None:
    past = past_of(hours(0.9 * carry(4)))
    dear = replace(KIND, name="dear", price_per_gpu_hour=Decimal(9))
    found = purchase(past, REQUEST, [dear, KIND], ReplicaLimits())
    assert found is not None
    assert found.kind == "gpu"
    unpriced = purchase(past, REQUEST, [replace(dear, price_per_gpu_hour=None)], ReplicaLimits())
    assert unpriced is not None
    assert (unpriced.buying, unpriced.scaling, unpriced.peak_replicas) == (None, None, 4)


def test_what_cannot_meet_the_objectives_is_not_bought() -> None:
    assert purchase(past_of(hours(1.0)), REQUEST, [KIND], ReplicaLimits(per_token=1e-4)) is None


@given(st.lists(st.floats(0, 400), min_size=1, max_size=30))
def test_scaling_never_costs_more_than_buying_for_the_peak(rates: list[float]) -> None:
    found = purchase(past_of(hours(*rates)), REQUEST, [KIND], ReplicaLimits())
    assert found is not None
    assert found.scaled_replicas <= found.peak_replicas


LAUNCH = DemandWindow(MONDAY + 20 * DAY_SECONDS, MONDAY + 21 * DAY_SECONDS, 3.0)
SHORT = Outlook(MONDAY, 2)


@pytest.mark.parametrize(
    ("told", "now", "news"),
    [
        pytest.param(None, SHORT, True, id="the first"),
        pytest.param(SHORT, replace(SHORT, known_hours=3), False, id="an hour more, and still too few"),
        pytest.param(SHORT, outlook(), True, id="enough hours for a plan"),
        pytest.param(outlook(), SHORT, True, id="the history is gone"),
        pytest.param(SHORT, replace(SHORT, problem="no price"), True, id="another problem"),
        pytest.param(outlook(), outlook(), False, id="the same"),
        pytest.param(outlook(), outlook(days=9), False, id="the same, a day later"),
        pytest.param(outlook(), outlook(10.0 * 4), True, id="four times the load"),
        pytest.param(replace(outlook(), unmeasured=("gpu",)), outlook(), True, id="what a replica carries is measured"),
        pytest.param(outlook(), outlook(windows=(LAUNCH,)), True, id="a launch is announced"),
        pytest.param(outlook(windows=(LAUNCH,)), outlook(days=9, windows=(LAUNCH,)), False, id="and comes nearer"),
        pytest.param(outlook(), outlook(kind=replace(KIND, price_per_gpu_hour=None)), True, id="the price is gone"),
    ],
)
def test_a_plan_is_told_again_where_it_says_something_else(told: Outlook | None, now: Outlook, news: bool) -> None:
    assert worth_telling(told, now) is news


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_no_news(seed: int) -> None:
    """Ten days whose days differ, then the eleventh: what it moves stays within the range that was told."""
    rates = np.random.default_rng(seed).gamma(60.0, 1 / 6, 24 * 40)
    old, new = (past_of(hours(*rates[: 24 * days], peak=1.2)) for days in (39, 40))
    before, after = (
        Outlook(past.end, len(past.rates), plan(past, REQUEST, (KIND,), ReplicaLimits(), (), 90)) for past in (old, new)
    )
    assert not worth_telling(before, after)


def test_figures_are_brought_up_to_date_once_a_day() -> None:
    assert not stale(outlook(), replace(outlook(), at=outlook().at + DAY_SECONDS - 1))
    assert stale(outlook(), replace(outlook(), at=outlook().at + DAY_SECONDS))
    assert stale(SHORT, replace(SHORT, known_hours=3)), "how much is still lacking changes by the hour"


def test_an_unknown_hour_is_no_hour_without_load() -> None:
    lively = hours(*[0.9 * carry(4)] * 3)
    unknown = [replace(hour, rate=math.nan, peak=math.nan, end=hour.end + 3 * 3600) for hour in lively]
    found = purchase(past_of([*lively, *unknown]), REQUEST, [KIND], ReplicaLimits())
    assert found is not None
    assert found.scaled_replicas == 4
