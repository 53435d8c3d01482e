"""How the operator's process ends: within five seconds of being told, whatever hangs, and with its state saved before.

Each step has its time, and what it left open is for the next process, as after a crash. In order: the tick under way,
statuses that ran on, the Lease, kopf's watches, our endpoints, the ledger and the records, which have what is left.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

# The tick under way may wait for a Prometheus, or an API server, that does not answer.
FINISH_SECONDS = 1.5
SAVE_SECONDS = 0.75
# kopf would give open connections to our own endpoints five seconds.
UNWATCH_SECONDS = 0.3
LEAVE_SECONDS = 4.5

log = structlog.get_logger("flyball.ending")


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT, where this thread may ask for that."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def supervise(
    stop: asyncio.Event,
    finish: Callable[[], None],
    unwatch: asyncio.Event,
    **parts: Coroutine[Any, Any, None],
) -> None:
    """Run the parts until one of them ends or `stop` is set, and end the others; raises what ended the first.

    What evaluates is asked to `finish` before it is cancelled, and then saves what it has. kopf comes last, by
    `unwatch`: as it ends it cancels tasks of ours.
    """
    tasks: dict[str, asyncio.Task[Any]] = {name: asyncio.create_task(part, name=name) for name, part in parts.items()}
    stopping = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait([*tasks.values(), stopping], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    finish()
    await asyncio.wait([tasks["evaluate"]], timeout=FINISH_SECONDS)
    tasks["evaluate"].cancel()
    await asyncio.wait([tasks["evaluate"]])
    unwatch.set()
    await asyncio.wait([tasks["watch"]], timeout=UNWATCH_SECONDS)
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), stopping, return_exceptions=True)
    errors = [repr(error) for task in done if (error := task.exception())]
    log.info("stopped", by=sorted(task.get_name() for task in done), errors=errors)
    for task in done:
        task.result()


async def within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    """Do the work for so long at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


async def leave_late(stop: asyncio.Event) -> None:
    """Once `stop` is set, see to it that the process ends: whatever hangs by then is not waited for."""
    await stop.wait()

    def late() -> None:
        log.warning("ends before all was closed", after_seconds=LEAVE_SECONDS)
        leave(1)

    timer = threading.Timer(LEAVE_SECONDS, late)
    timer.daemon = True
    timer.start()


def leave(status: int = 0) -> None:
    """End the process now. Python would first wait for every thread that waits for an answer, and then take most of a
    second of processor time to free what the kernel frees at once.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
