"""Growth, patterns and peaks of pasts made by hand, and the laws that hold for any past."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.traffic.trends import (
    DAY_SECONDS,
    WEEK_SECONDS,
    Trend,
    busiest,
    daily,
    levels,
    peak_demand,
    season,
    shape,
    trend,
)

STEP = 300.0
PER_DAY = round(DAY_SECONDS / STEP)
MONDAY = 1_767_571_200.0


def steps(days: float) -> np.ndarray:
    """Beginnings of five-minute steps from a Monday on."""
    return MONDAY + STEP * np.arange(round(days * PER_DAY))


def load(days: float, per_day: float = 0.0, swing: float = 0.0, weekend: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Rates around 10 requests/s: growing, swinging with a peak at 14:00, and less of it on weekends."""
    local = steps(days)
    hour = local % DAY_SECONDS / 3600
    day = np.floor((local - MONDAY) / DAY_SECONDS)
    rates = 10 * (1 + per_day) ** day * (1 + swing * np.cos(2 * math.pi * (hour - 14) / 24))
    return local, rates * np.where(day % 7 >= 5, weekend, 1.0)


@pytest.mark.parametrize("days", [6, 13, 14, 30])
@pytest.mark.parametrize("per_day", [-0.02, 0.0, 0.03])
@pytest.mark.parametrize("weekend", [1.0, 0.3])
def test_growth_is_found_exactly_where_there_is_no_noise(days: int, per_day: float, weekend: float) -> None:
    if weekend != 1.0 and days < 14:
        return  # a single week cannot tell a weekend from a fall
    found = trend(*daily(*load(days, per_day, swing=0.5, weekend=weekend), STEP))
    assert found is not None
    assert (found.low, found.per_day, found.high) == pytest.approx((per_day, per_day, per_day), abs=1e-9)
    assert found.days == days


@pytest.mark.parametrize("days", [1, 4, 4.8])
def test_too_few_days_have_no_trend(days: float) -> None:
    assert trend(*daily(*load(days), STEP)) is None


def test_one_mad_day_moves_the_growth_little() -> None:
    local, rates = load(21, per_day=0.01)
    rates[10 * PER_DAY : 11 * PER_DAY] *= 40
    found = trend(*daily(local, rates, STEP))
    assert found is not None
    assert found.per_day == pytest.approx(0.01, abs=0.003)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(-0.03, 0.03), st.integers(10, 40))
def test_the_range_holds_the_estimate_and_mostly_the_truth(seed: int, growth: float, days: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.1, days)
    found = trend(np.arange(days) + 20_000, np.exp(math.log1p(growth) * np.arange(days) + noise))
    assert found is not None
    assert found.low <= found.per_day <= found.high


def test_the_range_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    days = np.arange(28) + 20_000
    hits = 0
    for _ in range(200):
        found = trend(days, np.exp(0.01 * np.arange(28) + generator.normal(0, 0.15, 28)))
        assert found is not None
        hits += math.log1p(found.low) <= 0.01 <= math.log1p(found.high)
    assert 0.88 <= hits / 200 <= 1.0


def test_days_with_holes_do_not_count() -> None:
    local, rates = load(3)
    rates[PER_DAY : PER_DAY + PER_DAY // 5] = math.nan
    days, means = daily(local, rates, STEP)
    assert (days - days[0]).tolist() == [0, 2]
    assert means.tolist() == pytest.approx([10, 10])


@pytest.mark.parametrize(
    ("days", "period", "there"),
    [(1.9, DAY_SECONDS, False), (2, DAY_SECONDS, True), (13.9, WEEK_SECONDS, False), (14, WEEK_SECONDS, True)],
)
def test_a_pattern_needs_two_full_periods(days: float, period: float, there: bool) -> None:
    assert (season(*load(days, swing=0.5, weekend=0.5), STEP, period) is not None) is there


def test_the_busiest_hours_are_those_of_the_day_and_week() -> None:
    local, rates = load(14, swing=0.5, weekend=0.5)
    day, week = season(local, rates, STEP, DAY_SECONDS), season(local, rates, STEP, WEEK_SECONDS)
    assert day is not None
    assert week is not None
    assert set(busiest(day, 2)) == {13, 14}
    assert {hour // 24 for hour in busiest(week, 10)} == {0, 1, 2, 3, 4}, "Monday to Friday"
    assert week.pronounced
    assert week.autocorrelation == pytest.approx(1.0)
    assert np.mean(week.factors) == pytest.approx(1.0)


@pytest.mark.parametrize("offset", [0, 7, 30])
def test_hours_are_those_of_the_clock_wherever_the_past_begins(offset: int) -> None:
    local, rates = load(8, swing=0.5)
    begun = offset * 12
    found = season(local[begun:], rates[begun:], STEP, DAY_SECONDS)
    assert found is not None
    assert set(busiest(found, 2)) == {13, 14}


def test_noise_has_no_pronounced_pattern() -> None:
    rates = np.random.default_rng(3).gamma(2.0, 5.0, 14 * PER_DAY)
    found = season(steps(14), rates, STEP, DAY_SECONDS)
    assert found is not None
    assert not found.pronounced


def test_a_load_that_never_varies_has_no_pattern() -> None:
    assert season(*load(4), STEP, DAY_SECONDS) is None


def test_levels_are_of_five_minutes() -> None:
    rates = np.full(1000, 4.0)
    rates[500:505] = [100, 0, 0, 0, 0]  # one minute's burst: 23.2 over five
    rates[900] = math.nan
    found = levels(rates, 60.0)
    assert (found.steady, found.busy, found.peak) == pytest.approx((4.0, 4.0, 23.2))


def test_levels_of_nothing_are_an_error() -> None:
    with pytest.raises(ValueError, match="no rate is known"):
        levels(np.full(3, math.nan), STEP)


def test_the_level_is_that_of_the_histories_end() -> None:
    local, rates = load(21, per_day=0.05, swing=0.5)
    growth = trend(*daily(local, rates, STEP))
    found = shape(local, rates, STEP, growth)
    assert found.level == pytest.approx(10 * 1.05**20)
    assert (found.ratio_low, found.ratio, found.ratio_high) == pytest.approx((1.5, 1.5, 1.5), rel=0.001)


def test_a_past_shorter_than_a_day_has_the_ratio_of_its_whole() -> None:
    local, rates = load(0.5)
    rates[20] = 30.0
    found = shape(local, rates, STEP, None)
    assert (found.days, found.ratio_low, found.ratio_high) == (0, found.ratio, found.ratio)
    assert found.level * found.ratio == pytest.approx(30.0)


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), st.floats(0, 120), st.integers(2, 20))
def test_a_range_is_in_order_and_widens_with_the_days_ahead(seed: int, ahead: float, days: int) -> None:
    rates = np.random.default_rng(seed).gamma(2.0, 3.0, days * 24)
    local = MONDAY + 3600 * np.arange(len(rates))
    growth = trend(*daily(local, rates, 3600.0))
    found = shape(local, rates, 3600.0, growth)
    soon, later = peak_demand(found, growth, ahead), peak_demand(found, growth, ahead + 30)
    assert 0 <= soon.low <= soon.expected <= soon.high
    assert later.high / max(later.low, 1e-12) >= soon.high / max(soon.low, 1e-12) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(Trend(0.02, 0.01, 0.03, 30), (1.3, 1.6, 1.9), id="growth goes on in a line"),
        pytest.param(Trend(-0.02, -0.03, -0.01, 30), (0.97**30, 0.98**30, 0.99**30), id="a decline by its share"),
        pytest.param(Trend(0.02, -0.01, 0.05, 30), (0.99**30, 1.0, 2.5), id="what is uncertain is not expected"),
    ],
)
def test_what_a_trend_makes_of_thirty_days(found: Trend, expected: tuple[float, ...]) -> None:
    factors = found.factors(30)
    assert (factors.low, factors.expected, factors.high) == pytest.approx(expected)


@pytest.mark.parametrize(("low", "high", "certain"), [(0.01, 0.02, True), (-0.02, -0.01, True), (-0.01, 0.02, False)])
def test_growth_is_certain_when_its_range_lies_on_one_side_of_zero(low: float, high: float, certain: bool) -> None:
    assert Trend((low + high) / 2, low, high, 30).certain is certain


def test_peaks_within_long_steps_count_as_peaks_and_move_no_mean() -> None:
    local, rates = load(7, swing=0.5)
    hourly = rates.reshape(-1, 12).mean(axis=1)
    peaks = rates.reshape(-1, 12).max(axis=1)
    fine, coarse = shape(local, rates, STEP, None), shape(local[::12], hourly, 3600.0, None, peaks)
    assert (coarse.level, coarse.ratio, coarse.days) == pytest.approx((fine.level, fine.ratio, fine.days))
    assert levels(hourly, 3600.0, peaks).peak == pytest.approx(levels(rates, STEP).peak)
    assert levels(hourly, 3600.0, peaks * math.nan).peak == pytest.approx(hourly.max()), "unknown peaks are no peaks"
