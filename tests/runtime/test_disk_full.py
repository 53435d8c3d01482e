"""A disk that is full costs the ledger time, not the loop: what was used meanwhile is written when there is room."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.cases import START, observation, running, spec
from sqlalchemy import Engine, event, text
from structlog.testing import capture_logs

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.money.bill import PathUse
from flyball.core.money.meter import milliseconds
from flyball.core.observation import PodSpan
from flyball.ledger.queries import total
from flyball.ledger.store import Ledger
from flyball.runtime.bookkeeper import Bookkeeper
from flyball.runtime.tick import Outcome, TickReport

CHAT = spec()
DECISION = decide(CHAT, observation(), Memory())[0]
PERIOD = 300


def report(at: float) -> TickReport:
    pods = (PodSpan("p", START, START + 60),)
    seen = replace(observation(at=at, state=running(1, pods=pods)), key=CHAT.key)
    return TickReport(at, (Outcome(CHAT, seen, replace(DECISION, at=at)),), ())


@contextmanager
def full(engine: Engine) -> Iterator[None]:
    """No page more for the database: SQLite says what it says when the disk is full."""

    def limit(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    with engine.connect() as connection:
        pages = connection.scalar(text("PRAGMA page_count"))
    event.listen(engine, "connect", limit)
    engine.dispose()
    yield
    event.remove(engine, "connect", limit)
    engine.dispose()


def test_a_full_disk_is_told_once_and_nothing_that_was_used_is_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    keeper, at = Bookkeeper(url), START
    keeper._account(report(at))
    ledger = keeper._opened()
    assert ledger is not None
    with capture_logs() as logs:
        with full(ledger.engine):
            while not keeper.failing:  # until the pages that are there are full
                at += PERIOD
                assert at < START + 1000 * PERIOD
                keeper._account(report(at))
            for _ in range(5):
                at += PERIOD
                keeper._account(report(at))
            assert keeper.failing
        at += PERIOD
        keeper._account(report(at))
    assert not keeper.failing
    assert [entry["event"] for entry in logs] == ["the ledger is not written", "the ledger is written again"]
    assert "full" in logs[0]["error"]
    read = Ledger(url)
    lines = total(read, milliseconds(START) - 1, milliseconds(at) + 1, milliseconds(at) + 1)
    read.close()
    seconds = sum(line.what.gpu_ms for line in lines if isinstance(line.what, PathUse)) / 1000
    assert seconds == at - START
    ledger.close()
