"""How the process ends: each step within its time, the state saved before, and nothing that hangs waited for."""

import asyncio
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from flyball.runtime import ending
from flyball.runtime.ending import supervise
from flyball.runtime.exporter import Tally
from flyball.runtime.leadership import RELEASE_SECONDS
from flyball.runtime.loop import Loop
from flyball.runtime.operator import _evaluate
from flyball.runtime.server import SHUTDOWN_SECONDS


async def forever() -> None:
    await asyncio.Event().wait()


async def until(stop: asyncio.Event) -> None:
    await stop.wait()


async def test_it_ends_when_it_is_told_to() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    loop, ended = Loop(Tally(), 15.0), asyncio.Event()
    await supervise(stop, loop.finish, ended, evaluate=until(stop), watch=until(ended))
    assert loop.finishing
    assert ended.is_set(), "kopf is told to stop, after what evaluates has ended"


@pytest.mark.parametrize("part", ["watch", "evaluate", "relist"])
async def test_a_part_that_breaks_ends_all_and_is_raised(part: str) -> None:
    async def broken() -> None:
        raise ConnectionError("lost")

    stop, ended = asyncio.Event(), asyncio.Event()
    parts = {"watch": until(stop), "evaluate": until(stop), "relist": forever()}
    parts.pop(part).close()
    with pytest.raises(ConnectionError, match="lost"):
        await supervise(stop, lambda: None, ended, **parts, **{part: broken()})
    assert ended.is_set(), "kopf is told to stop"


class Acting:
    """A leader whose tick and whose saving hang where they are told to, and what it did."""

    def __init__(self, *hanging: str) -> None:
        self.did: list[str] = []
        self.begun = asyncio.Event()
        self.term, self.holder, self._hanging = 1, "mine", hanging

    async def _do(self, what: str) -> None:
        self.begun.set()
        if what in self._hanging:
            await forever()
        self.did.append(what)

    async def tick(self, _at: float) -> Any:
        await self._do("tick")
        return SimpleNamespace(at=0.0, outcomes=(), invalid=(), defects=())

    async def save(self, _at: float) -> None:
        await self._do("save")

    def start(self) -> None:
        self.did.append("want")

    def close(self) -> None:
        self.did.append("release")

    def left(self, _term: int) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("hanging", "did"),
    [
        pytest.param((), ["want", "tick", "save", "release"], id="nothing hangs"),
        pytest.param(("tick",), ["want", "save", "release"], id="Prometheus hangs"),
        pytest.param(("tick", "save"), ["want", "release"], id="the API server hangs"),
    ],
)
async def test_what_hangs_is_given_up_and_the_next_step_follows(
    hanging: tuple[str, ...], did: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if hanging:
        monkeypatch.setattr(ending, "FINISH_SECONDS", 0.01)
        monkeypatch.setattr("flyball.runtime.operator.SAVE_SECONDS", 0.01 if "save" in hanging else 60.0)
    acting, loop, stop, unwatch = Acting(*hanging), Loop(Tally(), 15.0), asyncio.Event(), asyncio.Event()

    async def all_listed() -> bool:
        return True

    async def tell() -> None:
        await acting.begun.wait()
        stop.set()

    told = asyncio.create_task(tell())
    evaluate = _evaluate(all_listed, acting, lambda _: acting, loop, Tally())  # type: ignore[arg-type, return-value]
    await supervise(stop, loop.finish, unwatch, evaluate=evaluate, watch=until(unwatch))
    await told
    assert acting.did == did


def test_all_steps_together_leave_a_second_for_the_ledger_within_five() -> None:
    steps = ending.FINISH_SECONDS + ending.SAVE_SECONDS + RELEASE_SECONDS + ending.UNWATCH_SECONDS + SHUTDOWN_SECONDS
    assert steps + 1.0 <= ending.LEAVE_SECONDS < 5.0


async def test_whatever_hangs_in_the_end_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    left, statuses = threading.Event(), []

    def leave(status: int) -> None:
        statuses.append(status)
        left.set()

    monkeypatch.setattr(ending, "leave", leave)
    monkeypatch.setattr(ending, "LEAVE_SECONDS", 0.01)
    stop = asyncio.Event()
    late = asyncio.create_task(ending.leave_late(stop))
    await asyncio.sleep(0.05)
    assert not statuses, "not before it is told to end"
    stop.set()
    await late
    await asyncio.to_thread(left.wait, 60)
    assert statuses == [1]


def test_threads_that_wait_for_an_answer_are_not_waited_for() -> None:
    program = (
        "import asyncio, time\n"
        "from flyball.runtime.ending import leave\n"
        "async def main():\n"
        "    asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)\n"
        "    print('saved')\n"
        "    leave(3)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "saved\n"), done.stderr
