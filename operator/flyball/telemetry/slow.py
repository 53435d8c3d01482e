"""Windows longer than an hour: dear to ask for and slow to change, so refreshed in the background and remembered."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from flyball.telemetry.answers import Answer

KEPT_SECONDS = 3600.0
"""An answer older than this is dropped: the window is then left out, rather than wrong."""

MOST_OF_THE_TIME = 0.1
"""A window is asked for so seldom that its query takes Prometheus this share of the time at most: one that times out is
not asked for again at once, since it may be what keeps Prometheus from answering."""

log = structlog.get_logger("flyball.telemetry")

Ask = Callable[[str], Awaitable[Answer]]
TableT = TypeVar("TableT")


@dataclass(slots=True)
class _Remembered(Generic[TableT]):
    """What is known of one window: the query last asked, when, its seconds, and the last good answer with its time."""

    query: str
    asked_at: float
    took: float = 0.0
    answered_at: float | None = None
    table: TableT | None = None


class SlowWindows(Generic[TableT]):
    """Remembers answers by window, and refreshes those that are due. Times are those of the reads (epoch seconds).

    `read_answer` makes of an answer what is remembered of it. `clock` tells how long a query takes (seconds).
    """

    def __init__(
        self,
        refresh_seconds: float,
        read_answer: Callable[[Answer], TableT],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._read_answer = read_answer
        self._known: dict[tuple[str, float], _Remembered[TableT]] = {}
        self._running: dict[tuple[str, float], asyncio.Task[None]] = {}

    async def read(
        self, source: str, queries: Mapping[float, str], at: float, ask: Ask, wait_seconds: float
    ) -> dict[float, TableT]:
        """The newest answers by window. Waits up to `wait_seconds`, and only for windows that were never answered."""
        missing = []
        for window, query in queries.items():
            task = self._refresh((source, window), query, at, ask)
            if task and self._known[source, window].table is None:
                missing.append(task)
        if missing:
            await asyncio.wait(missing, timeout=max(0.0, wait_seconds))
        known = ((window, self._known.get((source, window))) for window in queries)
        return {
            window: one.table
            for window, one in known
            if one and one.table and one.answered_at is not None and at - one.answered_at <= KEPT_SECONDS
        }

    def keep(self, sources: Collection[str]) -> None:
        """Forget all other sources."""
        self._known = {place: known for place, known in self._known.items() if place[0] in sources}

    async def aclose(self) -> None:
        """Stop refreshing."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refresh(self, key: tuple[str, float], query: str, at: float, ask: Ask) -> asyncio.Task[None] | None:
        """The task that refreshes this window, if one runs or is due; a changed query is due at once."""
        if key in self._running:
            return self._running[key]
        known = self._known.get(key)
        rest = max(self._refresh_seconds, known.took / MOST_OF_THE_TIME) if known else 0.0
        if known and known.query == query and at - known.asked_at < rest:
            return None
        known = self._known.setdefault(key, _Remembered(query, at))
        known.query, known.asked_at = query, at
        task = asyncio.create_task(self._ask(known, key[1], query, at, ask), name=f"slow-window-{key[1]:g}")
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))
        return task

    async def _ask(self, known: _Remembered[TableT], window: float, query: str, at: float, ask: Ask) -> None:
        began = self._clock()
        answer = await ask(query)
        known.took = self._clock() - began
        if answer.failure:
            log.warning("window not refreshed", window_seconds=window, reason=answer.failure)
        else:
            known.table, known.answered_at = self._read_answer(answer), at
