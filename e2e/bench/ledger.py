"""The ledger of a thousand workloads: what a year takes, what writing a period takes, and what queries take.

The last two hours are written by the operator's own code; before them lie copies of their last period: a year of months
and days, three days of hours and six hours of periods, of all thousand workloads. A year's size is what a row takes
there, times the rows that a year leaves: seven days of periods, sixty of hours, and a year of days and months. Times
are of the processor, as the database runs in the process: what a machine takes that does nothing else, and has the file
in memory.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, literal, select

from flyball.core.bill import Charge, Entry, PathUse
from flyball.core.meter import PERIOD_MS
from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit
from flyball.ledger.calendar import HOUR_MS
from flyball.ledger.engine import writing
from flyball.ledger.queries import series, total
from flyball.ledger.schema import Grain, charge, usage
from flyball.ledger.store import DAY_MS, KEPT_MS, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKLOADS, COMPONENTS = 1000, 3
YEAR_DAYS = 365
NOW = 20_500 * DAY_MS
ROUNDS = 5
GIB = 2**30
ROWS_KEPT = {
    Grain.PERIOD: KEPT_MS[Grain.PERIOD] // PERIOD_MS,
    Grain.HOUR: KEPT_MS[Grain.HOUR] // HOUR_MS,
    Grain.DAY: YEAR_DAYS,
    Grain.MONTH: 12,
}
"""Rows that a year leaves of one path, by grain."""


def measure(**_: float) -> dict[str, str]:
    """A year's size, and the times of a write and of a console's queries, on SQLite."""
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        ledger = Ledger(str(Path(folder) / "ledger.db"))
        written = _write_two_hours(ledger)
        _fill(ledger)
        rows, size = _rows_and_bytes(ledger)
        queries = _queries(ledger)
        ledger.close()
    per_row = size / rows
    year_rows = WORKLOADS * (1 + COMPONENTS) * sum(ROWS_KEPT.values())
    found = {
        f"a year of {WORKLOADS} workloads, one variant and {COMPONENTS} components each": (
            f"{year_rows * per_row / GIB:.2f} GiB ({year_rows / 1e6:.1f} million rows of {per_row:.0f} bytes, "
            f"measured on {rows / 1e6:.1f} million)"
        ),
        f"writing one period of {WORKLOADS} workloads": f"{statistics.median(written):.2f} s",
    }
    return found | {f"query: {name}": f"{seconds * 1000:.0f} ms" for name, seconds in queries.items()}


def entries(start: int) -> Iterator[Entry]:
    """A period of all workloads."""
    for number in range(WORKLOADS):
        use = PathUse("gpu", 0, 90_000, 210_000, 0, *_money(number), 0, *_counts(number), PERIOD_MS)
        charges = tuple(_charge(index, number) for index in range(COMPONENTS))
        key = WorkloadKey(f"team-{number % 20}", f"model-{number}")
        yield Entry(key, f"{number:08x}-5f2b-4c1d-9a57-000000000000", start, start + PERIOD_MS, (use,), charges)


def _money(number: int) -> tuple[Decimal, ...]:
    """Dollars by state of four GPUs at some dollars an hour, with all their digits."""
    hour = Decimal(200 + number % 700) / 100
    return (Decimal(0), *((hour * ms / 900_000).quantize(Decimal("1e-9")) for ms in (90_000, 210_000)), Decimal(0))


def _counts(number: int) -> tuple[Decimal, ...]:
    requests = Decimal(600 + number)
    return (requests, requests * 1154, requests * 211)


def _charge(index: int, number: int) -> Charge:
    quantity = Decimal(600 + number)
    return Charge(f"component-{index}", "Other", "gpu", Unit.REQUEST, quantity, quantity * Decimal("0.000137"))


def _write_two_hours(ledger: Ledger) -> list[float]:
    """The last two hours as the operator writes them; seconds for each period."""
    took = []
    for start in range(NOW - 2 * HOUR_MS, NOW, PERIOD_MS):
        made = list(entries(start))
        began = time.process_time()
        ledger.append(made)
        took.append(time.process_time() - began)
    return took


def _fill(ledger: Ledger) -> None:
    """A year of days, three days of hours and six hours of periods before what was written, as rows."""
    spans = [
        (Grain.MONTH, NOW - YEAR_DAYS * DAY_MS, NOW - DAY_MS, YEAR_DAYS * DAY_MS // 12),
        (Grain.DAY, NOW - YEAR_DAYS * DAY_MS, NOW - DAY_MS, DAY_MS),
        (Grain.HOUR, NOW - 3 * DAY_MS, NOW - 2 * HOUR_MS, HOUR_MS),
        (Grain.PERIOD, NOW - 8 * HOUR_MS, NOW - 2 * HOUR_MS, PERIOD_MS),
    ]
    with writing(ledger.engine) as connection:
        for grain, begin, end, step in spans:
            for table in (usage, charge):
                columns = [column for column in table.c if column.name not in ("grain", "start", "until")]
                newest = select(table).where(table.c.grain == Grain.PERIOD, table.c.start == NOW - PERIOD_MS).subquery()
                for start in range(begin, end, step):
                    row = select(
                        literal(int(grain)), literal(start), literal(start + step), *(newest.c[c.name] for c in columns)
                    )
                    names = ["grain", "start", "until", *(column.name for column in columns)]
                    connection.execute(insert(table).from_select(names, row))


def _rows_and_bytes(ledger: Ledger) -> tuple[int, int]:
    with ledger.engine.connect() as connection:
        rows = sum(
            connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() or 0 for name in ("usage", "charge")
        )
        pages, page = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0 for name in ("page_count", "page_size")
        )
    return rows, pages * page


def _queries(ledger: Ledger) -> dict[str, float]:
    one, month = WorkloadKey("team-7", "model-7"), ledger.calendar.floor(NOW - 1, Grain.MONTH)
    asked: dict[str, Callable[[], object]] = {
        "all workloads, a year and a month until now": lambda: total(ledger, month - YEAR_DAYS * DAY_MS, NOW, NOW),
        "all workloads, this month until now": lambda: total(ledger, month, NOW, NOW),
        "all workloads, the last 30 days": lambda: total(ledger, NOW - 30 * DAY_MS, NOW, NOW),
        "all workloads, the last 24 hours": lambda: total(ledger, NOW - DAY_MS, NOW, NOW),
        "one workload, a year by day": lambda: series(ledger, NOW - YEAR_DAYS * DAY_MS, NOW, Grain.DAY, one),
        "one workload, three days by hour": lambda: series(ledger, NOW - 3 * DAY_MS, NOW, Grain.HOUR, one),
        "one workload, six hours by period": lambda: series(ledger, NOW - 6 * HOUR_MS, NOW, Grain.PERIOD, one),
    }
    return {name: statistics.median(_seconds(ask) for _ in range(ROUNDS)) for name, ask in asked.items()}


def _seconds(ask: Callable[[], object]) -> float:
    began = time.process_time()
    ask()
    return time.process_time() - began
