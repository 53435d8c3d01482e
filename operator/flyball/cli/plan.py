"""`flyball plan`: how many GPUs of what kind by when, from a workload's past; what buying for the peak would cost."""

import json
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import yaml

from flyball.api.parse import parse_resource
from flyball.api.sharing import to_demand_event
from flyball.api.v1alpha1 import DemandEvent
from flyball.cli import plan_report
from flyball.cli.options import ENVIRONMENT, Duration
from flyball.cli.past import announce, lab_missing, load_spec, parse_time, past_options, read_past
from flyball.core.advice.plan import Kind, Past, Plan, request_at_end
from flyball.core.advice.plan import plan as make_plan
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.demand import limits_of
from flyball.core.traffic.demand_events import DemandWindow, expected

if TYPE_CHECKING:
    from flyball.lab.backtest.fitting import Fitted
    from flyball.lab.backtest.measured import Measured

DAY = 86_400.0


@click.command(context_settings=ENVIRONMENT)
@past_options(last="28d", step="5m", required=False)
@click.option("--trace", help="A trace file in place of Prometheus, or generate:conversation?rate=2&duration=7d.")
@click.option("--events", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="DemandEvent manifests.")
@click.option("--horizon", type=Duration(least=DAY), default="90d", show_default=True, help="How far to look ahead.")
@click.option("--simulate/--no-simulate", default=True, help="Whether scaling is played, to compare its bill.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def plan(trace: str | None, events: Path | None, horizon: float, simulate: bool, output: str, **options: Any) -> None:
    """Plan the GPUs of WorkloadSLO NAME from its past: growth, peaks, patterns, announced events.

    Reads the past from Prometheus or from a trace. Says for each target how many GPUs it alone would need by when,
    with a range, and compares what buying for the peak costs with what scaling costs.
    """
    try:
        from flyball.lab.backtest.fitting import fit_variants
        from flyball.lab.backtest.measured import NothingMeasured
        from flyball.lab.backtest.purchase import bill
        from flyball.lab.backtest.traffic import TooManyRequests
    except ImportError as error:
        raise lab_missing(error) from error
    zone: tzinfo = options["zone"]
    try:
        measured = _of_trace(trace, options) if trace else _of_prometheus(options)
        fitted = fit_variants(measured)
        past = _past(measured, zone)
        request = request_at_end(past, 1.0 - float(measured.cached_share[-1]), float(measured.output_tokens[-1]))
        kinds = [_kind(measured.spec, index, one) for index, one in enumerate(fitted)]
        windows = _windows(events, measured.spec) if events else ()
        found = make_plan(past, request, kinds, limits_of(measured.spec), windows, int(horizon // DAY))
        money = bill(measured, fitted, lambda share: announce("playing the last week", share)) if simulate else None
    except (NothingMeasured, TooManyRequests) as error:
        raise click.ClickException(str(error)) from error
    notes = [*measured.notes, *(note for one in fitted for note in one.notes), *_remarks(found)]
    end = datetime.fromtimestamp(past.end, zone)
    if output == "json":
        click.echo(json.dumps(plan_report.document(measured.spec, found, money, end, notes), indent=2))
        return
    for line in plan_report.lines(measured.spec, found, past, money, end):
        click.echo(line)
    for note in notes:
        click.echo(f"- {note}")


def _of_prometheus(options: dict[str, Any]) -> "Measured":
    from flyball.lab.backtest.measured import measure

    if not options["prometheus_url"]:
        raise click.UsageError("say where the past is: --prometheus-url, or --trace")
    return measure(read_past(**options).history)


def _of_trace(trace: str, options: dict[str, Any]) -> "Measured":
    from flyball.lab.backtest.recorded import measured_of_trace
    from flyball.lab.generate import open_trace
    from flyball.lab.observe import EPOCH
    from flyball.lab.trace import InvalidTraceError

    spec = load_spec(options["name"], options["namespace"], options["file"])
    start = parse_time(options["begin"], options["zone"], "--from") if options["begin"] else EPOCH
    try:
        return measured_of_trace(open_trace(trace), spec, options["step"], start)
    except InvalidTraceError as error:
        raise click.BadParameter(str(error), param_hint="--trace") from error


def _past(measured: "Measured", zone: tzinfo) -> Past:
    begins = measured.ends - measured.step_seconds
    offsets = [datetime.fromtimestamp(at, zone).utcoffset() or timedelta() for at in begins.tolist()]
    return Past(
        local=begins + np.array([offset.total_seconds() for offset in offsets]),
        end=float(measured.ends[-1]),
        step_seconds=measured.step_seconds,
        rates=measured.arrivals / measured.step_seconds,
        prompt_tokens=np.where(measured.known, measured.prompt_tokens, np.nan),
    )


def _kind(spec: WorkloadSpec, index: int, one: "Fitted") -> Kind:
    variant = spec.variants[index]
    return Kind(
        variant.name,
        variant.accelerator,
        one.fit,
        one.fleet.gpus_per_replica,
        variant.max_replicas,
        variant.price_per_gpu_hour,
    )


def _windows(path: Path, spec: WorkloadSpec) -> tuple[DemandWindow, ...]:
    """The windows of the events that name the workload."""
    try:
        documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(d, dict)]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} is not readable as YAML: {error}", param_hint="--events") from error
    found = []
    for document in documents:
        if document.get("kind") != "DemandEvent":
            continue
        parsed = parse_resource(DemandEvent, document)
        if not isinstance(parsed, DemandEvent):
            raise click.BadParameter(f"{path}: {'; '.join(map(str, parsed))}", param_hint="--events")
        metadata = document.get("metadata") or {}
        namespace = str(metadata.get("namespace", spec.key.namespace))
        found.append(to_demand_event(namespace, str(metadata.get("name", "")), parsed.spec))
    windows = expected(found, spec.key, {}, 0.0)
    if not windows:
        raise click.BadParameter(f"{path} holds no DemandEvent whose workloads name {spec.key}", param_hint="--events")
    return windows


def _remarks(found: Plan) -> list[str]:
    notes = ["each target is planned as if it served all of the load alone"] if len(found.exhausted) > 1 else []
    if found.growth is None:
        notes.append("the history holds fewer than five full days: no growth is known, and every later day is as today")
    elif any(need.extrapolated for need in found.needs):
        notes.append(
            f"days marked * lie farther ahead than the history's {found.growth.days} days: trust their range only"
        )
    if not found.seasons:
        notes.append("no daily pattern is known: two full days are needed, and two full weeks for a weekly one")
    infeasible = {f"target {need.kind}: {need.infeasible}" for need in found.needs if need.infeasible}
    return notes + [f"no number of replicas can meet it: {text}" for text in sorted(infeasible)]
