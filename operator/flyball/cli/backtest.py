"""`flyball backtest`: what Flyball would have done with a workload's past, against what happened."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyball import __version__
from flyball.cli.options import ENVIRONMENT, Duration
from flyball.cli.past import Past, announce, lab_missing, past_options, read_past, stretch
from flyball.core.money.currency import money
from flyball.core.units import format_money, format_ratio

if TYPE_CHECKING:
    from flyball.lab.backtest.compare import Backtest, Column


@click.command(context_settings=ENVIRONMENT)
@past_options(last="7d", step="1m")
@click.option("--startup", type=Duration(), help="Until a new replica is ready; the manifest's startupTime else.")
@click.option("--spread", type=click.FloatRange(0, 3), help="Deviation of the logarithm of lengths.  [default: 0.8]")
@click.option("--seed", type=int, default=1, help="Of all that is drawn at random.")
@click.option(
    "--html", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write a page with a picture."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def backtest(
    startup: float | None, spread: float | None, seed: int, html: Path | None, output: str, **options: Any
) -> None:
    """Play the past of WorkloadSLO NAME again, with Flyball's Recommend in charge, and compare.

    Reads a range from Prometheus, fits the engine's speed to it, draws the requests anew at the measured rates and
    lengths, and plays them through a simulated fleet: once with the replicas that really ran, once with those that
    Flyball would have set. Nothing is changed anywhere.
    """
    try:
        from flyball.lab.backtest.compare import backtest as compare
        from flyball.lab.backtest.measured import NothingMeasured, measure
        from flyball.lab.backtest.traffic import LENGTH_SPREAD, TooManyRequests
    except ImportError as error:
        raise lab_missing(error) from error
    past = read_past(**options)
    try:
        found = compare(
            measure(past.history),
            startup_seconds=startup,
            spread=LENGTH_SPREAD if spread is None else spread,
            seed=seed,
            watch=announce,
        )
    except (NothingMeasured, TooManyRequests) as error:
        raise click.ClickException(str(error)) from error
    if html:
        html.write_text(_page(found, past), encoding="utf-8")
    if output == "json":
        click.echo(json.dumps(_document(found), indent=2))
        return
    click.echo(f"{found.measured.spec.key}, {stretch(past.history, past.zone)}")
    click.echo(_table(found))
    for note in found.notes:
        click.echo(f"- {note}")
    if html:
        click.echo(f"picture: {html}")


def _page(found: "Backtest", past: Past) -> str:
    from flyball.lab.backtest.picture import page

    heading = f"{found.measured.spec.key}, {stretch(past.history, past.zone)}"
    return page(found, heading, _table(found), past.zone)


def _table(found: "Backtest") -> str:
    titles = ["", *(f"{c.name}{'' if i == 0 else ' (simulated)'}" for i, c in enumerate(found.columns))]
    rows: list[Sequence[str]] = [titles]
    rows.append(["requests", *(str(c.requests) for c in found.columns)])
    for objective in found.measured.spec.objectives:
        shares = (c.attained.get(objective.name) for c in found.columns)
        rows.append(
            [
                f"{objective.name} (target {format_ratio(objective.target)})",
                *("unknown" if share is None else format_ratio(share, 2) for share in shares),
            ]
        )
    rows.append(["GPU-hours", *(f"{c.gpu_hours:.1f}" for c in found.columns)])
    currency = found.measured.spec.currency
    rows.append(["cost", *("unknown" if c.cost is None else money(c.cost, currency) for c in found.columns)])
    rows.append(["changes", *(str(c.changes) for c in found.columns)])
    rows.append(["replicas, mean and peak", *(f"{c.mean_replicas:.1f}, {c.peak_replicas}" for c in found.columns)])
    widths = [max(len(row[index]) for row in rows) for index in range(len(titles))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width) for index, (cell, width) in enumerate(pairs)
        ).rstrip()
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )


def _document(found: "Backtest") -> dict[str, Any]:
    measured = found.measured
    return {
        "schema": 1,
        "version": __version__,
        "workload": str(measured.spec.key),
        "from": _time(measured.start),
        "to": _time(measured.start + measured.span_seconds),
        "stepSeconds": measured.step_seconds,
        "columns": [_column(column) for column in found.columns],
        "engines": [
            {
                "target": one.fleet.name,
                "baseMs": one.fleet.engine.base_ms,
                "perSequenceMs": one.fleet.engine.per_sequence_ms,
                "perContextTokenMs": one.fleet.engine.per_context_token_ms,
                "perPrefillTokenMs": one.fleet.engine.per_prefill_token_ms,
                "kvTokens": one.fleet.engine.kv_tokens,
                "startupSeconds": one.fleet.startup_seconds,
                "steps": one.fit.samples,
                "meanError": one.fit.mean_error,
            }
            for one in found.fitted
        ],
        "notes": list(found.notes),
    }


def _column(column: "Column") -> dict[str, Any]:
    return {
        "name": column.name,
        "requests": column.requests,
        "attainment": dict(column.attained),
        "gpuHours": column.gpu_hours,
        "cost": None if column.cost is None else format_money(column.cost),
        "changes": column.changes,
        "meanReplicas": column.mean_replicas,
        "peakReplicas": column.peak_replicas,
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
