"""What objectives of workloads in experiments counted by five minutes, and what KPIs meant when one was registered."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table and the column."""
    op.create_table(
        "objective_slot",
        sa.Column("start", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("namespace", sa.String(253), nullable=False),
        sa.Column("workload", sa.String(253), nullable=False),
        sa.Column("objective", sa.String(63), nullable=False),
        sa.Column("good", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("measured_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("start", "namespace", "workload", "objective", name="pk_objective_slot"),
        sqlite_with_rowid=False,
    )
    op.add_column("experiment", sa.Column("kpis", sa.Text, nullable=False, server_default="{}"))
