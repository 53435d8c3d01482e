"""`flyball doctor`: what an installation needs, each thing tried as the operator does it, with what to do about it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from flyball.api.resource import GROUP, VERSION
from flyball.cli.options import ENVIRONMENT, prometheus_options, prometheus_settings
from flyball.cluster.client import ApiServer, connect
from flyball.cluster.resources import WORKLOADS
from flyball.core.ports import Missing, PortError, Rejected
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

INSTALL_CRDS = "install this version's CRDs: kubectl apply -f crds/, or helm upgrade"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. `text` says what was found, or what is wrong and how to fix it."""

    name: str
    ok: bool
    text: str


@click.command(context_settings=ENVIRONMENT)
@click.option("--in-cluster", is_flag=True, help="Only what `helm test` has the rights for.")
@click.option(
    "-n", "--namespace", envvar="POD_NAMESPACE", default="default", help="Where a WorkloadSLO is tried; none is stored."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@prometheus_options(required=False)
def doctor(in_cluster: bool, namespace: str, output: str, **prometheus: Any) -> None:
    """Try everything that Flyball needs of a cluster and of Prometheus. Exits 1 when something failed."""
    settings = prometheus_settings(prometheus) if prometheus["prometheus_url"] else None
    checks = asyncio.run(_examine(in_cluster, namespace, settings))
    if output == "json":
        click.echo(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            click.echo(f"{'ok' if check.ok else 'FAILED':<6}  {check.name:<{width}}  {check.text}")
    if not all(check.ok for check in checks):
        raise SystemExit(1)


async def _examine(in_cluster: bool, namespace: str, settings: PrometheusSettings | None) -> list[Check]:
    checks = []
    try:
        async with connect() as api:
            checks += [check async for check in _cluster(api, namespace, in_cluster)]
    except PortError as error:
        checks.append(Check("API server", False, str(error)))
    if settings is not None:
        checks.append(await asyncio.to_thread(_prometheus, settings))
    elif in_cluster:
        checks.append(Check("Prometheus", False, "no URL is given: set prometheus.url in the chart"))
    return checks


async def _cluster(api: ApiServer, namespace: str, in_cluster: bool) -> AsyncIterator[Check]:
    version = await api.get_path("/version")
    yield Check("API server", True, f"Kubernetes {version.get('gitVersion', 'of an unknown version')} answers")
    yield await _good_is_accepted(api, namespace)
    yield await _bad_is_refused(api, namespace)
    if not in_cluster:
        yield await _operator(api)


async def _good_is_accepted(api: ApiServer, namespace: str) -> Check:
    name = "WorkloadSLO accepted"
    try:
        await api.create(WORKLOADS, namespace, _workload(min_replicas=1), dry_run=True)
    except Missing as error:
        return Check(name, False, f"{error}; {INSTALL_CRDS}, and see that namespace {namespace} exists")
    except PortError as error:
        return Check(name, False, str(error))
    return Check(name, True, "the API server accepts a valid one (dry run)")


async def _bad_is_refused(api: ApiServer, namespace: str) -> Check:
    name = "mistakes refused"
    try:
        await api.create(WORKLOADS, namespace, _workload(min_replicas=3), dry_run=True)
    except Rejected as error:
        if "minReplicas" in str(error):
            return Check(name, True, "the API server refuses minReplicas above maxReplicas, and names the field")
        return Check(name, False, str(error))
    except PortError as error:
        return Check(name, False, str(error))
    return Check(name, False, f"minReplicas above maxReplicas is accepted; {INSTALL_CRDS}")


async def _operator(api: ApiServer) -> Check:
    """Whether somebody looks after what is declared: every WorkloadSLO's present generation was observed."""
    name = "operator"
    try:
        found = await api.list_all(WORKLOADS)
    except PortError as error:
        return Check(name, False, str(error))
    unseen = [
        f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        for raw in found
        if (raw.get("status") or {}).get("observedGeneration") != raw["metadata"].get("generation")
    ]
    if unseen:
        fix = "is the operator running, and does it watch that namespace? See its log"
        return Check(name, False, f"{len(unseen)} of {len(found)} WorkloadSLOs not evaluated, {unseen[0]} first; {fix}")
    text = "there is no WorkloadSLO yet" if not found else f"has evaluated every WorkloadSLO ({len(found)})"
    return Check(name, True, text)


def _prometheus(settings: PrometheusSettings) -> Check:
    client = PrometheusClient(settings)
    try:
        answer = client.ask("vector(1)", time.time(), settings.timeout_seconds)
    finally:
        client.close()
    return Check("Prometheus", not answer.failure, answer.failure or f"{settings.shown_url} answers queries")


def _workload(min_replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "WorkloadSLO",
        "metadata": {"generateName": "flyball-doctor-"},
        "spec": {
            "workloadType": "Assistant",
            "targets": [{"targetRef": {"name": "flyball-doctor"}, "minReplicas": min_replicas, "maxReplicas": 2}],
        },
    }
