"""Work beside the ticks: one piece at a time, and nothing that it does reaches whoever handed it over."""

import asyncio
import threading

import pytest

from flyball.runtime.aside import Aside, in_thread_of_its_own


async def test_a_second_piece_is_missed_while_the_first_runs() -> None:
    aside, done, gate = Aside("test"), [], asyncio.Event()

    async def work() -> None:
        await gate.wait()
        done.append(1)

    assert aside.offer(work)
    assert not aside.offer(work)
    gate.set()
    await aside.settled()
    assert (done, aside.missed) == ([1], 1)
    assert aside.offer(work)
    await aside.settled()
    assert done == [1, 1]


async def test_a_defect_stays_inside() -> None:
    aside = Aside("test")

    async def broken() -> None:
        raise ZeroDivisionError

    assert aside.offer(broken)
    await aside.settled()
    assert aside.offer(broken), "and the next piece is taken"
    await aside.settled()


async def test_closing_stops_what_runs() -> None:
    aside = Aside("test")
    assert aside.offer(asyncio.Event().wait)  # type: ignore[arg-type]
    await asyncio.wait_for(aside.aclose(), 10)


async def test_a_thread_of_its_own_answers_raises_or_is_left_behind() -> None:
    assert await in_thread_of_its_own(lambda: 7, 60.0) == 7
    with pytest.raises(KeyError):
        await in_thread_of_its_own(lambda: {}["x"], 60.0)
    released = threading.Event()
    try:
        with pytest.raises(TimeoutError):
            await in_thread_of_its_own(released.wait, 0.05)
    finally:
        released.set()
