"""A process that dies at a write: right before it is done, or right after, answer unseen.

Dying is modelled within this process: from then on nothing is sent any more, and the code that ran is thrown away with
all that it remembered. The points to die at are counted where all writes pass, so that none can be forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flyball.cluster.client import ApiServer

READS = ("observe", "list_gpus")
"""What the Cluster port has beside writes; whatever else it has, or is given later, is a write."""


class Died(BaseException):
    """No exception that anybody handles: the process is gone."""


@dataclass
class Death:
    """When a process dies: at its write of that number (from 1; None: never), before or after it is done."""

    number: int | None = None
    done: bool = False
    sent: list[str] = field(default_factory=list)
    died: bool = False

    def over(self, api: ApiServer) -> ApiServer:
        """The connection of a process that dies so."""
        dying = copy(api)
        exchange = dying._exchange

        async def exchanged(method: str, path: str, headers: Any, body: Any, seconds: float) -> tuple[int, bytes]:
            def send() -> Awaitable[tuple[int, bytes]]:
                return exchange(method, path, headers, body, seconds)

            found: tuple[int, bytes] = await self._pass(
                f"{method} {path.partition('?')[0]}", send, write=body is not None
            )
            return found

        dying._exchange = exchanged  # type: ignore[method-assign]
        return dying

    def beside(self, port: Any) -> Any:
        """A port whose user dies so."""
        return _Dying(port, self)

    async def _pass(self, what: str, send: Callable[[], Awaitable[Any]], *, write: bool) -> Any:
        if self.died:
            raise Died
        if not write:
            return await send()
        self.sent.append(what)
        if len(self.sent) != self.number:
            return await send()
        self.died = True
        if self.done:
            await send()
        raise Died


class _Dying:
    def __init__(self, port: Any, death: Death) -> None:
        self._port, self._death = port, death

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def passed(*arguments: Any) -> Any:
            return await self._death._pass(name, lambda: method(*arguments), write=name not in READS)

        return passed


async def buried() -> None:
    """Wait until nothing of a process that died runs any more."""
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.gather(*left, return_exceptions=True)


def turns(values: Sequence[float]) -> int:
    """How often a figure that went one way went the other way then: nobody flaps more because somebody died."""
    ways = [after > before for before, after in pairwise(values) if after != before]
    return sum(before != after for before, after in pairwise(ways))
