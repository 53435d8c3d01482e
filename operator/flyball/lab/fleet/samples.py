"""What a scraper sees of a simulated fleet, and the questions that Prometheus answers about it.

A sample holds one row for each replica that was ready when it was scraped, and one column for each series of the
engine's exporter: gauges first, then counters, then the buckets of its histograms as cumulative counters since the
replica's start (not cumulative over edges).
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
import numpy.typing as npt

from flyball.lab.modelserver.histograms import ITL_EDGES, REQUEST_EDGES, TTFT_EDGES

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class Column(IntEnum):
    """A series of one replica. From FINISHED on they are counters; sums are in seconds."""

    RUNNING = 0
    WAITING = 1
    KV_USAGE = 2
    """Share of the KV cache in use, 0 to 1."""
    QUEUED_PROMPT_TOKENS = 3
    """Prompt tokens of the requests that wait: for rivals that read them."""
    FINISHED = 4
    BUSY_SECONDS = 5
    """Seconds filled with iterations: GPU utilization is its rate."""
    PROMPT_TOKENS = 6
    """All prompt tokens of the requests that reached their first token."""
    CACHED_TOKENS = 7
    GENERATED_TOKENS = 8
    PREEMPTIONS = 9
    FINISHED_PROMPT_TOKENS = 10
    """Prompt tokens of finished requests."""
    FINISHED_OUTPUT_TOKENS = 11
    FIRST_TOKEN_SUM = 12
    TOKEN_TIME_SUM = 13
    END_TO_END_SUM = 14
    QUEUE_TIME_SUM = 15


@dataclass(frozen=True, slots=True)
class HistogramColumns:
    """Where a histogram lies in a sample: `edges` are its finite upper bucket edges, a bucket above all comes last."""

    start: int
    edges: tuple[float, ...]
    sum: Column

    @property
    def stop(self) -> int:
        return self.start + len(self.edges) + 1


FIRST_TOKEN = HistogramColumns(len(Column), TTFT_EDGES, Column.FIRST_TOKEN_SUM)
"""Observed when the first token comes."""
TOKEN_TIME = HistogramColumns(FIRST_TOKEN.stop, ITL_EDGES, Column.TOKEN_TIME_SUM)
"""A finished request's mean time per output token after the first; 0 for answers of one token."""
END_TO_END = HistogramColumns(TOKEN_TIME.stop, REQUEST_EDGES, Column.END_TO_END_SUM)
QUEUE_TIME = HistogramColumns(END_TO_END.stop, REQUEST_EDGES, Column.QUEUE_TIME_SUM)
"""From joining the engine's waiting queue to being scheduled first, observed at the end of the request."""
COLUMNS = QUEUE_TIME.stop


@dataclass(frozen=True, slots=True)
class Sample:
    """One scrape at `at` (seconds since the trace's beginning): a row for each ready replica.

    `variants` and `replicas` are (rows,) indices; a replica's number is never used again. `values` is (rows, COLUMNS).
    `held` requests wait at the gateway, `arrived` have come to it since the beginning.
    """

    at: float
    variants: Indices
    replicas: Indices
    values: Values
    held: int
    arrived: int


class History:
    """The samples that can be queried now, oldest first, and PromQL's functions over them.

    All methods take a `variant` index, None for all of them. A window is looked back from `now`.
    """

    def __init__(self, keep_seconds: float = 3700.0) -> None:
        self._keep_seconds = keep_seconds
        self._samples: list[Sample] = []
        self._times: list[float] = []
        self.now = 0.0

    def add(self, sample: Sample) -> None:
        """Append the next sample; those older than can be asked for are forgotten."""
        self._samples.append(sample)
        self._times.append(sample.at)
        first = bisect_left(self._times, sample.at - self._keep_seconds)
        if first > 256:
            del self._samples[:first], self._times[:first]

    @property
    def latest(self) -> Sample | None:
        """The newest sample; None before the first, and when it is older than Prometheus' look-back of five minutes."""
        if not self._samples or self.now - self._times[-1] > 300.0:
            return None
        return self._samples[-1]

    def within(self, window: float) -> list[Sample]:
        """The samples of the trailing window (seconds), oldest first."""
        return self._samples[bisect_right(self._times, self.now - window) :]

    def gauge(self, column: Column, variant: int | None = None) -> Values:
        """The newest value of each replica; empty where there is none."""
        sample = self.latest
        return _rows(sample, variant)[:, column] if sample is not None else np.empty(0)

    def averaged(self, column: Column, window: float, variant: int | None = None) -> float:
        """`avg_over_time(sum(column)[window])`: the mean over the window's samples of the sum over replicas; NaN where
        there are none.
        """
        sums = [float(_rows(sample, variant)[:, column].sum()) for sample in self.within(window)]
        return sum(sums) / len(sums) if sums else math.nan

    def increases(self, columns: Iterable[int] | slice, window: float, variant: int | None = None) -> Values:
        """`sum(increase(column[window]))` for each column: extrapolated as Prometheus does; zeros where there are
        fewer than two samples.
        """
        index = columns if isinstance(columns, slice) else list(columns)
        grown = self._grown(window, variant)
        width = len(range(*index.indices(COLUMNS))) if isinstance(index, slice) else len(index)
        total = np.zeros(width)
        for first, last, factor in grown:
            total += factor * (last[index] - first[index])
        return total

    def rate(self, column: Column, window: float, variant: int | None = None) -> float:
        """`sum(rate(column[window]))`, per second."""
        return float(self.increases((int(column),), window, variant)[0]) / window

    def share_within(
        self, histogram: HistogramColumns, threshold: float, window: float, variant: int | None = None
    ) -> float:
        """The share of the window's observations up to `threshold`, interpolated between edges; NaN without any."""
        counts = self.increases(slice(histogram.start, histogram.stop), window, variant)
        total = counts.sum()
        if total <= 0:
            return math.nan
        index = bisect_left(histogram.edges, threshold)
        below = counts[:index].sum()
        if index < len(histogram.edges):
            lower = histogram.edges[index - 1] if index else 0.0
            below += counts[index] * (threshold - lower) / (histogram.edges[index] - lower)
        return float(below / total)

    def quantile(self, histogram: HistogramColumns, q: float, window: float, variant: int | None = None) -> float:
        """`histogram_quantile(q, sum by (le) (rate(…)))`, seconds; NaN without observations."""
        counts = self.increases(slice(histogram.start, histogram.stop), window, variant)
        cumulative = np.cumsum(counts)
        if cumulative[-1] <= 0:
            return math.nan
        rank = q * cumulative[-1]
        index = int(np.searchsorted(cumulative, rank))
        if index >= len(histogram.edges):
            return histogram.edges[-1]
        lower = histogram.edges[index - 1] if index else 0.0
        before = cumulative[index - 1] if index else 0.0
        if counts[index] <= 0:
            return histogram.edges[index]
        return float(lower + (histogram.edges[index] - lower) * (rank - before) / counts[index])

    def mean(self, histogram: HistogramColumns, window: float, variant: int | None = None) -> float:
        """`rate(sum) / rate(count)`, seconds; NaN without observations."""
        counts = self.increases(slice(histogram.start, histogram.stop), window, variant)
        total = counts.sum()
        return float(self.increases((int(histogram.sum),), window, variant)[0] / total) if total > 0 else math.nan

    def _grown(self, window: float, variant: int | None) -> list[tuple[Values, Values, float]]:
        """For each replica with two samples in the window: its first and last row, and the extrapolation's factor."""
        samples = self.within(window)
        if len(samples) < 2:
            return []
        first: dict[int, tuple[float, Values]] = {}
        last: dict[int, tuple[float, Values, int]] = {}
        for sample in samples:
            for row in range(len(sample.replicas)):
                if variant is not None and sample.variants[row] != variant:
                    continue
                number = int(sample.replicas[row])
                if number not in first:
                    first[number] = (sample.at, sample.values[row])
                seen = last[number][2] + 1 if number in last else 1
                last[number] = (sample.at, sample.values[row], seen)
        found = []
        for number, (began, oldest) in first.items():
            ended, newest, count = last[number]
            if count > 1:
                found.append((oldest, newest, self._extrapolation(began, ended, count, window)))
        return found

    def _extrapolation(self, began: float, ended: float, count: int, window: float) -> float:
        """Prometheus' extrapolatedRate (promql/functions.go): to the window's ends, but beyond a sample by half the
        mean interval at most where the window's end is farther than 1.1 intervals.
        """
        sampled = ended - began
        interval = sampled / (count - 1)
        to_start, to_end = began - (self.now - window), self.now - ended
        limit = interval * 1.1
        to_start = to_start if to_start < limit else interval / 2
        to_end = to_end if to_end < limit else interval / 2
        return (sampled + to_start + to_end) / sampled


def _rows(sample: Sample, variant: int | None) -> Values:
    return sample.values if variant is None else sample.values[sample.variants == variant]


@cache
def column_names() -> tuple[str, ...]:
    """A readable name for each column, for tables and error messages."""
    names = [column.name.lower() for column in Column]
    for label, histogram in (
        ("first_token", FIRST_TOKEN),
        ("token_time", TOKEN_TIME),
        ("end_to_end", END_TO_END),
        ("queue_time", QUEUE_TIME),
    ):
        names += [f"{label}_le_{edge:g}" for edge in (*histogram.edges, math.inf)]
    return tuple(names)
