"""Shares at edges, and PromQL's percentiles."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.observation import BucketEdges
from flyball.telemetry.histograms import (
    BadHistogram,
    Buckets,
    bracket,
    good_events,
    merge,
    percentiles,
    quantile,
    quantile_bounds,
)

INF = math.inf
EDGES = (0.5, 1.0, 2.5, INF)


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        pytest.param(0.5, Buckets((1.0, 2.0, INF), (10.0, 20.0, 20.0)), 1.0, id="at the edge of a bucket"),
        pytest.param(0.75, Buckets((1.0, 2.0, INF), (10.0, 20.0, 20.0)), 1.5, id="halfway through a bucket"),
        pytest.param(0.25, Buckets((1.0, 2.0, INF), (10.0, 20.0, 20.0)), 0.5, id="from zero in the first bucket"),
        pytest.param(0.99, Buckets((1.0, 2.0, INF), (1.0, 2.0, 20.0)), 2.0, id="the last finite edge above it"),
        pytest.param(0.5, Buckets((0.0, 2.0, INF), (20.0, 20.0, 20.0)), 0.0, id="a first edge of zero"),
        pytest.param(0.5, Buckets((INF,), (20.0,)), math.nan, id="only +Inf says nothing"),
        pytest.param(0.5, Buckets((1.0, INF), (0.0, 0.0)), math.nan, id="no events"),
        pytest.param(0.9, Buckets((1.0, 2.0, 3.0, INF), (5.0, 5.0, 10.0, 10.0)), 2.8, id="over an empty bucket"),
    ],
)
def test_quantile(q: float, buckets: Buckets, expected: float) -> None:
    assert quantile(q, buckets) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("q", "events", "expected"),
    [
        pytest.param(0.5, 5, (0.0, INF), id="five events leave a median open"),
        pytest.param(0.5, 100, (0.0, 1.0), id="of a hundred the 35th to the 65th"),
        pytest.param(0.5, 10_000, (0.5, 1.0), id="of ten thousand those beside it: within a bucket nothing is known"),
        pytest.param(0.95, 100, (0.5, INF), id="a hundred have no bound above their 95th percentile"),
        pytest.param(0.95, 1000, (0.5, 1.0), id="a thousand have"),
    ],
)
def test_the_bounds_of_a_percentile_are_those_of_a_rank(q: float, events: int, expected: tuple[float, float]) -> None:
    """40% within 250 ms, 48% within 500 ms, 99% within 1 s."""
    buckets = Buckets((0.25, 0.5, 1.0, INF), tuple(events * share for share in (0.4, 0.48, 0.99, 1.0)))
    assert quantile_bounds(q, buckets) == expected


def test_no_percentiles_without_events() -> None:
    assert percentiles(Buckets((1.0, INF), (0.0, 0.0))) is None


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        pytest.param(1.0, BucketEdges(True, 1.0, 1.0), id="an edge"),
        pytest.param(0.001 * 1000, BucketEdges(True, 1.0, 1.0), id="an edge but for rounding"),
        pytest.param(2.0, BucketEdges(False, 1.0, 2.5), id="between two"),
        pytest.param(0.1, BucketEdges(False, 0.0, 0.5), id="below the first"),
        pytest.param(9.0, BucketEdges(False, 2.5, INF), id="above the last finite one"),
    ],
)
def test_bracket(threshold: float, expected: BucketEdges) -> None:
    assert bracket(EDGES, threshold) == expected


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        pytest.param(1.0, 30.0, id="counted at an edge"),
        pytest.param(2.0, 50.0 - 20.0 * 0.5 ** (2 / 3), id="between edges the 20 above halve exponentially"),
        pytest.param(0.1, None, id="not guessed below the first edge"),
        pytest.param(9.0, None, id="not guessed above the last edge"),
    ],
)
def test_good_events(threshold: float, expected: float | None) -> None:
    buckets = Buckets(EDGES, (10.0, 30.0, 40.0, 50.0))
    assert good_events(buckets, bracket(EDGES, threshold), threshold) == pytest.approx(expected)


def test_no_good_events_where_an_edge_is_missing() -> None:
    assert good_events(Buckets((0.5, INF), (1.0, 2.0)), BucketEdges(True, 1.0, 1.0), 1.0) is None


def test_pods_with_other_edges_are_summed_without_falling() -> None:
    old, new = [(1.0, 5.0), (INF, 9.0)], [(1.0, 2.0), (2.0, 3.0), (INF, 4.0)]
    assert merge([*old, *new]) == Buckets((1.0, 2.0, INF), (7.0, 7.0, 13.0))


def test_no_histogram_without_infinity() -> None:
    assert merge([(1.0, 5.0)]) is None
    assert merge([]) is None


@pytest.mark.parametrize(
    "buckets",
    [
        pytest.param([(1.0, math.nan), (INF, 5.0)], id="NaN"),
        pytest.param([(1.0, INF), (INF, INF)], id="infinite"),
        pytest.param([(1.0, 1e308), (1.0, 1e308), (INF, 5.0)], id="infinite when summed"),
        pytest.param([(1.0, -1.0), (INF, 5.0)], id="negative"),
        pytest.param([(math.nan, 1.0), (INF, 5.0)], id="an edge that is no number"),
        pytest.param([(1.0, 6.0), (INF, 5.0)], id="more good events than events"),
    ],
)
def test_impossible_counts_are_refused(buckets: list[tuple[float, float]]) -> None:
    with pytest.raises(BadHistogram):
        merge(buckets)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0.001, 1e3))
def test_good_events_are_a_share_of_all(increments: list[float], threshold: float) -> None:
    edges = [*(0.01 * 2.0**n for n in range(len(increments) - 1)), INF]
    counts = [math.fsum(increments[: n + 1]) for n in range(len(increments))]
    buckets = merge(zip(edges, counts, strict=True))
    assert buckets is not None
    good = good_events(buckets, bracket(buckets.edges, threshold), threshold)
    assert good is None or 0 <= good <= buckets.total * (1 + 1e-9)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30))
def test_percentiles_rise(increments: list[float]) -> None:
    edges = [*(0.01 * 2.0**n for n in range(len(increments) - 1)), INF]
    buckets = merge((e, math.fsum(increments[: n + 1])) for n, e in enumerate(edges))
    assert buckets is not None
    found = percentiles(buckets)
    assert found is None or found.p50 <= found.p95 * (1 + 1e-9) <= found.p99 * (1 + 1e-8)
