"""The ledger's tables. Money is whole billionths of a dollar and counts are whole thousandths: no database rounds.
Forecasts, which may be of a million dollars and more, are whole thousandths, too.

`usage` and `charge` hold rows in four grains: of periods, and the same added up by hours, days and months, so that any
stretch is read from few rows. A thousand workloads leave fifteen million of them in a year, so they are narrow:
dictionaries (`workload`, `path`, `component`) stand for words, times are four bytes, and what PostgreSQL aligns to
eight bytes comes first. One key serves all queries: those of all workloads read stretches of it, and those of one name
each time. Times of code are milliseconds since the epoch, and so are those of all other tables.
"""

from decimal import Decimal
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator


class Grain(IntEnum):
    """What a row of `usage` or `charge` covers."""

    PERIOD = 0
    HOUR = 1
    DAY = 2
    MONTH = 3


LARGEST = 2**63 // 500_000
"""The most that one row may hold: five hundred thousand of them, a year's and more, still fit into 64 bits."""


class Fixed(TypeDecorator[Decimal]):
    """A Decimal with so many digits after the point, kept as an integer."""

    impl = BigInteger
    cache_ok = True

    def __init__(self, digits: int) -> None:
        super().__init__()
        self.digits = digits

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - its signature
        """To the integer. Raises ValueError for what a year of such rows could not be added up from."""
        if value is None:
            return None
        whole = int(value.scaleb(self.digits).to_integral_value())
        if abs(whole) > LARGEST:
            raise ValueError(f"{value} is more than any workload uses or costs in five minutes: look at its prices")
        return whole

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - as above
        """Back; a sum comes as an int or a Decimal."""
        return None if value is None else Decimal(int(value)).scaleb(-self.digits)


class Moment(TypeDecorator[int]):
    """A time in milliseconds since the epoch, kept as whole seconds since 2020 in four bytes: until 2088.

    A time within a second is that second's end, so that what begins before it, or not before it, stays the same.
    """

    impl = Integer
    cache_ok = True
    ZERO, MOST = 1_577_836_800, 2**31 - 1

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - its signature
        """To seconds since 2020; a time outside of what can be kept is the nearest that can."""
        return None if value is None else max(-self.MOST, min(self.MOST, -(-value // 1000) - self.ZERO))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - as above
        """Back."""
        return None if value is None else (int(value) + self.ZERO) * 1000


DOLLARS, QUANTITY, COUNT = Fixed(9), Fixed(6), Fixed(3)
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

setting = Table(
    "setting",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)
"""What holds for the whole ledger: the time zone of its days."""

workload = Table(
    "workload",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("uid", String(64), nullable=False, unique=True),
    Column("namespace", String(253), nullable=False),
    Column("name", String(253), nullable=False),
    Column("since", BigInteger, nullable=False, server_default="0"),
    Column("through", BigInteger, nullable=False),
)
"""Every WorkloadSLO that ever was, by uid. All that it cost from `since` on and before `through` is in the ledger."""

path = Table(
    "path",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(253), nullable=False, unique=True),
)

component = Table(
    "component",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("path_id", Integer, ForeignKey("path.id"), nullable=False),
    Column("name", String(253), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("unit", String(32), nullable=False),
    Column("priced", Boolean, nullable=False),
    UniqueConstraint("path_id", "name", "kind", "unit", "priced"),
)
"""What charges are for, on one path. What was charged without a known price is kept apart, by quantity."""


def _keys(word: str) -> tuple[Column[Any] | PrimaryKeyConstraint, ...]:
    return (
        Column("start", Moment, nullable=False, autoincrement=False),
        Column("workload_id", Integer, ForeignKey("workload.id"), nullable=False, autoincrement=False),
        Column(f"{word}_id", Integer, ForeignKey(f"{word}.id"), nullable=False, autoincrement=False),
        Column("grain", SmallInteger, nullable=False, autoincrement=False),
        PrimaryKeyConstraint("grain", "start", "workload_id", f"{word}_id"),
    )


usage = Table(
    "usage",
    metadata,
    *(Column(f"{state}_ms", BigInteger, nullable=False) for state in ("loading", "idle", "serving", "unmeasured")),
    *(Column(state, DOLLARS, nullable=False) for state in ("loading", "idle", "serving", "unmeasured")),
    Column("unpriced_ms", BigInteger, nullable=False),
    *(Column(count, COUNT, nullable=False) for count in ("requests", "prompt_tokens", "output_tokens")),
    Column("measured_ms", BigInteger, nullable=False),
    *_keys("path"),
    sqlite_with_rowid=False,
)
"""GPU-milliseconds and dollars by state, and traffic, of one path of a workload: the fields of
`core.money.bill.PathUse`."""

charge = Table(
    "charge",
    metadata,
    Column("quantity", QUANTITY, nullable=False),
    Column("dollars", DOLLARS, nullable=False),
    *_keys("component"),
    sqlite_with_rowid=False,
)
"""What components cost a workload."""

spent = Table(
    "spent",
    metadata,
    Column("dollars", DOLLARS, nullable=False),
    Column("start", Moment, nullable=False, autoincrement=False),
    Column("workload_id", Integer, ForeignKey("workload.id"), nullable=False, autoincrement=False),
    Column("grain", SmallInteger, nullable=False, autoincrement=False),
    PrimaryKeyConstraint("grain", "start", "workload_id"),
    sqlite_with_rowid=False,
)
"""What a workload cost in all on a day, corrections left out: a row where the other two have four and more."""

segment = Table(
    "segment",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("label", String(63), nullable=False),
    Column("value", String(253), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("basis", String(16), nullable=False),
    sqlite_with_rowid=False,
)
"""The fields of `core.money.segment_bill.Segment`, by a hash of them: a label may have a million values, of which no
list is read to write one.
"""

segment_use = Table(
    "segment_use",
    metadata,
    Column("grain", SmallInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("workload_id", Integer, ForeignKey("workload.id"), primary_key=True, autoincrement=False),
    Column("segment_id", BigInteger, primary_key=True, autoincrement=False),
    *(Column(count, COUNT, nullable=False) for count in ("requests", "prompt_tokens", "output_tokens")),
    Column("dollars", DOLLARS, nullable=False),
    sqlite_with_rowid=False,
)
"""What segments of a workload's traffic caused: the counts of `core.money.segment_bill.SegmentUse`, by hour, day and
month. No foreign key holds `segment_id`, since to drop a segment would then need an index of it, as large as the table.
"""

segment_mark = Table(
    "segment_mark",
    metadata,
    Column("workload_id", Integer, ForeignKey("workload.id"), primary_key=True, autoincrement=False),
    Column("through", BigInteger, nullable=False),
)
"""Up to when each workload's costs are split by segment: written with the rows, so that no hour is split twice."""

correction = Table(
    "correction",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("made_at", BigInteger, nullable=False),
    Column("start", BigInteger, nullable=False, index=True),
    Column("workload_id", Integer, ForeignKey("workload.id"), nullable=False),
    Column("component", String(253), nullable=False),
    Column("dollars", DOLLARS, nullable=False),
    Column("note", String(1024), nullable=False),
)
"""What was found to be otherwise later: rows of their own, since nothing that is written is changed."""

kpi = Table(
    "kpi",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("namespace", String(253), nullable=False),
    Column("workload", String(253), nullable=False),
    Column("name", String(63), nullable=False),
    UniqueConstraint("namespace", "workload", "name"),
)
"""Business outcomes by workload and name: those who push them know a workload's name, and not which object it was."""

outcome = Table(
    "outcome",
    metadata,
    Column("kpi_id", Integer, ForeignKey("kpi.id"), primary_key=True, autoincrement=False),
    Column("grain", SmallInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    *(Column(count, COUNT, nullable=False) for count in ("outcomes", "cases", "minutes", "came_back", "failed")),
    Column("squares", Double, nullable=False),
    sqlite_with_rowid=False,
)
"""Outcomes by hour, day and month: the fields of `core.value.outcomes.Counted`."""

outcome_key = Table(
    "outcome_key",
    metadata,
    Column("key", BigInteger, primary_key=True, autoincrement=False),
    Column("kpi_id", Integer, ForeignKey("kpi.id"), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("outcomes", COUNT, nullable=False),
    Column("minutes", COUNT, nullable=False),
    Column("void", SmallInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Every record of outcomes by a hash of its key, so that a repetition is known and a record can be voided. `start` is
its hour; `void` is 0 while it counts.
"""

forecast = Table(
    "forecast",
    metadata,
    Column("workload_id", Integer, ForeignKey("workload.id"), primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("made_at", BigInteger, primary_key=True, autoincrement=False),
    *(Column(figure, COUNT, nullable=False) for figure in ("spent", "expected", "low", "high")),
    sqlite_with_rowid=False,
)
"""What a month (its `start`) was forecast to cost, as it was said then: once a day at most, and never changed."""

baseline = Table(
    "baseline",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("namespace", String(253), nullable=False),
    Column("workload", String(253), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("figures", Text, nullable=False),
    Column("note", String(1024), nullable=False),
    Index(None, "namespace", "workload"),
)
"""What a workload cost and was worth before a change, frozen as JSON; `fingerprint` is of what it was made under."""
