"""What segments of the traffic add to the ledger of a thousand workloads in a year, as full as the cap lets it be.

Three hours are written by the operator's own code: each label has all the named segments that the cap allows, `other`
and `unattributed`. Before them lie copies of their last hour and day. A year's size is what a row takes there, times
the rows that a year leaves: two to three days of hours, a year of days and months; and what a name takes, times the
names: at worst all of every day's are new. Times are of the processor.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.bench.ledger import GIB, NOW, WORKLOADS, YEAR_DAYS, entries
from sqlalchemy import insert, literal, select

from flyball.core.money.meter import PERIOD_MS
from flyball.core.money.segment_bill import Basis, Segment, SegmentKind, SegmentUse, most_named
from flyball.core.names import WorkloadKey
from flyball.ledger import segments
from flyball.ledger.calendar import HOUR_MS
from flyball.ledger.engine import writing
from flyball.ledger.schema import Grain, segment_use
from flyball.ledger.store import DAY_MS, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = ("tenant", "tier", "route", "template")
FILLED_DAYS = 31
HOURS_KEPT = segments.HOURS_KEPT_MS // HOUR_MS + 24
ROUNDS = 5


def measure(**_: float) -> dict[str, str]:
    """A year's size by how many labels split a workload, and the times of a write and of queries, on SQLite."""
    found = {}
    for labels in (1, 4):
        found |= _of(labels)
    return found


def _of(labels: int) -> dict[str, str]:
    most = most_named(WORKLOADS, labels)
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        ledger = Ledger(str(Path(folder) / "ledger.db"))
        ledger.append(entries(NOW - PERIOD_MS))  # all costs are known until now
        written = _write_three_hours(ledger, labels, most)
        _fill(ledger)
        tables = {name: _rows_and_bytes(ledger, name) for name in ("segment_use", "segment")}
        queries = _queries(ledger)
        ledger.close()
    per_row, per_name = (size / max(1, rows) for rows, size in tables.values())
    a_day = WORKLOADS * labels * (most + 2)
    rows = a_day * (HOURS_KEPT + YEAR_DAYS + 12)
    names = WORKLOADS * labels * most * YEAR_DAYS
    what = f"{labels} label{'s' if labels > 1 else ''}, {most} named of each"
    return {
        f"a year of {WORKLOADS} workloads split by {what}": (
            f"{rows * per_row / GIB:.2f} GiB ({rows / 1e6:.1f} million rows of {per_row:.0f} bytes), and "
            f"{names * per_name / GIB:.2f} GiB where every day's names are new ({per_name:.0f} bytes each)"
        ),
        f"writing an hour, {what}": f"{statistics.median(written):.2f} s",
        **{f"query, {what}: {name}": f"{seconds * 1000:.0f} ms" for name, seconds in queries.items()},
    }


def _write_three_hours(ledger: Ledger, labels: int, most: int) -> list[float]:
    took = []
    for start in range(NOW - 3 * HOUR_MS, NOW, HOUR_MS):
        splits = {each.uid: _uses(number, labels, most) for number, each in enumerate(entries(start))}
        began = time.process_time()
        segments.append(ledger, start, splits, most)
        took.append(time.process_time() - began)
    return took


def _uses(workload: int, labels: int, most: int) -> list[SegmentUse]:
    found = []
    for label in LABELS[:labels]:
        words = [
            Segment(label, f"customer-{workload * 100 + number:08d}", SegmentKind.NAMED, Basis.WORK)
            for number in range(most)
        ]
        words += [Segment(label, "", kind, Basis.WORK) for kind in (SegmentKind.OTHER, SegmentKind.UNATTRIBUTED)]
        for number, word in enumerate(words):
            requests = Decimal(7200 + workload) / (number + 1)
            counts = [(requests * each).quantize(Decimal("0.001")) for each in (1, 1154, 211)]
            found.append(SegmentUse(word, *counts, dollars=(requests * Decimal("0.00137")).quantize(Decimal("1e-9"))))
    return found


def _fill(ledger: Ledger) -> None:
    """Hours and days before, as copies of the last rows."""
    columns = [column for column in segment_use.c if column.name not in ("grain", "start")]
    names = ["grain", "start", *(column.name for column in columns)]
    day = ledger.calendar.floor(NOW - 1, Grain.DAY)
    spans = [
        (Grain.DAY, day, range(day - FILLED_DAYS * DAY_MS, day, DAY_MS)),
        (Grain.HOUR, NOW - HOUR_MS, range(NOW - segments.HOURS_KEPT_MS, NOW - 3 * HOUR_MS, HOUR_MS)),
    ]
    with writing(ledger.engine) as connection:
        for grain, last, starts in spans:
            newest = select(segment_use).where(segment_use.c.grain == grain, segment_use.c.start == last).subquery()
            for start in starts:
                row = select(literal(int(grain)), literal(start), *(newest.c[column.name] for column in columns))
                connection.execute(insert(segment_use).from_select(names, row))


def _rows_and_bytes(ledger: Ledger, table: str) -> tuple[int, int]:
    with ledger.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() or 0
        size = connection.exec_driver_sql("SELECT sum(pgsize) FROM dbstat WHERE name = ?", (table,)).scalar() or 0
    return rows, size


def _queries(ledger: Ledger) -> dict[str, float]:
    one = WorkloadKey("team-7", "model-7")
    asked: dict[str, Callable[[], object]] = {
        "one workload, the last 30 days": lambda: segments.total(ledger, NOW - 30 * DAY_MS, NOW, NOW, LABELS[:1], one),
        "all workloads, the last 24 hours": lambda: segments.total(ledger, NOW - DAY_MS, NOW, NOW, LABELS[:1]),
    }
    return {name: statistics.median(_seconds(ask) for _ in range(ROUNDS)) for name, ask in asked.items()}


def _seconds(ask: Callable[[], object]) -> float:
    began = time.process_time()
    ask()
    return time.process_time() - began
