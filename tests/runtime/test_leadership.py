"""Who may write and when: at most one at any time, whatever is slow, lost or stopped, and somebody soon again."""

import asyncio
import itertools
import math
import threading
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.cluster.lease import Held, Lease
from flyball.core.ports import Conflict, Unavailable
from flyball.runtime.leadership import SPARE, Alone, Candidate, Leadership, Standing

SECONDS = 8
MINE = Candidate("mine", SECONDS)


def held(holder: str, version: str = "1", transitions: int = 1, seconds: int = SECONDS) -> Held:
    return Held(holder, seconds, transitions, None, version)


@pytest.mark.parametrize(
    ("record", "after", "may"),
    [
        pytest.param(held(""), 0.0, True, id="nobody's"),
        pytest.param(held("mine"), 0.0, True, id="ours"),
        pytest.param(held("theirs"), 0.0, False, id="theirs, just seen"),
        pytest.param(held("theirs"), 7.9, False, id="theirs, not yet over"),
        pytest.param(held("theirs"), 8.0, True, id="theirs, not renewed for as long as it lasts"),
        pytest.param(held("theirs", seconds=20), 19.0, False, id="theirs lasts as long as they say"),
        pytest.param(held("theirs", seconds=0), 0.5, False, id="one that says nothing lasts for a second"),
    ],
)
def test_a_lease_is_taken_only_when_its_holder_can_no_longer_write(record: Held, after: float, may: bool) -> None:
    standing = Standing(MINE)
    standing.see(record, 100.0)
    assert standing.may_take(100.0 + after) is may


def test_a_renewal_that_is_seen_starts_the_wait_anew_and_one_that_was_seen_before_does_not() -> None:
    standing = Standing(MINE)
    standing.see(held("theirs", "1"), 100.0)
    standing.see(held("theirs", "1"), 107.0)
    assert standing.may_take(108.0)
    standing.see(held("theirs", "2"), 107.5)
    assert not standing.may_take(115.0)


def test_the_holder_writes_until_a_quarter_before_others_may_take_it_counted_from_before_it_asked() -> None:
    standing = Standing(MINE)
    standing.took(held("mine", transitions=3), asked_at=100.0, at=101.0)
    assert standing.left(3, 102.0) == pytest.approx(4.0)
    assert (standing.term(105.9), standing.term(106.0)) == (3, None)
    assert standing.left(2, 102.0) == 0.0, "what was decided in an earlier term is not written in this one"
    standing.see(held("theirs", "2"), 103.0)
    assert standing.term(103.0) is None


def test_alone_it_always_leads() -> None:
    assert Alone().left(1) == math.inf
    assert Alone().term == 1


class Pause:
    """Gives way until the schedule goes on with whoever awaits it."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@dataclass
class Server:
    """A Lease on an API server that answers late, and whose answers may be lost."""

    record: Held = field(default_factory=Held)
    versions: Any = None
    lose: bool = False
    taken: tuple[str, float] = ("", 0.0)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.versions = itertools.count(1)

    async def read(self) -> Held:
        await Pause()
        found = self.record
        await Pause()
        return self._answer(found)

    async def take(self, seen: Held, holder: str, seconds: int) -> Held:
        await Pause()
        if seen.version != self.record.version:
            raise Conflict("somebody wrote")
        turn = seen.transitions + (seen.holder != holder)
        if self.record.holder != holder:
            self.taken = (holder, self.now)
        self.record = Held(holder, seconds, turn, None, str(next(self.versions)))
        found = self.record
        await Pause()
        return self._answer(found)

    def _answer(self, found: Held) -> Held:
        lost, self.lose = self.lose, False
        if lost:
            raise Unavailable("the answer is lost")
        return found


def candidates(server: Server, count: int) -> list[tuple[Leadership, Coroutine[Any, Any, None]]]:
    """Processes that want the Lease, each with what it does over and over."""

    async def keep(leadership: Leadership) -> None:
        while True:
            await leadership._look(server)  # type: ignore[arg-type]
            await Pause()

    found = []
    for number in range(count):
        leadership = Leadership(lambda: None, Candidate(f"p{number}", SECONDS), lambda: server.now)  # type: ignore[arg-type,return-value]
        found.append((leadership, keep(leadership)))
    return found


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([0.0, 0.1, 0.5, 1.6, 3.0, 8.0, 60.0]), st.booleans()), max_size=80
    )
)
def test_at_most_one_may_write_however_long_each_step_of_each_process_takes(
    schedule: list[tuple[int, float, bool]],
) -> None:
    server = Server()
    processes = candidates(server, 3)
    for who, seconds, lose in schedule:
        server.now += seconds
        server.lose = lose
        before = server.taken
        until = [leadership._standing._right[1] for leadership, _ in processes]
        processes[who][1].send(None)
        assert sum(leadership.term is not None for leadership, _ in processes) <= 1
        if server.taken != before:
            others = [end for number, end in enumerate(until) if f"p{number}" != server.taken[0]]
            assert all(end <= server.now - SPARE * SECONDS for end in others), "with time to spare"
    for _, process in processes:
        process.close()


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(0, 2))
def test_who_is_left_leads_within_the_lease_and_two_looks(before: list[int], survivor: int) -> None:
    server = Server()
    processes = candidates(server, 3)
    for who in before:
        server.now += 0.1
        processes[who][1].send(None)
    died_at, (leadership, process) = server.now, processes[survivor]
    while leadership.term is None:
        process.send(None)
        server.now += 0.2
        assert server.now - died_at <= SECONDS + 2 * MINE.look_seconds + 1
    for _, each in processes:
        each.close()


class SoonTaken:
    """A Lease whose answers come at once; `down` makes the API server unreachable."""

    def __init__(self) -> None:
        self.record = Held()
        self.down = False
        self.given_up = threading.Event()

    async def read(self) -> Held:
        if self.down:
            raise Unavailable("down")
        return self.record

    async def take(self, seen: Held, holder: str, seconds: int) -> Held:
        if self.down:
            raise Unavailable("down")
        turn = seen.transitions + (seen.holder != holder)
        self.record = Held(holder, seconds, turn, None, str(int(self.record.version or 0) + 1))
        return self.record

    async def give_up(self, held: Held) -> None:
        self.record = replace(held, holder="")
        self.given_up.set()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Lease]:
        yield self  # type: ignore[misc]


async def _until(happened: Any) -> None:
    for _ in range(6000):
        if happened():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_it_is_kept_in_a_thread_and_given_up_at_the_end() -> None:
    lease = SoonTaken()
    leadership = Leadership(lease.connect, MINE)
    leadership.start()
    await _until(lambda: leadership.term == 1)
    assert leadership.holder == "mine"
    leadership.require()
    leadership.close()
    assert lease.given_up.is_set()
    assert leadership.term is None
    assert leadership.left(1) == 0.0


async def test_a_defect_in_keeping_it_is_told() -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[Lease]:
        raise ZeroDivisionError
        yield

    leadership = Leadership(broken, MINE)
    leadership.start()
    await _until(lambda: not leadership._thread.is_alive())
    with pytest.raises(RuntimeError, match="not kept"):
        leadership.require()


async def test_who_cannot_reach_it_any_more_stops_by_itself() -> None:
    lease, clock = SoonTaken(), [0.0]
    leadership = Leadership(lease.connect, Candidate("mine", 2), lambda: clock[0])
    leadership.start()
    await _until(lambda: leadership.term == 1)
    lease.down = True
    clock[0] = 2 * (1 - SPARE)
    assert leadership.term is None
    lease.down = False
    await _until(lambda: leadership.term == 1)  # nobody had it in between: the same term goes on
    leadership.close()
