"""Histograms that take many equal observations at once, and vLLM's bucket edges.

prometheus_client's own histogram takes one observation a call, under a lock; an iteration of 256 sequences brings 256
nearly equal gaps.
"""

from bisect import bisect_left
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString

TTFT_EDGES = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
ITL_EDGES = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
REQUEST_EDGES = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
ITERATION_TOKENS_EDGES = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)


def token_edges(max_model_len: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50, … up to the longest request."""
    edges = (mantissa * 10**exponent for exponent in range(len(str(max_model_len))) for mantissa in (1, 2, 5))
    return tuple(float(edge) for edge in edges if edge <= max_model_len)


class Histogram:
    """Counts per bucket and the sum."""

    __slots__ = ("_counts", "_documentation", "_edges", "_name", "_sum")

    def __init__(self, name: str, documentation: str, edges: tuple[float, ...]) -> None:
        self._name = name
        self._documentation = documentation
        self._edges = edges
        self._counts = [0] * (len(edges) + 1)
        self._sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Take `count` observations of the same value."""
        self._counts[bisect_left(self._edges, value)] += count
        self._sum += value * count

    def family(self, labels: dict[str, str]) -> HistogramMetricFamily:
        """The cumulative form that Prometheus scrapes."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=list(labels))
        bounds = [*map(floatToGoString, self._edges), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
        family.add_metric(list(labels.values()), buckets, self._sum)
        return family
