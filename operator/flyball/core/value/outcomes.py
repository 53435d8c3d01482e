"""Business outcomes as they are reported: one record is what became of one or more cases, such as a conversation.

Times are whole milliseconds since the epoch, handling and saved times are minutes. A record has a key of its own: what
comes again under the same key counts once. An outcome that turns out to be none, because the user came back or a
quality check failed, is voided by another record with that key.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache

from flyball.core.confidence import Z_TWO_SIDED_95, share_bounds
from flyball.core.names import WorkloadKey
from flyball.core.values import dataclass

DAY_MS = 86_400_000
KEPT_MS = 400 * DAY_MS
"""For how long a record's key is remembered. What is older is refused: nobody could tell whether it was counted."""
MOST_EARLY_MS = 300_000
"""By how much the clock of whoever reports may be ahead."""
LARGEST = Decimal(1_000_000)
"""The most cases, outcomes or minutes of one record."""
SMALLEST = Decimal("0.001")
"""Cases, outcomes and minutes are rounded to so much, as they are kept: what is added up is then exact."""
COLUMNS = ("workload", "kpi", "key", "time", "outcomes", "cases", "minutes", "void")
"""The fields of a record, in JSON and as the columns of a CSV file; the first four are required."""
REQUIRED = COLUMNS[:4]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_WORKLOAD = re.compile(r"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)/([a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?)")
_MOST_KEY = 200
_MOST_DIGITS = 40
_ONE, _NONE = Decimal(1), Decimal(0)
_REMEMBERED = 4096
"""Words and numbers whose meaning is remembered: of ten million records most hold the same few."""


class Void(StrEnum):
    """Why an outcome does not count."""

    CAME_BACK = "CameBack"
    QUALITY_FAILED = "QualityFailed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One record: of `cases`, so many had the outcome, and took or saved so many `minutes` in all."""

    workload: WorkloadKey
    kpi: str
    key: str
    at: int
    outcomes: Decimal = _ONE
    cases: Decimal = _ONE
    minutes: Decimal = _NONE
    void: Void | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """Records of one KPI added up.

    `came_back` and `failed` are outcomes that were voided: they are in `cases`, and no longer in `outcomes`. `squares`
    are the records' minutes, each squared: what chance makes of the sum follows from it.
    """

    outcomes: Decimal = _NONE
    cases: Decimal = _NONE
    minutes: Decimal = _NONE
    came_back: Decimal = _NONE
    failed: Decimal = _NONE
    squares: float = 0.0

    def share_bounds(self, z: float = Z_TWO_SIDED_95) -> tuple[float, float]:
        """Bounds of the share of cases that had the outcome, 95% two-sided unless told; (0, 1) without cases."""
        return share_bounds(float(self.outcomes), float(self.cases), z)

    def plus(self, other: "Counted") -> "Counted":
        """Both together."""
        return Counted(*(getattr(self, name) + getattr(other, name) for name in SUMS))


SUMS = tuple(field.name for field in fields(Counted))


class BadRecord(ValueError):
    """A record that cannot be counted: the message names the field and the fix."""


def parse_record(raw: Mapping[str, object], now: int) -> Outcome:
    """A record as it came, in JSON or CSV; `now` is in milliseconds. Raises BadRecord."""
    workload = _named(_text(raw, "workload"))
    kpi = _kpi(_text(raw, "kpi"))
    key = _text(raw, "key")
    if not 0 < len(key) <= _MOST_KEY:
        raise BadRecord(f"key: {key[:80]!r} has not 1 to {_MOST_KEY} characters; write the case's own number")
    outcomes = _number(raw, "outcomes", _ONE)
    cases = _number(raw, "cases", max(_ONE, outcomes))
    if outcomes > cases:
        raise BadRecord(f"outcomes: {outcomes} are more than the {cases} cases; write cases of at least as many")
    minutes = _number(raw, "minutes", _NONE)
    return Outcome(workload, kpi, key, _time(raw, now), outcomes, cases, minutes, _void(raw))


@lru_cache(_REMEMBERED)
def _named(text: str) -> WorkloadKey:
    workload = _WORKLOAD.fullmatch(text)
    if workload is None:
        raise BadRecord(f"workload: {text[:80]!r} names none; write NAMESPACE/NAME, such as shop/chat")
    return WorkloadKey(*workload.groups())


@lru_cache(_REMEMBERED)
def _kpi(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise BadRecord(f"kpi: {text[:80]!r} is no name; write that of a KPI of spec.value.kpis")
    return text


def _void(raw: Mapping[str, object]) -> Void | None:
    value = raw.get("void") or None
    try:
        return None if value is None else Void(str(value))
    except ValueError:
        raise BadRecord(f"void: {str(value)[:80]!r} is no reason; write {' or '.join(Void)}, or leave it out") from None


def _text(raw: Mapping[str, object], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise BadRecord(f"{name}: is missing or no text; every record needs {', '.join(REQUIRED)}")
    return value


def _number(raw: Mapping[str, object], name: str, default: Decimal) -> Decimal:
    value = raw.get(name)
    if value is None or value == "":
        return default
    text = "NaN" if isinstance(value, bool) else str(value)
    found = _plain(text) if len(text) <= _MOST_DIGITS else None
    if found is None:
        raise BadRecord(f"{name}: {str(value)[:80]!r} is not between 0 and {LARGEST}; write a plain number")
    return found


@lru_cache(_REMEMBERED)
def _plain(text: str) -> Decimal | None:
    """The number that a text says, rounded; None where it is no such number."""
    try:
        found = Decimal(text)
        return found.quantize(SMALLEST) if found.is_finite() and 0 <= found <= LARGEST else None
    except InvalidOperation:
        return None


def _time(raw: Mapping[str, object], now: int) -> int:
    text = _text(raw, "time")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRecord(f"time: {text[:80]!r} has no meaning everywhere; write one with its zone: 2026-11-03T14:05:00Z")
    at = round(moment.timestamp() * 1000)
    if at > now + MOST_EARLY_MS:
        raise BadRecord(f"time: {text} is ahead of this clock; correct the clock or the zone")
    if at < now - KEPT_MS:
        raise BadRecord(f"time: {text} is more than {KEPT_MS // DAY_MS} days ago; leave older records out")
    return at
