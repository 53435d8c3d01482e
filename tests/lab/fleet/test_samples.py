"""PromQL's functions over samples, against hand calculations and a plain reading of Prometheus' own formula."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.fleet.samples import COLUMNS, FIRST_TOKEN, Column, History, Sample, column_names

INTERVAL = 15.0


def sample(at: float, rows: dict[int, dict[int, float]], variants: dict[int, int] | None = None) -> Sample:
    """A sample from each replica's values by column."""
    values = np.zeros((len(rows), COLUMNS))
    for row, columns in enumerate(rows.values()):
        for column, value in columns.items():
            values[row, column] = value
    of = variants or {}
    return Sample(
        at, np.array([of.get(number, 0) for number in rows], np.int64), np.array(list(rows), np.int64), values, 0, 0
    )


def history(*samples: Sample, now: float) -> History:
    found = History()
    for each in samples:
        found.add(each)
    found.now = now
    return found


def test_a_steady_counter_is_extrapolated_to_the_windows_ends() -> None:
    """Two a second from 1000 on, sampled from 0 to 60, seen at 65: the window's start is 10 s before a sample."""
    seen = history(*(sample(15.0 * n, {7: {Column.FINISHED: 1000 + 30.0 * n}}) for n in range(5)), now=65.0)
    assert seen.increases([Column.FINISHED], 60.0)[0] == pytest.approx(120.0)
    assert seen.rate(Column.FINISHED, 60.0) == pytest.approx(2.0)


def test_a_counter_is_not_extrapolated_to_before_it_was_zero() -> None:
    """A replica whose first sample shows 10 after 5 s of service, then 30 each 15 s."""
    seen = history(*(sample(45.0 + 15.0 * n, {7: {Column.FINISHED: 10 + 30.0 * n}}) for n in range(2)), now=60.0)
    assert seen.increases([Column.FINISHED], 60.0)[0] == pytest.approx(40.0)


def test_sums_over_replicas_and_variants() -> None:
    rows = {1: {Column.RUNNING: 3.0}, 2: {Column.RUNNING: 5.0}}
    seen = history(*(sample(15.0 * n, rows, {2: 1}) for n in range(3)), now=30.0)
    assert seen.gauge(Column.RUNNING).tolist() == [3.0, 5.0]
    assert seen.gauge(Column.RUNNING, 1).tolist() == [5.0]
    assert seen.averaged(Column.RUNNING, 60.0) == 8.0
    assert seen.averaged(Column.RUNNING, 60.0, 0) == 3.0


def test_what_is_too_old_is_not_seen() -> None:
    seen = history(sample(0.0, {1: {Column.RUNNING: 3.0}}), now=300.0)
    assert len(seen.gauge(Column.RUNNING)) == 1
    seen.now = 300.1
    assert len(seen.gauge(Column.RUNNING)) == 0
    assert math.isnan(seen.averaged(Column.RUNNING, 60.0))
    assert seen.rate(Column.FINISHED, 60.0) == 0
    assert math.isnan(seen.mean(FIRST_TOKEN, 60.0))


def test_shares_and_quantiles_are_interpolated_between_edges() -> None:
    """Ten observations up to 0.1 s and thirty between 0.1 and 0.25 s."""
    columns = {name: index for index, name in enumerate(column_names())}
    grown = {columns["first_token_le_0.1"]: 10.0, columns["first_token_le_0.25"]: 30.0, Column.FIRST_TOKEN_SUM: 6.0}
    base = dict.fromkeys(grown, 100.0)
    rows = [{1: base}, {1: {column: base[column] + value for column, value in grown.items()}}]
    seen = history(*(sample(60.0 * n, row) for n, row in enumerate(rows)), now=60.0)
    window = 60.0 + 1e-9
    assert seen.share_within(FIRST_TOKEN, 0.1, window) == pytest.approx(0.25)
    assert seen.share_within(FIRST_TOKEN, 0.175, window) == pytest.approx(0.25 + 0.375)
    assert seen.quantile(FIRST_TOKEN, 0.25, window) == pytest.approx(0.1)
    assert seen.quantile(FIRST_TOKEN, 0.625, window) == pytest.approx(0.175)
    assert seen.mean(FIRST_TOKEN, window) == pytest.approx(6 / 40)


LIVES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.integers(0, 1)), min_size=1, max_size=8)


@given(lives=LIVES, window=st.sampled_from([31.0, 60.0, 301.0, 3600.0]), lag=st.floats(0, 20), seed=st.integers(0, 999))
def test_increases_are_prometheus_own_whatever_comes_and_goes(
    lives: list[tuple[int, int, int]], window: float, lag: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    counters = {number: np.cumsum(draw.integers(0, 9, 100)).astype(float) for number in range(len(lives))}
    seen = History(keep_seconds=3700.0)
    for n in range(45):
        alive = [number for number, (start, length, _) in enumerate(lives) if start <= n < start + length]
        rows = {number: {Column.FINISHED: counters[number][n - lives[number][0]]} for number in alive}
        seen.add(sample(INTERVAL * n, rows, {number: lives[number][2] for number in alive}))
    seen.now = 44 * INTERVAL + lag
    for variant in (None, 0, 1):
        expected = sum(
            increase(start, length, counters[number], seen.now, window)
            for number, (start, length, of) in enumerate(lives)
            if variant in (None, of)
        )
        assert seen.increases([Column.FINISHED], window, variant)[0] == pytest.approx(expected)


def increase(start: int, length: int, counter: np.ndarray, now: float, window: float) -> float:
    """Prometheus' increase() of one series, step by step."""
    points = [
        (INTERVAL * (start + k), counter[k])
        for k in range(length)
        if start + k < 45 and now - window < INTERVAL * (start + k) <= now
    ]
    if len(points) < 2:
        return 0.0
    (began, first), (ended, last) = points[0], points[-1]
    sampled = ended - began
    average = sampled / (len(points) - 1)
    to_start, to_end = began - (now - window), now - ended
    if to_start >= 1.1 * average:
        to_start = average / 2
    if last > first:
        to_start = min(to_start, sampled * first / (last - first))
    if to_end >= 1.1 * average:
        to_end = average / 2
    return (last - first) * (sampled + to_start + to_end) / sampled


def test_old_samples_are_forgotten_without_changing_what_is_asked() -> None:
    short, long = History(keep_seconds=100.0), History(keep_seconds=1e9)
    for n in range(2000):
        rows = {n // 50: {Column.FINISHED: 10.0 * n, Column.RUNNING: float(n)}, 1000: {Column.FINISHED: 2.0 * n}}
        for each in (short, long):
            each.add(sample(float(n), rows))
            each.now = float(n)
        if n % 97 == 0:
            assert short.rate(Column.FINISHED, 90.0) == long.rate(Column.FINISHED, 90.0)
            assert short.averaged(Column.RUNNING, 90.0) == long.averaged(Column.RUNNING, 90.0)
    assert len(short.within(1e9)) < 400
