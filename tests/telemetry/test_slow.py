"""Windows in the background: when they are asked for again."""

from __future__ import annotations

import asyncio

import pytest

from flyball.telemetry.answers import Answer
from flyball.telemetry.slow import SlowWindows

REFRESH = 60.0


@pytest.mark.parametrize(
    ("takes", "after", "asked"),
    [
        (1.0, 59.0, 1),
        (1.0, 60.0, 2),
        (20.0, 60.0, 1),
        (20.0, 199.0, 1),
        (20.0, 200.0, 2),
    ],
)
@pytest.mark.parametrize("failure", ["", "did not answer in time"])
def test_a_query_takes_a_tenth_of_the_time_at_most(takes: float, after: float, asked: int, failure: str) -> None:
    assert asyncio.run(_asked(takes, after, ("q", "q"), failure)) == asked


def test_another_query_is_asked_at_once() -> None:
    assert asyncio.run(_asked(20.0, 1.0, ("q", "r"), "did not answer in time")) == 2


async def _asked(takes: float, after: float, queries: tuple[str, str], failure: str) -> int:
    clock, asked = [0.0], []

    async def ask(query: str) -> Answer:
        asked.append(query)
        clock[0] += takes
        return Answer((), failure)

    windows = SlowWindows(REFRESH, lambda answer: answer, lambda: clock[0])
    for at, query in zip((0.0, after), queries, strict=True):
        await windows.read("a source", {3600.0: query}, at, ask, wait_seconds=1.0)
        await asyncio.sleep(0)
    await windows.aclose()
    return len(asked)
