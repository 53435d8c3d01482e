"""The ledger of a thousand workloads: what a year takes, what writing a period takes, and what queries take.

The last two hours are written by the operator's own code; before them lie copies of their last period. With `--whole`
these are all the rows that a year leaves: seven days of periods, sixty of hours, and a year of days and months. Else
they are a sample: all days and months, three days of hours, six hours of periods; and a year's size is what a row
takes there, times the rows. The year begins so that a range of thirty days cuts a day and a month in their middle.

PostgreSQL is a real one, with its own defaults. Times are of the processor, the database's own included, as it would
be on a machine that does nothing else and has the file in memory; what is slowest by the clock is said beside it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sqlalchemy import insert, literal, select, text

from flyball.core.money.bill import Charge, Entry, PathUse
from flyball.core.money.meter import PERIOD_MS
from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit
from flyball.ledger import accounts, forecasts
from flyball.ledger.calendar import HOUR_MS
from flyball.ledger.engine import writing
from flyball.ledger.queries import series, total
from flyball.ledger.schema import Grain, charge, spent, usage
from flyball.ledger.store import DAY_MS, KEPT_MS, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKLOADS, COMPONENTS = 1000, 3
YEAR_DAYS = 365
NOW = 20_512 * DAY_MS + 14 * HOUR_MS
"""2026-02-28T14:00Z: a range of thirty days cuts a month at its end and a day after its middle."""
ROUNDS = 5
GIB = 2**30
ROWS_KEPT = {
    Grain.PERIOD: KEPT_MS[Grain.PERIOD] // PERIOD_MS,
    Grain.HOUR: KEPT_MS[Grain.HOUR] // HOUR_MS,
    Grain.DAY: YEAR_DAYS,
    Grain.MONTH: 12,
}
"""Rows that a year leaves of one path, by grain."""


def measure(*, whole: bool = False, **_: float) -> dict[str, str]:
    """A year's size, and the times of a write and of a console's queries, on SQLite and on PostgreSQL."""
    from tests.support.postgres import running  # needs PYTHONPATH=e2e/cluster, as make bench sets it

    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        found = _measured("SQLite", str(Path(folder) / "ledger.db"), whole)
    with running() as server:
        found |= _measured("PostgreSQL", server.new_database(), whole)
    return found


def _measured(name: str, url: str, whole: bool) -> dict[str, str]:
    ledger = Ledger(url)
    written = _write_two_hours(ledger)
    _say(f"{name}: filling")
    _fill(ledger, whole)
    ledger.prune(NOW)
    rows, size, beside = _rows_and_bytes(ledger)
    _say(f"{name}: {rows / 1e6:.1f} million rows")
    queries = _queries(ledger)
    ledger.close()
    year_rows = WORKLOADS * (1 + COMPONENTS) * sum(ROWS_KEPT.values())
    found = {
        f"{name}: a year of {WORKLOADS} workloads, one variant and {COMPONENTS} components each": (
            f"{(year_rows * size / rows + beside) / GIB:.2f} GiB "
            f"({year_rows / 1e6:.1f} million rows of {size / rows:.0f} bytes, "
            f"measured on {rows / 1e6:.1f} million)"
        ),
        f"{name}: writing one period of {WORKLOADS} workloads": f"{statistics.median(written):.2f} s",
    }
    return found | {f"{name}: {asked}": said for asked, said in queries.items()}


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


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
        with _Processor(ledger) as processor:
            ledger.append(made)
        took.append(processor.seconds)
    return took


def _fill(ledger: Ledger, whole: bool) -> None:
    """What lies before what was written, as rows: copies of those of the last period."""
    hours, periods = (60 * DAY_MS, 7 * DAY_MS) if whole else (3 * DAY_MS, 8 * HOUR_MS)
    year = ledger.calendar.floor(NOW - YEAR_DAYS * DAY_MS, Grain.DAY)
    spans = [
        (Grain.MONTH, year, ledger.calendar.floor(NOW, Grain.MONTH)),
        (Grain.DAY, year, ledger.calendar.floor(NOW - 2 * HOUR_MS, Grain.DAY)),
        (Grain.HOUR, NOW - hours, NOW - 2 * HOUR_MS),
        (Grain.PERIOD, NOW - periods, NOW - 2 * HOUR_MS),
    ]
    for grain, begin, end in spans:
        for table in (usage, charge) if grain is not Grain.DAY else (usage, charge, spent):
            columns = [column for column in table.c if column.name not in ("grain", "start")]
            last = [table.c.grain == Grain.PERIOD, table.c.start == NOW - PERIOD_MS]
            if table is spent:
                last = [table.c.grain == Grain.DAY, table.c.start == ledger.calendar.floor(NOW - 1, Grain.DAY)]
            newest = select(table).where(*last).subquery()
            names = ["grain", "start", *(column.name for column in columns)]
            with writing(ledger.engine) as connection:
                for start in _starts(ledger, grain, begin, end):
                    at = literal(start, table.c.start.type)
                    row = select(literal(int(grain)), at, *(newest.c[c.name] for c in columns))
                    connection.execute(insert(table).from_select(names, row))


def _starts(ledger: Ledger, grain: Grain, begin: int, end: int) -> Iterator[int]:
    """Where the periods, hours, days or months begin from one time to another."""
    at = begin
    while at < end:
        yield at
        at = ledger.calendar.ceil(at + 1, grain)


def _rows_and_bytes(ledger: Ledger) -> tuple[int, int, int]:
    """Rows of usage and charges, what they take with their indexes, and what all else does, of which a year is."""
    postgresql = ledger.engine.dialect.name == "postgresql"
    whole = (
        "pg_database_size(current_database())"
        if postgresql
        else "page_count * page_size FROM pragma_page_count, pragma_page_size"
    )
    rows = size = 0
    with ledger.engine.connect() as connection:
        for name in ("usage", "charge"):
            rows += connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0
            sized = (
                f"pg_total_relation_size('{name}')" if postgresql else f"sum(pgsize) FROM dbstat WHERE name = '{name}'"
            )
            size += int(connection.scalar(text(f"SELECT {sized}")) or 0)
        return rows, size, (connection.scalar(text(f"SELECT {whole}")) or 0) - size


def _queries(ledger: Ledger) -> dict[str, str]:
    one, month = WorkloadKey("team-7", "model-7"), ledger.calendar.floor(NOW - 1, Grain.MONTH)
    asked: dict[str, Callable[[], object]] = {
        "all workloads, a year and a month until now": lambda: total(ledger, month - YEAR_DAYS * DAY_MS, NOW, NOW),
        "all workloads, this month until now": lambda: total(ledger, month, NOW, NOW),
        "all workloads, the last 30 days": lambda: total(ledger, NOW - 30 * DAY_MS, NOW, NOW),
        "all workloads, the last 7 days": lambda: total(ledger, NOW - 7 * DAY_MS, NOW, NOW),
        "all workloads, the last 24 hours": lambda: total(ledger, NOW - DAY_MS, NOW, NOW),
        "all workloads, thirty days of last month and this": lambda: total(
            ledger, NOW - 37 * DAY_MS - 12 * HOUR_MS, NOW - 7 * DAY_MS - 12 * HOUR_MS, NOW
        ),
        "all workloads, since when": lambda: accounts.since(ledger),
        "all workloads, 35 days by day, as forecasts read them": lambda: forecasts.by_day(
            ledger, NOW - 35 * DAY_MS, NOW
        ),
        "one workload, a year by day": lambda: series(ledger, NOW - YEAR_DAYS * DAY_MS, NOW, Grain.DAY, one),
        "one workload, the last 30 days": lambda: total(ledger, NOW - 30 * DAY_MS, NOW, NOW, one),
        "one workload, three days by hour": lambda: series(ledger, NOW - 3 * DAY_MS, NOW, Grain.HOUR, one),
        "one workload, six hours by period": lambda: series(ledger, NOW - 6 * HOUR_MS, NOW, Grain.PERIOD, one),
    }
    return {f"query: {name}": _took(ledger, ask) for name, ask in asked.items()}


def _took(ledger: Ledger, ask: Callable[[], object]) -> str:
    processor, clock = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with _Processor(ledger) as each:
            ask()
        clock.append(time.perf_counter() - began)
        processor.append(each.seconds)
    return f"{statistics.median(processor) * 1000:.0f} ms ({max(clock) * 1000:.0f} ms by the clock at most)"


class _Processor:
    """The processor's seconds that a part of the program takes, with those of PostgreSQL's own process for it."""

    seconds: float

    def __init__(self, ledger: Ledger) -> None:
        self._stat: Path | None = None
        if ledger.engine.dialect.name == "postgresql":  # the pool hands the same connection to the next who asks
            with ledger.engine.connect() as connection:
                self._stat = Path(f"/proc/{connection.scalar(text('SELECT pg_backend_pid()'))}/stat")

    def __enter__(self) -> Self:
        self._began = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = self._now() - self._began

    def _now(self) -> float:
        if self._stat is None:
            return time.process_time()
        user, system = self._stat.read_text().rpartition(")")[2].split()[11:13]
        return time.process_time() + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
