"""Business outcomes with the keys of their records, forecasts of months, and baselines."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "kpi",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("namespace", sa.String(253), nullable=False),
        sa.Column("workload", sa.String(253), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_kpi"),
        sa.UniqueConstraint("namespace", "workload", "name", name="uq_kpi_namespace_workload_name"),
    )
    op.create_table(
        "outcome",
        sa.Column("kpi_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("grain", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("start", sa.BigInteger, nullable=False, autoincrement=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("outcomes", "cases", "minutes", "came_back", "failed")
        ),
        sa.Column("squares", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("kpi_id", "grain", "start", name="pk_outcome"),
        sa.ForeignKeyConstraint(["kpi_id"], ["kpi.id"], name="fk_outcome_kpi_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outcome_key",
        sa.Column("key", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("kpi_id", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("outcomes", "minutes")),
        sa.Column("void", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_outcome_key"),
        sa.ForeignKeyConstraint(["kpi_id"], ["kpi.id"], name="fk_outcome_key_kpi_id"),
        sqlite_with_rowid=False,
    )
    _create_forecast()
    _create_baseline()


def _create_forecast() -> None:
    op.create_table(
        "forecast",
        sa.Column("workload_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("start", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("made_at", sa.BigInteger, nullable=False, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("spent", "expected", "low", "high")),
        sa.PrimaryKeyConstraint("workload_id", "start", "made_at", name="pk_forecast"),
        sa.ForeignKeyConstraint(["workload_id"], ["workload.id"], name="fk_forecast_workload_id"),
        sqlite_with_rowid=False,
    )


def _create_baseline() -> None:
    op.create_table(
        "baseline",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("namespace", sa.String(253), nullable=False),
        sa.Column("workload", sa.String(253), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sa.Column("note", sa.String(1024), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_baseline"),
    )
    op.create_index("ix_baseline_namespace_workload", "baseline", ["namespace", "workload"])
