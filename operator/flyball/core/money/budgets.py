"""How far a month's forecast may be off, from how days differed so far; and how past forecasts fared.

The rest of a month is forecast as a level that goes on. What that misses was missed before: for every day that is
known, the mean of the days after it is held against the mean of the week before it, and the root mean square of their
log ratios is the error over that many days. Levels wander, so it grows with the square root of the horizon.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from statistics import median

import numpy as np

from flyball.core.units import counted, format_ratio
from flyball.core.values import dataclass

FEWEST_DAYS = 14
"""Fewer days of spend than two weeks tell nothing of how weeks differ."""
TRAIL_DAYS = 7
Z_NINE_OF_TEN = 1.645
# Days on which hardly anything was spent (a workload at zero) count as if this share of the mean day was: the ratio of
# two of them says nothing.
LEAST_SHARE = 0.05


def spread(days: Sequence[float], left_days: float) -> tuple[float, float] | None:
    """The multiples of what the rest of a month is expected to cost between which it lies nine times of ten.

    `days` are the dollars of whole days, oldest first, without a gap. None where they are too few, or cost nothing.
    """
    spent = np.asarray(days, dtype=float)
    if len(spent) < FEWEST_DAYS or not np.isfinite(spent).all() or spent.mean() <= 0:
        return None
    spent = np.maximum(spent, LEAST_SHARE * spent.mean())
    steps = max(1, min(round(left_days), (len(spent) - TRAIL_DAYS) // 3))
    sums = np.concatenate(([0.0], np.cumsum(spent)))
    origins = np.arange(TRAIL_DAYS, len(spent) - steps + 1)
    before = (sums[origins] - sums[origins - TRAIL_DAYS]) / TRAIL_DAYS
    after = (sums[origins + steps] - sums[origins]) / steps
    error = math.sqrt(float(np.mean(np.log(after / before) ** 2)))
    independent = max(1.0, len(origins) / steps)
    width = Z_NINE_OF_TEN * error * math.sqrt(max(1.0, left_days / steps)) * math.sqrt(1.0 + 1.0 / independent)
    return math.exp(-width), math.exp(width)


def month_range(
    spent: Decimal, expected: Decimal, rest: tuple[float, float] | None
) -> tuple[Decimal | None, Decimal | None]:
    """The dollars between which a month lies nine times of ten, given what is spent and expected of it."""
    if rest is None:
        return None, None
    left = max(Decimal(0), expected - spent)
    low, high = (spent + left * Decimal(str(round(multiple, 6))) for multiple in rest)
    return low, high


@dataclass(frozen=True, slots=True)
class PastForecast:
    """What a month that is over was forecast to cost, in dollars, and what it did cost."""

    expected: float
    low: float
    high: float
    actual: float

    @property
    def held(self) -> bool:
        """Whether it lay in the range."""
        return self.low <= self.actual <= self.high


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Of so many forecasts of `months` past months, how many ranges held the cost; `error` is the median miss."""

    months: int
    forecasts: int
    held: int
    error: float

    @property
    def text(self) -> str:
        """In a sentence."""
        return (
            f"{self.held} of {self.forecasts} ranges held over {counted(self.months, 'past month')}; "
            f"forecasts missed by {format_ratio(self.error)} (median)"
        )


def score(by_month: Sequence[Sequence[PastForecast]]) -> TrackRecord | None:
    """How past forecasts fared; None where no month is over that cost anything."""
    months = [[each for each in month if each.actual > 0] for month in by_month]
    found = [each for month in months for each in month]
    if not found:
        return None
    misses = [abs(each.expected - each.actual) / each.actual for each in found]
    return TrackRecord(sum(map(bool, months)), len(found), sum(each.held for each in found), median(misses))
