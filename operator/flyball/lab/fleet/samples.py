"""What a scraper sees of a simulated fleet, and the questions that Prometheus answers about it.

A sample holds one row for each replica that was ready when it was scraped, and one column for each series of the
engine's exporter: gauges first, then counters, then the buckets of its histograms as cumulative counters since the
replica's start (not cumulative over edges).
"""

import math
import sys
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from itertools import chain

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
    DECODE_SUM = 16
    """Seconds from the first token to the last, of finished requests."""


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

    All methods take a `variant` index, None for all of them. A window is looked back from `now`. What is worked out is
    kept until `now` changes, for policies ask for many series of the same window.
    """

    def __init__(self, keep_seconds: float = 3700.0) -> None:
        self._keep_seconds = keep_seconds
        self._samples: list[Sample] = []
        self._times: list[float] = []
        self._totals: dict[int | None, list[Values]] = {}
        """The sum of each sample's rows, by variant; filled up when asked for."""
        self._increases: dict[tuple[float, int | None], Values] = {}
        self._forgotten = 0
        """Samples are numbered from the first that was ever added; so many are not kept any more."""
        self._live: dict[int, _Series] = {}
        """The replicas of the newest sample, by number."""
        self._ended: deque[_Series] = deque()
        """The others, in the order of their last samples."""
        self._now = 0.0

    @property
    def now(self) -> float:
        """Seconds since the trace's beginning."""
        return self._now

    @now.setter
    def now(self, now: float) -> None:
        if now != self._now:
            self._now = now
            self._increases.clear()

    def add(self, sample: Sample) -> None:
        """Append the next sample; those older than can be asked for are forgotten."""
        if not self._samples or sample.replicas is not self._samples[-1].replicas:
            self._track(sample, self._forgotten + len(self._samples))
        self._samples.append(sample)
        self._times.append(sample.at)
        self._increases.clear()
        first = bisect_left(self._times, sample.at - self._keep_seconds)
        if 2 * first > len(self._samples):
            del self._samples[:first], self._times[:first]
            for totals in self._totals.values():
                del totals[:first]
            self._forgotten += first
            while self._ended and self._ended[0].last < self._forgotten:
                self._ended.popleft()

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
        totals = self._totals.setdefault(variant, [])
        totals.extend(_rows(sample, variant).sum(axis=0) for sample in self._samples[len(totals) :])
        sums = [total[column] for total in totals[bisect_right(self._times, self.now - window) :]]
        return float(sum(sums) / len(sums)) if sums else math.nan

    def increases(self, columns: Iterable[int] | slice, window: float, variant: int | None = None) -> Values:
        """`sum(increase(column[window]))` for each column: extrapolated as Prometheus does; zeros where there are
        fewer than two samples.
        """
        if (window, variant) not in self._increases:
            self._increases[window, variant] = self._increase(window, variant)
        index = columns if isinstance(columns, slice) else list(columns)
        increases: Values = self._increases[window, variant][index]
        return increases.copy()

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

    def _increase(self, window: float, variant: int | None) -> Values:
        """The sum over replicas of the increase of every column."""
        begin = bisect_right(self._times, self.now - window)
        end = len(self._samples) - 1
        if end <= begin:
            return np.zeros(COLUMNS)
        rows = {number: row for row, number in enumerate(self._samples[begin].replicas.tolist())}
        firsts, lasts, times = [], [], []
        for series in chain(self._live.values(), reversed(self._ended)):
            first, last = max(series.first - self._forgotten, begin), min(series.last - self._forgotten, end)
            if last < begin:
                break
            if first == last or variant not in (None, series.variant):
                continue
            firsts.append(self._samples[first].values[rows[series.number] if first == begin else series.first_row])
            lasts.append(self._samples[last].values[series.last_row])
            times.append((self._times[first], self._times[last], last - first + 1))
        if not times:
            return np.zeros(COLUMNS)
        began, ended, count = np.array(times).T[:, :, np.newaxis]
        grown = _extrapolated(np.array(firsts), np.array(lasts), began, ended, count, self.now - window, self.now)
        total: Values = grown.sum(axis=0)
        return total

    def _track(self, sample: Sample, index: int) -> None:
        """Which replicas the sample with this number has, and in which rows; those that it lacks are gone."""
        live = {}
        for row, (number, variant) in enumerate(zip(sample.replicas.tolist(), sample.variants.tolist(), strict=True)):
            known = number in self._live
            live[number] = self._live.pop(number) if known else _Series(number, variant, index, row)
            live[number].last_row = row
        for gone in self._live.values():
            gone.last = index - 1
        self._ended.extend(self._live.values())
        self._live = live


@dataclass(slots=True)
class _Series:
    """A replica and its samples, one after the other: the numbers of the first and last one, and its rows in them."""

    number: int
    variant: int
    first: int
    first_row: int
    last: int = sys.maxsize
    """So far; a replica that is gone does not come back."""
    last_row: int = 0


def _extrapolated(
    first: Values, last: Values, began: Values, ended: Values, count: Values, start: float, end: float
) -> Values:
    """Prometheus' extrapolatedRate (promql/functions.go): to the window's `start` and `end`, but beyond a sample by
    half the mean interval at most where that is farther than 1.1 intervals, and not beyond where the counter was 0.
    """
    sampled, grown = ended - began, last - first
    interval = sampled / (count - 1)
    to_start, to_end = (
        np.where(distance < 1.1 * interval, distance, interval / 2) for distance in (began - start, end - ended)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        to_zero = np.where(grown > 0, sampled * first / grown, np.inf)
    return np.asarray(grown * (sampled + np.minimum(to_start, to_zero) + to_end) / sampled)


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
