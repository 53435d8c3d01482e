"""`flyball telemetry check`: what a live Prometheus has of the signals that a profile promises, and what lacks cost."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from flyball.cli.options import ENVIRONMENT, prometheus_options, prometheus_settings
from flyball.cli.past import load_spec
from flyball.core.spec import WorkloadSpec
from flyball.core.units import format_duration
from flyball.telemetry.check import Checker, CheckError, counted
from flyball.telemetry.check_declared import check_declared, usable
from flyball.telemetry.check_results import ProfileCheck, SignalCheck, State
from flyball.telemetry.profiles import ENGINES, GATEWAYS, GPU
from flyball.telemetry.profiles.table import page
from flyball.telemetry.refusal import refusal


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

    Of a WorkloadSLO also its own queries and histograms, and whether its objectives can be counted at the bucket edges
    that there are. Exits 1 when a signal is not there without which nothing is decided.
    """
    settings = prometheus_settings(prometheus)
    spec = load_spec(name, namespace, file) if name or file else None
    if spec is None and not engine and not gateway:
        raise click.UsageError("name a WorkloadSLO, or give --file, --engine or --gateway")
    if spec is not None and (refused := refusal(spec)):
        raise click.ClickException(refused)
    try:
        with closing(Checker(settings, time.time())) as checker:
            found = _found(checker, spec, engine, gateway)
    except CheckError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(_as_json(found), indent=2) if output == "json" else _text(found))
    if not found.usable:
        raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class _Found:
    """All that was checked: profiles, what `workload` declares itself, and a note on clocks."""

    profiles: tuple[ProfileCheck, ...]
    workload: str
    declared: tuple[SignalCheck, ...]
    clock: str

    @property
    def usable(self) -> bool:
        return all(each.usable for each in self.profiles) and usable(self.declared)


def _found(checker: Checker, spec: WorkloadSpec | None, engine: str | None, gateway: str | None) -> _Found:
    clock = checker.clock()
    engines = [engine] if engine else checker.engines(spec) if spec else []
    profiles = [checker.engine(ENGINES[each], spec) for each in engines if each in ENGINES]
    declared = gateway or (spec.telemetry.gateway if spec and not engine else "")
    if declared in GATEWAYS:
        profiles.append(checker.gateway(GATEWAYS[declared], spec.telemetry.gateway_selector if spec else ()))
    if spec is None:
        return _Found(tuple(profiles), "", (), clock)
    if "GPUUtilization" not in dict(spec.telemetry.overrides):
        profiles.append(checker.gpus(GPU, spec))
    return _Found(tuple(profiles), str(spec.key), check_declared(checker, spec, engines), clock)


def _as_json(found: _Found) -> dict[str, Any]:
    def row(signal: SignalCheck) -> dict[str, Any]:
        age = signal.age_seconds
        return asdict(signal) | {"age_seconds": None if age is None else round(age, 1)}

    profiles = [
        asdict(each) | {"signals": [row(signal) for signal in each.signals], "usable": each.usable}
        for each in found.profiles
    ]
    declared = (
        {"workload": found.workload, "declared": [row(each) for each in found.declared]} if found.workload else {}
    )
    return {"usable": found.usable, "profiles": profiles, **declared, "notes": [found.clock] if found.clock else []}


def _text(found: _Found) -> str:
    parts = [_of_profile(each) for each in found.profiles]
    if found.declared:
        parts.append("\n".join([f"declared by {found.workload}", *_rows(found.declared)]))
    if not usable(found.declared):
        parts.append("Without what is missing of telemetry.overrides above, nothing can be decided.")
    return "\n\n".join([*parts, *([f"note: {found.clock}"] if found.clock else [])])


def _of_profile(found: ProfileCheck) -> str:
    version = f"; {found.seen_version} is running" if found.seen_version else ""
    lines = [f"{found.kind} {found.profile} ({found.versions}){version}", f"  {found.held_against}"]
    lines += [*_rows(found.signals), *(f"  note: {note}" for note in found.notes)]
    if not found.usable:
        hint = "." if found.notes else ". Is it scraped, with the pod's own labels `namespace` and `pod`?"
        lacking = "nothing is counted at the gateway" if found.kind == "gateway" else "nothing can be decided"
        lines.append(f"  Without what is missing above, {lacking}{hint}")
    return "\n".join(lines)


def _rows(signals: Sequence[SignalCheck]) -> Iterator[str]:
    width = max(len(signal.signal) for signal in signals)
    yield from (f"  {signal.state:<9}  {signal.signal:<{width}}  {_finding(signal)}" for signal in signals)


def _finding(signal: SignalCheck) -> str:
    if signal.state in (State.FOUND, State.ESTIMATED):
        series = f": {counted(signal.series, 'series', 'series')}" if signal.series else ""
        age = "" if signal.age_seconds is None else f", {_age(signal.age_seconds)}"
        return f"{signal.source}{series}{age}{'; documentation only' if signal.documented else ''}"
    ended = " ended within the last hour" if signal.state is State.STALE else ""
    looked = f"looked for {' or '.join(signal.looked_for)}" if signal.looked_for and not ended else ""
    found = (looked, f"{signal.source}{ended}", signal.costs)
    return "; ".join(filter(None, found if any(found[:2]) else ("not exported", signal.costs)))


def _age(seconds: float) -> str:
    return f"{format_duration(round(seconds))} old" if seconds >= 1 else "under 1s old"
