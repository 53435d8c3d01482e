"""What each workload cost in all on each day: forecasts read five weeks of it of all workloads at once."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_DAY = 2


def upgrade() -> None:
    """Create the table, and add up the days that there are."""
    op.create_table(
        "spent",
        sa.Column("dollars", sa.BigInteger, nullable=False),
        sa.Column("start", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("workload_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("grain", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("grain", "start", "workload_id", name="pk_spent"),
        sa.ForeignKeyConstraint(["workload_id"], ["workload.id"], name="fk_spent_workload_id"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO spent (grain, start, workload_id, dollars) "  # noqa: S608 - constants
        "SELECT grain, start, workload_id, sum(dollars) FROM ("
        "SELECT grain, start, workload_id, loading + idle + serving + unmeasured AS dollars FROM usage "
        f"WHERE grain = {_DAY} UNION ALL SELECT grain, start, workload_id, dollars FROM charge WHERE grain = {_DAY}"
        ") AS days GROUP BY grain, start, workload_id"
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE spent SET (autovacuum_vacuum_scale_factor = 0.02)")
