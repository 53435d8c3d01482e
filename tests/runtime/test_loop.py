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
    loop = Loop(tally or Tally(), PERIOD)
    task = asyncio.create_task(loop.run(ticker))  # type: ignore[arg-type]
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
    loop = Loop(Tally(), PERIOD, given.append)
    for _ in range(3):
        await loop.tick_once(ticker)  # type: ignore[arg-type]
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
    loop = Loop(tally, PERIOD)
    await loop.tick_once(ticker)  # type: ignore[arg-type]
    finished = tally.finished_at
    assert finished > 0
    assert tally.alive_at == finished
    await loop.tick_once(ticker)  # type: ignore[arg-type]
    assert tally.finished_at == finished


@pytest.mark.parametrize(
    ("takes", "asked_at", "ends_at"),
    [
        pytest.param(4.0, 2.0, 4.0, id="during a tick: it is finished"),
        pytest.param(0.0, 7.0, 7.0, id="between ticks: at once"),
        pytest.param(0.0, 15.0, 15.0, id="when one is due: none is begun"),
    ],
)
async def test_it_finishes_with_the_tick_that_is_under_way(takes: float, asked_at: float, ends_at: float) -> None:
    ticker, loop = FakeTicker(takes), Loop(Tally(), PERIOD)
    asyncio.get_running_loop().call_later(asked_at, loop.finish)
    await loop.run(ticker)  # type: ignore[arg-type]
    assert asyncio.get_running_loop().time() == pytest.approx(ends_at)
    assert ticker.started == [0]


async def test_it_ends_when_it_no_longer_leads_and_can_go_on_later() -> None:
    ticker, loop, clock = FakeTicker(), Loop(Tally(), PERIOD), asyncio.get_running_loop().time
    await loop.run(ticker, lambda: clock() < 20)  # type: ignore[arg-type]
    assert clock() == pytest.approx(30), "asked when the next tick is due"
    await loop.run(ticker, lambda: clock() < 50)  # type: ignore[arg-type]
    assert ticker.started == pytest.approx([0, 15, 30, 45])
