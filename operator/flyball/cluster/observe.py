"""One look at everything that workloads consist of, in a number of requests that follows kinds and namespaces.

Per tick and namespace in use: one list of each target kind, of pods, of HorizontalPodAutoscalers, of ScaledObjects
where KEDA is installed, and, where a fallback is declared, of its kinds of routes and what their backends' kinds need
(EndpointSlices for Services; InferencePools and their pods, which come after the routes that name them). From 32
namespaces on, each is one list of the whole cluster, where that is allowed. Lists come out of the API server's memory
and cost etcd nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flyball.cluster import groups
from flyball.cluster.client import ApiServer
from flyball.cluster.contention import Takeovers, Write, autoscaler_of
from flyball.cluster.discovery import Discovery
from flyball.cluster.namespaces import Found, NamespacedLists
from flyball.cluster.pods import (
    StartupTimes,
    accelerator,
    count,
    covering_selector,
    gpus_per_replica,
    node_accelerator,
    selected,
    spans,
)
from flyball.cluster.resources import (
    HORIZONTAL_POD_AUTOSCALERS,
    NODES,
    PODS,
    SCALED_OBJECTS,
    Object,
    dig,
)
from flyball.cluster.route_reader import RouteReader
from flyball.cluster.targets import Place, Target, Targets, template_of
from flyball.core.names import WorkloadKey
from flyball.core.observation import RouteState, VariantState, WorkloadState
from flyball.core.ports import PortError, Rejected
from flyball.core.spec import Variant, WorkloadSpec


@dataclass(slots=True)
class _Seen:
    """What one look brought, by namespace."""

    targets: dict[Place, Target]
    autoscalers: Found
    pods: dict[Place, list[Object] | PortError] = field(default_factory=dict)
    routes: Mapping[WorkloadKey, tuple[RouteState, ...]] = field(default_factory=dict)
    pointing: dict[tuple[str, str], tuple[list[Object], list[Object]]] = field(default_factory=dict)
    """By namespace and target name, the HorizontalPodAutoscalers and ScaledObjects that may point there."""


class Observer:
    """Reads the state of workloads. `writes` holds how this process last scaled each target."""

    def __init__(
        self,
        api_server: ApiServer,
        targets: Targets,
        discovery: Discovery,
        lists: NamespacedLists,
        *,
        routes: bool,
        clock: Callable[[], float],
        writes: Mapping[Place, Write],
    ) -> None:
        self._api_server = api_server
        self._targets = targets
        self._discovery = discovery
        self._lists = lists
        self._routes = RouteReader(lists) if routes else None
        self._clock = clock
        self._writes = writes
        self._takeovers = Takeovers()
        self._startups = StartupTimes()
        self._node_accelerators: dict[str, str | None] = {}

    async def observe(self, workloads: Sequence[WorkloadSpec]) -> dict[WorkloadKey, WorkloadState]:
        """The state of every workload. Never raises: what cannot be read has a `problem`."""
        seen = await self._look(workloads)
        self._startups.forget_all_but(
            dig(pod, "metadata", "uid")
            for pods in seen.pods.values()
            if not isinstance(pods, PortError)
            for pod in pods
        )
        await self._look_at_nodes(workloads, seen)
        return {workload.key: self._state(workload, seen) for workload in workloads}

    async def _look(self, workloads: Sequence[WorkloadSpec]) -> _Seen:
        places = {(w.key.namespace, variant.target) for w in workloads for variant in w.variants}
        everywhere = {namespace: "" for namespace, _ in places}
        targets, autoscalers, scaled_objects, routes = await asyncio.gather(
            self._targets.read(places),
            self._lists.read(HORIZONTAL_POD_AUTOSCALERS, everywhere),
            self._read_scaled_objects(everywhere),
            self._read_routes(workloads),
        )
        seen = _Seen(targets, autoscalers, {}, routes)
        seen.pods = await self._read_pods(targets)
        seen.pointing = _by_target(autoscalers, scaled_objects)
        return seen

    async def _read_routes(self, workloads: Sequence[WorkloadSpec]) -> dict[WorkloadKey, tuple[RouteState, ...]]:
        """The states of every workload's routes, in the order of its spec."""
        declared = [(w.key, route) for w in workloads if w.fallback for route in w.fallback.routes]
        if self._routes is None:
            disabled = "this installation moves no routes; set fallback.enabled in its chart"
            states = [RouteState(route.route, problem=disabled) for _, route in declared]
        else:
            states = await self._routes.observe(declared)
        found: dict[WorkloadKey, tuple[RouteState, ...]] = {}
        for (key, _), state in zip(declared, states, strict=True):
            found[key] = (*found.get(key, ()), state)
        return found

    async def _read_scaled_objects(self, namespaces: Mapping[str, str]) -> Found:
        """ScaledObjects where they may be read; KEDA's own HPAs tell the most of it where they may not."""
        nothing: Found = {namespace: [] for namespace in namespaces}
        try:
            if await self._discovery.find(f"{SCALED_OBJECTS.group}/{SCALED_OBJECTS.version}", "ScaledObject") is None:
                return nothing
        except PortError:
            return nothing
        found = await self._lists.read(SCALED_OBJECTS, namespaces)
        return {namespace: [] if isinstance(part, PortError) else part for namespace, part in found.items()}

    async def _read_pods(self, targets: Mapping[Place, Target]) -> dict[Place, list[Object] | PortError]:
        selectors: dict[str, dict[Place, Object]] = defaultdict(dict)
        asked: dict[Place, str] = {}
        for place, target in targets.items():
            if target.selector:
                selectors[place[0]][place] = target.selector
            elif target.selector_text:
                asked[place] = target.selector_text
        covering = {namespace: covering_selector(part.values()) for namespace, part in selectors.items()}
        by_namespace, *singles = await asyncio.gather(
            self._lists.read(PODS, covering),
            *(self._lists.read(PODS, {namespace: text}) for (namespace, _), text in asked.items()),
        )
        found: dict[Place, list[Object] | PortError] = {
            place: single[place[0]] for place, single in zip(asked, singles, strict=True)
        }
        for namespace, part in selectors.items():
            pods = by_namespace[namespace]
            found.update(dict.fromkeys(part, pods) if isinstance(pods, PortError) else selected(part, pods))
        return found

    async def _look_at_nodes(self, workloads: Sequence[WorkloadSpec], seen: _Seen) -> None:
        """Ask for the nodes of pods whose GPU nothing else names, each once; a refusal leaves it unknown."""
        names: set[str] = set()
        for workload in workloads:
            for variant in workload.variants:
                pods = seen.pods.get((workload.key.namespace, variant.target), [])
                if variant.accelerator or isinstance(pods, PortError) or not pods:
                    continue
                if gpus_per_replica(pods[0]["spec"]) and not accelerator(pods[0]["spec"]):
                    names |= {node for pod in pods if (node := dig(pod, "spec", "nodeName"))}
        wanted = sorted(names - self._node_accelerators.keys())
        await asyncio.gather(*map(self._look_at_node, wanted))

    async def _look_at_node(self, name: str) -> None:
        try:
            self._node_accelerators[name] = node_accelerator(await self._api_server.get(NODES, name))
        except Rejected:
            self._node_accelerators[name] = None
        except PortError:
            return  # asked again with the next tick

    def _state(self, workload: WorkloadSpec, seen: _Seen) -> WorkloadState:
        namespace = workload.key.namespace
        problems: list[str] = []
        variants = []
        for variant in workload.variants:
            target = seen.targets[namespace, variant.target]
            pods = seen.pods.get((namespace, variant.target), [])
            autoscalers = seen.autoscalers[namespace]
            problems += [target.problem] if target.problem else []
            problems += [str(part) for part in (pods, autoscalers) if isinstance(part, PortError)]
            variants.append(self._variant(namespace, variant, target, _or_none(pods), seen))
        return WorkloadState(tuple(variants), seen.routes.get(workload.key, ()), "; ".join(dict.fromkeys(problems)))

    def _variant(
        self, namespace: str, variant: Variant, target: Target, pods: list[Object], seen: _Seen
    ) -> VariantState:
        if target.found is None or not target.scalable:
            return VariantState(variant.name, exists=target.found is not None, scalable=False)
        place, now = (namespace, variant.target), self._clock()
        grouped = groups.is_group(variant.target)
        if grouped:
            pods = groups.as_replicas(target.found, pods)
        counts = count(pods)
        pod_spec = template_of(variant.target, target.found) or (pods[0]["spec"] if pods else {})
        pointing = seen.pointing.get((namespace, variant.target.name), ([], []))
        contender = autoscaler_of(variant.target, *pointing)
        return VariantState(
            variant.name,
            replicas=target.replicas,
            ready=counts.ready,
            starting=counts.starting,
            unschedulable=counts.unschedulable,
            accelerator=accelerator(pod_spec) or self._accelerator_of_nodes(pods),
            gpus_per_replica=groups.gpus_per_group(target.found) if grouped else gpus_per_replica(pod_spec),
            contender=contender
            or self._takeovers.contender(place, target.found, target.replicas, self._writes.get(place), now),
            startup_seconds=self._startups.of(pods, now),
            pods=spans(pods),
        )

    def _accelerator_of_nodes(self, pods: Iterable[Object]) -> str | None:
        """The one product that all nodes of these pods have; None where it is not known or not one."""
        found = {self._node_accelerators.get(node) for pod in pods if (node := dig(pod, "spec", "nodeName"))}
        return found.pop() if len(found) == 1 else None


def _by_target(*kinds: Found) -> dict[tuple[str, str], tuple[list[Object], list[Object]]]:
    found: dict[tuple[str, str], tuple[list[Object], list[Object]]] = defaultdict(lambda: ([], []))
    for position, lists in enumerate(kinds):
        for namespace, part in lists.items():
            for autoscaler in _or_none(part):
                found[namespace, str(dig(autoscaler, "spec", "scaleTargetRef", "name"))][position].append(autoscaler)
    return found


def _or_none(part: list[Object] | PortError) -> list[Object]:
    return [] if isinstance(part, PortError) else part
