"""A ledger in one file, and back: a SQLite database whatever the ledger is in, so that it can move between them."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, func, insert, select

from flyball.ledger.engine import open_engine, reading, require, writing
from flyball.ledger.errors import LedgerError
from flyball.ledger.schema import metadata, setting, workload

BATCH = 5000

Told = Callable[[int, int], None]
"""Is told how many rows of how many are copied."""


def back_up(url: str, file: Path, told: Told = lambda _done, _all: None) -> int:
    """Write all of a ledger, as of one moment, to a file that does not exist yet; returns how many rows it holds.

    The file appears when it is complete. Raises LedgerError.
    """
    if file.exists():
        raise LedgerError(f"{file} exists already; name another file")
    require(url)
    source = open_engine(url)
    try:
        with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".backup-") as folder:
            partial = Path(folder) / "ledger.db"
            rows = _copy_into(source, str(partial), told)
            partial.replace(file)
    except OSError as error:
        raise LedgerError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        source.dispose()
    return rows


def restore(file: Path, url: str, told: Told = lambda _done, _all: None) -> int:
    """Fill an empty ledger from a backup of this version or an older one; returns how many rows there were.

    Raises LedgerError, and then nothing was written.
    """
    if not file.is_file():
        raise LedgerError(f"{file} is no file; name one that `flyball ledger backup` wrote")
    with tempfile.TemporaryDirectory(prefix="flyball-restore-") as folder:
        copy = Path(folder) / "ledger.db"  # an older backup is migrated, and the file itself stays as it is
        try:
            shutil.copyfile(file, copy)
        except OSError as error:
            raise LedgerError(f"{file} cannot be read: {error.strerror or error}") from error
        if not _is_ledger(copy):
            raise LedgerError(f"{file} is no backup of a ledger; name one that `flyball ledger backup` wrote")
        source = open_engine(str(copy))
        try:
            return _copy_into(source, url, told)
        finally:
            source.dispose()


def _is_ledger(file: Path) -> bool:
    """Whether a file holds a ledger of any version: to open another database would make an empty one of it."""
    try:
        with closing(sqlite3.connect(file)) as found:
            return bool(found.execute("SELECT 1 FROM sqlite_master WHERE name = 'workload'").fetchone())
    except sqlite3.DatabaseError:
        return False


def _copy_into(source: Engine, url: str, told: Told) -> int:
    target = open_engine(url)
    try:
        with reading(source) as old, writing(target) as new:
            if known := new.scalar(select(func.count()).select_from(workload)):
                raise LedgerError(f"the ledger there holds {known} workloads already; restore into an empty one")
            new.execute(delete(setting))
            return _copy(old, new, told)
    finally:
        target.dispose()


def _copy(old: Connection, new: Connection, told: Told) -> int:
    total = sum(old.scalar(select(func.count()).select_from(table)) or 0 for table in metadata.sorted_tables)
    done = 0
    for table in metadata.sorted_tables:
        found = old.execution_options(yield_per=BATCH).execute(select(table))
        for rows in found.mappings().partitions(BATCH):
            new.execute(insert(table), [dict(row) for row in rows])
            done += len(rows)
            told(done, total)
    return done
