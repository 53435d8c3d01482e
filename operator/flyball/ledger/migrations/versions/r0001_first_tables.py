"""The first tables: usage, charges and corrections by workload, in periods, hours and days."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_STATES = ("loading", "idle", "serving", "unmeasured")


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "setting",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
    )
    op.create_table(
        "workload",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("namespace", sa.String(253), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workload"),
        sa.UniqueConstraint("uid", name="uq_workload_uid"),
    )
    op.create_table(
        "path",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_path"),
        sa.UniqueConstraint("name", name="uq_path_name"),
    )
    op.create_table(
        "component",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("priced", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_component"),
        sa.UniqueConstraint("name", "kind", "unit", "priced", name="uq_component_name_kind_unit_priced"),
    )
    _create_usage()
    _create_charge()
    op.create_table(
        "correction",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("workload_id", sa.Integer, nullable=False),
        sa.Column("component", sa.String(253), nullable=False),
        sa.Column("dollars", sa.BigInteger, nullable=False),
        sa.Column("note", sa.String(1024), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_correction"),
        sa.ForeignKeyConstraint(["workload_id"], ["workload.id"], name="fk_correction_workload_id"),
    )
    op.create_index("ix_correction_start", "correction", ["start"])


def _keys() -> tuple[sa.Column[int], ...]:
    return (
        sa.Column("grain", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("start", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("workload_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("path_id", sa.Integer, nullable=False, autoincrement=False),
    )


def _create_usage() -> None:
    op.create_table(
        "usage",
        *_keys(),
        sa.Column("until", sa.BigInteger, nullable=False),
        *(sa.Column(f"{state}_ms", sa.BigInteger, nullable=False) for state in _STATES),
        *(sa.Column(state, sa.BigInteger, nullable=False) for state in _STATES),
        sa.Column("unpriced_ms", sa.BigInteger, nullable=False),
        *(sa.Column(count, sa.BigInteger, nullable=False) for count in ("requests", "prompt_tokens", "output_tokens")),
        sa.Column("measured_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("grain", "start", "workload_id", "path_id", name="pk_usage"),
        sa.ForeignKeyConstraint(["workload_id"], ["workload.id"], name="fk_usage_workload_id"),
        sa.ForeignKeyConstraint(["path_id"], ["path.id"], name="fk_usage_path_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_usage_workload_id_grain_start", "usage", ["workload_id", "grain", "start"])


def _create_charge() -> None:
    op.create_table(
        "charge",
        *_keys(),
        sa.Column("component_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("dollars", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("grain", "start", "workload_id", "path_id", "component_id", name="pk_charge"),
        sa.ForeignKeyConstraint(["workload_id"], ["workload.id"], name="fk_charge_workload_id"),
        sa.ForeignKeyConstraint(["path_id"], ["path.id"], name="fk_charge_path_id"),
        sa.ForeignKeyConstraint(["component_id"], ["component.id"], name="fk_charge_component_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_charge_workload_id_grain_start", "charge", ["workload_id", "grain", "start"])
