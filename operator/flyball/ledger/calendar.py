"""Periods, hours, days and months of a time zone, as stretches of milliseconds since the epoch.

A day is 23 or 25 hours long where clocks change. Hours begin with the zone's own: some zones are half an hour off.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flyball.core.money.meter import PERIOD_MS
from flyball.ledger.errors import LedgerError
from flyball.ledger.schema import Grain

HOUR_MS = 3_600_000
_LENGTHS = {Grain.PERIOD: PERIOD_MS, Grain.HOUR: HOUR_MS}
"""Offsets of time zones are whole quarters of an hour: periods begin together everywhere."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of one zone."""

    zone: ZoneInfo

    @classmethod
    def of(cls, name: str) -> "Calendar":
        """The calendar of a zone by its name. Raises LedgerError."""
        try:
            return cls(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise LedgerError(f"{name!r} is no time zone; write for example UTC or Europe/Berlin") from None

    def floor(self, at: int, grain: Grain) -> int:
        """Where the period, hour, day or month begins in which `at` lies."""
        moment = datetime.fromtimestamp(at / 1000, self.zone)
        if grain is Grain.MONTH:
            return self._midnight(moment.date().replace(day=1))
        if grain is Grain.DAY:
            return self._midnight(moment.date())
        offset = moment.utcoffset() or timedelta()
        return at - (at + offset // timedelta(milliseconds=1)) % _LENGTHS[grain]

    def ceil(self, at: int, grain: Grain) -> int:
        """The first beginning of a period, hour, day or month that is not before `at`."""
        start = self.floor(at, grain)
        if start == at:
            return at
        if grain is Grain.MONTH:
            return self.month(at)[1]
        if grain is Grain.DAY:
            day = datetime.fromtimestamp(at / 1000, self.zone).date()
            return self._midnight(day + timedelta(days=1))
        return start + _LENGTHS[grain]

    def month(self, at: int, first_day: int = 1) -> tuple[int, int]:
        """The month in which `at` lies, where months begin with that day (1 to 28)."""
        day = datetime.fromtimestamp(at / 1000, self.zone).date()
        begin = day.replace(day=first_day)
        if begin > day:
            begin = (begin.replace(day=1) - timedelta(days=1)).replace(day=first_day)
        after = (begin.replace(day=28) + timedelta(days=4)).replace(day=first_day)
        return self._midnight(begin), self._midnight(after)

    def month_of(self, text: str, first_day: int = 1) -> tuple[int, int]:
        """The month that begins in a month written as 2026-11. Raises LedgerError."""
        try:
            begin = datetime.strptime(text, "%Y-%m").date()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            raise LedgerError(f"{text!r} is no month; write for example 2026-11") from None
        return self.month(self._midnight(begin.replace(day=first_day)), first_day)

    def _midnight(self, day: date) -> int:
        moment = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return round(moment.astimezone(UTC).timestamp() * 1000)
