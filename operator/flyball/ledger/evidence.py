"""The tables of experiments and reviews: what was registered, measured, decided and reviewed. Rows are only ever added.

Documents are JSON, as whoever wrote them knows to read them. Times are milliseconds since the epoch.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, SmallInteger, String, Table, Text

from flyball.ledger.schema import COUNT, metadata

experiment = Table(
    "experiment",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("namespace", String(253), nullable=False),
    Column("name", String(253), nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("spec_hash", String(64), nullable=False),
    Column("spec", Text, nullable=False),
    Column("kpis", Text, nullable=False, server_default="{}"),
    Index(None, "namespace", "name"),
)
"""Every ROIExperiment that was ever started, with its spec as it was registered; `start` is that of its first block.

`kpis` is what the KPIs in it meant then, and where their outcomes come from, as JSON.
"""

experiment_block = Table(
    "experiment_block",
    metadata,
    Column("uid", String(64), ForeignKey("experiment.uid"), primary_key=True),
    Column("pair", Integer, primary_key=True, autoincrement=False),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("measured", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""What each block showed, as it was measured when it had ended."""

experiment_decision = Table(
    "experiment_decision",
    metadata,
    Column("uid", String(64), ForeignKey("experiment.uid"), primary_key=True),
    Column("decided_at", BigInteger, nullable=False),
    Column("verdict", String(32), nullable=False),
    Column("judgement", Text, nullable=False),
)
"""The one verdict of an experiment, with its figures and reasons."""

objective_slot = Table(
    "objective_slot",
    metadata,
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("namespace", String(253), primary_key=True),
    Column("workload", String(253), primary_key=True),
    Column("objective", String(63), primary_key=True),
    Column("good", COUNT, nullable=False),
    Column("total", COUNT, nullable=False),
    Column("measured_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Good and all requests of the objectives of workloads in experiments, by five minutes, until blocks are measured."""

attainment = Table(
    "attainment",
    metadata,
    Column("grain", SmallInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("namespace", String(253), primary_key=True),
    Column("workload", String(253), primary_key=True),
    Column("objective", String(63), primary_key=True),
    Column("good", COUNT, nullable=False),
    Column("total", COUNT, nullable=False),
    sqlite_with_rowid=False,
)
"""Good and all requests of each objective by hour and day. Counts of one hour that come in parts are added up."""

declaration = Table(
    "declaration",
    metadata,
    Column("namespace", String(253), primary_key=True),
    Column("workload", String(253), primary_key=True),
    Column("since", BigInteger, primary_key=True, autoincrement=False),
    Column("declared", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""What a workload's owner declared that reviews hold its figures against, whenever that changed."""

review = Table(
    "review",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("start", BigInteger, nullable=False, index=True),
    Column("until", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)
"""Every review as it was made after its period, such as `weekly-2026-W48` or `monthly-2026-11`."""

review_decision = Table(
    "review_decision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("review_id", String(64), ForeignKey("review.id"), nullable=False, index=True),
    Column("made_at", BigInteger, nullable=False),
    Column("who", String(253), nullable=False),
    Column("workload", String(507), nullable=False),
    Column("decision", String(64), nullable=False),
    Column("note", String(1024), nullable=False),
)
"""What people decided upon a review. A later decision stands beside the earlier one."""
