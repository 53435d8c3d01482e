"""`flyball baseline`: what a workload costs and is worth before a change, recorded so that it can be held against."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from flyball.cli.booked import account_of, shares_of, spec_of, workload_options
from flyball.cli.columns import aligned
from flyball.cli.ledger import ledger_option, opened, told
from flyball.cli.options import Duration
from flyball.cli.past import parse_time
from flyball.core.money.currency import symbol
from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.units import format_money
from flyball.core.value.baseline import DAY_MS, Baseline, fingerprint, unusable
from flyball.core.value.returns import recorded
from flyball.ledger import baselines
from flyball.ledger.currency import currency_of


@click.group()
def baseline() -> None:
    """Baselines: what no saving, and no before and after, is claimed without."""


@baseline.command()
@workload_options
@click.option(
    "--last", type=Duration(least=3600.0), default="14d", show_default=True, help="How much of the past it is of."
)
@click.option("--to", "end", help="End of that stretch, as 2026-11-01T00:00; now when left out.")
@click.option("--note", default="", help="What is about to change, for those who read it later.")
def record(
    url: str,
    name: str | None,
    namespace: str,
    file: Path | None,
    last: float,
    end: str | None,
    note: str,
    **prometheus: Any,
) -> None:
    """Record the baseline of workload NAME from the ledger: dollars per request, worth per dollar, KPIs.

    It needs two whole weeks with every price known. What is recorded is never changed; the newest one counts.
    """
    at = time.time()
    spec, now = spec_of(name, namespace, file, at), milliseconds(at)
    with opened(url) as found, told():
        until = milliseconds(parse_time(end, found.calendar.zone, "--to")) if end else now
        if until > now:
            raise click.BadParameter(f"{end} is ahead", param_hint="--to")
        begin = until - milliseconds(last)
        shares = shares_of(spec, begin, until, prometheus)
        account = account_of(found, spec, begin, until, now, shares)
        days = (account.end - account.begin) / DAY_MS
        unknown = (*account.worth.unknown, *account.worth.unproven)
        if why := unusable(days, account.requests, account.unpriced, account.whole, unknown):
            raise click.ClickException(f"no baseline of {spec.key} can be recorded: {why}")
        made = recorded(account, now, fingerprint(spec), note[:1024])
        baselines.keep(found, spec.key, made)
        currency = currency_of(found)
    click.echo(f"recorded the baseline of {spec.key}")
    for text in aligned([[figure, value] for figure, value in _figures(made, currency)]):
        click.echo(f"  {text}")


@baseline.command("list")
@ledger_option
@click.argument("name", required=False)
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(url: str, name: str | None, namespace: str, output: str) -> None:
    """The baselines that were recorded, of all workloads or of NAME, the newest of each last."""
    with opened(url) as found, told():
        kept = baselines.recorded(found, WorkloadKey(namespace, name) if name else None)
        currency = currency_of(found)
    rows = [(key, _figures(each, currency)) for key in sorted(kept) for each in kept[key]]
    if output == "json":
        click.echo(json.dumps([{"workload": str(key), **dict(each)} for key, each in rows], indent=2))
    elif not rows:
        click.echo("no baseline is recorded")
    else:
        heads = list(dict.fromkeys(figure for _, each in rows for figure, _ in each))
        lines = [[str(key), *(dict(each).get(head, "-") for head in heads)] for key, each in rows]
        for text in aligned([["workload", *heads], *lines]):
            click.echo(text)


def _figures(made: Baseline, currency: str) -> list[tuple[str, str]]:
    sign = symbol(currency)
    ratio = [("worth per dollar", f"{made.value_cost_ratio:.4g}")] if made.value_cost_ratio is not None else []
    return [
        ("from", _time(made.begin)),
        ("to", _time(made.end)),
        ("requests", f"{made.requests:.0f}"),
        (f"{sign}/request", format_money(made.cost_per_request, 6)),
        (f"{sign}/request with labour", format_money(made.cost_to_serve, 6)),
        *ratio,
        *((f"KPI {name}", f"{figure:.4g}") for name, figure in made.kpis),
        *([("note", made.note)] if made.note else []),
    ]


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
