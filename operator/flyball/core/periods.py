"""The calendar periods that budgets are counted over: days and months, in UTC. Times are seconds since the epoch."""

from datetime import UTC, datetime, timedelta

from flyball.core.names import Period

CALENDAR = (Period.DAY, Period.MONTH)
"""Periods that begin and end with the calendar. An hour's ceiling bounds a rate, a request's a unit cost."""


def begin(period: Period, at: float) -> float:
    """When the day or month that holds this time began."""
    return _first(period, at).timestamp()


def end(period: Period, at: float) -> float:
    """When the day or month that holds this time ends."""
    first = _first(period, at)
    # Any month's 31st day after its first, or any day's next noon, lies in the period after it.
    beyond = first + (timedelta(days=31) if period is Period.MONTH else timedelta(hours=36))
    return _first(period, beyond.timestamp()).timestamp()


def label(period: Period, at: float) -> str:
    """The period's name: `2026-11` or `2026-11-25`."""
    return _first(period, at).strftime("%Y-%m" if period is Period.MONTH else "%Y-%m-%d")


def _first(period: Period, at: float) -> datetime:
    midnight = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight.replace(day=1) if period is Period.MONTH else midnight
