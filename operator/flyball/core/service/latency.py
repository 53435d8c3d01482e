"""Latencies that are measured outside of the engine, stage by stage: where they come from, and how they are spread.

Durations are seconds.
"""

import math
from bisect import bisect_left

from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True, order=True)
class LatencySource:
    """One histogram of durations in Prometheus.

    `metrics` are the names that it may have, each with what turns its unit into seconds, and `labels` what its series
    must carry. Those of a `namespaced` one are from the workload's own namespace. `query` is the user's own PromQL in
    place of all that: a rate by `le`, in seconds.
    """

    metrics: tuple[tuple[str, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    namespaced: bool = False
    query: str = ""

    def narrowed(self, segment: tuple[tuple[str, str], ...]) -> "LatencySource":
        """The same for some of its requests only."""
        merged = tuple(sorted((dict(self.labels) | dict(segment)).items()))
        return LatencySource(self.metrics, merged, self.namespaced, self.query)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a request's path. Replicas spend the time in one of the `engine`: more of them can shorten it."""

    name: str
    source: LatencySource
    engine: bool = False


@dataclass(frozen=True, slots=True)
class Distribution:
    """Durations of a window's requests: upper edges ascending, +Inf last, and how many did not exceed each."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        """All requests."""
        return self.counts[-1] if self.counts else 0.0

    def share_above(self, seconds: float) -> float:
        """The share of requests that took longer.

        Between two edges it falls exponentially, as the tails of latencies do (as in telemetry/histograms.py); above
        the last finite edge nothing is known, and no request is said to be there.
        """
        index = bisect_left(self.edges, seconds)
        if self.total <= 0 or index >= len(self.edges) - 1:
            return 0.0
        above = max(0.0, 1.0 - self.counts[index] / self.total)
        if self.edges[index] == seconds:
            return above
        lower, counted = (self.edges[index - 1], self.counts[index - 1]) if index else (0.0, 0.0)
        before, least = max(0.0, 1.0 - counted / self.total), 0.5 / self.total
        if before <= least:
            return before
        way = (seconds - lower) / (self.edges[index] - lower)
        return float(before * math.pow(max(above, least) / before, way))


@dataclass(frozen=True, slots=True)
class StageReading:
    """One stage over the telemetry window: percentiles in seconds, and the number of requests that passed it.

    The bounds say where the p95 may lie for all that so many requests tell. Nothing is known of a stage without any.
    Below `least` (seconds) nothing is told apart: a percentile there is only known to be no more. One that is
    `measured_by_engine` comes with the p95 of whole requests by the same clock (NaN: unknown).
    """

    name: str
    p50: float = math.nan
    p95: float = math.nan
    p99: float = math.nan
    requests: float = 0.0
    p95_bounds: tuple[float, float] = (0.0, math.inf)
    least: float = 0.0
    measured_by_engine: bool = False
    whole_p95: float = math.nan


@dataclass(frozen=True, slots=True)
class WholeReading:
    """How long an objective's requests took over the telemetry window: in all, and of that in the engine.

    `engine` is None where the engine's part is not known. `p95` is of the whole, in seconds.
    """

    objective: str
    whole: Distribution
    engine: Distribution | None = None
    p95: float = math.nan


ACTIVE_SESSIONS = "ActiveSessions"
"""What is measured where the segments' numbers are of sessions that are open now, not of requests in a window."""


@dataclass(frozen=True, slots=True)
class SegmentReading:
    """Requests that have these label values: how many in the window, their p95 in seconds, and how many of them missed
    the threshold that is promised to all (None: nothing is promised, or it cannot be counted).
    """

    labels: tuple[tuple[str, str], ...]
    requests: float
    p95: float = math.nan
    missed: float | None = None


@dataclass(frozen=True, slots=True)
class SegmentsReading:
    """One latency by segment: those with most requests, what the `rest` have together (None: there are no others), and
    the number of segments in all. `objective` is what they were held against; empty where nothing is promised to all.
    """

    measured: str
    segments: tuple[SegmentReading, ...] = ()
    rest: SegmentReading | None = None
    count: int = 0
    objective: str = ""
