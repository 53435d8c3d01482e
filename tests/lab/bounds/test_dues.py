"""When work is due and what may be late, in slots of ten seconds."""

import numpy as np
import pytest
from lab.bounds.worlds import trace_of

from flyball.lab.bounds.dues import Kind, Slots, kinds_of_work
from flyball.lab.bounds.need import Work
from flyball.lab.policies.model import Objective

SLOTS = Slots(np.arange(10.0, 51.0, 10.0))
# Two requests in the first slot, one in the third; six tokens each.
TRACE = trace_of([(10.0, 9, 6), (15.0, 9, 6), (32.0, 9, 6)])
WORK = Work(prefill=np.array([1.0, 2.0, 4.0]), decode=np.full(3, 10.0), late_decode=np.full(3, 5.0))
EVERY = np.full(3, True)

TTFT = Objective("TimeToFirstToken", 6.0, 0.5)
ITL = Objective("InterTokenLatency", 2.0, 0.9)
E2E = Objective("EndToEnd", 12.0, 0.8)


def kinds(
    *objectives: Objective, settled: float = 50.0, droppable: bool = False, counted: np.ndarray = EVERY
) -> tuple[Kind, Kind]:
    return kinds_of_work(TRACE, WORK, counted, objectives, SLOTS, settled, droppable)


@pytest.mark.parametrize(
    ("objectives", "prefill_due", "decode_due", "at_end"),
    [
        pytest.param((TTFT, ITL), [1, 3, 7, 7], [0, 10, 20, 30], (0, 0), id="first token after 6 s, answer after 16 s"),
        pytest.param((E2E,), [0, 3, 3, 7], [0, 20, 20, 30], (0, 0), id="all within 12 s"),
        pytest.param((TTFT, ITL, E2E), [1, 3, 7, 7], [0, 20, 20, 30], (0, 0), id="the earlier of two"),
        pytest.param((TTFT,), [1, 3, 7, 7], [0, 0, 0, 0], (0, 15), id="answers are due at the end"),
        pytest.param((ITL,), [0, 0, 0, 0], [0, 0, 0, 0], (7, 15), id="a pace alone has no due time"),
    ],
)
def test_work_is_due_when_its_objectives_say(
    objectives: tuple[Objective, ...], prefill_due: list[float], decode_due: list[float], at_end: tuple[float, float]
) -> None:
    prefill, decode = kinds(*objectives)
    assert prefill.arrived.tolist() == [3, 3, 7, 7]
    assert decode.arrived.tolist() == [20, 20, 30, 30]
    assert prefill.due.tolist() == prefill_due
    assert decode.due.tolist() == decode_due
    assert (prefill.due_at_end, decode.due_at_end) == at_end


@pytest.mark.parametrize(
    ("objectives", "first", "finish"),
    [
        pytest.param((TTFT, ITL), 1.5, 0.3, id="each objective for its work"),
        pytest.param((TTFT, ITL, E2E), 1.5, 0.9, id="two that concern the end add up"),
        pytest.param((E2E,), 0.6, 0.6, id="one for both"),
        pytest.param((TTFT,), 1.5, 0.0, id="without an objective nothing is late"),
    ],
)
def test_as_many_may_be_late_as_the_targets_leave(
    objectives: tuple[Objective, ...], first: float, finish: float
) -> None:
    prefill, decode = kinds(*objectives)
    assert prefill.late_requests == pytest.approx(first, abs=1e-5)
    assert decode.late_requests == pytest.approx(finish, abs=1e-5)


def test_late_requests_are_parted_by_the_slot_in_which_they_are_due_and_by_size() -> None:
    prefill, decode = kinds(TTFT, ITL)
    assert prefill.late.slots.tolist() == [0, 1, 2]
    assert prefill.late.largest.tolist() == prefill.late.work.tolist() == [1, 2, 4]
    assert prefill.late.served.tolist() == [1, 1, 1]
    assert decode.late.slots.tolist() == [1, 2, 3]
    assert decode.late.largest.tolist() == [10, 10, 10]
    assert decode.late.work.tolist() == [10, 10, 10]
    assert decode.late.served.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("settled", "droppable", "served", "at_end"),
    [
        pytest.param(50.0, False, [0.5, 0.5, 0.5], 15, id="all must be answered by the end"),
        pytest.param(30.0, False, [0.5, 0.5, 0.0], 10, id="but the last ones"),
        pytest.param(50.0, True, [0.0, 0.0, 0.0], 0, id="clients give up"),
    ],
)
def test_what_late_work_must_be_served(settled: float, droppable: bool, served: list[float], at_end: float) -> None:
    assert kinds(TTFT, ITL, settled=settled, droppable=droppable)[1].late.served.tolist() == served
    assert kinds(TTFT, settled=settled, droppable=droppable)[1].due_at_end == at_end


def test_what_does_not_count_is_no_work() -> None:
    prefill, decode = kinds(TTFT, ITL, counted=np.array([True, False, False]))
    assert prefill.arrived.tolist() == prefill.due.tolist() == [1, 1, 1, 1]
    assert prefill.late_requests == pytest.approx(0.5, abs=1e-5)
    assert decode.arrived.tolist() == [10, 10, 10, 10]
