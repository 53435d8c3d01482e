"""`flyball kpi import` of many records: time, memory and the ledger's size, on SQLite and on a real PostgreSQL.

Records of ninety days, of twenty workloads with two KPIs each, in the order of their times, as an export holds them.
The command runs as a process of its own; PostgreSQL as it is installed, with its own defaults. Processor time of the
command is given beside what the clock said, since a machine that does other things tells little by the clock.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from flyball.core.value.outcomes import COLUMNS
from flyball.ledger.store import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS, WORKLOADS = 90, 20
MIB = 2**20


def measure(rows: int = 1_000_000, **_: float) -> dict[str, str]:
    """Import the same file into both."""
    from tests.support.postgres import running  # needs PYTHONPATH=e2e/cluster, as make bench sets it

    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as name:
        folder = Path(name)
        file = folder / "outcomes.csv"
        with file.open("w", encoding="utf-8") as out:
            out.write(",".join(COLUMNS) + "\n")
            out.writelines(_lines(rows))
        found = {"records": f"{rows / 1e6:g} million, a CSV of {file.stat().st_size / MIB:.0f} MiB"}
        ledger = folder / "ledger.db"
        found |= _imported(file, f"sqlite:///{ledger}", rows, "SQLite")
        found["ledger in SQLite"] = f"{ledger.stat().st_size / MIB:.0f} MiB"
        with running() as server:
            url = server.new_database()
            found |= _imported(file, url, rows, "PostgreSQL")
            with psycopg.connect(url) as connection:
                size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            found["ledger in PostgreSQL"] = f"{(size or (0,))[0] / MIB:.0f} MiB"
    return found


def _lines(rows: int) -> Iterator[str]:
    first, step = datetime.now(UTC) - timedelta(days=DAYS), DAYS * 86_400 / rows
    for number in range(rows):
        at = first + timedelta(seconds=number * step)
        kpi = "solved" if number % 3 == 0 else "deflections"
        rest = f"{number % 2},1,{number % 70 / 10},"
        yield f"shop/chat-{number % WORKLOADS},{kpi},conversation-{number},{at:%Y-%m-%dT%H:%M:%SZ},{rest}\n"


def _imported(file: Path, url: str, rows: int, name: str) -> dict[str, str]:
    Ledger(url).close()
    found = {}
    for what in ("import", "the same again"):
        began = time.monotonic()
        child = os.posix_spawn(
            sys.executable, [sys.executable, "-m", "flyball", "kpi", "import", str(file), "--ledger", url], os.environ
        )
        _, status, used = os.wait4(child, 0)
        took = time.monotonic() - began
        if status:
            raise SystemExit(f"the import into {name} ended with {os.waitstatus_to_exitcode(status)}")
        cpu = used.ru_utime + used.ru_stime
        found[f"{what}, {name}"] = (
            f"{took:.0f} s by the clock, {cpu:.0f} s of the processor ({cpu / rows * 1e6:.1f} µs a record), "
            f"{used.ru_maxrss / 1024:.0f} MiB"
        )
    return found
