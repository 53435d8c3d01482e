"""Forecasts of arrivals: what each member foresees, what a day teaches, and that quantiles cover as they say."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from core.cases import LAW, START, TICK
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.traffic.forecast import (
    DAMPING_SECONDS,
    DAY_SECONDS,
    LEVELS,
    MASSES,
    MOST_SLOTS,
    SLOT_SECONDS,
    SMOOTHING_SECONDS,
    STEP,
    ForecastMemory,
    Outlook,
    ahead,
    coverage,
    observe,
    start,
)
from flyball.lab.generate import generate_trace, parse_profile

WINDOW = 60.0
LEAD = 75.0
PERSISTENCE, TREND, DAY, WEEK = 0, len(SMOOTHING_SECONDS), len(SMOOTHING_SECONDS) + 1, len(SMOOTHING_SECONDS) + 2


def follow(
    ticks: Iterable[tuple[float, float]], lead: float = LEAD, memory: ForecastMemory | None = None
) -> tuple[ForecastMemory, Outlook]:
    """Watch (seconds after START, rate), the first of them as the very first look."""
    outlook = None
    for after, rate in ticks:
        memory = memory or start(START + after, rate, WINDOW, lead)
        memory, outlook = observe(memory, START + after, rate, lead, WINDOW)
    assert memory is not None
    assert outlook is not None
    return memory, outlook


def sampled(rate: Callable[[float], float], seconds: float, tick: float = TICK) -> list[tuple[float, float]]:
    return [(after, rate(after)) for after in np.arange(0.0, seconds + tick / 2, tick).tolist()]


def steady(seconds: float, rate: float = 4.0) -> list[tuple[float, float]]:
    return sampled(lambda _: rate, seconds)


def test_the_first_look_spreads_as_counts_do() -> None:
    """By hand, 4 requests/s: twice a minute's Poisson spread, and a drift of half the level in an hour, over 75 s:
    √(2²/60 + 0.5² × 75/3600 × 4) = √(0.06667 + 0.02083) = 0.2958, in units of √4; at 0.9 that is 1.282 deviations.
    """
    memory, outlook = follow(steady(0.0))
    assert outlook.mean == 4.0
    assert memory.scale == pytest.approx(0.2958, abs=1e-4)
    assert outlook.quantile(0.9) == pytest.approx(4 + 2 * 0.2958 * 1.282, abs=1e-3)
    assert outlook.quantile(0.5) == 4.0
    assert coverage(memory) == ()


@pytest.mark.parametrize("rate", [0.0, 0.01, 4.0, 3000.0])
def test_a_constant_rate_is_forecast_as_itself(rate: float) -> None:
    memory, outlook = follow(steady(7200.0, rate))
    assert outlook.mean == pytest.approx(rate)
    assert outlook.quantile(0.5) == pytest.approx(rate, abs=0.05 * math.sqrt(max(rate, 1 / WINDOW)))
    asked = [said for said in memory.pending[-1].members if not math.isnan(said)]
    assert asked == pytest.approx([rate] * (DAY - 1)), "all but the level of a quarter of an hour, for a lead of 75 s"


def test_the_spread_of_a_constant_rate_narrows() -> None:
    wide, narrow = (follow(steady(seconds))[1] for seconds in (0.0, 12 * 3600.0))
    assert narrow.rates[-1] - narrow.rates[0] < 0.75 * (wide.rates[-1] - wide.rates[0])


def test_a_ramp_is_followed_by_the_trend() -> None:
    """A hundredth more each second. Its slope is believed for 600 s, fading: over 75 s that is
    0.01 × 600 × (1 - exp(-75/600)) = 0.705 of the 0.75 that come.
    """
    memory, outlook = follow(sampled(lambda after: 2 + 0.01 * after, 3600.0))
    now, then = 38.0, 38.75
    members = memory.pending[-1].members
    assert members[PERSISTENCE] == now
    assert members[TREND] == pytest.approx(now + 0.01 * DAMPING_SECONDS * (1 - math.exp(-LEAD / 600)), abs=0.005)
    assert memory.errors[TREND] < min(error for error in memory.errors[:TREND] if error > 0)
    assert now < outlook.mean < then


def test_noise_is_smoothed_away() -> None:
    """Where the rate only jumps up and down, a slow member errs least, and its mean is what is foreseen."""
    noise = np.random.default_rng(5)
    memory, outlook = follow(sampled(lambda _: 5 + 0.6 * float(noise.choice([-1, 1])), 6 * 3600.0))
    assert memory.errors[TREND - 1] < 0.8 * memory.errors[PERSISTENCE]
    assert outlook.mean == pytest.approx(5.0, abs=0.3)


@pytest.mark.parametrize("after", [12.0, 0.5])
def test_a_step_is_followed_at_once(after: float) -> None:
    """A level that is six deviations of counts away (3 × 2 × √(4 / 60) = 1.55) is no chance."""
    memory, _ = follow([*steady(600.0), (615.0, after)])
    assert memory.smoothed == pytest.approx((after,) * TREND)
    memory, _ = follow([*steady(600.0), (615.0, 5.5)])
    assert memory.smoothed == pytest.approx(
        [4 + 1.5 * (1 - math.exp(-15 / s)) if s else 5.5 for s in SMOOTHING_SECONDS]
    )


class TestSeasons:
    TICK = 300.0
    LEAD = 1800.0

    @staticmethod
    def day(after: float) -> float:
        """2 requests/s, and 8 from eight to sixteen hours after the beginning of each day."""
        return 8.0 if 8 * 3600 <= after % DAY_SECONDS < 16 * 3600 else 2.0

    def watched(self, days: float) -> ForecastMemory:
        return follow(sampled(self.day, days * DAY_SECONDS, self.TICK), self.LEAD)[0]

    @pytest.mark.parametrize(("days", "known"), [(1.0, False), (1.9, False), (2.1, True)])
    def test_a_day_is_asked_only_after_two(self, days: float, known: bool) -> None:
        members = self.watched(days).pending[-1].members
        assert math.isnan(members[DAY]) is not known
        assert math.isnan(members[WEEK])

    def test_a_week_is_asked_only_after_two(self) -> None:
        """As a day is, by the slots that were seen: here of an hour's ticks."""
        memory, _ = follow(sampled(self.day, 13.9 * DAY_SECONDS, SLOT_SECONDS), 3600.0)
        assert math.isnan(memory.pending[-1].members[WEEK])
        more = [(13.9 * DAY_SECONDS + 1800 * index, 2.0) for index in range(1, 10)]
        memory, _ = follow(more, 3600.0, memory)
        assert not math.isnan(memory.pending[-1].members[WEEK])

    def test_a_day_that_repeats_is_foreseen(self) -> None:
        """On the fifth day, a lead before the morning's step, the season says so; persistence does not."""
        morning = 4 * DAY_SECONDS + 8 * 3600
        memory, outlook = follow(sampled(self.day, morning - 900, self.TICK), self.LEAD)
        assert memory.errors[DAY] < 0.5 * min(memory.errors[:TREND])
        assert outlook.mean > 5.0
        evening = 4 * DAY_SECONDS + 16 * 3600
        _, outlook = follow(sampled(self.day, evening - 900, self.TICK), self.LEAD)
        assert outlook.mean < 5.0

    def test_a_day_without_a_season_is_not_believed(self) -> None:
        """Every day is another level and another hour: the season has errors like anybody."""
        draw = np.random.default_rng(11)
        levels = draw.uniform(1, 10, 5 * 24)
        memory, outlook = follow(
            sampled(lambda after: float(levels[int(after // 3600)]), 5 * DAY_SECONDS - self.TICK, self.TICK), self.LEAD
        )
        assert memory.errors[DAY] > min(memory.errors[:TREND])
        assert outlook.mean == pytest.approx(levels[-1], rel=0.5)


def test_quantiles_follow_what_they_failed_to_cover() -> None:
    """By hand: the first forecast comes due after 75 s with an error of 0. That exceeds the levels below the median,
    which move up by level × step, and not the others, which move down by (1 - level) × step.
    """
    before, _ = follow(steady(60.0))
    after, _ = follow(steady(75.0))
    step = STEP * before.scale
    moves = [new - old for new, old in zip(after.quantiles, before.quantiles, strict=True)]
    assert moves == pytest.approx(
        [0.05 * step, 0.1 * step, 0.25 * step, -0.5 * step, -0.25 * step, -0.1 * step, -0.05 * step, -0.02 * step]
    )
    assert coverage(after) == tuple((level, float(level >= 0.5)) for level in LEVELS)


@pytest.mark.parametrize(
    ("level", "rate"),
    [(0.0, 1.0), (0.05, 1.0), (0.5, 4.0), (0.6, 4.4), (0.75, 5.0), (0.97, 7 + 2 / 3), (0.98, 8.0), (1.0, 8.0)],
)
def test_quantiles_between_the_tracked_ones(level: float, rate: float) -> None:
    assert Outlook(4.0, (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0), MASSES).quantile(level) == pytest.approx(rate)


def test_masses_are_a_distribution() -> None:
    assert sum(MASSES) == pytest.approx(1.0)
    assert list(MASSES) == pytest.approx([0.075, 0.1, 0.2, 0.25, 0.2, 0.1, 0.04, 0.035])


TRAFFIC = {
    "Poisson": "rate=2&seed=1&burst=0",
    "bursty": "rate=2&seed=2&burst=0.5",
    "daily": "rate=3&seed=3&daily=0.7",
}


@pytest.mark.parametrize("lead", [75.0, 465.0])
@pytest.mark.parametrize("traffic", TRAFFIC.values(), ids=TRAFFIC)
def test_quantiles_cover_as_they_say(traffic: str, lead: float) -> None:
    """Within two points over two days, at the lead of a warm node and of a cold one; and no more is kept than waits."""
    arrivals = generate_trace(parse_profile(f"generate:conversation?duration=48h&{traffic}")).t_seconds
    ends = np.arange(WINDOW, 48 * 3600, TICK)
    counts = np.searchsorted(arrivals, ends) - np.searchsorted(arrivals, ends - WINDOW)
    memory, _ = follow(zip(ends.tolist(), (counts / WINDOW).tolist(), strict=True), lead)
    assert memory.judged == len(ends) - math.ceil(lead / TICK)
    for level, covered in coverage(memory):
        assert covered == pytest.approx(level, abs=0.02)
    assert len(memory.pending) == math.ceil(lead / TICK)


class TestTime:
    @pytest.mark.parametrize("later", [0.0, -15.0])
    def test_a_time_that_is_not_later_teaches_nothing(self, later: float) -> None:
        memory, outlook = follow(steady(600.0))
        again, same = observe(memory, START + 600 + later, 99.0, LEAD, WINDOW)
        assert again == memory
        assert same == outlook

    def test_a_gap_forgets_what_was_pending(self) -> None:
        memory, _ = follow(steady(600.0))
        assert len(memory.pending) == 5
        after, _ = observe(memory, START + 600 + 3600, 4.0, LEAD, WINDOW)
        assert [issued.due_at for issued in after.pending] == [START + 600 + 3600 + LEAD]

    def test_a_longer_lead_waits_behind_a_shorter(self) -> None:
        """Start-up times are learned: forecasts come due in the order of their times."""
        memory, _ = follow(steady(600.0), 75.0)
        for index, lead in enumerate((465.0, 30.0, 30.0, 75.0)):
            memory, _ = observe(memory, START + 615 + 15 * index, 4.0, lead, WINDOW)
        due = [issued.due_at for issued in memory.pending]
        assert due == sorted(due)
        assert due[-1] == START + 615 + 465


rates = st.one_of(st.just(0.0), st.floats(0.0, 100.0), st.floats(0.0, 1e12))
gaps = st.one_of(st.just(TICK), st.floats(0.001, 120.0), st.floats(120.0, 40 * DAY_SECONDS))
leads = st.sampled_from([30.0, 75.0, 465.0])


@LAW
@given(ticks=st.lists(st.tuples(gaps, rates), min_size=1, max_size=60), lead=leads)
def test_whatever_comes_is_forecast_by_numbers(ticks: list[tuple[float, float]], lead: float) -> None:
    at, memory = START, start(START, ticks[0][1], WINDOW, lead)
    for gap, rate in ticks:
        at += gap
        memory, outlook = observe(memory, at, rate, lead, WINDOW)
        assert 0 <= outlook.mean <= 1e13
        assert all(math.isfinite(rate) and rate >= 0 for rate in outlook.rates)
        assert all(low <= high for low, high in pairwise(outlook.rates))
        assert all(low <= high for low, high in pairwise(memory.quantiles))
        assert all(0 <= error < math.inf for error in memory.errors)
        assert 0 < memory.scale < math.inf
        assert all(issued.due_at > at for issued in memory.pending)
        assert len(memory.slots) <= MOST_SLOTS


@LAW
@given(tick=st.sampled_from([5.0, 10.0, 15.0, 30.0]), lead=leads, rates=st.lists(rates, min_size=100, max_size=100))
def test_what_is_pending_is_bounded(tick: float, lead: float, rates: list[float]) -> None:
    memory, _ = follow([(index * tick, rate) for index, rate in enumerate(rates)], lead)
    assert len(memory.pending) <= math.ceil(lead / tick)


@LAW
@given(ticks=st.lists(st.tuples(gaps, rates), min_size=1, max_size=40))
def test_the_same_ticks_teach_the_same(ticks: list[tuple[float, float]]) -> None:
    times = np.cumsum([gap for gap, _ in ticks]).tolist()
    watched = [(time, rate) for time, (_, rate) in zip(times, ticks, strict=True)]
    assert repr(follow(watched)) == repr(follow(watched))


def test_what_lies_ahead_is_known_from_a_day_on_and_covers_the_time_asked_for() -> None:
    at = START - START % SLOT_SECONDS
    slot = int(at // SLOT_SECONDS)
    known = replace(start(at, 1.0, 60.0, 90.0), slots=tuple(float(n) for n in range(48)), slot=slot)
    rates, seconds = ahead(known, at + 600.0, at + 3900.0)
    assert (rates.tolist(), seconds.tolist()) == ([0.0, 1.0, 2.0], [1200.0, 1800.0, 300.0]), "as a day before"
    assert not len(ahead(replace(known, slots=known.slots[1:]), at, at + 3600.0)[0]), (
        "half an hour of the day is missing"
    )
    assert not len(ahead(known, at, at)[0])
