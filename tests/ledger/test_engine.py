"""Opening a ledger's database: what is refused in which words, and that its tables are those that the code means."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ledger.entries import DAY, MIDNIGHT, entry
from sqlalchemy import text

from flyball.ledger.engine import open_engine, writing
from flyball.ledger.errors import LedgerError
from flyball.ledger.queries import total
from flyball.ledger.schema import metadata
from flyball.ledger.store import Ledger


def test_the_steps_lead_to_the_tables_that_the_code_means(url: str) -> None:
    engine = open_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_opening_it_again_changes_nothing(url: str) -> None:
    first = Ledger(url)
    first.append([entry(MIDNIGHT)])
    first.close()
    again = Ledger(url)
    assert len(total(again, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY)) == 2
    again.close()


def test_a_ledger_of_a_newer_version_is_left_alone(url: str) -> None:
    engine = open_engine(url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(LedgerError, match="written by a newer Flyball"):
        open_engine(url)


def test_it_can_be_read_while_it_is_written(ledger: Ledger) -> None:
    ledger.append([entry(MIDNIGHT)])
    with writing(ledger.engine) as connection:
        connection.execute(text("DELETE FROM charge"))
        assert len(total(ledger, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + DAY)) == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("mysql://u:secret@h/d", "a ledger in mysql is not known; write sqlite:///FILE or", id="MySQL"),
        pytest.param("sqlite://", "names no file; write sqlite:///FILE", id="in memory"),
        pytest.param("postgresql://u:secret@h:port/d", "cannot be read; write sqlite:///FILE or", id="a port in words"),
        pytest.param("/no/such/folder/ledger.db", "unable to open database file", id="no folder"),
        pytest.param("postgresql://u:secret@127.0.0.1:1/d", "onnection", id="nobody listens"),
    ],
)
def test_what_cannot_be_opened_is_said_without_secrets(url: str, said: str) -> None:
    with pytest.raises(LedgerError) as refused:
        open_engine(url)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("this is no database, and long enough to be read as one" * 40)
    with pytest.raises(LedgerError, match="not a database"):
        open_engine(str(tmp_path / "notes.txt"))
