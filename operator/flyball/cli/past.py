"""What `backtest` and `plan` share: which workload, which stretch of its past, and reading it from Prometheus."""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import yaml

from flyball.api.convert import read_workload
from flyball.api.parse import parse_resource
from flyball.api.v1alpha1 import PriceBook
from flyball.cli.options import Duration, prometheus_options, prometheus_settings
from flyball.cluster.client import connect
from flyball.cluster.resources import PRICE_BOOKS, WORKLOADS
from flyball.core.money.node_prices import quote
from flyball.core.money.prices import quoted
from flyball.core.ports import PortError
from flyball.core.spec import Invalid, WorkloadSpec
from flyball.core.units import format_duration
from flyball.telemetry import node_prices
from flyball.telemetry.history import HistoryError, Range, WorkloadHistory, read_history
from flyball.telemetry.settings import PrometheusSettings

Command = TypeVar("Command", bound=Callable[..., Any])

QUERY_SECONDS = 120.0
"""Deadline of one query over a thousand steps: what Prometheus itself allows by default (query.timeout)."""


class Zone(click.ParamType[tzinfo]):
    """A time zone by its name in the IANA database."""

    name = "zone"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:
        """Look it up, or fail with an example."""
        if isinstance(value, tzinfo):
            return value
        try:
            return ZoneInfo(str(value))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"{value!r} is no time zone; write for example UTC or Europe/Berlin", param, ctx)


@dataclass(frozen=True, slots=True)
class Past:
    """A stretch of a workload's past, read, and the zone in which people speak of it."""

    history: WorkloadHistory
    zone: tzinfo


WORKLOAD_OPTIONS = (
    click.argument("name", required=False),
    click.option("-n", "--namespace", default="default", show_default=True),
    click.option(
        "--file",
        "file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Manifest of the WorkloadSLO (and its PriceBook); without it, NAME is asked of the API server.",
    ),
)
"""What `load_spec` takes."""


def past_options(*, last: str, step: str, required: bool = True) -> Callable[[Command], Command]:
    """The options that `read_past` takes; `last` and `step` are defaults. Whether Prometheus must be named."""
    options = (
        *WORKLOAD_OPTIONS,
        click.option(
            "--last", type=Duration(least=60.0), default=last, show_default=True, help="How far to look back."
        ),
        click.option("--from", "begin", help="Begin of the range in place of --last, as 2026-01-05T00:00."),
        click.option("--to", "end", help="End of the range; now when left out."),
        click.option("--timezone", "zone", type=Zone(), default="UTC", help="Of times without an offset, and of days."),
        click.option(
            "--step",
            type=Duration(least=1.0),
            default=step,
            show_default=True,
            help="Length of a step: at least four scrape intervals, and no more than a burst lasts.",
        ),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return prometheus_options(required=required)(command)

    return decorate


def read_past(
    name: str | None,
    namespace: str,
    file: Path | None,
    last: float,
    begin: str | None,
    end: str | None,
    zone: tzinfo,
    step: float,
    **prometheus: Any,
) -> Past:
    """The workload's past as the options say. Raises click's errors, with the option and the fix."""
    settings = prometheus_settings(prometheus)
    settings = replace(settings, timeout_seconds=max(QUERY_SECONDS, settings.timeout_seconds))
    spec = load_spec(name, namespace, file)
    until = parse_time(end, zone, "--to") if end else time.time()
    since = parse_time(begin, zone, "--from") if begin else until - last
    if since >= until:
        raise click.BadParameter(f"{begin} is not before the range's end", param_hint="--from")
    try:
        span = Range(since, min(until, time.time()), step)
        spec = _priced(spec, settings, span.end)
        return Past(read_history(settings, spec, span, _told("reading Prometheus")), zone)
    except HistoryError as error:
        raise click.ClickException(str(error)) from error


def load_spec(name: str | None, namespace: str, file: Path | None) -> WorkloadSpec:
    """The workload of a manifest, or of the API server. Raises click's errors."""
    return _from_file(file, name, namespace) if file else _from_cluster(name, namespace)


def _priced(spec: WorkloadSpec, settings: PrometheusSettings, at: float) -> WorkloadSpec:
    """With the prices of that time that its PriceBook takes from OpenCost. Raises ClickException."""
    rules = [variant.node_price for variant in spec.variants if variant.node_price is not None]
    if not rules:
        return spec
    nodes, failure = node_prices.ask(settings, at)
    if failure:
        raise click.ClickException(failure)
    return quoted(spec, {rule: quote(rule, nodes) for rule in rules}, at)


def parse_time(text: str, zone: tzinfo, option: str) -> float:
    """Seconds since the epoch of an ISO 8601 time; without an offset it is one of `zone`.

    A time that a change of daylight saving skips, or gives twice, is refused: nobody can know what was meant.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; write for example 2026-01-05T08:00 or 2026-01-05T08:00+01:00", param_hint=option
        ) from None
    if moment.tzinfo is not None:
        return moment.timestamp()
    local = moment.replace(tzinfo=zone)
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        back = local.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
        what = "comes twice" if back == moment else "does not exist"
        raise click.BadParameter(
            f"{text} {what} in {zone}, where clocks change then; give its offset, as {text}+01:00", param_hint=option
        )
    return local.timestamp()


def lab_missing(error: ImportError) -> click.ClickException:
    """What is said where the simulator's libraries are not installed, as in the operator's image."""
    return click.ClickException(f"this needs the lab ({error}): pip install 'flyball[lab]'")


def announce(phase: str, share: float) -> None:
    """Show on a terminal how far something long has come."""
    if sys.stderr.isatty():
        click.echo(f"\r{phase}: {share:.0%}".ljust(60), nl=share >= 1.0, err=True)


def stretch(history: WorkloadHistory, zone: tzinfo) -> str:
    """The range in words."""
    begin, end = (datetime.fromtimestamp(at, zone) for at in (history.start, history.end))
    steps = f"{len(history.steps)} steps of {format_duration(history.step_seconds)}"
    return f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {zone}, {steps}"


def _told(phase: str) -> Callable[[int, int], None]:
    return lambda done, total: announce(phase, done / total)


def _from_cluster(name: str | None, namespace: str) -> WorkloadSpec:
    if not name:
        raise click.UsageError("name the WorkloadSLO, or give its manifest with --file")
    try:
        raw, books = asyncio.run(_fetch(namespace, name))
    except PortError as error:
        raise click.ClickException(str(error)) from error
    return _converted(raw, books, f"WorkloadSLO {namespace}/{name}")


async def _fetch(namespace: str, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    async with connect() as api:
        return await api.get(WORKLOADS, name, namespace), await api.list_all(PRICE_BOOKS)


def _from_file(path: Path, name: str | None, namespace: str) -> WorkloadSpec:
    try:
        documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(d, dict)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} is not readable as YAML: {error}", param_hint="--file") from error
    found = [d for d in documents if d.get("kind") == "WorkloadSLO" and (not name or _name(d) == name)]
    if len(found) != 1:
        which = f"WorkloadSLO {name}" if name else "WorkloadSLO"
        fix = "name one of them" if found else "give a manifest that does"
        raise click.BadParameter(f"{path} holds {len(found)} of {which}; {fix}", param_hint="--file")
    raw = {**found[0], "metadata": {"namespace": namespace, **(found[0].get("metadata") or {})}}
    return _converted(raw, [d for d in documents if d.get("kind") == "PriceBook"], str(path))


def _converted(raw: dict[str, Any], books: list[dict[str, Any]], where: str) -> WorkloadSpec:
    parsed = {_name(book): parse_resource(PriceBook, book) for book in books}
    spec = read_workload(raw, {name: book for name, book in parsed.items() if isinstance(book, PriceBook)})
    if isinstance(spec, Invalid):
        raise click.ClickException(f"{where} is not valid: {spec}")
    return spec


def _name(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
