"""Cumulative histograms: shares at a threshold, and percentiles by Prometheus' own algorithm. Pure."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from flyball.core.confidence import Z_NEWS
from flyball.core.observation import BucketEdges, Percentiles

# How far the count of all events may lie below that of one bucket before the histogram contradicts itself: `increase`
# extrapolates each bucket for itself, which tears them apart by a fraction of a percent.
TOLERANCE = 0.01


HALF_AN_EVENT = 0.5


class BadHistogram(ValueError):
    """Bucket counts that no histogram can have."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Upper edges in ascending order, +Inf last, and for each how many events did not exceed it."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        """All events."""
        return self.counts[-1]

    def at(self, edge: float) -> float | None:
        """Events up to that edge; None where there is no such edge."""
        index = bisect_left(self.edges, edge)
        near = [i for i in (index - 1, index) if 0 <= i < len(self.edges) and _same(self.edges[i], edge)]
        return self.counts[near[0]] if near else None


def merge(buckets: Iterable[tuple[float, float] | tuple[float, float, float]]) -> Buckets | None:
    """Sum (upper edge, count) pairs of any number of series into one histogram; None without a +Inf bucket.

    A third number says how many events all those series hold that have the edge. Where that is less than all, as when
    pods of two versions have different edges, the edge's share of them is taken for the share of all. Then, as in
    Prometheus, a count never falls with its edge. Raises BadHistogram for NaN, infinite or negative counts, and where
    one bucket holds more than all events.
    """
    counts: dict[float, float] = {}
    covered: dict[float, float] = {}
    for edge, count, *among in buckets:
        if math.isnan(edge) or not all(math.isfinite(number) and number >= 0 for number in (count, *among)):
            raise BadHistogram(f"bucket le={edge} holds {count} events")
        counts[edge] = counts.get(edge, 0.0) + count
        covered[edge] = covered.get(edge, 0.0) + (among[0] if among else math.inf)
    if math.inf not in counts:
        return None
    total = counts[math.inf]
    edges = tuple(sorted(counts))
    rising = tuple(accumulate((_of_all(counts[edge], covered[edge], total) for edge in edges), max))
    if not math.isfinite(rising[-1]) or rising[-1] > total * (1 + TOLERANCE) + 1e-9:
        raise BadHistogram(f"a bucket holds {rising[-1]} events of {total}")
    return Buckets(edges, rising)


def _of_all(count: float, covered: float, total: float) -> float:
    partly = 0 < covered < total and not math.isclose(covered, total, rel_tol=1e-9)
    return count * (total / covered) if partly else count


def bracket(edges: Sequence[float], threshold: float) -> BucketEdges:
    """Where a threshold lies among ascending edges: 0 below the first, infinity above the last finite one."""
    finite = [edge for edge in edges if math.isfinite(edge)]
    for edge in finite:
        if _same(edge, threshold):
            return BucketEdges(exact=True, lower=edge, upper=edge)
    index = bisect_left(finite, threshold)
    lower = finite[index - 1] if index else 0.0
    return BucketEdges(exact=False, lower=lower, upper=finite[index] if index < len(finite) else math.inf)


def measurable(edges: BucketEdges) -> bool:
    """Whether the threshold is an edge or lies between two."""
    return edges.exact or (edges.lower > 0 and math.isfinite(edges.upper))


def good_events(buckets: Buckets, edges: BucketEdges, threshold: float) -> float | None:
    """Events within the threshold, interpolated between the neighbouring edges.

    Between them the share of events above is taken to fall exponentially, as the tails of latencies do: within a bucket
    most events lie near its lower edge, and a straight line would call many of them late that were not. Where no event
    lies above the upper edge, half a one is taken to. None where an edge is missing or the threshold lies outside of
    all: there is nothing to interpolate from.
    """
    if not measurable(edges):
        return None
    lower, upper = buckets.at(edges.lower), buckets.at(edges.upper)
    if lower is None or upper is None:
        return None
    if edges.exact:
        return lower
    above_lower, above_upper = max(0.0, buckets.total - lower), max(0.0, buckets.total - upper)
    if above_lower <= HALF_AN_EVENT:
        return lower
    way = (threshold - edges.lower) / (edges.upper - edges.lower)
    falls_to = max(above_upper, HALF_AN_EVENT) / above_lower
    return min(upper, buckets.total - above_lower * math.pow(falls_to, way))


def quantile(q: float, buckets: Buckets) -> float:
    """The q-quantile (0 < q < 1) as PromQL's histogram_quantile gives it for classic histograms; NaN without events.

    Linear within a bucket, from 0 in the first; the last finite edge where the quantile lies above it.
    (prometheus/promql/quantile.go, bucketQuantile)
    """
    edges, counts = buckets.edges, buckets.counts
    if len(edges) < 2 or buckets.total <= 0:
        return math.nan
    rank = q * buckets.total
    index = bisect_left(counts, rank, hi=len(counts) - 1)
    if index == len(edges) - 1:
        return edges[-2]
    if index == 0 and edges[0] <= 0:
        return edges[0]
    start, before = (edges[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    return start + (edges[index] - start) * (rank - before) / (counts[index] - before)


def percentiles(buckets: Buckets) -> Percentiles | None:
    """p50, p95 and p99, with the bounds of the first two; None without events."""
    p50, p95, p99 = (quantile(q, buckets) for q in (0.50, 0.95, 0.99))
    if not all(map(math.isfinite, (p50, p95, p99))):
        return None
    return Percentiles(p50, p95, p99, quantile_bounds(0.50, buckets), quantile_bounds(0.95, buckets))


def quantile_bounds(q: float, buckets: Buckets, z: float = Z_NEWS) -> tuple[float, float]:
    """The bucket edges between which the quantile that so many events were drawn from lies, `z` deviations either way.

    The number of n events below their true q-quantile is binomial: its mean is q n, its variance q (1 − q) n. Within a
    bucket nothing is known. 0 and infinity where the events are too few for a bound.
    """
    total = buckets.total
    spread = z * math.sqrt(q * (1 - q) * total)
    low, high = q * total - spread, q * total + spread
    first, last = bisect_left(buckets.counts, low), bisect_left(buckets.counts, high)
    lower = buckets.edges[first - 1] if low > 0 and first else 0.0
    return lower, buckets.edges[last] if high < total else math.inf


def _same(edge: float, other: float) -> bool:
    return edge == other or math.isclose(edge, other, rel_tol=1e-9)
