"""Good and all requests of every objective over time, added up from what ticks read of the last minute.

A tick reads how many requests of a trailing window were good. Each counts for the time since the tick before, at the
rate of the window; a gap longer than the window is left out, since nobody looked.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.observation import Observation, SignalState
from flyball.runtime.tick import TickReport

SLOT_MS = 300_000
HOUR_MS = 3_600_000
KEPT_MS = 26 * HOUR_MS
"""For how long the slots of workloads in experiments are kept where the ledger does not take them."""


@dataclass(slots=True)
class Count:
    """Requests of one objective, and the milliseconds for which they were counted."""

    good: float = 0.0
    total: float = 0.0
    measured_ms: int = 0

    def add(self, good: float, total: float, measured_ms: int) -> None:
        """Count more."""
        self.good += good
        self.total += total
        self.measured_ms += measured_ms


Key = tuple[WorkloadKey, str, int]
"""A workload, its objective, and when the slot or hour begins."""


class Counts:
    """Counts by hour of all workloads until they are taken, and by slot of five minutes of those in experiments."""

    def __init__(self) -> None:
        self._hours: dict[Key, Count] = {}
        self._slots: dict[Key, Count] = {}
        self._looked: dict[WorkloadKey, int] = {}

    def take(self, report: TickReport, detailed: Iterable[WorkloadKey] = ()) -> None:
        """Count what a tick read; `detailed` are the workloads whose slots are kept."""
        now, wanted = milliseconds(report.at), frozenset(detailed)
        looked = {}
        for outcome in report.outcomes:
            key = outcome.spec.key
            looked[key] = now
            since = self._looked.get(key)
            if since is not None and now > since:
                self._count(key, outcome.observation, now, now - since, key in wanted)
        self._looked = looked
        self._slots = {
            each: count for each, count in self._slots.items() if each[0] in wanted and each[2] >= now - KEPT_MS
        }

    def hours_before(self, now: int) -> dict[Key, Count]:
        """The hours that are over; they are handed over once."""
        done = {each: count for each, count in self._hours.items() if each[2] + HOUR_MS <= now}
        self._hours = {each: count for each, count in self._hours.items() if each not in done}
        return done

    def put_back(self, hours: dict[Key, Count]) -> None:
        """Take hours back that could not be written."""
        for each, count in hours.items():
            self._hours.setdefault(each, Count()).add(count.good, count.total, count.measured_ms)

    def slots(self) -> dict[Key, Count]:
        """What was counted by the slot since this was asked last; it is handed over once."""
        done, self._slots = self._slots, {}
        return done

    def put_slots_back(self, slots: dict[Key, Count]) -> None:
        """Take slots back that could not be written."""
        for each, count in slots.items():
            self._slots.setdefault(each, Count()).add(count.good, count.total, count.measured_ms)

    def _count(self, key: WorkloadKey, seen: Observation, now: int, passed: int, detailed: bool) -> None:
        for reading in seen.signals.objectives:
            window = reading.shares[0] if reading.shares else None
            if window is None or reading.state is not SignalState.OK or not window.usable:
                continue
            if passed > window.window_seconds * 1000:
                continue
            share = passed / (window.window_seconds * 1000)
            good, total = window.good * share, window.total * share
            self._hours.setdefault((key, reading.name, now - now % HOUR_MS), Count()).add(good, total, passed)
            if detailed:
                self._slots.setdefault((key, reading.name, now - now % SLOT_MS), Count()).add(good, total, passed)
