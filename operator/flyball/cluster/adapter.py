"""The Cluster port over a real API server: what is observed, and the only things that are ever written.

Writes are guarded by what they were decided on: a scale by the replicas expected, weights and finalizers by the
resourceVersion just read. Nothing is written over somebody else's change, and nothing is retried beyond a lost race.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from flyball.cluster import own
from flyball.cluster.client import ApiServer, PatchType
from flyball.cluster.contention import Write
from flyball.cluster.discovery import Discovery, Kind
from flyball.cluster.errors import Unprocessable
from flyball.cluster.namespaces import NamespacedLists
from flyball.cluster.nodes import node_gpus
from flyball.cluster.observe import Observer
from flyball.cluster.pods import ACCELERATOR_LABELS
from flyball.cluster.resources import (
    BUDGETS,
    DEMAND_EVENTS,
    GPU_POOLS,
    NODES,
    PRICE_BOOKS,
    ROI_EXPERIMENTS,
    WORKLOADS,
    Object,
    Resource,
    dig,
)
from flyball.cluster.route_kinds import RESOURCES
from flyball.cluster.routes import Unusable, adoptions, find_rule, rule_key
from flyball.cluster.targets import Place, Targets
from flyball.cluster.weights import restore_patch, weights_patch
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.observation import RouteState, WorkloadState
from flyball.core.pools.gpu_pools import NodeGpus
from flyball.core.ports import Conflict, Missing, Rejected
from flyball.core.spec import FallbackRoute, TargetRef, WorkloadSpec


class KubernetesCluster:
    """Workloads' objects in one cluster.

    `namespaces` confines it to those (none: the whole cluster). Without `routes`, no route and no backend of one
    is read, and every fallback has a problem that says so. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        api_server: ApiServer,
        *,
        namespaces: Iterable[str] = (),
        routes: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api_server = api_server
        self._namespaces = tuple(sorted(set(namespaces)))
        discovery = Discovery(api_server, clock)
        lists = NamespacedLists(api_server, self._namespaces)
        self._targets = Targets(api_server, discovery, lists)
        self._clock = clock
        self._writes: dict[Place, Write] = {}
        self._observer = Observer(
            api_server, self._targets, discovery, lists, routes=routes, clock=clock, writes=self._writes
        )

    async def list_workloads(self) -> list[Object]:
        """Every WorkloadSLO, read consistently and page by page; Missing where the CRDs are not installed."""
        return await self._list_own(WORKLOADS, self._namespaces or ("",))

    async def list_price_books(self) -> list[Object]:
        """Every PriceBook, in the same way."""
        return await self._list_own(PRICE_BOOKS, ("",))

    async def list_gpu_pools(self) -> list[Object]:
        """Every GPUPool, in the same way."""
        return await self._list_own(GPU_POOLS, ("",))

    async def list_demand_events(self) -> list[Object]:
        """Every DemandEvent, in the same way."""
        return await self._list_own(DEMAND_EVENTS, self._namespaces or ("",))

    async def list_budgets(self) -> list[Object]:
        """Every Budget, in the same way."""
        return await self._list_own(BUDGETS, self._namespaces or ("",))

    async def list_roi_experiments(self) -> list[Object]:
        """Every ROIExperiment, in the same way."""
        return await self._list_own(ROI_EXPERIMENTS, self._namespaces or ("",))

    async def list_gpus(self) -> list[NodeGpus]:
        """The GPUs of every node whose labels name one, but for nodes that are lost."""
        lists = await asyncio.gather(
            *(self._api_server.list_all(NODES, labels=label, cached=True) for label in ACCELERATOR_LABELS)
        )
        nodes = {node["metadata"]["name"]: node for part in lists for node in part}
        found = (node_gpus(node, self._clock()) for node in nodes.values())
        return [gpus for gpus in found if gpus is not None]

    async def observe(self, workloads: Sequence[WorkloadSpec]) -> dict[WorkloadKey, WorkloadState]:
        """The state of all workloads. Never raises: what cannot be read has a `problem`."""
        return await self._observer.observe(workloads)

    async def scale(self, namespace: str, target: TargetRef, expected: int, replicas: int) -> None:
        """Set a target's replicas through its scale subresource, if they still are `expected`; else Conflict."""
        kind = await self._kind(target)
        if not kind.scalable:
            raise Rejected(f"{target} in namespace {namespace} has no scale subresource; name a target that has one")
        # A Scale leaves out replicas when they are 0, so that a test of the field itself would miss.
        expectation = {"path": "/spec/replicas", "value": expected} if expected else {"path": "/spec", "value": {}}
        patch: list[Object] = [
            {"op": "test", **expectation},
            {"op": "add", "path": "/spec/replicas", "value": replicas},
        ]
        try:
            scaled = await self._api_server.patch(
                kind.resource, target.name, namespace, patch, PatchType.JSON, subresource="scale"
            )
        except Unprocessable:
            scale = await self._api_server.get(kind.resource, target.name, namespace, "scale")
            current = dig(scale, "spec", "replicas") or 0
            if current != expected:
                raise Conflict(f"{target} in namespace {namespace} has {current} replicas, not {expected}") from None
            raise
        self._writes[namespace, target] = Write(replicas, scaled["metadata"]["resourceVersion"])

    async def annotate(self, namespace: str, target: TargetRef, annotations: Mapping[str, str | None]) -> None:
        """Set (or with None remove) annotations on a target itself, never on its pod template."""
        kind = await self._kind(target)
        body: Object = {"metadata": {"annotations": dict(annotations)}}
        await self._api_server.patch(kind.resource, target.name, namespace, body, PatchType.MERGE)

    async def set_weights(
        self, key: WorkloadKey, route: FallbackRoute, observed: RouteState, primary: int, fallback: int
    ) -> None:
        """Set the two backends' weights, remembering the user's own before the first write.

        Conflict where the weights are no longer those observed, where they are not those that Flyball wrote last, or
        where the route changed between reading and writing. Rejected where the route cannot be adopted.
        """
        resource = RESOURCES[route.kind]
        found = await self._api_server.get(resource, route.route, key.namespace)
        try:
            rule = find_rule(found, route)
            adopted = adoptions(found).get(rule_key(route))
            patch = weights_patch(found, route, key, (primary, fallback))
        except Unusable as error:
            raise Rejected(str(error)) from error
        seen, wrote = (observed.primary_weight, observed.fallback_weight), adopted.applied if adopted else None
        other = f"{route} in namespace {key.namespace} has weights {rule.shown}, not those"
        if rule.weights != seen:
            raise Conflict(f"{other} observed, {seen[0]}:{seen[1]}")
        if adopted and wrote and not adopted.stands(rule):
            raise Conflict(f"{other} written by Flyball, {wrote[0]}:{wrote[1]}")
        await patch_guarded(self._api_server, resource, key.namespace, route.route, patch)

    async def restore_weights(self, key: WorkloadKey, route: FallbackRoute) -> None:
        """Give a route the weights back that its user had, and forget them. Does nothing where nothing was changed.

        Where somebody else changed the weights meanwhile, theirs stay, what was remembered is forgotten, and Conflict
        says so, once: the next call finds nothing to restore.
        """
        try:
            found = await self._api_server.get(RESOURCES[route.kind], route.route, key.namespace)
        except Missing:
            return
        await self._restore(route.kind, found, [rule_key(route)], str(key))

    async def restore_all(self, key: WorkloadKey) -> None:
        """Restore every rule that this workload ever moved, also those that its spec no longer names. As above."""
        conflicts: list[str] = []
        for kind, resource in RESOURCES.items():
            try:
                listed = await self._api_server.list_all(resource, key.namespace)
            except Missing:
                continue  # its CRD is not installed
            except Rejected:
                if kind is RouteKind.HTTP:
                    raise
                continue  # what may not even be listed was never moved
            for found in listed:
                try:
                    await self._restore(kind, found, None, str(key))
                except Conflict as error:
                    conflicts.append(str(error))
        if conflicts:
            raise Conflict("; ".join(conflicts))

    async def hold_finalizer(self, key: WorkloadKey, hold: bool) -> None:
        """Add or remove Flyball's finalizer. Missing where the object is gone and should be held."""
        lost = f"WorkloadSLO {key} changes faster than its finalizer can be written; the next tick tries again"
        await own.hold_finalizer(self._api_server, WORKLOADS, key, hold, lost)

    async def write_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        """Server-side apply the whole status; what an earlier one had and this one has not is removed."""
        await own.write_status(self._api_server, WORKLOADS, "WorkloadSLO", key.name, key.namespace, status)

    async def write_pool_status(self, name: str, status: Mapping[str, object]) -> None:
        """The same, for a GPUPool."""
        await own.write_status(self._api_server, GPU_POOLS, "GPUPool", name, "", status)

    async def write_budget_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        """The same, for a Budget."""
        await own.write_status(self._api_server, BUDGETS, "Budget", key.name, key.namespace, status)

    async def write_demand_event_status(self, key: WorkloadKey, status: Mapping[str, object]) -> None:
        """The same, for a DemandEvent."""
        await own.write_status(self._api_server, DEMAND_EVENTS, "DemandEvent", key.name, key.namespace, status)

    async def _list_own(self, resource: Resource, namespaces: Iterable[str]) -> list[Object]:
        try:
            lists = [await self._api_server.list_all(resource, namespace) for namespace in namespaces]
            return [found for part in lists for found in part]
        except Missing as error:
            raise Missing(f"the API server serves no {resource}; install the CRDs: kubectl apply -f crds/") from error

    async def _kind(self, target: TargetRef) -> Kind:
        kind = await self._targets.kind_of(target)
        if kind is None:
            raise Missing(
                f"the API server serves no {target.kind} in {target.api_version}; correct targetRef.apiVersion"
            )
        return kind

    async def _restore(self, kind: RouteKind, found: Object, rules: Sequence[str] | None, owner: str) -> None:
        """Restore those rules (None: all) of a route that `owner` moved, one patch each."""
        namespace, name = found["metadata"]["namespace"], found["metadata"]["name"]
        conflicts: list[str] = []
        try:
            owned = [rule for rule, adopted in adoptions(found).items() if adopted.owner == owner]
            for rule in owned if rules is None else [rule for rule in owned if rule in rules]:
                patch, conflict = restore_patch(found, rule, kind)
                found = await patch_guarded(self._api_server, RESOURCES[kind], namespace, name, patch)
                conflicts += [conflict] if conflict else []
        except Unusable as error:
            raise Rejected(str(error)) from error
        if conflicts:
            raise Conflict("; ".join(conflicts))


async def patch_guarded(
    api_server: ApiServer, resource: Resource, namespace: str, name: str, patch: Sequence[Object]
) -> Object:
    """Send a JSON patch that tests the resourceVersion first; Conflict where the object changed since."""
    try:
        return await api_server.patch(resource, name, namespace, patch, PatchType.JSON)
    except Unprocessable:
        found = await api_server.get(resource, name, namespace)
        if found["metadata"]["resourceVersion"] != patch[0]["value"]:
            raise Conflict(f"{resource} {name} in namespace {namespace} changed since it was read") from None
        raise
