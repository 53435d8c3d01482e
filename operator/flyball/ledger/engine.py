"""A connection to the database under a ledger: SQLite in a file, or PostgreSQL. Migrated when it is opened.

SQLite runs with a write-ahead log, so that readers and the one writer do not wait for each other. What a power cut may
take from its end is accounted for again: the mark up to which a workload is written goes with the rows themselves.
Writers of both wait for each other from the beginning of their transactions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from flyball.ledger.errors import LedgerError, UnwritableError

WRITES = "flyball_writes"
CONNECT_SECONDS, STATEMENT_SECONDS = 10, 60
_LOCK = 0x666C79  # PostgreSQL's advisory lock that writers take; any number that is nobody else's


def open_engine(url: str) -> Engine:
    """An engine for `sqlite:///…`, a bare path or `postgresql://…`, over tables of this version. Raises LedgerError."""
    parsed = _parsed(url)
    if parsed.drivername == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": STATEMENT_SECONDS})
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
    else:
        options = f"-c statement_timeout={STATEMENT_SECONDS}s -c timezone=UTC"
        arguments = {"connect_timeout": CONNECT_SECONDS, "options": options, "application_name": "flyball"}
        engine = create_engine(parsed.set(drivername="postgresql+psycopg"), connect_args=arguments, pool_pre_ping=True)
    try:
        _migrate(engine)
    except LedgerError:
        engine.dispose()
        raise
    return engine


def require(url: str) -> None:
    """Raise LedgerError where a ledger in a file is not there: only the operator begins one."""
    parsed = _parsed(url)
    if parsed.drivername == "sqlite" and not Path(parsed.database).is_file():
        raise LedgerError(f"there is no ledger in {parsed.database}; name the file that the operator writes")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that waits for other writers first. Raises LedgerError."""
    with translated(), engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the ledger, whatever is written meanwhile. Raises LedgerError."""
    level = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with translated(), engine.connect().execution_options(**level) as connection, connection.begin():
        yield connection


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that may say what to do on a conflict, which each database has a statement of its own for."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the database as LedgerError, without the statement and its values."""
    try:
        yield
    except (DataError, IntegrityError) as error:
        raise UnwritableError(_said(error)) from error
    except DBAPIError as error:
        raise LedgerError(_said(error)) from error
    except StatementError as error:  # raised by the value itself, before the database was asked
        raise UnwritableError(_said(error)) from error
    except SQLAlchemyError as error:
        raise LedgerError(f"{type(error).__name__}: {error}") from error


def _said(error: StatementError) -> str:
    return " ".join(str(error.orig).split()) or type(error).__name__


def _parsed(url: str) -> Any:
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except (ArgumentError, ValueError):
        raise LedgerError("the ledger's URL cannot be read; write sqlite:///FILE or postgresql://HOST/NAME") from None
    if parsed.drivername not in ("sqlite", "postgresql", "postgres", "postgresql+psycopg"):
        raise LedgerError(
            f"a ledger in {parsed.drivername} is not known; write sqlite:///FILE or postgresql://HOST/NAME"
        )
    if parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise LedgerError("the ledger's URL names no file; write sqlite:///FILE")
    return parsed


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "flyball.ledger:migrations")
    try:
        with writing(engine) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise LedgerError(f"the ledger was written by a newer Flyball: {error}") from error


def _on_sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # else Python's driver begins transactions itself, and late
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _on_sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
