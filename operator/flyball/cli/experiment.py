"""`flyball experiment`: what was registered, what it showed, the same for finance, and the power of one to come."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
import yaml

from flyball.api.experiments import to_plan
from flyball.api.parse import parse_resource
from flyball.api.v1alpha1 import ROIExperiment, ROIExperimentSpec
from flyball.cli.columns import aligned
from flyball.cli.experiment_text import Story, document, lines, markdown, row
from flyball.cli.ledger import ledger_option, opened
from flyball.cli.options import opened_out, out_option
from flyball.core.evidence.experiment import Guard, Metric, Plan
from flyball.core.evidence.experiment_verdict import claim_of, judge
from flyball.core.evidence.power import power as played
from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.units import format_ratio, parse_ratio
from flyball.ledger import experiments as records
from flyball.ledger.attainment import declarations
from flyball.ledger.experiment_kpis import late, past_differences
from flyball.ledger.store import Ledger
from flyball.runtime.experiment_status import change

HISTORY_MS = 6 * 86_400_000
"""As far back as the ledger has rows of five minutes, less a day."""
OUTCOMES_MS = 28 * 86_400_000
"""As far back as outcomes are read: the ledger has their hours for longer."""
FEWEST_DIFFERENCES = 10


class Share(click.ParamType[float]):
    """A percentage, as a ratio."""

    name = "percentage"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with what is accepted."""
        try:
            return value if isinstance(value, float) else parse_ratio(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def experiment() -> None:
    """ROI experiments: claims that were registered, what they showed, and what it takes to show one."""


@experiment.command("list")
@ledger_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(url: str, output: str) -> None:
    """All experiments that were ever started, the newest first: those among them that were given up."""
    with opened(url) as found:
        known = [(each, records.decision(found, each.uid)) for each in records.listed(found)]
        rows = [row(each, decided, found.calendar.zone) for each, decided in known]
    head = ["experiment", "uid", "registered", "verdict", "effect"]
    if output == "json":
        click.echo(json.dumps([dict(zip(head, each, strict=True)) for each in rows], indent=2))
        return
    for line in aligned([head, *rows]):
        click.echo(line)


@experiment.command()
@ledger_option
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of NAME.")
@click.option("--uid", default="", help="Which one, where several had that name; the newest when left out.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(url: str, name: str, namespace: str, uid: str, output: str) -> None:
    """What experiment NAME claims, and what is known of it now, or was decided."""
    with _story(url, WorkloadKey(namespace, name), uid) as story:
        if output == "json":
            click.echo(json.dumps(document(story), indent=2))
            return
        for line in lines(story):
            click.echo(line)


@experiment.command()
@ledger_option
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of NAME.")
@click.option("--uid", default="", help="Which one, where several had that name; the newest when left out.")
@out_option
def export(url: str, name: str, namespace: str, uid: str, out: Path | None) -> None:
    """Write experiment NAME as Markdown for finance: the claim, the verdict, every block, and how to check them."""
    with _story(url, WorkloadKey(namespace, name), uid) as story:
        text = "\n".join(markdown(story)) + "\n"
    with opened_out(out) as to:
        to.write(text)


@experiment.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--ledger", "url", envvar="FLYBALL_LEDGER", show_envvar=True, default="", help="Ledger to learn from.")
@click.option("--noise", type=Share(), help="Scatter between neighbouring blocks, in place of a ledger, such as 10%.")
@click.option("--runs", type=click.IntRange(50, 5000), default=400, show_default=True, help="Experiments to play.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def power(file: Path, url: str, noise: float | None, runs: int, output: str) -> None:
    """How likely the experiment of manifest FILE is to reach which verdict, for several true effects.

    How much neighbouring blocks differ is learned from what the baseline cost in the last days, or is given by --noise.
    """
    plan = _planned(file)
    scatter: list[float] | float = noise if noise is not None else _history(url, plan)
    least = 0.01 if plan.points else 0.05
    sign = -1.0 if plan.direction == "Decrease" else 1.0
    effects = sorted({0.0, *(round(sign * min(0.9, max(plan.by, least) * k), 4) for k in (0.5, 1.0, 1.25, 1.5, 2.0))})
    found = [played(plan, effect, scatter, runs) for effect in effects]
    if output == "json":
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    size = f"±{noise:.1%} given" if noise is not None else f"{len(scatter)} differences of the past"  # type: ignore[arg-type]
    metric = f"KPI {plan.kpi}" if plan.kpi else str(plan.metric)
    click.echo(f"{metric}: {plan.direction} by {claim_of(plan)}, {found[0].most_pairs} pairs at most, {size}")
    rows = [["true effect", "supported", "refuted", "neither", "pairs until a verdict"]]
    for each in found:
        neither = max(0.0, 1.0 - each.supported - each.refuted)
        shares = [format_ratio(share, 0) for share in (each.supported, each.refuted, neither)]
        rows.append([change(each.effect, plan.points), *shares, "-" if each.pairs is None else f"{each.pairs:.0f}"])
    for line in aligned(rows):
        click.echo(line)


@contextmanager
def _story(url: str, key: WorkloadKey, uid: str) -> Iterator[Story]:
    with opened(url) as ledger:
        known = [each for each in records.listed(ledger, key) if uid in ("", each.uid)]
        if not known:
            raise click.ClickException(f"the ledger knows no experiment {key}; -n names its namespace")
        chosen, now = known[0], milliseconds(time.time())
        plan = to_plan(key, chosen.uid, ROIExperimentSpec.model_validate_json(chosen.spec))
        blocks, decided = records.blocks(ledger, chosen.uid), records.decision(ledger, chosen.uid)
        if decided:
            judgement = decided.judgement
        else:
            guards = _guards(ledger, plan, now)
            judgement = asdict(judge(plan, guards, blocks, chosen.start, now, chosen.kpis.known))
        changed = late(ledger, plan, chosen.kpis, blocks, now)
        yield Story(plan, chosen, blocks, judgement, decided, ledger.calendar.zone, changed)


def _guards(ledger: Ledger, plan: Plan, now: int) -> tuple[Guard, ...]:
    """The guards with the targets that the treatment's workloads declared last."""
    declared = [
        part.get("objectives", {})
        for key, part in declarations(ledger, now).items()
        if key.namespace == plan.key.namespace and plan.treatment.concerns(key.name, dict(part.get("labels", {})))
    ]
    targets = {name: [part[name] for part in declared if name in part] for name in plan.guards}
    return tuple(Guard(name, max(found)) for name, found in targets.items() if found)


def _planned(file: Path) -> Plan:
    """The experiment of a manifest. Raises BadParameter with all that is wrong."""
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.BadParameter(f"{file} cannot be read: {error}", param_hint="FILE") from error
    if not isinstance(raw, dict) or raw.get("kind") != "ROIExperiment":
        raise click.BadParameter(f"{file} holds no ROIExperiment", param_hint="FILE")
    parsed = parse_resource(ROIExperiment, raw)
    if isinstance(parsed, tuple):
        raise click.BadParameter("; ".join(map(str, parsed)), param_hint="FILE")
    metadata = raw.get("metadata") or {}
    key = WorkloadKey(str(metadata.get("namespace", "default")), str(metadata.get("name", "")))
    return to_plan(key, "planned", parsed.spec)


def _history(url: str, plan: Plan) -> list[float]:
    """Differences between neighbouring blocks of what the baseline cost, or led to, in the last days."""
    if not url:
        raise click.UsageError("name a ledger with --ledger, or give --noise, such as --noise 10%")
    if plan.metric is Metric.MISSED_REQUESTS:
        raise click.UsageError("missed requests are not kept by the block; give --noise, such as --noise 30%")
    if not plan.baseline.workloads:
        raise click.UsageError("the baseline is chosen by labels, which the ledger does not know; give --noise")
    keys = [WorkloadKey(plan.key.namespace, name) for name in plan.baseline.workloads]
    with opened(url) as ledger:
        now = milliseconds(time.time())
        if plan.metric is Metric.KPI:
            found = past_differences(ledger, keys, plan, now, OUTCOMES_MS)
        else:
            found = records.past_differences(ledger, keys, plan, now, HISTORY_MS)
    what = f"outcomes of KPI {plan.kpi}" if plan.metric is Metric.KPI else "costs and requests"
    if len(found) < FEWEST_DIFFERENCES:
        raise click.ClickException(
            f"the ledger has {len(found)} pairs of neighbouring blocks of {', '.join(map(str, keys))} with {what}, "
            f"{FEWEST_DIFFERENCES} are needed; give --noise, such as --noise 10%"
        )
    return found
