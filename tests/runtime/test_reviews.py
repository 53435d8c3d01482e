"""Reviews on schedule: made once when a week or month is over, of what ticks and the ledger told."""

from dataclasses import replace
from pathlib import Path

import pytest
from ledger.entries import DAY, HOUR
from ledger.weeks import MONDAY, fill
from support.world import World

from flyball.core.names import WorkloadKey
from flyball.ledger.attainment import attained, declarations
from flyball.ledger.reviews import find, listed
from flyball.ledger.schema import Grain
from flyball.ledger.store import Ledger
from flyball.runtime.counts import Counts
from flyball.runtime.reviews import Reviews
from flyball.runtime.tick import TickReport

NEXT_MONDAY = MONDAY + 7 * DAY
KEY = WorkloadKey("team", "chat")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


async def a_report() -> TickReport:
    world = World()
    world.apply("chat")
    return await world.tick()


async def play(reviews: Reviews, counts: Counts, report: TickReport, begin: int, end: int, step: int) -> None:
    for at in range(begin, end, step):
        each = replace(report, at=at / 1000)
        counts.take(each)
        reviews.take(each)
        await reviews.settled()


def started(counts: Counts, url: str) -> Reviews:
    return Reviews(counts, url, "", lambda: {KEY: {"team": "shop"}})


async def test_a_week_is_reviewed_once_when_its_last_rows_are_there(url: str) -> None:
    ledger, report, counts = Ledger(url), await a_report(), Counts()
    fill(ledger, MONDAY, NEXT_MONDAY)
    reviews = started(counts, url)
    await play(reviews, counts, report, NEXT_MONDAY - HOUR, NEXT_MONDAY + 1_800_000, 900_000)
    assert listed(ledger) == []
    await play(reviews, counts, report, NEXT_MONDAY + 3_600_000, NEXT_MONDAY + 4 * HOUR, HOUR)
    assert {each["id"] for each in listed(ledger)} == {"weekly-2025-W48", "monthly-2025-11"}
    made = find(ledger, "weekly-2025-W48")
    await play(started(counts, url), counts, report, NEXT_MONDAY + 5 * HOUR, NEXT_MONDAY + 7 * HOUR, HOUR)
    assert find(ledger, "weekly-2025-W48") == made


async def test_hours_of_objectives_reach_the_ledger_once_and_whole(url: str) -> None:
    report, counts = await a_report(), Counts()
    reviews = started(counts, url)
    await play(reviews, counts, report, MONDAY, MONDAY + 2 * HOUR + 60_000, 60_000)
    good, total = attained(Ledger(url), [KEY], "first-token", MONDAY, MONDAY + HOUR, Grain.HOUR)
    assert total == pytest.approx(2.0 * 59 * 60, rel=1e-6), "two a second, from the second look on"
    assert good / total == pytest.approx(0.999)
    assert declarations(Ledger(url), MONDAY + 2 * HOUR)[KEY]["objectives"] == {"first-token": 0.95}
    assert declarations(Ledger(url), MONDAY + 2 * HOUR)[KEY]["labels"] == {"team": "shop"}


async def test_a_ledger_that_fails_loses_no_hour(url: str, tmp_path: Path) -> None:
    report, counts = await a_report(), Counts()
    reviews = started(counts, str(tmp_path / "missing" / "ledger.db"))
    await play(reviews, counts, report, MONDAY, MONDAY + 2 * HOUR, 60_000)
    (tmp_path / "missing").mkdir()
    await play(reviews, counts, report, MONDAY + 2 * HOUR, MONDAY + 3 * HOUR + 60_000, 60_000)
    ledger = Ledger(str(tmp_path / "missing" / "ledger.db"))
    _, total = attained(ledger, [KEY], "first-token", MONDAY, MONDAY + 3 * HOUR, Grain.HOUR)
    assert total == pytest.approx(2.0 * (3 * 3600 - 60), rel=1e-6)
