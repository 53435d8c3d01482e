"""The loop's timing, on a clock that only waiting moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from flyball.runtime.exporter import Tally
from flyball.runtime.loop import POKE_SETTLE_SECONDS, Loop
from flyball.runtime.tick import TickReport

pytestmark = pytest.mark.looptime

PERIOD = 15.0


class FakeTicker:
    """Notes when it ticks; takes as long as it is told, or raises."""

    def __init__(self, takes: float = 0.0) -> None:
        self.takes = takes
        self.started: list[float] = []
        self.failing: set[int] = set()

    async def tick(self, at: float) -> TickReport:
        self.started.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes)
        if len(self.started) in self.failing:
            raise ZeroDivisionError
        return TickReport(at, (), ())


@asynccontextmanager
async def running(ticker: FakeTicker, tally: Tally | None = None) -> AsyncIterator[Loop]:
    loop = Loop(ticker, tally or Tally(), PERIOD)  # type: ignore[arg-type]
    task = asyncio.create_task(loop.run())
    yield loop
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("takes", "started"),
    [
        pytest.param(0.0, [0, 15, 30, 45], id="quick ticks"),
        pytest.param(10.0, [0, 15, 30, 45], id="ticks of ten seconds start every fifteen"),
        pytest.param(20.0, [0, 20, 40], id="ticks longer than the period follow one another"),
    ],
)
async def test_the_period_is_kept_from_start_to_start(takes: float, started: list[float]) -> None:
    ticker = FakeTicker(takes)
    async with running(ticker):
        await asyncio.sleep(50)
    assert ticker.started == pytest.approx(started)


async def test_every_finished_tick_is_handed_over() -> None:
    ticker, given = FakeTicker(), []
    ticker.failing = {2}
    loop = Loop(ticker, Tally(), PERIOD, given.append)  # type: ignore[arg-type]
    for _ in range(3):
        await loop.tick_once()
    assert len(given) == 2


async def test_a_poke_brings_the_next_tick_forward_and_waits_for_more_of_them() -> None:
    ticker = FakeTicker()
    async with running(ticker) as loop:
        await asyncio.sleep(5)
        for _ in range(5):
            loop.poke()
            await asyncio.sleep(0.1)
        await asyncio.sleep(30)
    first = 5 + POKE_SETTLE_SECONDS
    assert ticker.started == pytest.approx([0, first, first + PERIOD])


async def test_a_poke_during_a_tick_is_not_lost() -> None:
    ticker = FakeTicker(takes=4.0)
    async with running(ticker) as loop:
        await asyncio.sleep(2)
        loop.poke()
        await asyncio.sleep(10)
    assert ticker.started == pytest.approx([0, 4 + POKE_SETTLE_SECONDS])


async def test_a_poke_just_before_the_period_ends_does_not_delay_it() -> None:
    ticker = FakeTicker()
    async with running(ticker) as loop:
        await asyncio.sleep(14.5)
        loop.poke()
        await asyncio.sleep(10)
    assert ticker.started == pytest.approx([0, 15])


async def test_a_tick_that_raises_is_counted_and_the_loop_goes_on() -> None:
    ticker, tally = FakeTicker(), Tally()
    ticker.failing = {1, 3}
    async with running(ticker, tally):
        await asyncio.sleep(50)
    assert (tally.ticks, tally.failed_ticks) == (2, 2)
    assert tally.report is not None


async def test_a_finished_tick_is_timed_and_a_failed_one_keeps_the_last() -> None:
    ticker, tally = FakeTicker(), Tally()
    ticker.failing = {2}
    loop = Loop(ticker, tally, PERIOD)  # type: ignore[arg-type]
    await loop.tick_once()
    finished = tally.finished_at
    assert finished > 0
    assert tally.alive_at == finished
    await loop.tick_once()
    assert tally.finished_at == finished
