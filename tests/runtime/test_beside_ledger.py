"""A ledger beside the ticks is opened when it is first needed, and closed with whoever works with it."""

from pathlib import Path

import pytest

from flyball.ledger.errors import LedgerError
from flyball.ledger.store import Ledger
from flyball.runtime.beside_ledger import BesideLedger


async def test_it_is_opened_once_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Ledger] = []
    close = Ledger.close

    def noted(ledger: Ledger) -> None:
        closed.append(ledger)
        close(ledger)

    monkeypatch.setattr(Ledger, "close", noted)
    url = tmp_path / "ledger.db"
    beside = BesideLedger("test", str(url), "Europe/Berlin")
    assert not url.exists()
    ledger = beside.opened()
    assert beside.opened() is ledger
    assert str(ledger.calendar.zone) == "Europe/Berlin"
    await beside.aclose()
    assert closed == [ledger]


async def test_one_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    beside = BesideLedger("test", str(tmp_path / "missing" / "ledger.db"), "")
    with pytest.raises(LedgerError):
        beside.opened()
    await beside.aclose()
    (tmp_path / "missing").mkdir()
    assert beside.opened() is not None
    await beside.aclose()
