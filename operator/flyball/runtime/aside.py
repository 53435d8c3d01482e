"""Work beside the ticks: handed over and left alone, one piece at a time. Nothing in here can hold a tick up."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

import structlog

log = structlog.get_logger("flyball.aside")

Result = TypeVar("Result")


class Aside:
    """Runs one piece of work at a time in a task of its own; `missed` counts what was offered meanwhile."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self.missed = 0

    def offer(self, work: Callable[[], Coroutine[None, None, None]]) -> bool:
        """Begin the work, unless the last piece still runs. What it raises is a defect: logged, and no more."""
        if self._task is not None and not self._task.done():
            self.missed += 1
            return False
        self._task = asyncio.create_task(self._run(work), name=self._name)
        return True

    async def settled(self) -> None:
        """Wait for what runs."""
        if self._task is not None:
            await self._task

    async def aclose(self) -> None:
        """Stop what runs."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        try:
            await work()
        except Exception:
            log.exception("a defect of Flyball, please report it", work=self._name)


class Beside:
    """Somebody who works beside the ticks, one piece at a time."""

    def __init__(self, name: str) -> None:
        self._aside = Aside(name)

    async def settled(self) -> None:
        """Wait until what was taken in is worked off."""
        await self._aside.settled()

    async def aclose(self) -> None:
        """Stop."""
        await self._aside.aclose()


async def in_thread_of_its_own(call: Callable[[], Result], seconds: float) -> Result:
    """What the call returns. After so many seconds TimeoutError: its thread is left behind, and not waited for at the
    end of the process either.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def tell(result: Result | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]  # there is one where there is no error
        else:
            done.set_exception(error)

    def run() -> None:
        result: Result | None = None
        failure: Exception | None = None
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - handed on to whoever asked
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name="aside", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await done
