"""The last four weeks of every workload by the hour, filled from the newest day back, a day at a time.

What is read next never depends on the number of workloads: one stretch of one day, for all that lack it. In memory this
is some 14 KB for a workload.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flyball.core.advice.outlook import HourOfLoad
from flyball.core.names import WorkloadKey
from flyball.core.traffic.trends import HOUR_SECONDS

KEPT_DAYS = 28
"""Four of each weekday: growth is told between equal weekdays, and Prometheus seldom keeps more."""
KEPT_HOURS = 24 * KEPT_DAYS
SETTLED_AFTER_SECONDS = 120.0
"""An hour is asked for this long after its end, when its last samples have been scraped and stored."""


@dataclass(frozen=True, slots=True)
class Part:
    """Whole hours to be read for these workloads: from `begin` to `end`, hours since the epoch."""

    begin: int
    end: int
    keys: frozenset[WorkloadKey]


@dataclass(slots=True)
class _Known:
    """A ring of hours, which hour each place holds, and up to which hour each day (since the epoch) was read.

    `answered` says whether the last part held anything of the workload at all.
    """

    values: np.ndarray = field(default_factory=lambda: np.full((KEPT_HOURS, 3), np.nan, dtype=np.float32))
    held: np.ndarray = field(default_factory=lambda: np.full(KEPT_HOURS, -1, dtype=np.int64))
    read: dict[int, int] = field(default_factory=dict)
    answered: bool = True


class LoadByHour:
    """What is known of the workloads that it was last told to keep."""

    def __init__(self) -> None:
        self._known: dict[WorkloadKey, _Known] = {}
        self._complete = 0
        """The hour up to which nothing is lacking; so that most looks need not look."""

    def keep(self, keys: Iterable[WorkloadKey]) -> None:
        """Keep these workloads, and no others."""
        wanted = list(keys)
        if any(key not in self._known for key in wanted):
            self._complete = 0
        self._known = {key: self._known.get(key) or _Known() for key in wanted}

    def next_part(self, at: float) -> Part | None:
        """What is to be read next: of the newest day that a workload lacks hours of."""
        now = _hour(at)
        if self._complete == now:
            return None
        for day in range((now - 1) // 24, (now - KEPT_HOURS) // 24, -1):
            end = min(24 * (day + 1), now)
            begins = {key: known.read.get(day, 24 * day) for key, known in self._known.items()}
            lacking = {key: begin for key, begin in begins.items() if begin < end}
            if lacking:
                return Part(min(lacking.values()), end, frozenset(lacking))
        self._complete = now
        return None

    def take(self, part: Part, answers: Mapping[WorkloadKey, Sequence[HourOfLoad]]) -> None:
        """Take in what was answered. A workload that is left out cannot be asked for."""
        for key in part.keys & self._known.keys():
            known = self._known[key]
            day = part.begin // 24
            known.read[day] = part.end
            known.answered = key in answers
            known.read = {d: until for d, until in known.read.items() if d > day - 2 * KEPT_DAYS}
            for hour in answers.get(key, ()):
                index = round(hour.end / HOUR_SECONDS) - 1
                known.values[index % KEPT_HOURS] = (hour.rate, hour.peak, hour.prompt_tokens)
                known.held[index % KEPT_HOURS] = index

    def hours(self, key: WorkloadKey, at: float) -> Sequence[HourOfLoad] | None:
        """The last four weeks of a workload, oldest first, from the first that is known on; NaN what is not known, and
        None where the source cannot be asked for it.
        """
        known, now = self._known[key], _hour(at)
        if not known.answered:
            return None
        indices = np.arange(now - KEPT_HOURS, now)
        values = known.values[indices % KEPT_HOURS].astype(float)
        values[known.held[indices % KEPT_HOURS] != indices] = np.nan
        found = np.flatnonzero(~np.isnan(values[:, 0]))
        first = int(found[0]) if len(found) else KEPT_HOURS - 1
        return [
            HourOfLoad((int(index) + 1) * HOUR_SECONDS, *row)
            for index, row in zip(indices[first:], values[first:].tolist(), strict=True)
        ]


def _hour(at: float) -> int:
    """The first hour since the epoch that is not to be read yet."""
    return int((at - SETTLED_AFTER_SECONDS) // HOUR_SECONDS)
