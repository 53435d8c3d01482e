"""Which Events are written, which become a repeat of an earlier one, and which are dropped as a flood.

Two Events are the same when workload (by uid), reason, action and text are: an Event's text cannot be changed, so a
changed one is a new Event. The same one again within an hour (the usual life of an Event) adds to its series.

Every write takes a token from the bucket of its workload and reason: five at once, and one more each minute. Without a
token a repeat is only counted, and told with the next repeat that has one; a new Event is dropped, and the drop is
counted. One cause that flaps so never drowns the others.
Pure: times are seconds since the epoch.
"""

import hashlib
from dataclasses import dataclass

from flyball.core.decision import Event

BURST = 5.0
REFILL_PER_SECOND = 1.0 / 60.0
REMEMBER_SECONDS = 3600.0
MAX_SERIES = 10_000
_NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Create:
    """Write a first Event."""

    name: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """Set an Event's series to this many occurrences."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Write nothing now."""


Plan = Create | Repeat | Dropped


@dataclass(slots=True)
class _Series:
    count: int
    last_at: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Aggregation:
    """Remembers what was written, in bounded memory."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self.dropped = 0

    def plan(self, workload: str, uid: str, event: Event, at: float) -> Plan:
        """What to do about one occurrence. What was planned counts as done: see `failed` and `exists`."""
        self._forget(at)
        name = event_name(workload, uid, event)
        series = self._series.get(name)
        if series is not None:
            series.count += 1
            series.last_at = at
        if not self._take_token((uid, str(event.reason)), at):
            self.dropped += series is None
            return Dropped()
        if series is None:
            self._series[name] = _Series(1, at)
            return Create(name)
        return Repeat(name, series.count)

    def exists(self, name: str, count: int) -> Repeat:
        """The Event planned as a first one is there already, with this many occurrences, from an earlier process."""
        self._series[name].count = count + 1
        return Repeat(name, count + 1)

    def failed(self, name: str, uid: str, event: Event) -> None:
        """A write did not succeed: its token is given back, and the next occurrence is a first one."""
        self._series.pop(name, None)
        bucket = self._buckets.get((uid, str(event.reason)))
        if bucket is not None:
            bucket.tokens = min(BURST, bucket.tokens + 1.0)

    def _take_token(self, owner: tuple[str, str], at: float) -> bool:
        bucket = self._buckets.setdefault(owner, _Bucket(BURST, at))
        bucket.tokens = min(BURST, bucket.tokens + max(0.0, at - bucket.filled_at) * REFILL_PER_SECOND)
        bucket.filled_at = max(at, bucket.filled_at)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    def _forget(self, at: float) -> None:
        """Drop what is an hour old; and of too many series, those that began first."""
        for owner in [owner for owner, bucket in self._buckets.items() if at - bucket.filled_at > REMEMBER_SECONDS]:
            del self._buckets[owner]
        for name in [name for name, series in self._series.items() if at - series.last_at > REMEMBER_SECONDS]:
            del self._series[name]
        while len(self._series) > MAX_SERIES:
            del self._series[next(iter(self._series))]


def event_name(workload: str, uid: str, event: Event) -> str:
    """The Event's name: the workload's, and a hash of everything that makes it this Event."""
    identity = f"{uid}\0{event.reason}\0{event.action}\0{event.message}"
    return f"{workload[:_NAME_LIMIT].rstrip('.-')}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
