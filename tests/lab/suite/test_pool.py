import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from flyball.lab.suite.pool import Course, Document, Piece, Progress, Result, StoppedError, WorkerLostError, run_courses
from flyball.lab.suite.store import Store


@dataclass(frozen=True)
class Square:
    """Squares a number, and leaves a mark of having done so."""

    number: int
    marks: Path

    @property
    def key(self) -> str:
        return f"square-{self.number}"

    @property
    def label(self) -> str:
        return f"{self.number}²"

    def work(self) -> Document:
        (self.marks / f"{self.number}-{os.getpid()}").touch()
        if self.number < 0:
            raise ValueError(f"{self.number} is negative; give 0 or more")
        if self.number == 13:
            raise KeyError("unlucky")
        if self.number == 99:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.number == 77:
            os.kill(os.getppid(), signal.SIGINT)
        return {"square": self.number**2}


def course(marks: Path, *numbers: int) -> Course[list[Result]]:
    """Squares numbers, then the first square once more."""
    results = yield [Square(number, marks) for number in numbers]
    first = results[0].document
    if first is None:
        return results
    return results + (yield [Square(first["square"], marks)])


def run(
    folder: Path, courses: Sequence[Course[list[Result]]], workers: int = 1, seen: list[Progress] | None = None
) -> list[list[Result]]:
    (folder / "marks").mkdir(exist_ok=True)
    return run_courses(courses, Store(folder / "store"), workers, (seen if seen is not None else []).append)


def squares(results: Sequence[Result]) -> list[int | None]:
    return [result.document["square"] if result.document else None for result in results]


@pytest.mark.parametrize("workers", [1, 2])
def test_courses_get_their_results_in_order_and_conclude(tmp_path: Path, workers: int) -> None:
    marks = tmp_path / "marks"
    found = run(tmp_path, [course(marks, 2, 3), course(marks, 5), course(marks, 6, 7, 8)], workers)
    assert [squares(results) for results in found] == [[4, 9, 16], [25, 625], [36, 49, 64, 1296]]
    processes = {mark.name.split("-")[1] for mark in marks.iterdir()}
    assert (str(os.getpid()) in processes) is (workers == 1)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    marks, seen = tmp_path / "marks", list[Progress]()
    run(tmp_path, [course(marks, 2, 3)])
    for mark in marks.iterdir():
        mark.unlink()
    assert squares(run(tmp_path, [course(marks, 2, 5)], seen=seen)[0]) == [4, 25, 16]
    assert [mark.name.split("-")[0] for mark in marks.iterdir()] == ["5"]
    assert (seen[-1].done, seen[-1].known, seen[-1].kept) == (3, 3, 2)


def test_a_fault_is_a_result_that_is_not_kept(tmp_path: Path) -> None:
    found = run(tmp_path, [course(tmp_path / "marks", 3, -1, 13)])[0]
    assert squares(found) == [9, None, None, 81]
    assert found[1].fault == "-1 is negative; give 0 or more"
    assert found[2].fault.startswith("KeyError: 'unlucky' (work, line ")
    assert Store(tmp_path / "store").get("square--1") is None


def test_a_killed_worker_ends_the_suite_with_its_piece_named(tmp_path: Path) -> None:
    with pytest.raises(WorkerLostError, match="a worker process died, most likely for want of memory, near: 99²"):
        run(tmp_path, [course(tmp_path / "marks", 99)], workers=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_is_done(tmp_path: Path, workers: int) -> None:
    class Interrupting:
        key, label = "interrupt", "interrupt"

        def work(self) -> Document:
            raise KeyboardInterrupt

    marks = tmp_path / "marks"

    def stopped() -> Course[list[Result]]:
        results = yield [Square(2, marks)]
        pieces: list[Piece] = [Interrupting()] if workers == 1 else [Square(77, marks)]
        return results + (yield pieces)

    with pytest.raises(StoppedError):
        run(tmp_path, [stopped()], workers)
    assert Store(tmp_path / "store").get("square-2") == {"square": 4}
