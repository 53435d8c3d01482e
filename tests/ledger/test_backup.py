"""A ledger in one file and back, from either database to either."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledger.conftest import DATABASES, url_of
from ledger.entries import DAY, HOUR, MIDNIGHT, entry, periods

from flyball.ledger.backup import back_up, restore
from flyball.ledger.errors import LedgerError
from flyball.ledger.queries import total
from flyball.ledger.store import Ledger

END = MIDNIGHT + DAY


@pytest.mark.parametrize("target", DATABASES)
def test_a_ledger_moves_whole(url: str, target: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = Ledger(url, "Europe/Berlin")
    source.append(list(periods(MIDNIGHT, MIDNIGHT + HOUR)))
    expected = total(source, MIDNIGHT, END, END)
    source.close()
    told: list[tuple[int, int]] = []
    rows = back_up(url, tmp_path / "backup.db")
    (tmp_path / "new").mkdir()
    new = url_of(target, request, tmp_path / "new")
    assert restore(tmp_path / "backup.db", new, lambda done, whole: told.append((done, whole))) == rows
    assert told[-1] == (rows, rows)
    restored = Ledger(new)
    assert total(restored, MIDNIGHT, END, END) == expected
    assert restored.calendar.zone.key == "Europe/Berlin"
    assert restored.append(list(periods(MIDNIGHT, MIDNIGHT + HOUR))) == 0
    assert restored.append([entry(MIDNIGHT + HOUR), entry(MIDNIGHT, uid="u-2")]) == 2
    restored.close()


def test_a_ledger_that_holds_something_is_not_overwritten(ledger: Ledger, url: str, tmp_path: Path) -> None:
    ledger.append([entry(MIDNIGHT)])
    back_up(url, tmp_path / "backup.db")
    with pytest.raises(LedgerError, match="holds 1 workloads already; restore into an empty one"):
        restore(tmp_path / "backup.db", url)
    with pytest.raises(LedgerError, match="exists already; name another file"):
        back_up(url, tmp_path / "backup.db")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("missing.db", "is no file; name one that", id="missing"),
        pytest.param("notes.txt", "notes.txt is no backup of a ledger; name one that", id="something else"),
        pytest.param("other.db", "other.db is no backup of a ledger; name one that", id="another program's database"),
    ],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "notes.txt").write_text("not a backup at all, only some lines of text" * 50)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE note (text)")
    with pytest.raises(LedgerError, match=said):
        restore(tmp_path / name, str(tmp_path / "ledger.db"))


def test_a_backup_leaves_nothing_beside_it(url: str, tmp_path: Path) -> None:
    Ledger(url).close()
    folder = tmp_path / "backups"
    folder.mkdir()
    back_up(url, folder / "backup.db")
    assert [file.name for file in folder.iterdir()] == ["backup.db"]
