"""`flyball kpi`: business outcomes into the ledger from CSV, and what it holds of them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from flyball.cli.columns import table
from flyball.cli.cost import Asked, range_options
from flyball.cli.kpi_csv import Rows
from flyball.cli.ledger import ledger_option, opened, told
from flyball.cli.options import Duration
from flyball.cli.past import announce
from flyball.core.money.bill import FALLBACK_PATH, PathUse
from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.units import format_ratio
from flyball.core.value.outcomes import Counted
from flyball.core.value.overflow_hours import Traffic, beside
from flyball.ledger.outcomes import Packer, Taken, by_hour, count, counted
from flyball.ledger.queries import series
from flyball.ledger.schema import Grain
from flyball.ledger.spool import Spool
from flyball.ledger.store import Ledger

PART_BYTES = 32 << 20
"""How much of a file is written by one transaction: what memory must hold, and what an interrupted import repeats."""
_TOLD_ROWS = 20_000
_HEADS = ["outcomes", "cases", "share", "95% interval", "minutes each", "came back", "failed checks"]


@click.group()
def kpi() -> None:
    """Business outcomes: import them, and show what is counted."""


@kpi.command("import")
@ledger_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def import_(url: str, file: Path, output: str) -> None:
    """Count the records of FILE, a CSV with the columns workload, kpi, key, time, outcomes, cases, minutes and void.

    The first four are required. A record whose key is known counts no second time, so an import that was interrupted
    is simply repeated. Lines that cannot be counted are left out and named, and the exit status is then 1.
    """
    with opened(url) as found, told(), file.open("rb") as raw, file.open(newline="", encoding="utf-8-sig") as text:
        size = max(1, raw.seek(0, 2))
        rows = Rows(text, milliseconds(time.time()))
        with _room(), Spool(-(-size // PART_BYTES)) as spool:
            packer = Packer()
            for each in rows.records():
                spool.add(packer.row(each))
                if spool.rows % _TOLD_ROWS == 0:
                    announce(f"reading, {spool.rows} records", min(0.99, text.buffer.tell() / size))  # type: ignore[attr-defined]
            taken = _counted(found, spool, packer)
    if output == "json":
        said = {"new": taken.new, "repeated": taken.repeated, "voided": taken.voided, "bad": rows.bad}
        click.echo(json.dumps({**said, "errors": rows.errors}, indent=2))
    else:
        click.echo(f"{taken.new} records are new, {taken.repeated} were known, {taken.voided} outcomes were voided")
        for error in rows.errors:
            click.echo(error, err=True)
    if rows.bad:
        raise click.ClickException(f"{rows.bad} lines were left out: correct them and import the file again")


def _counted(found: Ledger, spool: Spool, packer: Packer) -> Taken:
    """Count what was read, part by part, each in a transaction of its own."""
    taken = Taken()
    for rows in spool.parts():
        taken = taken.plus(count(found, rows, packer.kpis))
        done = taken.new + taken.repeated + taken.voided
        announce(f"counting, {done} of {spool.rows} records", done / max(1, spool.rows))
    return taken


@contextmanager
def _room() -> Iterator[None]:
    """Say what to do where temporary files find no room."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(
            f"no room to sort the records: {error.strerror or error}; set TMPDIR to a folder with as much as the file"
        ) from error


@kpi.command()
@range_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(url: str, asked: Asked, output: str) -> None:
    """What is counted of every KPI, or of those of workload NAME, in whole hours, with 95% intervals of shares."""
    with opened(url) as found, told():
        now = milliseconds(time.time())
        begin, end = asked.range(found.calendar, now)
        sums = counted(found, begin, end, now, asked.only)
    ordered = sorted(sums.items(), key=lambda item: (item[0][0], item[0][1]))
    if output == "json":
        click.echo(json.dumps([_document(str(of), name, each) for (of, name), each in ordered], indent=2))
        return
    if not ordered:
        click.echo("no outcomes were reported in that time")
        return
    head = [
        "workload",
        "KPI",
        "outcomes",
        "cases",
        "share",
        "95% interval",
        "minutes each",
        "came back",
        "failed checks",
    ]
    lines = [[str(of), name, *_cells(each)] for (of, name), each in ordered]
    for line in table([head, *lines], 2):
        click.echo(line)


def _cells(each: Counted) -> list[str]:
    share, interval = "-", "-"
    if each.cases:
        low, high = each.share_bounds()
        share, interval = (
            format_ratio(float(each.outcomes / each.cases)),
            f"{format_ratio(low)} to {format_ratio(high)}",
        )
    minutes = f"{each.minutes / each.outcomes:.2f}" if each.outcomes and each.minutes else "-"
    counts = [f"{count.normalize():f}" for count in (each.outcomes, each.cases, each.came_back, each.failed)]
    return [*counts[:2], share, interval, minutes, *counts[2:]]


def _document(workload: str, name: str, each: Counted) -> dict[str, Any]:
    low, high = each.share_bounds()
    return {
        "workload": workload,
        "kpi": name,
        "outcomes": f"{each.outcomes:f}",
        "cases": f"{each.cases:f}",
        "minutes": f"{each.minutes:f}",
        "cameBack": f"{each.came_back:f}",
        "qualityFailed": f"{each.failed:f}",
        "share": float(each.outcomes / each.cases) if each.cases else None,
        "low": low if each.cases else None,
        "high": high if each.cases else None,
    }


@kpi.command()
@ledger_option
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("--last", type=Duration(least=3600.0), default="30d", show_default=True, help="How far to look back.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def fallback(url: str, name: str, namespace: str, last: float, output: str) -> None:
    """Outcomes of workload NAME in hours in which requests overflowed, beside those of all other hours.

    Hours are kept for 60 days. This is an observation: hours with overflow are busy hours, and differ by more.
    """
    key = WorkloadKey(namespace, name)
    with opened(url) as found, told():
        now = milliseconds(time.time())
        begin = found.calendar.floor(now - milliseconds(last), Grain.HOUR)
        traffic: dict[int, Traffic] = {}
        for line in series(found, begin, now, Grain.HOUR, key):
            if isinstance(line.what, PathUse):
                before, use = traffic.get(line.start, Traffic()), line.what
                moved = use.requests if use.path.startswith(FALLBACK_PATH) else Decimal(0)
                traffic[line.start] = Traffic(before.requests + use.requests, before.moved + moved)
        outcomes = by_hour(found, key, begin, now)
    made = {kpi_name: beside(traffic, counts) for kpi_name, counts in sorted(outcomes.items())}
    requests = sum((each.requests for each in traffic.values()), Decimal(0))
    overflowed = sum((each.moved for each in traffic.values()), Decimal(0))
    rate = float(overflowed / requests) if requests else None
    if output == "json":
        both = {of: {"with": _document(str(key), of, b.with_), "without": _document(str(key), of, b.without)}
                for of, b in made.items()}  # fmt: skip
        click.echo(json.dumps({"fallbackRate": rate, "kpis": both}, indent=2))
        return
    click.echo("nothing is known of its traffic" if rate is None else f"fallback rate {format_ratio(rate)}")
    head = ["KPI", "hours", "", *_HEADS]
    rows = [
        row
        for of, b in made.items()
        for row in (
            [of, str(b.hours_with), "with overflow", *_cells(b.with_)],
            ["", str(b.hours_without), "without", *_cells(b.without)],
        )
    ]
    for text in table([head, *rows], 3) if rows else ["no outcomes were reported in that time"]:
        click.echo(text)
