"""Experiments with their blocks and decisions, attainment of objectives, reviews and what was decided upon them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "experiment",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("namespace", sa.String(253), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("registered_at", sa.BigInteger, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_experiment"),
    )
    op.create_index("ix_experiment_namespace_name", "experiment", ["namespace", "name"])
    op.create_table(
        "experiment_block",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("pair", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("place", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("measured", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("uid", "pair", "place", name="pk_experiment_block"),
        sa.ForeignKeyConstraint(["uid"], ["experiment.uid"], name="fk_experiment_block_uid"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "experiment_decision",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("verdict", sa.String(32), nullable=False),
        sa.Column("judgement", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_experiment_decision"),
        sa.ForeignKeyConstraint(["uid"], ["experiment.uid"], name="fk_experiment_decision_uid"),
    )
    _create_what_reviews_read()
    _create_reviews()


def _create_what_reviews_read() -> None:
    op.create_table(
        "attainment",
        sa.Column("grain", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("start", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("namespace", sa.String(253), nullable=False),
        sa.Column("workload", sa.String(253), nullable=False),
        sa.Column("objective", sa.String(63), nullable=False),
        sa.Column("good", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("grain", "start", "namespace", "workload", "objective", name="pk_attainment"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "declaration",
        sa.Column("namespace", sa.String(253), nullable=False),
        sa.Column("workload", sa.String(253), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("declared", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "workload", "since", name="pk_declaration"),
        sqlite_with_rowid=False,
    )


def _create_reviews() -> None:
    op.create_table(
        "review",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review"),
    )
    op.create_index("ix_review_start", "review", ["start"])
    op.create_table(
        "review_decision",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("review_id", sa.String(64), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(253), nullable=False),
        sa.Column("workload", sa.String(507), nullable=False),
        sa.Column("decision", sa.String(64), nullable=False),
        sa.Column("note", sa.String(1024), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_decision"),
        sa.ForeignKeyConstraint(["review_id"], ["review.id"], name="fk_review_decision_review_id"),
    )
    op.create_index("ix_review_decision_review_id", "review_decision", ["review_id"])
