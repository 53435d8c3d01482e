"""`flyball doctor`: what an installation needs, each thing tried as the operator does it, with what to do about it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from flyball.api.convert import read_workload
from flyball.api.resource import GROUP, VERSION
from flyball.cli.options import ENVIRONMENT, prometheus_options, prometheus_settings
from flyball.cluster.client import ApiServer, connect
from flyball.cluster.discovery import Discovery
from flyball.cluster.drain import ends_at_once
from flyball.cluster.namespaces import NamespacedLists
from flyball.cluster.resources import WORKLOADS
from flyball.cluster.route_kinds import RESOURCES, absent
from flyball.cluster.targets import Targets, template_of
from flyball.core.money.node_prices import BUILT_IN_DEFAULT
from flyball.core.ports import Missing, PortError, Rejected
from flyball.core.spec import WorkloadSpec
from flyball.core.units import counted, format_duration
from flyball.telemetry import node_prices
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

INSTALL_CRDS = "install this version's CRDs: kubectl apply -f crds/, or helm upgrade"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. `text` says what was found, or what is wrong and how to fix it.

    What is `doubtful` may be wrong: nothing that can be looked at tells.
    """

    name: str
    ok: bool
    text: str
    doubtful: bool = False

    @property
    def verdict(self) -> str:
        """One word."""
        return "FAILED" if not self.ok else "DOUBT" if self.doubtful else "ok"


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
            click.echo(f"{check.verdict:<6}  {check.name:<{width}}  {check.text}")
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
        checks += await asyncio.to_thread(lambda: list(_prometheus(settings)))
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
        yield await _routes(api)
        yield await _ends(api)


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


async def _routes(api: ApiServer) -> Check:
    """Whether the API server serves the kinds of routes that fallbacks name."""
    name = "fallback routes"
    try:
        specs = [read_workload(raw, {}) for raw in await api.list_all(WORKLOADS)]
        fallbacks = [spec.fallback for spec in specs if isinstance(spec, WorkloadSpec) and spec.fallback]
        named = sorted({route.kind for fallback in fallbacks for route in fallback.routes})
        discovery, problems = Discovery(api, time.time), []
        for kind in named:
            resource = RESOURCES[kind]
            if await discovery.find(f"{resource.group}/{resource.version}", kind) is None:
                problems.append(absent(resource))
    except PortError as error:
        return Check(name, False, str(error))
    served = f"the API server serves {' and '.join(named)}, which WorkloadSLOs name"
    return Check(name, not problems, "; ".join(problems) or (served if named else "no WorkloadSLO names one"))


async def _ends(api: ApiServer) -> Check:
    """Whether pods of targets serve on for a while when they are told to end, as far as their templates say."""
    name = "pods' end"
    try:
        declared = [(raw["metadata"]["namespace"], read_workload(raw, {})) for raw in await api.list_all(WORKLOADS)]
    except PortError as error:
        return Check(name, False, str(error))
    specs = [(namespace, spec) for namespace, spec in declared if isinstance(spec, WorkloadSpec)]
    places = {(namespace, variant.target) for namespace, spec in specs for variant in spec.variants}
    read = await Targets(api, Discovery(api, time.time), NamespacedLists(api)).read(places)
    templates = {
        f"{target.kind} {namespace}/{target.name}": template
        for (namespace, target), seen in sorted(read.items(), key=str)
        if seen.found is not None and (template := template_of(target, seen.found))
    }
    doubts = [f"{which}, {doubt}" for which, template in templates.items() if (doubt := ends_at_once(template))]
    if doubts:
        fix = "requests are lost where the engine does not serve on after SIGTERM; see docs/scale-down.md"
        return Check(
            name, True, f"{len(doubts)} of {counted(len(templates), 'target')}: {'; '.join(doubts)}; {fix}", True
        )
    text = f"templates of {counted(len(templates), 'target')} say that pods serve on while gateways learn that they go"
    return Check(name, True, text if templates else "no target's template can be seen")


def _prometheus(settings: PrometheusSettings) -> Iterator[Check]:
    client = PrometheusClient(settings)
    try:
        answer = client.ask("vector(1)", time.time(), settings.timeout_seconds)
    finally:
        client.close()
    yield Check("Prometheus", not answer.failure, answer.failure or f"{settings.shown_url} answers queries")
    if not answer.failure:
        yield _opencost(settings, time.time())


def _opencost(settings: PrometheusSettings, at: float) -> Check:
    """Whether OpenCost's node prices are there, which only PriceBooks with openCost need."""
    nodes, failure = node_prices.ask(settings, at)
    if failure or not nodes:
        text = "Prometheus has no node prices of OpenCost; only PriceBooks with openCost need them"
        return Check("OpenCost", not failure, failure or text)
    priced = [node for node in nodes if node.per_gpu not in (0, BUILT_IN_DEFAULT)]
    age = format_duration(max(0, round(at - max(node.seen_at for node in nodes))))
    text = f"knows what the GPUs of {len(priced)} of {counted(len(nodes), 'node')} with GPUs cost, as of {age} ago"
    return Check("OpenCost", True, text)


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
