"""Undoing everything that Flyball left in a cluster, without Flyball: for `helm uninstall` and stuck namespaces.

In this order, so that a stop half-way leaves nothing that cannot be found again: weights of routes, annotations of
targets (they would go on claiming a cost), then the finalizers that keep WorkloadSLOs and ROIExperiments until their
routes are restored. Doing it again finds nothing to do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from flyball.cluster.adapter import patch_guarded
from flyball.cluster.client import ApiServer, PatchType
from flyball.cluster.discovery import Discovery
from flyball.cluster.own import finalizer_patch
from flyball.cluster.resources import (
    DEPLOYMENTS,
    GROUP,
    HTTP_ROUTES,
    PODS,
    ROI_EXPERIMENTS,
    STATEFUL_SETS,
    WORKLOADS,
    Object,
    Resource,
    dig,
)
from flyball.cluster.route_kinds import RESOURCES
from flyball.cluster.routes import APPLIED, ORIGINAL, Unusable, adoptions
from flyball.cluster.weights import forget_patch, restore_patch
from flyball.core.ports import Conflict, Missing, PortError, Rejected, Unavailable

_ATTEMPTS = 3
_ALWAYS_READABLE = (WORKLOADS, ROI_EXPERIMENTS, HTTP_ROUTES, DEPLOYMENTS, STATEFUL_SETS)
_KINDS = {resource: kind for kind, resource in RESOURCES.items()}
_STOP_LOOK_SECONDS = 1.0

Say = Callable[[str], None]


async def restore_everything(api_server: ApiServer, say: Say, *, namespaces: Iterable[str] = ()) -> int:
    """Restore weights, remove annotations and finalizers, everywhere or in those namespaces; says each thing it does.

    Returns how many things could not be undone: 0 when the cluster is clean, so that an exit status can be made of it.
    Finalizers stay while a route or target could not be cleaned, so that a second run still finds them. Raises nothing
    of the ports: what cannot be read counts as not undone, and is said.
    """
    return await _Restoration(api_server, say, tuple(sorted(set(namespaces))) or ("",)).run()


async def stop_operator(api_server: ApiServer, namespace: str, deployment: str, say: Say, *, within: float) -> None:
    """Scale the operator's Deployment to zero and wait until its pods are gone: alive, it would undo the undoing.

    A Deployment that is gone already is as good. Raises Unavailable where pods are left after `within` seconds.
    """
    try:
        body: Object = {"spec": {"replicas": 0}}
        await api_server.patch(DEPLOYMENTS, deployment, namespace, body, PatchType.MERGE, subresource="scale")
        scale = await api_server.get(DEPLOYMENTS, deployment, namespace, "scale")
    except Missing:
        say(f"no operator {deployment} in namespace {namespace} to stop")
        return
    selector = str(dig(scale, "status", "selector") or "")
    deadline = asyncio.get_running_loop().time() + within
    while pods := await api_server.list_all(PODS, namespace, labels=selector):
        if asyncio.get_running_loop().time() > deadline:
            names = ", ".join(str(dig(pod, "metadata", "name")) for pod in pods)
            raise Unavailable(f"operator pods are still there after {within:g} s: {names}; delete them, then try again")
        await asyncio.sleep(_STOP_LOOK_SECONDS)
    say(f"stopped the operator {deployment} in namespace {namespace}")


class _Restoration:
    """One run, with its count of failures."""

    def __init__(self, api_server: ApiServer, say: Say, namespaces: tuple[str, ...]) -> None:
        self._api_server = api_server
        self._say = say
        self._namespaces = namespaces
        self._failures = 0

    async def run(self) -> int:
        """Undo everything; how many things could not be."""
        workloads = await self._all(WORKLOADS)
        for resource in RESOURCES.values():
            for route in await self._all(resource):
                await self._attempt(resource, route, self._restore_route)
        for resource, target in await self._targets(workloads):
            await self._attempt(resource, target, self._remove_annotations)
        if self._failures:
            self._say("finalizers are left in place until all of this succeeds")
            return self._failures
        for workload in workloads:
            await self._attempt(WORKLOADS, workload, self._remove_finalizer)
        for experiment in await self._all(ROI_EXPERIMENTS):
            await self._attempt(ROI_EXPERIMENTS, experiment, self._remove_finalizer)
        return self._failures

    async def _restore_route(self, resource: Resource, found: Object) -> None:
        annotations = dig(found, "metadata", "annotations") or {}
        if not annotations.keys() & {ORIGINAL, APPLIED}:
            return
        where = _where(resource, found)
        try:
            remembered = adoptions(found)
        except Unusable as error:
            self._say(f"{where}: {error}; it was {annotations.get(ORIGINAL)}")
            await self._patch(resource, found, forget_patch(found))
            return
        for rule, adopted in remembered.items():
            patch, conflict = restore_patch(found, rule, _KINDS[resource])
            found = await self._patch(resource, found, patch)
            restored = f"weights of {adopted.primary} and {adopted.fallback} are {adopted.shown} again"
            self._say(f"{where}: {conflict or restored}")

    async def _remove_annotations(self, resource: Resource, found: Object) -> None:
        ours = [name for name in dig(found, "metadata", "annotations") or {} if name.startswith(f"{GROUP}/")]
        if ours:
            namespace, name = _place(found)
            body: Object = {"metadata": {"annotations": dict.fromkeys(ours)}}
            await self._api_server.patch(resource, name, namespace, body, PatchType.MERGE)
            self._say(f"{_where(resource, found)}: removed {', '.join(sorted(ours))}")

    async def _remove_finalizer(self, resource: Resource, found: Object) -> None:
        patch = finalizer_patch(found, hold=False)
        if patch:
            await self._patch(resource, found, patch)
            self._say(f"{_where(resource, found)}: removed the finalizer")

    async def _all(self, resource: Resource) -> list[Object]:
        found: list[Object] = []
        for namespace in self._namespaces:
            try:
                found += await self._api_server.list_all(resource, namespace)
            except Missing:
                continue  # its CRD is not installed
            except Rejected as error:
                if resource in _ALWAYS_READABLE:
                    self._fail(str(error))
                else:  # what may not even be listed was never annotated by an operator with the same rights
                    self._say(f"passed over: {error}")
            except PortError as error:
                self._fail(str(error))
        return found

    async def _targets(self, workloads: list[Object]) -> list[tuple[Resource, Object]]:
        """All Deployments and StatefulSets, and all objects of the other kinds that WorkloadSLOs name."""
        discovery = Discovery(self._api_server, lambda: 0.0)
        resources = {DEPLOYMENTS, STATEFUL_SETS}
        for workload in workloads:
            for target in dig(workload, "spec", "targets") or ():
                api_version, kind = dig(target, "targetRef", "apiVersion"), dig(target, "targetRef", "kind")
                try:
                    found = await discovery.find(str(api_version or "apps/v1"), str(kind or "Deployment"))
                except PortError as error:
                    self._fail(str(error))
                    continue
                resources |= {found.resource} if found else set()
        return [(resource, found) for resource in sorted(resources, key=str) for found in await self._all(resource)]

    async def _attempt(
        self, resource: Resource, found: Object, undo: Callable[[Resource, Object], Awaitable[None]]
    ) -> None:
        """Undo one object, looking again where somebody else wrote to it in between."""
        namespace, name = _place(found)
        for _ in range(_ATTEMPTS):
            try:
                await undo(resource, found)
            except Conflict:
                try:
                    found = await self._api_server.get(resource, name, namespace)
                except PortError as error:
                    self._fail(str(error))
                    return
            except Missing:
                return
            except PortError as error:
                self._fail(str(error))
                return
            else:
                return
        self._fail(f"{_where(resource, found)}: changes too fast to be restored; try again")

    async def _patch(self, resource: Resource, found: Object, patch: list[Object]) -> Object:
        namespace, name = _place(found)
        return await patch_guarded(self._api_server, resource, namespace, name, patch)

    def _fail(self, text: str) -> None:
        self._failures += 1
        self._say(f"FAILED: {text}")


def _place(found: Object) -> tuple[str, str]:
    return found["metadata"]["namespace"], found["metadata"]["name"]


def _where(resource: Resource, found: Object) -> str:
    namespace, name = _place(found)
    return f"{resource} {name} in namespace {namespace}"
