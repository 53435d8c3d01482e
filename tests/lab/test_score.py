import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.policies.model import Objective
from flyball.lab.score import Flags, attained, counts, good, margin, service
from flyball.lab.trace import Seconds, Trace

NEVER = math.nan


@dataclass(frozen=True)
class Made:
    first_token_at: Seconds
    finished_at: Seconds
    rejected: Flags


def case(*rows: tuple[float, int, float, float]) -> tuple[Trace, Made]:
    """Requests as (arrival, output tokens, first token, finish)."""
    table = np.array(rows, dtype=float)
    outputs = table[:, 1].astype(np.int64)
    trace = Trace("made", table[:, 0], np.full(len(table), 100), outputs, float(table[-1, 0]))
    return trace, Made(table[:, 2], table[:, 3], np.zeros(len(table), dtype=bool))


TTFT = Objective("TimeToFirstToken", 1.0, 0.95)
ITL = Objective("InterTokenLatency", 0.1, 0.90)
E2E = Objective("EndToEnd", 5.0, 0.95)


@pytest.mark.parametrize(
    ("row", "objectives", "expected"),
    [
        pytest.param((10, 11, 11.0, 12.0), (TTFT, ITL), (True, True), id="on the limit of both"),
        pytest.param((10, 11, 11.001, 12.0), (TTFT, ITL), (False, True), id="a late first token, caught up"),
        pytest.param((10, 11, 10.2, 12.001), (TTFT, ITL), (True, False), id="finished after its deadline"),
        pytest.param((10, 11, 10.2, 11.9), (TTFT, ITL), (True, True), id="mean over the threshold, deadline met"),
        pytest.param((10, 1, 11.0, 11.0), (TTFT, ITL), (True, True), id="one token is due with the first"),
        pytest.param((10, 11, 10.2, 11.201), (ITL,), (False,), id="alone it is the mean after the first token"),
        pytest.param((10, 11, 10.2, 11.199), (ITL,), (True,), id="alone, within"),
        pytest.param((10, 11, 10.2, 15.001), (E2E,), (False,), id="end to end"),
        pytest.param((10, 11, 10.2, NEVER), (TTFT, ITL, E2E), (True, False, False), id="unfinished is late"),
        pytest.param((10, 11, NEVER, NEVER), (TTFT, ITL, E2E), (False, False, False), id="dropped is late"),
    ],
)
def test_a_request_is_good_by_the_words(
    row: tuple[float, int, float, float], objectives: tuple[Objective, ...], expected: tuple[bool, ...]
) -> None:
    found = good(*case(row), objectives)
    assert tuple(bool(found[objective.indicator][0]) for objective in objectives) == expected
    assert bool(found["all"][0]) is all(expected)


def test_another_indicator_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot judge Retrieval"):
        good(*case((0, 1, 0, 0)), [Objective("Retrieval", 1.0, 0.9)])


def test_only_requests_of_the_span_count_and_rejected_ones_are_left_out() -> None:
    trace, made = case((0, 1, 9, 9), (10, 1, 10.5, 10.5), (20, 1, 30, 30), (30, 1, NEVER, NEVER))
    made.rejected[3] = True
    assert attained(trace, made, [TTFT], 10.0)["TimeToFirstToken"] == 0.5
    assert attained(trace, made, [TTFT], 10.0, 20.0) == {"TimeToFirstToken": 1.0, "all": 1.0}
    assert counts(trace, made, 10.0).tolist() == [False, True, True, False]
    assert math.isnan(attained(trace, made, [TTFT], 30.0)["all"])


def test_the_margin_is_that_of_the_worst_objective() -> None:
    assert margin({"TimeToFirstToken": 0.97, "InterTokenLatency": 0.91}, [TTFT, ITL]) == pytest.approx(0.01)


def waits(*minutes: tuple[int, int]) -> tuple[Trace, Made]:
    """For each minute (good, late) requests for TimeToFirstToken."""
    rows: list[tuple[float, int, float, float]] = []
    for minute, (fine, late) in enumerate(minutes):
        total = fine + late
        for index in range(total):
            at = 60.0 * minute + 60.0 * index / total
            served = at + (0.5 if index < fine else 2.0)
            rows.append((at, 1, served, served))
    return case(*rows)


def test_dips_are_measured_in_minutes_and_five_minutes() -> None:
    steady, low = (100, 0), (90, 10)
    found = service(*waits(*[steady] * 5, low, low, low, steady, steady, *[steady] * 5), [TTFT], 0.0)
    # The middle five minutes: 470 of 500 are good, one point below 95%.
    assert found.worst_dip == pytest.approx(0.01)
    assert found.windows_met == pytest.approx(2 / 3)
    assert found.dip_seconds == 180.0
    assert found.worst_hour == pytest.approx(1470 / 1500)


def test_a_window_at_its_target_is_met_and_no_dip() -> None:
    found = service(*waits(*[(95, 5)] * 5), [TTFT], 0.0)
    assert (found.windows_met, found.worst_dip, found.dip_seconds, found.margin) == (1.0, 0.0, 0.0, 0.0)


def test_empty_minutes_neither_end_nor_lengthen_a_dip() -> None:
    assert service(*waits((0, 9), (0, 0), (0, 9), (9, 0)), [TTFT], 0.0).dip_seconds == 120.0


def test_the_worst_hour_is_found_where_it_lies() -> None:
    minutes = [(10, 0)] * 70 + [(0, 10)] * 30 + [(10, 0)] * 80
    assert service(*waits(*minutes), [TTFT], 0.0).worst_hour == pytest.approx(0.5)


def test_without_requests_nothing_is_known() -> None:
    found = service(*case((0, 1, 0, 0)), [TTFT], 10.0)
    assert math.isnan(found.attainment["all"])
    assert math.isnan(found.worst_hour)
    assert (found.worst_dip, found.dip_seconds) == (0.0, 0.0)


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 10), st.floats(0, 100)), min_size=1, max_size=50),
    st.floats(0.01, 10),
    st.floats(1, 3),
)
def test_looser_thresholds_never_attain_less_and_all_never_more_than_each(
    rows: list[tuple[float, float, float]], threshold: float, factor: float
) -> None:
    made = case(*sorted((at, 5, at + first, at + first + rest) for at, first, rest in rows))
    tight = attained(*made, [Objective("TimeToFirstToken", threshold, 0.9), ITL], 0.0)
    loose = attained(*made, [Objective("TimeToFirstToken", threshold * factor, 0.9), ITL], 0.0)
    assert all(loose[name] >= share for name, share in tight.items())
    assert tight["all"] <= min(tight["TimeToFirstToken"], tight["InterTokenLatency"])
