"""The calendar periods that budgets are counted over: days and months, in UTC. Times are seconds since the epoch."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from flyball.core.names import Period

DAY_SECONDS = 86_400.0

CALENDAR = (Period.DAY, Period.MONTH)
"""Periods that begin and end with the calendar. An hour's ceiling bounds a rate, a request's a unit cost."""


def begin(period: Period, at: float) -> float:
    """When the day or month that holds this time began."""
    return _bounds(period, _day(at))[0]


def end(period: Period, at: float) -> float:
    """When the day or month that holds this time ends."""
    return _bounds(period, _day(at))[1]


def label(period: Period, at: float) -> str:
    """The period's name: `2026-11` or `2026-11-25`."""
    return _bounds(period, _day(at))[2]


def _day(at: float) -> int:
    """Days since the epoch: every UTC day of that count has the same seconds."""
    return int(at // DAY_SECONDS)


# Every workload asks for the same day and month many times a tick; around a midnight for two of each.
@lru_cache(maxsize=16)
def _bounds(period: Period, day: int) -> tuple[float, float, str]:
    """When the period that holds this day begins and ends, and its name."""
    first = _first(period, datetime.fromtimestamp(day * DAY_SECONDS, UTC))
    # Any month's 31st day after its first, or any day's next noon, lies in the period after it.
    beyond = first + (timedelta(days=31) if period is Period.MONTH else timedelta(hours=36))
    name = first.strftime("%Y-%m" if period is Period.MONTH else "%Y-%m-%d")
    return first.timestamp(), _first(period, beyond).timestamp(), name


def _first(period: Period, when: datetime) -> datetime:
    midnight = when.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.replace(day=1) if period is Period.MONTH else midnight
