"""The evaluation loop: a tick every period, sooner when something was declared, supervised and never silently dead."""

import asyncio
import time
from collections.abc import Callable

import structlog

from flyball.runtime.exporter import Tally
from flyball.runtime.tick import Ticker, TickReport

log = structlog.get_logger("flyball.loop")

# After a poke the loop waits this long for more of them: a `kubectl apply` of twenty files is one tick, not twenty.
POKE_SETTLE_SECONDS = 1.0


class Loop:
    """Runs tickers until stopped.

    `hand_over` is given the report of every finished tick, and must not wait. `poke` brings the next tick forward, and
    `finish` makes the present one the last. A tick that raises is a defect: it is counted, logged with its traceback,
    and the loop goes on; the liveness probe fails when none finishes any more.
    """

    def __init__(
        self, tally: Tally, period_seconds: float, hand_over: Callable[[TickReport], None] = lambda _: None
    ) -> None:
        self._tally = tally
        self._period = period_seconds
        self._hand_over = hand_over
        self._poked = asyncio.Event()
        self.finishing = False

    def poke(self) -> None:
        """Ask for a tick soon."""
        self._poked.set()

    def finish(self) -> None:
        """End after the tick that is under way."""
        self.finishing = True
        self._poked.set()

    async def run(self, ticker: Ticker, leads: Callable[[], bool] = lambda: True) -> None:
        """Tick until cancelled or finished, or until this process no longer `leads` when a tick is due.

        Periods are kept from start to start; a slow tick delays the next, it never doubles.
        """
        clock = asyncio.get_running_loop().time
        while leads() and not self.finishing:
            started = clock()
            await self.tick_once(ticker)
            rest = max(0.0, self._period - (clock() - started))
            try:
                async with asyncio.timeout(rest):
                    await self._poked.wait()
                    if not self.finishing:
                        await asyncio.sleep(POKE_SETTLE_SECONDS)
            except TimeoutError:
                pass
            if not self.finishing:
                self._poked.clear()

    async def tick_once(self, ticker: Ticker) -> None:
        """One tick, counted and timed."""
        began = time.monotonic()
        try:
            report = await ticker.tick(time.time())
        except Exception:
            self._tally.failed_ticks += 1
            log.exception("a tick failed: this is a defect of Flyball, please report it")
            return
        self._tally.finish(report, time.time(), time.monotonic() - began)
        self._hand_over(report)
