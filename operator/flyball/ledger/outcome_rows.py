"""Keys and sums of records of outcomes, looked up and written by the hundred thousand: each database in its own way.

Both are asked for all keys by one value. Written are whole numbers as they are kept: row by row to SQLite, which runs
in this process; PostgreSQL copies keys as bytes, and takes sums column by column.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, Connection, any_, bindparam, func, literal, select, type_coerce, update
from sqlalchemy.dialects.postgresql import ARRAY

from flyball.ledger.schema import outcome_key

ROW = np.dtype(
    [
        ("key", "<i8"), ("kpi", "<i4"), ("at", "<i8"), ("outcomes", "<i8"), ("cases", "<i8"), ("minutes", "<i8"),
        ("void", "i1"),
    ]
)  # fmt: skip
"""A record in whole numbers: key, number of its KPI, time, thousandths of outcomes, cases and minutes, and its void."""
KEY = np.dtype(
    [("key", "<i8"), ("kpi_id", "<i4"), ("start", "<i8"), ("outcomes", "<i8"), ("minutes", "<i8"), ("void", "<i2")]
)
"""What is kept of it. `start` is its hour; the void is 0 while it counts."""
SUM = np.dtype(
    [
        ("kpi_id", "<i4"), ("grain", "<i2"), ("start", "<i8"), ("outcomes", "<i8"), ("cases", "<i8"),
        ("minutes", "<i8"), ("came_back", "<i8"), ("failed", "<i8"), ("squares", "<f8"),
    ]
)  # fmt: skip
"""The columns of `outcome`: the fields of `core.value.outcomes.Counted` in thousandths, but for the squares."""

_COLUMNS = ", ".join(KEY.names or ())
_KEYS_SQLITE = f"INSERT INTO outcome_key ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
_KEYS_POSTGRESQL = f"COPY outcome_key ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_ADD = """ON CONFLICT (kpi_id, grain, start) DO UPDATE SET outcomes = outcome.outcomes + excluded.outcomes,
cases = outcome.cases + excluded.cases, minutes = outcome.minutes + excluded.minutes,
came_back = outcome.came_back + excluded.came_back, failed = outcome.failed + excluded.failed,
squares = outcome.squares + excluded.squares"""
_SUMS = f"INSERT INTO outcome ({', '.join(SUM.names or ())})"
_SUMS_SQLITE = f"{_SUMS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) {_ADD}"
_COLUMNS_OF_SUMS = "%s::int[], %s::smallint[], " + "%s::bigint[], " * 6 + "%s::double precision[]"
_SUMS_POSTGRESQL = f"{_SUMS} SELECT * FROM unnest({_COLUMNS_OF_SUMS}) {_ADD}"  # noqa: S608 - constants
_COPY_HEAD, _COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


@dataclass(slots=True)
class KnownKey:
    """What the record of a key was: the fields of `KEY`."""

    kpi_id: int
    start: int
    outcomes: int
    minutes: int
    void: int


def find(connection: Connection, keys: np.ndarray) -> dict[int, KnownKey]:
    """Those of the keys that are known."""
    if connection.dialect.name == "postgresql":
        within = outcome_key.c.key == any_(literal(keys.tolist(), ARRAY(BigInteger)))
    else:
        listed = func.json_each(json.dumps(keys.tolist())).table_valued("value")
        within = outcome_key.c.key.in_(select(listed.c.value))
    columns = [type_coerce(outcome_key.c[name], BigInteger) for name in KEY.names or ()]
    return {key: KnownKey(*rest) for key, *rest in connection.execute(select(*columns).where(within))}


def add_keys(connection: Connection, rows: np.ndarray) -> None:
    """Add keys that are not there, as rows of `KEY`."""
    if not len(rows):
        return
    if connection.dialect.name != "postgresql":
        connection.exec_driver_sql(_KEYS_SQLITE, rows.tolist())
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(_KEYS_POSTGRESQL) as copy:
        copy.write(_COPY_HEAD + _copied(rows) + _COPY_END)


def mark_voided(connection: Connection, known: Iterable[tuple[int, int]]) -> None:
    """Note of keys that are there why they no longer count."""
    if rows := [{"of": key, "why": why} for key, why in known]:
        mark = update(outcome_key).where(outcome_key.c.key == bindparam("of")).values(void=bindparam("why"))
        connection.execute(mark, rows)


def add_sums(connection: Connection, rows: np.ndarray) -> None:
    """Add to what was counted of KPIs in hours, days and months, as rows of `SUM`."""
    if not len(rows):
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_SUMS_POSTGRESQL, tuple(rows[name].tolist() for name in SUM.names or ()))
    else:
        connection.exec_driver_sql(_SUMS_SQLITE, rows.tolist())


def _copied(rows: np.ndarray) -> bytes:
    """Rows as PostgreSQL's binary COPY has them: how many fields, and each with its length before it, high bytes first
    (https://www.postgresql.org/docs/15/sql-copy.html).
    """
    names = rows.dtype.names or ()
    fields = [("count", ">i2")]
    for name in names:
        fields += [(f"{name}_length", ">i4"), (name, rows.dtype[name].newbyteorder(">").str)]
    found = np.empty(len(rows), np.dtype(fields))
    found["count"] = len(names)
    for name in names:
        found[f"{name}_length"] = rows.dtype[name].itemsize
        found[name] = rows[name]
    return found.tobytes()
