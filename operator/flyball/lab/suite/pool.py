"""Plays pieces of work on all cores, keeps what is done, and stops in good order.

A course is a generator: it yields the pieces that it needs next, is sent their results in the same order, and returns
its conclusion. Several courses go on at once, so that no core waits for the last piece of one.
"""

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from flyball.lab.suite.store import Store

Document = dict[str, Any]
ConclusionT = TypeVar("ConclusionT")


class Piece(Protocol):
    """Work that a process can do by itself. Equal keys mean equal results."""

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str:
        """What it is, for the progress line."""
        ...

    def work(self) -> Document:
        """Do it: a JSON document."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a piece: its document, or the fault that stopped it."""

    document: Document | None
    fault: str = ""


Course = Generator[Sequence[Piece], list[Result], ConclusionT]


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a suite: pieces done (those kept from before among them) of those known so far."""

    done: int
    known: int
    kept: int
    running: tuple[str, ...]


class StoppedError(Exception):
    """The user stopped the suite; what was done is kept."""


class WorkerLostError(Exception):
    """A process was killed from outside; what was done is kept."""


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_courses(
    courses: Sequence[Course[ConclusionT]],
    store: Store,
    workers: int,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_end: Callable[[ConclusionT], None] = lambda _: None,
) -> list[ConclusionT]:
    """Run courses to their ends, and tell of each as it ends; one worker means this process. Raises StoppedError on
    Ctrl-C.
    """
    run = _Run(store, on_progress, on_end)
    try:
        if workers == 1:
            return run.play(courses, _Here(), at_once=1)
        others = set(multiprocessing.active_children())
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
        try:
            return run.play(courses, executor, at_once=workers + 1)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
    except KeyboardInterrupt:
        raise StoppedError from None
    finally:
        for course in courses:
            course.close()


class _Submitter(Protocol):
    def submit(self, work: Callable[["Piece"], Result], piece: "Piece", /) -> "Future[Result]": ...


class _Here:
    """Does the work at once, in this process."""

    def submit(self, work: Callable[["Piece"], Result], piece: "Piece", /) -> "Future[Result]":
        future: Future[Result] = Future()
        future.set_result(work(piece))
        return future


@dataclass(slots=True)
class _Walk:
    """One course on its way: the results of the pieces that it waits for."""

    course: Course[Any]
    results: list[Result | None] | None = None
    """None before the course has begun."""
    conclusion: Any = None


class _Run:
    """The state of a suite."""

    def __init__(self, store: Store, on_progress: Callable[[Progress], None], on_end: Callable[[Any], None]) -> None:
        self._store, self._on_progress, self._on_end = store, on_progress, on_end
        self._waiting: dict[Future[Result], tuple[list[Result | None], int, Piece]] = {}
        self._done = self._known = self._kept = 0

    def play(self, courses: Sequence[Course[ConclusionT]], submitter: _Submitter, at_once: int) -> list[ConclusionT]:
        walks = [_Walk(course) for course in courses]
        expected = deque(walks)
        going: list[_Walk] = []
        while expected or going:
            while expected and len(going) < at_once:
                walk = expected.popleft()
                if self._step(walk, submitter):
                    going.append(walk)
            if self._waiting:
                self._collect()
            for walk in [walk for walk in going if None not in (walk.results or ())]:
                if not self._step(walk, submitter):
                    going.remove(walk)
        self._report()
        return [walk.conclusion for walk in walks]

    def _step(self, walk: _Walk, submitter: _Submitter) -> bool:
        """Send a course what it waited for, and submit what it wants next; False when it has ended."""
        try:
            pieces = walk.course.send(walk.results)  # type: ignore[arg-type]
        except StopIteration as end:
            walk.conclusion = end.value
            self._on_end(end.value)
            return False
        results: list[Result | None] = [None] * len(pieces)
        walk.results = results
        self._known += len(pieces)
        for index, piece in enumerate(pieces):
            if (document := self._store.get(piece.key)) is not None:
                results[index] = Result(document)
                self._done += 1
                self._kept += 1
            else:
                self._waiting[submitter.submit(_work, piece)] = (results, index, piece)
                self._report()
        return True

    def _collect(self) -> None:
        """Wait until something is done, and keep it."""
        finished, _ = wait(self._waiting, timeout=1.0, return_when=FIRST_COMPLETED)
        for future in finished:
            results, index, piece = self._waiting.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                raise WorkerLostError(
                    f"a worker process died, most likely for want of memory, near: {piece.label}"
                ) from None
            if result.document is not None:
                self._store.put(piece.key, result.document)
            results[index] = result
            self._done += 1
        self._report()

    def _report(self) -> None:
        running = tuple(piece.label for future, (_, _, piece) in self._waiting.items() if future.running())
        self._on_progress(Progress(self._done, self._known, self._kept, running))


def _work(piece: Piece) -> Result:
    try:
        return Result(piece.work())
    except Exception as error:  # noqa: BLE001 - one policy's fault must not end the suite; it is reported with its name
        where = traceback.extract_tb(error.__traceback__)[-1]
        expected = isinstance(error, ValueError)
        return Result(
            None,
            str(error)
            if expected
            else f"{type(error).__name__}: {error} ({where.name}, line {where.lineno} of {Path(where.filename).name})",
        )


def _begin_worker() -> None:
    """The parent decides what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
