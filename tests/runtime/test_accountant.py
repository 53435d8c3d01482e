"""The accountant reads the ledger once an hour beside the ticks, each hour of a KPI once; failures cost books only."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from core.cases import KEY, START, observation, spec

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.money.bill import Entry, PathUse
from flyball.core.names import KpiKind, RoiMetric
from flyball.core.ports import Unavailable
from flyball.core.spec import RoiTarget, WorkloadSpec
from flyball.core.value.kpi import Guard, Kpi, Value
from flyball.ledger import outcomes
from flyball.ledger.forecasts import kept
from flyball.ledger.store import Ledger
from flyball.runtime.accountant import Accountant
from flyball.runtime.advice import Seen

HOUR = 3600.0
HOUR_MS = 3_600_000
NOON = START // 86_400 * 86_400 + 43_200 + 660
"""Eleven minutes after an hour's end: its last five minutes are written by then."""
SOLVED = Kpi("solved", KpiKind.TASK_COMPLETION, query="solved_per_second", worth=Decimal(2))
TARGET = RoiTarget("worth", RoiMetric.VALUE_COST_RATIO, Decimal(2), 6 * HOUR, by_ledger=True)
CHAT = spec(value=Value((SOLVED,)), roi_targets=(TARGET,))


class Source:
    """Ten outcomes in every hour, and shares as given; `asked` are the hours asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []
        self.guarded: list[tuple[str, float, float]] = []
        self.fails = False

    async def count(self, query: str, begin: float, end: float) -> Mapping[float, float]:
        assert query == "solved_per_second"
        if self.fails:
            raise Unavailable("prometheus is away")
        self.asked.append((begin, end))
        return {begin + HOUR * index: 10.0 for index in range(round((end - begin) / HOUR))}

    async def share(self, query: str, begin: float, end: float) -> float | None:
        self.guarded.append((query, begin, end))
        return 0.95


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A ledger with two days until noon: 100 requests and $10 in each hour."""
    file = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger, end = Ledger(file), round(NOON // HOUR * HOUR_MS)
    use = PathUse("gpu", serving=Decimal(8), idle=Decimal(2), requests=Decimal(100), measured_ms=300_000)
    ledger.append(
        Entry(KEY, "uid-1", start, start + 300_000, (use,)) for start in range(end - 48 * HOUR_MS, end, HOUR_MS)
    )
    ledger.close()
    return file


def seen(at: float, declared: WorkloadSpec = CHAT) -> list[Seen]:
    observed = replace(observation(at=at), key=declared.key)
    decision, memory = decide(declared, observed, Memory())
    return [Seen(declared, observed, memory, decision)]


async def look(accountant: Accountant, at: float, declared: WorkloadSpec = CHAT) -> None:
    accountant.look(at, seen(at, declared))
    await accountant.settled()


async def test_windows_end_with_the_last_whole_hour_and_have_their_outcomes(url: str) -> None:
    accountant = Accountant(url, "", Source())
    assert accountant.books(KEY) is None
    await look(accountant, NOON)
    books = accountant.books(KEY)
    assert books is not None
    window = books.window(6 * HOUR)
    assert window is not None
    assert window.before is not None
    now = window.now
    assert now.end == round(NOON // HOUR * HOUR_MS)
    assert (now.requests, now.serving, now.fixed, now.value, now.whole) == (600, 48, 12, 120, True)
    assert (window.before.value, now.worth.lines[0].figure) == (120, 0.1)


async def test_every_hour_is_read_once_however_often_it_is_looked_at(url: str) -> None:
    source = Source()
    accountant = Accountant(url, "", source)
    for minutes in (0, 1, 30, 49, 60, 61):
        await look(accountant, NOON + 60 * minutes)
    hour = NOON // HOUR * HOUR
    assert source.asked == [(hour - 24 * HOUR, hour), (hour, hour + HOUR)]
    again = Accountant(url, "", Source())
    await look(again, NOON + HOUR)
    ledger = Ledger(url)
    end = round((NOON + HOUR) * 1000)
    assert outcomes.counted(ledger, 0, end, end)[KEY, "solved"].outcomes == 250
    ledger.close()


async def test_a_new_generation_is_read_at_once(url: str) -> None:
    accountant = Accountant(url, "", Source())
    await look(accountant, NOON, spec())
    await look(accountant, NOON + 30, replace(CHAT, generation=2))
    assert accountant.books(KEY) is None or not accountant.books(KEY).windows  # type: ignore[union-attr]
    await look(accountant, NOON + 61, replace(CHAT, generation=2))
    books = accountant.books(KEY)
    assert books is not None
    assert len(books.windows) == 1


async def test_a_source_that_fails_leaves_the_books_as_they_were_and_is_asked_again(url: str) -> None:
    source = Source()
    accountant = Accountant(url, "", source)
    await look(accountant, NOON)
    before = accountant.books(KEY)
    source.fails = True
    await look(accountant, NOON + HOUR)
    assert accountant.books(KEY) is before
    source.fails = False
    await look(accountant, NOON + HOUR + 59)
    assert accountant.books(KEY) is before, "not before a minute has passed"
    await look(accountant, NOON + HOUR + 61)
    assert accountant.books(KEY) is not before


async def test_a_ledger_that_cannot_be_opened_costs_the_books_only(tmp_path: Path) -> None:
    accountant = Accountant(f"sqlite:///{tmp_path / 'no' / 'ledger.db'}", "", Source())
    await look(accountant, NOON)
    assert accountant.books(KEY) is None


async def test_guards_by_query_are_asked_for_the_windows_whose_outcomes_they_stand_for(url: str) -> None:
    source, guarded = Source(), replace(SOLVED, guard="good")
    value = Value((guarded,), (Guard("good", 0.9, query="share"), Guard("bad", 0.99, query="share")))
    accountant = Accountant(url, "", source)
    await look(accountant, NOON, replace(CHAT, value=value))
    books = accountant.books(KEY)
    assert books is not None
    [window] = books.windows
    assert window.now.value == 120
    assert window.before is not None
    stretches = sorted((each.begin / 1000, each.end / 1000) for each in (window.before, window.now))
    assert source.guarded == [("share", *stretch) for _ in range(2) for stretch in stretches]


async def test_targets_by_the_ledger_are_judged_by_the_books(url: str) -> None:
    accountant = Accountant(url, "", Source())
    await look(accountant, NOON)
    observed = replace(observation(at=NOON + 15), books=accountant.books(KEY))
    decision, _ = decide(CHAT, observed, Memory())
    (report,) = decision.roi
    assert (report.state, report.value, report.booked) == ("Met", 2.0, True)


async def test_forecasts_are_kept_once_a_day_with_their_range(tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger, end = Ledger(file), round(NOON // HOUR * HOUR_MS)
    use = PathUse("gpu", serving=Decimal(10), requests=Decimal(100))
    days = range(end - 30 * 24 * HOUR_MS, end, 24 * HOUR_MS)
    ledger.append(Entry(KEY, "uid-1", start, start + 300_000, (use,)) for start in days)
    accountant = Accountant(file, "", Source())
    await look(accountant, NOON, spec())
    books = accountant.books(KEY)
    assert books is not None
    assert books.rest == (pytest.approx(1.0), pytest.approx(1.0))
    observed = replace(observation(at=NOON + HOUR), books=books)
    decision, memory = decide(spec(), observed, Memory())
    assert decision.cost.month_low is not None
    accountant.look(NOON + HOUR, [Seen(spec(), observed, memory, decision)])
    await accountant.settled()
    later = round((NOON + 60 * 86_400) * 1000)
    assert [len(made) for month in kept(ledger, later).values() for made in month.values()] == [1]
    ledger.close()
