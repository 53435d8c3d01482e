"""Load that is known beforehand: what a DemandEvent says of a workload, and the multiple of usual load it makes.

Times are seconds since the epoch. A multiple is a factor on the load that would come without the event, at least 1:
an event announces load, it never talks it away. What is past has no effect.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from flyball.core.names import WorkloadKey
from flyball.core.values import dataclass


class EventPhase(StrEnum):
    """Where a DemandEvent stands in time."""

    UPCOMING = "Upcoming"
    ACTIVE = "Active"
    PAST = "Past"


@dataclass(frozen=True, slots=True)
class DemandWindow:
    """From `start` until `end`, load is `multiple` times the usual.

    Over `ramp_seconds` it climbs from the usual in a straight line, and falls back so before `end`; a ramp longer than
    half of the window is cut to that half.
    """

    start: float
    end: float
    multiple: float
    ramp_seconds: float = 0.0

    def highest(self, at: float, until: float) -> float:
        """The highest multiple in force at any time from `at` to `until`, both included; 1 outside the window."""
        first, last = max(at, self.start), min(until, self.end)
        if first > last or at >= self.end:
            return 1.0
        ramp = min(self.ramp_seconds, (self.end - self.start) / 2)
        if first <= self.end - ramp and last >= self.start + ramp:
            return self.multiple
        height = (last - self.start) / ramp if last < self.start + ramp else (self.end - first) / ramp
        return 1.0 + (self.multiple - 1.0) * min(1.0, max(0.0, height))


@dataclass(frozen=True, slots=True)
class DemandEvent:
    """A DemandEvent as declared: its window, and whose load it speaks of in its namespace.

    `workloads` are names; where there are none, `labels` are those that a WorkloadSLO must carry.
    """

    namespace: str
    name: str
    window: DemandWindow
    workloads: frozenset[str] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()

    def concerns(self, key: WorkloadKey, labels: Mapping[str, str]) -> bool:
        """Whether the event speaks of a workload with that key and those labels."""
        if key.namespace != self.namespace:
            return False
        if self.workloads:
            return key.name in self.workloads
        return bool(self.labels) and all(labels.get(name) == value for name, value in self.labels)

    def phase(self, at: float) -> EventPhase:
        """Where the event stands."""
        if at >= self.window.end:
            return EventPhase.PAST
        return EventPhase.ACTIVE if at >= self.window.start else EventPhase.UPCOMING


def expected(
    events: Iterable[DemandEvent], key: WorkloadKey, labels: Mapping[str, str], at: float
) -> tuple[DemandWindow, ...]:
    """The windows of all events that speak of a workload and are not past, earliest first."""
    windows = {event.window for event in events if at < event.window.end and event.concerns(key, labels)}
    return tuple(sorted(windows, key=lambda window: (window.start, window.end, window.multiple, window.ramp_seconds)))


def multiplier(windows: Iterable[DemandWindow], at: float, horizon_seconds: float = 0.0) -> float:
    """The highest multiple of usual load in force from `at` until `at + horizon_seconds`; 1 where none is.

    Of windows that overlap the highest counts, not their product: two people who announce the same campaign would
    otherwise ask for nine times the load where each of them meant three.
    """
    until = at + max(0.0, horizon_seconds)
    return max((window.highest(at, until) for window in windows), default=1.0)
