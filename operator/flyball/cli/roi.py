"""`flyball roi`: every ROI target of a workload from the ledger, opened into what its figure is made of."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from flyball.cli.booked import account_of, booked, shares_of, spec_of, workload_options
from flyball.cli.ledger import opened, told
from flyball.core.decision import RoiReport
from flyball.core.money.books import Account, Books, Window
from flyball.core.money.currency import money
from flyball.core.money.meter import milliseconds
from flyball.core.spec import RoiTarget, WorkloadSpec
from flyball.core.units import format_duration
from flyball.core.value.baseline import fingerprint
from flyball.core.value.returns import judge_booked
from flyball.ledger import baselines
from flyball.ledger.calendar import HOUR_MS
from flyball.ledger.currency import currency_of
from flyball.ledger.store import Ledger


@click.command()
@workload_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def roi(url: str, name: str | None, namespace: str, file: Path | None, output: str, **prometheus: Any) -> None:
    """What the answers of workload NAME were worth and cost in full, target by target, and what moved that.

    Windows end with the last whole hour. All figures come from the ledger.
    """
    at = time.time()
    spec = booked(spec_of(name, namespace, file, at))
    if not spec.roi_targets:
        raise click.ClickException(f"{spec.key} has no roiTargets that can be judged; add one to its spec")
    with opened(url) as found, told():
        windows = [_window(found, spec, target, milliseconds(at), prometheus) for target in spec.roi_targets]
        books = Books(at, tuple(windows), baseline=baselines.newest(found).get(spec.key), currency=currency_of(found))
    definitions = fingerprint(spec)
    judged = [
        (target, judge_booked(target, books, definitions, None), window.now)
        for target, window in zip(spec.roi_targets, windows, strict=True)
    ]
    if output == "json":
        click.echo(json.dumps([_document(*each, books.currency) for each in judged], indent=2))
        return
    for each in judged:
        for line in _lines(*each, books.currency):
            click.echo(line)


def _window(ledger: Ledger, spec: WorkloadSpec, target: RoiTarget, now: int, prometheus: dict[str, Any]) -> Window:
    span = max(HOUR_MS, milliseconds(target.window_seconds))
    stretches = [(begin, begin + span) for begin in (now - span, now - 2 * span)]
    made = [account_of(ledger, spec, *stretch, now, shares_of(spec, *stretch, prometheus)) for stretch in stretches]
    return Window(target.window_seconds, *made)


def _lines(target: RoiTarget, report: RoiReport, now: Account, currency: str) -> Iterator[str]:
    def shown(amount: Decimal) -> str:
        return money(amount, currency)

    interval = "" if report.low is None or report.high is None else f" (95%: {report.low:.4g} to {report.high:.4g})"
    value = report.why if report.value is None else f"{report.value:.4g}{interval}, target {float(report.target):.4g}"
    yield f"{report.name}: {report.state}, {target.metric} over {format_duration(target.window_seconds)}: {value}"
    yield f"  {now.requests:.0f} requests; bill {shown(now.dollars)} = serving {shown(now.serving)}"
    yield f"    + idle, loading and hourly {shown(now.fixed)}; people's work {shown(now.worth.labor)}"
    yield f"  worth {shown(now.value)}{_of_requests(now, currency)}"
    for line in now.worth.lines:
        counted = line.counted
        said = f"{counted.outcomes.normalize():f} of {counted.cases.normalize():f} cases"
        credit = f"no credit: {line.denied}" if line.denied else shown(line.worth)
        labor = f", people's work {shown(line.labor)}" if line.labor else ""
        yield f"    {line.kpi.name}: {said}, {credit}{labor}"
    if report.cause:
        yield f"  {report.cause_code}: {report.cause}"
    if report.advice:
        yield f"  {report.advice}"


def _of_requests(now: Account, currency: str) -> str:
    return "" if now.per_request is None else f" = {money(now.per_request, currency, 4)} for each request"


def _document(target: RoiTarget, report: RoiReport, now: Account, currency: str) -> dict[str, Any]:
    return {
        "name": report.name,
        "metric": str(target.metric),
        "state": report.state,
        "why": report.why or None,
        "value": report.value,
        "low": report.low,
        "high": report.high,
        "target": f"{report.target:f}",
        "currency": currency,
        "requests": f"{now.requests:f}",
        "bill": f"{now.dollars:f}",
        "serving": f"{now.serving:f}",
        "fixed": f"{now.fixed:f}",
        "labor": f"{now.worth.labor:f}",
        "worth": f"{now.value:f}",
        "kpis": [
            {
                "name": line.kpi.name,
                "outcomes": f"{line.counted.outcomes:f}",
                "cases": f"{line.counted.cases:f}",
                "worth": f"{line.worth:f}",
                "labor": f"{line.labor:f}",
                "denied": line.denied or None,
            }
            for line in now.worth.lines
        ],
        "cause": f"{report.cause_code}: {report.cause}" if report.cause else None,
        "advice": report.advice or None,
    }
