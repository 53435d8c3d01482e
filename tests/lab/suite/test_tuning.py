from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.scenario import parse_scenario
from flyball.lab.suite.tuning import around, busiest_day, cut_to_day, ranked, thinned
from flyball.lab.trace import Trace
from flyball.lab.traffic import LengthShift

HOUR = 3600.0


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        pytest.param([(0.01, 9), (0.0, 7), (-0.001, 3)], [(0.0, 7), (0.01, 9), (-0.001, 3)], id="cheapest that meets"),
        pytest.param([(-0.2, 1), (-0.1, 9)], [(-0.1, 9), (-0.2, 1)], id="else the best attainment"),
        pytest.param([(0.01, 7), (0.02, 7)], [(0.02, 7), (0.01, 7)], id="of equal costs the better"),
        pytest.param([(-0.1, 9), (-0.1, 5)], [(-0.1, 5), (-0.1, 9)], id="of equal misses the cheaper"),
    ],
)
def test_candidates_are_ranked(candidates: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    assert ranked(candidates, lambda candidate: candidate) == expected


def test_the_busiest_day_is_the_one_with_most_work(tmp_path: Path) -> None:
    scenario = parse_scenario(
        {
            "name": "made",
            "trace": {"path": "generate:code", "start": "1h", "lengthShift": {"at": "30h", "input": 2}},
            "variants": [{"name": "a", "engine": "a100_8b", "startup": "2m"}],
            "objectives": [{"indicator": "TimeToFirstToken", "threshold": "1s", "target": "95%"}],
        },
        tmp_path,
    )
    hours = np.arange(60) * HOUR + 1.0
    # A day of long answers from 30 h on, many short ones before: work decides, and not the count.
    times = np.sort(np.concatenate([np.repeat(hours[:30], 3), hours[30:]]))
    outputs = np.where((times < 30 * HOUR) | (times > 54 * HOUR), 2, 500)
    trace = Trace("made", times, np.full(len(times), 100), outputs, 60 * HOUR)
    begin = busiest_day(scenario, trace)
    assert begin == 30 * HOUR
    day = cut_to_day(scenario, begin).trace
    assert day.start_seconds == 31 * HOUR
    assert day.duration_seconds == 24 * HOUR
    assert day.shift == LengthShift(0.0, 2.0, 1.0)
    short = replace(trace, span_seconds=24 * HOUR)
    assert busiest_day(scenario, short) is None
    assert cut_to_day(scenario, None) is scenario


@given(st.integers(1, 40), st.integers(2, 12))
def test_thinned_values_keep_their_ends_and_order(count: int, most: int) -> None:
    kept = thinned(range(count), most)
    assert len(kept) == min(count, most)
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, count - 1)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        pytest.param(0.5, [0.3, 0.4, 0.6, 0.7], id="in the middle"),
        pytest.param(0.55, [0.4, 0.5, 0.6, 0.7], id="between two"),
        pytest.param(0.2, [0.3, 0.4, 0.5, 0.6], id="at the end"),
        pytest.param(3.0, [0.5, 0.6, 0.7, 0.8], id="beyond it"),
    ],
)
def test_values_around_the_chosen_one(chosen: float, expected: list[float]) -> None:
    assert around((0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), chosen, 4) == expected
