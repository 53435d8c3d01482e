"""Keys and sums of records of outcomes, looked up and written by the hundred thousand: each database in its own way.

Both are asked for all keys by one value. Written are whole numbers as they are kept: row by row to SQLite, which runs
in this process, and column by column to PostgreSQL.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, any_, bindparam, func, literal, select, type_coerce, update
from sqlalchemy.dialects.postgresql import ARRAY

from flyball.ledger.schema import outcome_key

_COLUMNS = ("key", "kpi_id", "start", "outcomes", "minutes", "void")
_KEYS_SQLITE = "INSERT INTO outcome_key (key, kpi_id, start, outcomes, minutes, void) VALUES (?, ?, ?, ?, ?, ?)"
_KEYS_POSTGRESQL = """INSERT INTO outcome_key (key, kpi_id, start, outcomes, minutes, void) SELECT * FROM
unnest(%s::bigint[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::smallint[])"""
_ADD = """ON CONFLICT (kpi_id, grain, start) DO UPDATE SET outcomes = outcome.outcomes + excluded.outcomes,
cases = outcome.cases + excluded.cases, minutes = outcome.minutes + excluded.minutes,
came_back = outcome.came_back + excluded.came_back, failed = outcome.failed + excluded.failed,
squares = outcome.squares + excluded.squares"""
_SUMS_SQLITE = "INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) " + _ADD  # noqa: S608 - constants
_COLUMNS_OF_SUMS = "%s::int[], %s::smallint[], " + "%s::bigint[], " * 6 + "%s::double precision[]"
_SUMS_POSTGRESQL = f"INSERT INTO outcome SELECT * FROM unnest({_COLUMNS_OF_SUMS}) {_ADD}"  # noqa: S608 - constants

SumRow = tuple[int, int, int, int, int, int, int, int, float]
"""The columns of `outcome`: the fields of `core.value.outcomes.Counted` in thousandths, but for the squares."""


@dataclass(slots=True)
class KnownKey:
    """What the record of a key was: its KPI, hour, thousandths of outcomes and minutes, and its void (0 while it
    counts). `held`: the ledger has it; `changed`: it was voided since it was looked up.
    """

    kpi_id: int
    start: int
    outcomes: int
    minutes: int
    void: int
    held: bool = True
    changed: bool = False


def find(connection: Connection, keys: Collection[int]) -> dict[int, KnownKey]:
    """Those of the keys that are known."""
    if connection.dialect.name == "postgresql":
        within = outcome_key.c.key == any_(literal(sorted(keys), ARRAY(BigInteger)))
    else:
        listed = func.json_each(json.dumps(sorted(keys))).table_valued("value")
        within = outcome_key.c.key.in_(select(listed.c.value))
    columns = [type_coerce(outcome_key.c[name], BigInteger) for name in _COLUMNS]
    return {key: KnownKey(*rest) for key, *rest in connection.execute(select(*columns).where(within))}


def write_keys(connection: Connection, known: Mapping[int, KnownKey]) -> None:
    """Add the keys that are new, and mark those that were voided since."""
    new = [
        (key, each.kpi_id, each.start, each.outcomes, each.minutes, each.void)
        for key, each in sorted(known.items(), key=lambda item: item[0])
        if not each.held
    ]
    if new and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_KEYS_POSTGRESQL, _columns(new))
    elif new:
        connection.exec_driver_sql(_KEYS_SQLITE, new)
    if voided := [{"of": key, "why": each.void} for key, each in known.items() if each.held and each.changed]:
        mark = update(outcome_key).where(outcome_key.c.key == bindparam("of")).values(void=bindparam("why"))
        connection.execute(mark, voided)


def add_sums(connection: Connection, rows: Sequence[SumRow]) -> None:
    """Add to what was counted of KPIs in hours, days and months."""
    if rows and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_SUMS_POSTGRESQL, _columns(rows))
    elif rows:
        connection.exec_driver_sql(_SUMS_SQLITE, list(rows))


def _columns(rows: Sequence[tuple[float, ...]]) -> tuple[list[float], ...]:
    return tuple(map(list, zip(*rows, strict=True)))
