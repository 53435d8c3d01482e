"""Narrower rows of usage and charges: in PostgreSQL a year of a thousand workloads took 3.3 GiB, half of it indexes.

Times are whole seconds since 2020 in four bytes; a component is one on one path; `until` and the index by workload are
gone, as what they were read for is: since when a workload's costs are known stands with it. Parts of one period, as
there are where the operator stopped in its middle, are added up to that period.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_STATES = ("loading", "idle", "serving", "unmeasured")
_USES = (
    *(f"{state}_ms" for state in _STATES),
    *_STATES,
    *("unpriced_ms", "requests", "prompt_tokens", "output_tokens", "measured_ms"),
)
_CHARGES = ("quantity", "dollars")
_ZERO = 1_577_836_800  # 2020-01-01T00:00Z
_PERIOD_MS = 300_000
_SHORTEST_DAY_MS = 82_800_000


def upgrade() -> None:
    """Copy all rows. The old tables go in the same transaction."""
    if _on_postgresql():
        op.execute("SET LOCAL statement_timeout = 0")  # a year of rows takes minutes
    _note_since()
    _put_aside()
    _create_component()
    _copy("usage", "path", _USES, "old_usage AS old", "old.path_id")
    numbered = "old_charge AS old JOIN renumbered ON renumbered.old_id = old.component_id"
    _copy(
        "charge", "component", _CHARGES, f"{numbered} AND renumbered.path_id = old.path_id", "renumbered.component_id"
    )
    for table in ("old_usage", "old_charge", "old_component", "renumbered"):
        op.drop_table(table)
    if _on_postgresql():
        for table in ("usage", "charge"):  # rows of hours, days and months change often: room is to be found soon
            op.execute(f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02)")
            op.execute(f"ANALYZE {table}")


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _note_since() -> None:
    """To the hour where hours of the first day are kept, else to the day."""
    op.add_column("workload", sa.Column("since", sa.BigInteger, nullable=False, server_default="0"))
    first = "(SELECT min(start) FROM usage WHERE usage.workload_id = workload.id AND usage.grain = {})"
    found = op.get_bind().exec_driver_sql(
        f"SELECT id, through, {first.format(2)}, {first.format(1)} FROM workload"  # noqa: S608 - constants
    )
    move = sa.text("UPDATE workload SET since = :since WHERE id = :id")
    for id_, through, day, hour in found.all():
        at = through if day is None else hour if hour is not None and hour - day < _SHORTEST_DAY_MS else day
        op.get_bind().execute(move, {"since": at, "id": id_})


def _put_aside() -> None:
    """The old tables under other names, and in PostgreSQL without their keys, whose names are one table's each."""
    if _on_postgresql():
        op.drop_constraint("fk_charge_component_id", "charge")
        op.drop_constraint("uq_component_name_kind_unit_priced", "component")
    for table in ("usage", "charge", "component"):
        if _on_postgresql():
            op.drop_constraint(f"pk_{table}", table)
        op.rename_table(table, f"old_{table}")


def _create_component() -> None:
    """Components on one path each, and what number each of the old ones on a path has now."""
    op.create_table(
        "component",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("path_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("priced", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_component"),
        sa.ForeignKeyConstraint(["path_id"], ["path.id"], name="fk_component_path_id"),
        sa.UniqueConstraint(
            "path_id", "name", "kind", "unit", "priced", name="uq_component_path_id_name_kind_unit_priced"
        ),
    )
    op.create_table(
        "renumbered",
        sa.Column("old_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("path_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("component_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("old_id", "path_id", name="pk_renumbered"),
    )
    op.execute(
        "INSERT INTO renumbered (old_id, path_id, component_id) "
        "SELECT component_id, path_id, row_number() OVER (ORDER BY component_id, path_id) "
        "FROM (SELECT DISTINCT component_id, path_id FROM old_charge) AS used"
    )
    op.execute(
        "INSERT INTO component (id, path_id, name, kind, unit, priced) "
        "SELECT renumbered.component_id, renumbered.path_id, name, kind, unit, priced "
        "FROM renumbered JOIN old_component ON old_component.id = renumbered.old_id"
    )


def _copy(table: str, word: str, counts: tuple[str, ...], source: str, id_: str) -> None:
    """Create a table and fill it. PostgreSQL makes its keys when all is in, which is faster, and packs them densely."""
    keys = ("grain", "start", "workload_id", f"{word}_id")
    constraints = [
        sa.PrimaryKeyConstraint(*keys, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["workload_id"], ["workload.id"], name=f"fk_{table}_workload_id"),
        sa.ForeignKeyConstraint([f"{word}_id"], [f"{word}.id"], name=f"fk_{table}_{word}_id"),
    ]
    op.create_table(
        table,
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in counts),
        sa.Column("start", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("workload_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column(f"{word}_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("grain", sa.SmallInteger, nullable=False, autoincrement=False),
        *(() if _on_postgresql() else constraints),
        sqlite_with_rowid=False,
    )
    into = f"INSERT INTO {table} ({', '.join((*keys, *counts))})"
    part = f"old.grain = 0 AND old.start % {_PERIOD_MS} <> 0"
    op.execute(  # the order is that of the old key, which SQLite reads by
        f"{into} SELECT old.grain, old.start / 1000 - {_ZERO}, old.workload_id, {id_}, {', '.join(counts)} "  # noqa: S608 - constants
        f"FROM {source} WHERE NOT ({part}) ORDER BY old.grain, old.start, old.workload_id, old.path_id"
    )
    if _on_postgresql():
        op.create_primary_key(f"pk_{table}", table, list(keys))
        for name in ("workload", word):
            op.create_foreign_key(f"fk_{table}_{name}_id", table, name, [f"{name}_id"], ["id"])
    slot = f"(old.start - old.start % {_PERIOD_MS}) / 1000 - {_ZERO}"
    sums = ", ".join(f"sum({name})" for name in counts)
    adding = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in counts)
    op.execute(
        f"{into} SELECT old.grain, {slot}, old.workload_id, {id_}, {sums} FROM {source} WHERE {part} "  # noqa: S608 - constants
        f"GROUP BY old.grain, {slot}, old.workload_id, {id_} "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {adding}"
    )
