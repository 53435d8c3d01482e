"""What a past of load says of its future: growth, daily and weekly patterns, peaks. Pure.

Days are judged by their means, and a day's peak by its ratio to that day's mean, so that growth and the shape of a day
are kept apart. Nothing is fitted to outliers: medians, and the slopes between pairs of days (Theil 1950, Sen 1968), of
equal weekdays once two weeks are there (Hirsch, Slack and Smith 1982).

Times are local seconds: seconds since the epoch plus the zone's offset, so that a day is a day to people, and a change
of daylight saving moves no peak.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flyball.core.values import dataclass

Numbers = npt.NDArray[np.float64]

DAY_SECONDS = 86_400.0
WEEK_SECONDS = 7 * DAY_SECONDS
HOUR_SECONDS = 3_600.0
PEAK_SECONDS = 300.0
"""A peak is the highest mean over this: what is shorter queues absorb, and no start is quick enough for it."""
FULL_DAY = 0.9
"""The share of a day's steps that must be known for the day to count: the rest cannot hold more than a night."""
FEWEST_DAYS = 5
"""Four days allow six slopes, too few for a 95% range at all (the statistic of Kendall's test needs n ≥ 5 at 5%)."""
Z_95 = 1.96
SEASONAL_AUTOCORRELATION = 0.5
"""From this autocorrelation at its period on, load has a daily or weekly pattern (EVALUATION.md, "daily pattern")."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Relative growth per day, with its 95% range; `days` it was seen over. 0.01 is one percent a day."""

    per_day: float
    low: float
    high: float
    days: int

    @property
    def certain(self) -> bool:
        """Whether the range says on which side of zero it lies."""
        return self.low > 0 or self.high < 0

    def factors(self, days: float) -> "Range":
        """What a figure is multiplied by in so many days. Where nothing is certain, no change is expected.

        What grows is carried on in a line, what shrinks by its share: compounded over months, the noise of a week would
        promise anything.
        """
        low, expected, high = (
            1 + rate * days if rate > 0 else (1 + rate) ** days
            for rate in (self.low, self.per_day if self.certain else 0.0, self.high)
        )
        return Range(low, expected, high)


@dataclass(frozen=True, slots=True)
class Season:
    """A pattern that repeats: load in each hour of the period, relative to the mean; and its autocorrelation."""

    period_seconds: float
    factors: tuple[float, ...]
    autocorrelation: float

    @property
    def pronounced(self) -> bool:
        """Whether load follows it."""
        return self.autocorrelation >= SEASONAL_AUTOCORRELATION


@dataclass(frozen=True, slots=True)
class Levels:
    """Requests per second over the whole: the median, the 95th percentile and the highest of five-minute means; where
    steps are longer than that, the first two are of the steps.
    """

    mean: float
    steady: float
    busy: float
    peak: float


@dataclass(frozen=True, slots=True)
class Shape:
    """How a day looks: its mean, in requests per second at the end of the history, and peak ÷ mean as seen.

    `days` counts the full days that the ratios come from; 0 where there is none, and then they are those of the whole.
    """

    level: float
    ratio_low: float
    ratio: float
    ratio_high: float
    days: int


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with the ends of its range."""

    low: float
    expected: float
    high: float


def levels(rates: Numbers, step_seconds: float, peaks: Numbers | None = None) -> Levels:
    """Levels of a series of rates (one for each step, NaN where unknown). Raises ValueError without any.

    `peaks` are the highest means over PEAK_SECONDS within each step, where steps are longer than that.
    """
    means = _averaged(rates, max(1, round(PEAK_SECONDS / step_seconds)))
    known = means[~np.isnan(means)]
    if not len(known):
        raise ValueError("no rate is known")
    steady, busy = np.quantile(known, [0.5, 0.95])
    highest = float(np.nanmax(_highest(means, peaks)))
    return Levels(float(np.nanmean(rates)), float(steady), float(busy), highest)


def daily(local: Numbers, values: Numbers, step_seconds: float) -> tuple[npt.NDArray[np.int64], Numbers]:
    """The full days (counted from the epoch) and the mean of each; `local` are the beginnings of the steps."""
    days = np.floor(local / DAY_SECONDS).astype(np.int64)
    known = ~np.isnan(values)
    if not known.any():
        return np.empty(0, np.int64), np.empty(0)
    first = int(days[0])
    counts = np.bincount(days[known] - first)
    sums = np.bincount(days[known] - first, weights=values[known])
    full = np.flatnonzero(counts >= FULL_DAY * DAY_SECONDS / step_seconds)
    return full + first, sums[full] / counts[full]


def trend(days: npt.NDArray[np.int64], means: Numbers) -> Trend | None:
    """Growth of daily means; None where fewer than five days above zero are there."""
    positive = means > 0
    days, means = days[positive], np.log(means[positive])
    if len(days) < FEWEST_DAYS:
        return None
    span = int(days[-1] - days[0]) + 1
    period = 7 if span >= 14 else 1
    slopes: list[float] = []
    variance = 0.0
    for season in range(period):
        mine = days % period == season
        d, m = days[mine].astype(float), means[mine]
        upper = np.triu_indices(len(d), 1)
        slopes += ((m[upper[1]] - m[upper[0]]) / (d[upper[1]] - d[upper[0]])).tolist()
        variance += len(d) * (len(d) - 1) * (2 * len(d) + 5) / 18  # of Kendall's S, without ties
    ordered = sorted(slopes)
    reach = Z_95 * math.sqrt(variance)
    low = ordered[max(0, math.floor((len(ordered) - reach) / 2))]
    high = ordered[min(len(ordered) - 1, math.ceil((len(ordered) + reach) / 2))]
    return Trend(math.expm1(float(np.median(ordered))), math.expm1(low), math.expm1(high), span)


def season(local: Numbers, values: Numbers, step_seconds: float, period_seconds: float) -> Season | None:
    """The hourly pattern of a period; None where two full periods are not there, or where nothing ever varies."""
    if len(local) * step_seconds < 2 * period_seconds:
        return None
    hours = np.floor((local - local[0]) / HOUR_SECONDS).astype(np.int64)
    known = ~np.isnan(values)
    length = int(hours[-1]) + 1
    counts = np.bincount(hours[known], minlength=length)
    sums = np.bincount(hours[known], weights=values[known], minlength=length)
    hourly = np.divide(sums, counts, out=np.full(length, math.nan), where=counts > 0)
    slots = round(period_seconds / HOUR_SECONDS)
    at = (np.arange(length) + math.floor(local[0] / HOUR_SECONDS) - _offset_hours(period_seconds)) % slots
    if any(np.isnan(hourly[at == slot]).all() for slot in range(slots)):
        return None
    mean = float(np.nanmean(hourly))
    early, late = hourly[:-slots], hourly[slots:]
    both = ~np.isnan(early) & ~np.isnan(late)
    if mean <= 0 or not early[both].std() or not late[both].std():
        return None
    factors = tuple(float(np.nanmean(hourly[at == slot]) / mean) for slot in range(slots))
    return Season(period_seconds, factors, float(np.corrcoef(early[both], late[both])[0, 1]))


def shape(
    local: Numbers, rates: Numbers, step_seconds: float, growth: Trend | None, peaks: Numbers | None = None
) -> Shape:
    """How a day looks at the end of the history; `peaks` as in `levels`."""
    peaks = _highest(_averaged(rates, max(1, round(PEAK_SECONDS / step_seconds))), peaks)
    days, means = daily(local, rates, step_seconds)
    if not len(days):
        ratio = float(np.nanmax(peaks)) / float(np.nanmean(rates)) if np.nanmean(rates) > 0 else 1.0
        return Shape(float(np.nanmean(rates)), ratio, ratio, ratio, 0)
    of_day = np.floor(local / DAY_SECONDS).astype(np.int64)
    ratios = [
        float(np.nanmax(peaks[of_day == day]) / mean)
        for day, mean in zip(days, means, strict=True)
        if mean > 0 and not np.isnan(peaks[of_day == day]).all()
    ] or [1.0]
    per_day = growth.per_day if growth and growth.certain else 0.0
    level = float(np.median(means * (1 + per_day) ** (days[-1] - days)))
    low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
    return Shape(level, float(low), float(middle), float(high), len(ratios))


def peak_demand(found: Shape, growth: Trend | None, ahead_days: float) -> Range:
    """Requests per second in the highest five minutes of a day so many days after the history's end."""
    grown = growth.factors(ahead_days) if growth else Range(1.0, 1.0, 1.0)
    return Range(
        found.level * found.ratio_low * grown.low,
        found.level * found.ratio * grown.expected,
        found.level * found.ratio_high * grown.high,
    )


def busiest(found: Season, count: int = 3) -> Sequence[int]:
    """The hours of the period with the most load, busiest first."""
    return sorted(range(len(found.factors)), key=lambda slot: -found.factors[slot])[:count]


def _offset_hours(period_seconds: float) -> int:
    """Hours from the epoch to the beginning of a period: weeks begin on Monday, and the epoch was a Thursday."""
    return 4 * 24 if period_seconds == WEEK_SECONDS else 0


def _highest(means: Numbers, peaks: Numbers | None) -> Numbers:
    """The highest means of each step: those given, but where one is not known or below the step's own mean."""
    return means if peaks is None else np.fmax(means, peaks)


def _averaged(rates: Numbers, window: int) -> Numbers:
    """Means over so many steps from each step on; NaN where one of them is unknown or beyond the end."""
    if window == 1 or len(rates) < window:
        return rates
    whole = np.convolve(rates, np.full(window, 1.0 / window), mode="valid")
    return np.concatenate((whole, np.full(window - 1, math.nan)))
