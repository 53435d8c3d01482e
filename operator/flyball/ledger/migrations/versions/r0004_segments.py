"""What segments of the traffic cost, by hour, day and month, and up to when costs are split by them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "segment",
        sa.Column("id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("label", sa.String(63), nullable=False),
        sa.Column("value", sa.String(253), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("basis", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_segment"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "segment_use",
        sa.Column("grain", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("start", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("workload_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("segment_id", sa.BigInteger, nullable=False, autoincrement=False),
        *(sa.Column(count, sa.BigInteger, nullable=False) for count in ("requests", "prompt_tokens", "output_tokens")),
        sa.Column("dollars", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("grain", "start", "workload_id", "segment_id", name="pk_segment_use"),
        sa.ForeignKeyConstraint(["workload_id"], ["workload.id"], name="fk_segment_use_workload_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "segment_mark",
        sa.Column("workload_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workload_id", name="pk_segment_mark"),
        sa.ForeignKeyConstraint(["workload_id"], ["workload.id"], name="fk_segment_mark_workload_id"),
    )
