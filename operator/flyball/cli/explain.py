"""`flyball explain`: why a workload has the replicas it has, from the record that its status carries."""

import asyncio
import json
from typing import Any

import click

from flyball.cli.advice import plan_lines, shadow_lines
from flyball.cli.efficiency import efficiency_lines
from flyball.cli.stages import stage_lines
from flyball.cluster.client import connect
from flyball.cluster.resources import WORKLOADS
from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.core.ports import PortError


@click.command()
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def explain(name: str, namespace: str, output: str) -> None:
    """Say why workload NAME has the replicas it has, and which conditions are not as they should be.

    Then what nobody acts on: how many GPUs will be needed by when, and what the rivals of spec.shadow would have done.
    """
    try:
        raw = asyncio.run(_fetch(namespace, name))
    except PortError as error:
        raise click.ClickException(str(error)) from error
    status = raw.get("status") or {}
    if output == "json":
        click.echo(json.dumps(status, indent=2))
        return
    if not status:
        raise click.ClickException(f"WorkloadSLO {namespace}/{name} has no status yet; is the operator running?")
    for line in _lines(status):
        # A status holds labels, and so what callers send as their tenant or template: none may steer a terminal.
        click.echo("".join(each if each.isprintable() else "?" for each in line))


async def _fetch(namespace: str, name: str) -> dict[str, Any]:
    async with connect() as api:
        return await api.get(WORKLOADS, name, namespace)


def _lines(status: dict[str, Any]) -> list[str]:
    decision = status.get("lastDecision")
    lines = [f"decision {decision['id']} at {decision['time']}"] if decision else []
    for target in status.get("targets", ()):
        limit = f" (limited by {target['limitedBy']})" if target.get("limitedBy") else ""
        lines.append(f"{target['name']}: {target['current']} now, {target['desired']} wanted{limit}")
        lines += [f"  because {part}" for part in target.get("reason", "").split("; ") if part]
    lines += _gpu_lines(status["gpu"]) if status.get("gpu") else []
    currency = (status.get("cost") or {}).get("currency", DEFAULT_CURRENCY)
    lines += efficiency_lines(status, currency)
    lines += stage_lines(status)
    wrong = [c for c in status.get("conditions", ()) if _wrong(c)]
    lines += [f"{c['type']}={c['status']} ({c['reason']}): {c['message']}" for c in wrong]
    lines += plan_lines(status["plan"], currency) if status.get("plan") else []
    lines += shadow_lines(status["shadow"], currency) if status.get("shadow") else []
    return lines


def _gpu_lines(gpu: dict[str, str]) -> list[str]:
    """The verdict with the numbers that it was made of."""
    seen = [
        text.format(**gpu)
        for text, field in (
            ("{utilization} busy", "utilization"),
            ("{queue} waiting per replica", "queue"),
            ("{running} running per replica", "running"),
            ("KV cache {kvCacheUsage}", "kvCacheUsage"),
            ("{tokensPerSecond} tokens/s per GPU", "tokensPerSecond"),
        )
        if field in gpu
    ]
    if "kneeTokensPerSecond" in gpu:
        seen.append("at the knee {kneeTokensPerSecond} tokens/s and {kneeRunning} running".format(**gpu))
    return [f"GPUs: {gpu['verdict']} ({', '.join(seen) or 'nothing is known of them'})"]


def _wrong(condition: dict[str, str]) -> bool:
    only_while_true = ("FallbackActive", "Contended", "RouteConflict", "DeclaredNotActedOn", "ThresholdBetweenEdges")
    return condition["status"] != "True" or condition["type"] in only_while_true
