"""`flyball cost`: what workloads cost in full, from the ledger, as a table, as JSON, and as FOCUS rows for finance."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from flyball.cli.cost_segments import Parted, document_of, parted, table_of
from flyball.cli.cost_table import HEADS, Stated, document, lines_of, statements, table_by
from flyball.cli.ledger import ledger_option, opened
from flyball.cli.options import Duration, opened_out, out_option
from flyball.cli.past import parse_time
from flyball.cli.prices import prices
from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.ledger import focus, segments
from flyball.ledger.calendar import Calendar
from flyball.ledger.currency import currency_of
from flyball.ledger.queries import Line, reached, series, total
from flyball.ledger.schema import Grain
from flyball.ledger.store import Ledger
from flyball.telemetry.dimensions import DIMENSIONS, labels_of

BY_SEGMENT = f"{', '.join(DIMENSIONS)}, or a label of spec.telemetry.segmentBy"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which workloads are asked for, and the range, as the options say it; times are still text."""

    name: str | None
    namespace: str
    last: float
    begin: str | None
    end: str | None
    month: str | None
    month_start: int

    @property
    def only(self) -> WorkloadKey | None:
        """The workload asked for; None for all."""
        return WorkloadKey(self.namespace, self.name) if self.name else None

    def range(self, calendar: Calendar, now: int) -> tuple[int, int]:
        """Begin and end in epoch milliseconds. Raises UsageError or BadParameter, naming the option."""
        if self.month:
            if self.begin or self.end:
                raise click.UsageError("give --month, or --from and --to, not both")
            return calendar.month_of(self.month, self.month_start)
        until = milliseconds(parse_time(self.end, calendar.zone, "--to")) if self.end else now
        begin = milliseconds(parse_time(self.begin, calendar.zone, "--from")) if self.begin else None
        since = until - milliseconds(self.last) if begin is None else begin
        if since >= until:
            raise click.BadParameter(f"{self.begin} is not before the range's end", param_hint="--from")
        return since, until


@click.group()
def cost() -> None:
    """What workloads used and cost in full, from the ledger."""


cost.add_command(prices)


def range_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which workloads, and from when to when: handed to the command as `asked`."""

    @wraps(command)
    def asking(
        name: str | None,
        namespace: str,
        last: float,
        begin: str | None,
        end: str | None,
        month: str | None,
        month_start: int,
        **others: Any,
    ) -> None:
        command(asked=Asked(name, namespace, last, begin, end, month, month_start), **others)

    options = (
        ledger_option,
        click.argument("name", required=False),
        click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of NAME."),
        click.option(
            "--last", type=Duration(least=300.0), default="30d", show_default=True, help="How far to look back."
        ),
        click.option("--from", "begin", help="Begin of the range in place of --last, as 2026-11-01T00:00."),
        click.option("--to", "end", help="End of the range; now when left out."),
        click.option("--month", help="A month in place of all these, as 2026-11."),
        click.option(
            "--month-start", type=click.IntRange(1, 28), default=1, show_default=True, help="Day it begins with."
        ),
    )
    for option in reversed(options):
        asking = option(asking)
    return asking


@cost.command()
@range_options
@click.option(
    "--by", default="workload", show_default=True, help=f"What rows are of: {', '.join(HEADS)}; {BY_SEGMENT}."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(
    url: str,
    asked: Asked,
    by: str,
    output: str,
) -> None:
    """What every workload cost, or workload NAME: its bill, made of serving, idle and loading, and what a request cost.

    By tenant, or by another word or label of its traffic, rows are segments: what each caused, and what it costs in
    full, with a share of idle and loading. Ranges are then widened to whole hours, or days where hours are gone.
    Times without an offset are of the time zone of the ledger's days.
    """
    parts: list[Parted] = []
    with opened(url) as found:
        now, zone = milliseconds(time.time()), found.calendar.zone
        since, wanted = asked.range(found.calendar, now)
        if by not in HEADS:
            since, wanted = segments.widened(found.calendar, since, wanted, now)
        made = statements(_known(found, total(found, since, wanted, now, asked.only), asked.only))
        if by not in HEADS:
            parts = _parted(found, made, by, (since, wanted, now), asked.only)
        since, until = reached(found.calendar, since, wanted, now)
        currency = currency_of(found)
    if output == "json":
        whole = document(made, since, until, currency)
        for each, part in zip(whole["workloads"], parts, strict=False):
            each["parts"] = document_of(part, by)
        click.echo(json.dumps(whole, indent=2))
        return
    rows = table_by(made, by, currency) if by in HEADS else table_of(parts, by, currency)
    for text in lines_of(made, rows, since, min(until, now), zone):
        click.echo(text)


def _parted(
    ledger: Ledger, made: list[Stated], by: str, span: tuple[int, int, int], only: WorkloadKey | None
) -> list[Parted]:
    """The bills by a dimension or label. Raises BadParameter for one that is neither."""
    labels = _labels(ledger, by)
    return parted(made, segments.total(ledger, *span, labels, only), labels)


def _labels(ledger: Ledger, by: str) -> tuple[str, ...]:
    """The labels that are meant. Raises BadParameter."""
    if by not in DIMENSIONS and by not in segments.labels_known(ledger):
        raise click.BadParameter(
            f"the ledger knows no label {by!r}; write one of {', '.join(HEADS)}, {BY_SEGMENT}", param_hint="--by"
        )
    return labels_of(by)


@cost.command()
@range_options
@click.option(
    "--every", type=click.Choice(["day", "hour"]), default="day", show_default=True, help="What a row covers."
)
@click.option("--by", help=f"Rows of segments in place of serving and components: {BY_SEGMENT}.")
@out_option
@click.option("--billing-account", default="flyball", show_default=True, help="BillingAccountId of the rows.")
@click.option("--provider", default="Kubernetes", show_default=True, help="ProviderName: whose GPUs these are.")
def export(
    url: str,
    asked: Asked,
    every: str,
    by: str | None,
    out: Path | None,
    billing_account: str,
    provider: str,
) -> None:
    """Write what workloads cost as CSV in the columns of FOCUS 1.2, a row for each state and component.

    Days and hours are whole: the range is widened to where they begin and end. BilledCost is 0, since nobody invoices
    these rows; what they cost is EffectiveCost.
    """
    grain = Grain.DAY if every == "day" else Grain.HOUR
    with opened(url) as found:
        issuer = focus.Issuer(billing_account, provider, currency_of(found))
        since, until = asked.range(found.calendar, milliseconds(time.time()))
        since, until = found.calendar.floor(since, grain), found.calendar.ceil(until, grain)
        lines = _known(found, series(found, since, until, grain, asked.only), asked.only)
        parts = _focus_parts(found, lines, by, (since, until, grain), asked.only) if by else None
    with opened_out(out) as to:
        rows = focus.write(lines, to, found.calendar, grain, issuer, asked.month_start, parts)
    click.echo(f"{rows} rows in FOCUS {focus.VERSION}", err=True)
    for sentence in (each for made in statements(lines) for each in made.missing):
        click.echo(f"prices are missing: {sentence}", err=True)


def _focus_parts(
    ledger: Ledger, lines: list[Line], by: str, span: tuple[int, int, Grain], only: WorkloadKey | None
) -> list[focus.Part]:
    """What segments caused in each day or hour of the lines. Raises UsageError where hours are gone."""
    since, _, grain = span
    if grain is Grain.HOUR and since < segments.hours_from(ledger.calendar, milliseconds(time.time())):
        raise click.UsageError("segments are kept by the hour for two days: give --every day, or a later --from")
    labels = _labels(ledger, by)
    lines_of_start: dict[int, list[Line]] = {}
    for line in lines:
        lines_of_start.setdefault(ledger.calendar.floor(line.start, grain), []).append(line)
    uses_of_start: dict[int, list[segments.SegmentLine]] = {}
    for use in segments.series(ledger, *span, labels, only):
        uses_of_start.setdefault(use.start, []).append(use)
    return [
        focus.Part(each.stated.key, each.stated.uid, start, by, each.parts.label, segment, bool(each.stated.missing))
        for start, part in sorted(lines_of_start.items())
        for each in parted(statements(part), uses_of_start.get(start, ()), labels)
        for segment in each.parts.segments
    ]


def _known(ledger: Ledger, lines: list[Any], only: WorkloadKey | None) -> list[Any]:
    """The lines; an error where a workload was asked for that the ledger does not know at all."""
    if only is not None and not lines and not ledger.knows(only):
        raise click.ClickException(f"the ledger knows no workload {only}; -n names its namespace")
    return lines
