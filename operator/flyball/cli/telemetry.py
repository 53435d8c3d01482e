"""`flyball telemetry check`: what a live Prometheus has of the signals that a profile promises, and what lacks cost."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from flyball.cli.options import ENVIRONMENT, prometheus_options, prometheus_settings
from flyball.cli.past import load_spec
from flyball.core.spec import WorkloadSpec
from flyball.core.units import format_duration
from flyball.telemetry.check import Checker, CheckError, ProfileCheck, SignalCheck, State
from flyball.telemetry.profiles import ENGINES, GATEWAYS
from flyball.telemetry.profiles.table import page


@click.group()
def telemetry() -> None:
    """Look at where signals come from."""


@telemetry.command()
def profiles() -> None:
    """Print what every profile reads, as Markdown: docs/reference/profiles.md."""
    click.echo(page(), nl=False)


@telemetry.command(context_settings=ENVIRONMENT)
@click.argument("name", required=False)
@click.option("-n", "--namespace", default="default")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Manifest of the WorkloadSLO; without it, NAME is asked of the API server.",
)
@click.option(
    "--engine", type=click.Choice(sorted(ENGINES)), help="Check this engine's profile, on all pods there are."
)
@click.option("--gateway", type=click.Choice(sorted(GATEWAYS)), help="Check this gateway's profile, on all its series.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@prometheus_options(required=True)
def check(
    name: str | None,
    namespace: str,
    file: Path | None,
    engine: str | None,
    gateway: str | None,
    output: str,
    **prometheus: Any,
) -> None:
    """Hold profiles against a live Prometheus: those of a WorkloadSLO, or those named by --engine and --gateway.

    Exits 1 when a signal is not there without which nothing is decided.
    """
    settings = prometheus_settings(prometheus)
    spec = load_spec(name, namespace, file) if name or file else None
    if spec is None and not engine and not gateway:
        raise click.UsageError("name a WorkloadSLO, or give --file, --engine or --gateway")
    try:
        with closing(Checker(settings, time.time())) as checker:
            checks = list(_checks(checker, spec, engine, gateway))
    except CheckError as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(json.dumps({"profiles": [asdict(each) | {"usable": each.usable} for each in checks]}, indent=2))
    else:
        click.echo("\n\n".join(_text(each) for each in checks))
    if not all(each.usable for each in checks):
        raise SystemExit(1)


def _checks(
    checker: Checker, spec: WorkloadSpec | None, engine: str | None, gateway: str | None
) -> Iterator[ProfileCheck]:
    engines = [engine] if engine else checker.engines(spec) if spec else []
    for each in engines:
        if each in ENGINES:
            yield checker.engine(ENGINES[each], spec)
    declared = gateway or (spec.telemetry.gateway if spec and not engine else "")
    if declared in GATEWAYS:
        yield checker.gateway(GATEWAYS[declared], spec.telemetry.gateway_selector if spec else ())


def _text(found: ProfileCheck) -> str:
    version = f"; {found.seen_version} is running" if found.seen_version else ""
    lines = [
        f"{found.kind} {found.profile} ({found.versions}){version}",
        f"  {found.held_against}",
    ]
    width = max(len(signal.signal) for signal in found.signals)
    lines += [f"  {signal.state:<9}  {signal.signal:<{width}}  {_finding(signal)}" for signal in found.signals]
    lines += [f"  note: {note}" for note in found.notes]
    if not found.usable:
        lines.append("  Without what is missing above, nothing can be decided. Is the pod scraped, with a pod label?")
    return "\n".join(lines)


def _finding(signal: SignalCheck) -> str:
    if signal.state in (State.FOUND, State.ESTIMATED):
        age = "" if signal.age_seconds is None else f", {format_duration(round(signal.age_seconds))} old"
        return f"{signal.source}: {signal.series} series{age}"
    why = f"{signal.source} ended" if signal.state is State.STALE else signal.source
    looked = f"looked for {' or '.join(signal.looked_for)}" if signal.looked_for and not why else ""
    return "; ".join(part for part in (why or looked or "not exported", signal.costs) if part)
