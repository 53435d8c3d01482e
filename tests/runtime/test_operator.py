"""The operator's parts put together: what kopf is told, and how the process lives and ends."""

import asyncio
from typing import Any

import kopf
import pytest
from support.objects import workload_slo

from flyball.runtime.mirror import Mirror
from flyball.runtime.operator import _supervise, build_registry

BOOK = {"metadata": {"name": "gpus", "uid": "b", "generation": 1}, "spec": {}}


def raw(**metadata: Any) -> dict[str, Any]:
    found = workload_slo()
    found["metadata"] |= {"namespace": "team", "uid": "u", "generation": 1, **metadata}
    return found


class Wired:
    """A registry over a mirror, with the handlers by resource and the number of pokes."""

    def __init__(self) -> None:
        self.mirror = Mirror()
        self.pokes = 0
        self.registry = build_registry(self.mirror, self._poke)
        handlers = self.registry._watching.get_all_handlers()
        self._handlers = {str(handler.selector.any_name): handler.fn for handler in handlers}

    def _poke(self) -> None:
        self.pokes += 1

    async def see(self, plural: str, kind: str | None, body: dict[str, Any]) -> None:
        """What kopf does with an event of its watch."""
        await self._handlers[plural](type=kind, body=kopf.Body(body))


async def test_what_the_watch_says_reaches_the_mirror() -> None:
    wired = Wired()
    await wired.see("workloadslos", None, raw())
    await wired.see("workloadslos", "MODIFIED", raw() | {"status": {"mode": "Auto"}})
    assert (len(wired.mirror.declared()), wired.pokes) == (1, 1), "our own status is no news"
    await wired.see("workloadslos", "MODIFIED", raw(generation=2))
    assert wired.pokes == 2
    await wired.see("workloadslos", "DELETED", raw(generation=2))
    assert (wired.mirror.declared(), wired.pokes) == ((), 3)


async def test_price_books_reach_the_mirror_and_only_changes_are_news() -> None:
    wired = Wired()
    for kind in (None, "MODIFIED", "DELETED"):
        await wired.see("pricebooks", kind, BOOK)
    assert wired.pokes == 2


def test_kopf_keeps_no_state_in_objects() -> None:
    registry = Wired().registry
    assert not registry._spawning.get_all_handlers(), "timers and daemons put a finalizer on every object"
    assert not registry._changing.get_all_handlers(), "change handlers annotate every object"
    assert not registry._indexing.get_all_handlers()
    assert not registry._webhooks.get_all_handlers()


async def forever() -> None:
    await asyncio.Event().wait()


async def test_it_ends_when_it_is_told_to() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    await _supervise(stop, evaluate=forever(), watch=_until(stop))
    assert stop.is_set()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


@pytest.mark.parametrize("part", ["watch", "evaluate", "relist"])
async def test_a_part_that_breaks_ends_all_and_is_raised(part: str) -> None:
    async def broken() -> None:
        raise ConnectionError("lost")

    stop = asyncio.Event()
    parts = {"watch": _until(stop), "evaluate": forever(), "relist": forever()}
    parts.pop(part).close()
    with pytest.raises(ConnectionError, match="lost"):
        await _supervise(stop, **parts, **{part: broken()})
    assert stop.is_set(), "kopf is told to stop"
