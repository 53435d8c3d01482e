"""Reading routes, and which of their backends have ready endpoints, in requests that follow kinds and namespaces.

First the routes, then what their backends' kinds need, only where some rule names one: InferencePools and the pods that
they select; AIServiceBackends and the Backends that these name; and last the EndpointSlices of all Services.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flyball.cluster.backends import (
    SERVICE_LABEL,
    Hosts,
    hosts,
    hosts_endpoints,
    pool_endpoints,
    pool_selector,
    service_endpoints,
)
from flyball.cluster.namespaces import Found, NamespacedLists
from flyball.cluster.pods import covering_selector
from flyball.cluster.resources import (
    AI_SERVICE_BACKENDS,
    ENDPOINT_SLICES,
    ENVOY_BACKENDS,
    INFERENCE_POOLS,
    PODS,
    Object,
    Resource,
    dig,
)
from flyball.cluster.route_kinds import INSTALL, RESOURCES, BackendKind, absent
from flyball.cluster.routes import Unusable, find_rule, observe_route
from flyball.core.names import WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.ports import Missing, PortError
from flyball.core.spec import FallbackRoute

Named = Mapping[BackendKind, Mapping[str, set[str]]]
"""By kind and namespace, the names of the backends that are to be looked at."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A route that somebody declared, and the object that was found (None: there is none)."""

    key: WorkloadKey
    route: FallbackRoute
    found: Object | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What backends consist of, by namespace."""

    pools: Found = field(default_factory=dict)
    pods: Found = field(default_factory=dict)
    ai_service_backends: Found = field(default_factory=dict)
    envoy_backends: Found = field(default_factory=dict)
    endpoint_slices: Found = field(default_factory=dict)

    def hosts(self, name: str, namespace: str) -> Hosts:
        """Where an AIServiceBackend sends requests. Raises Unusable, or why it could not be read."""
        named, behind = self.ai_service_backends[namespace], self.envoy_backends[namespace]
        return hosts(name, namespace, _read_or_raise(named), _read_or_raise(behind))


class RouteReader:
    """Reads the states of routes. Never raises: what cannot be read has a `problem`."""

    def __init__(self, lists: NamespacedLists) -> None:
        self._lists = lists

    async def observe(self, declared: Sequence[tuple[WorkloadKey, FallbackRoute]]) -> list[RouteState]:
        """The state of each route, in that order."""
        kinds = {
            kind: dict.fromkeys((key.namespace for key, route in declared if route.kind is kind), "")
            for kind in RESOURCES
        }
        lists = await asyncio.gather(*(self._read(RESOURCES[kind], spaces) for kind, spaces in kinds.items()))
        routes = dict(zip(kinds, lists, strict=True))
        found = [_find(routes[route.kind][key.namespace], route) for key, route in declared]
        known = [
            Asked(key, route, each)
            for (key, route), each in zip(declared, found, strict=True)
            if not isinstance(each, PortError)
        ]
        states = iter(await self.states(known))
        return [
            RouteState(route.route, problem=str(each)) if isinstance(each, PortError) else next(states)
            for (_, route), each in zip(declared, found, strict=True)
        ]

    async def states(self, asked: Sequence[Asked]) -> list[RouteState]:
        """The states of routes that are read already."""
        named = _backends_of(asked)
        ai_namespaces = dict.fromkeys(named[BackendKind.AI_SERVICE_BACKEND], "")
        (pools, pods), ai_service_backends, envoy_backends = await asyncio.gather(
            self._read_pools(named[BackendKind.INFERENCE_POOL]),
            self._read(AI_SERVICE_BACKENDS, ai_namespaces),
            self._read(ENVOY_BACKENDS, ai_namespaces),
        )
        seen = _Seen(pools, pods, ai_service_backends, envoy_backends)
        services = await self._read(ENDPOINT_SLICES, _service_selectors(_services_of(named, seen)))
        seen = replace(seen, endpoint_slices=services)
        return [_state(each, seen) for each in asked]

    async def _read_pools(self, named: Mapping[str, set[str]]) -> tuple[Found, Found]:
        """The InferencePools, and pods among which are all that those of these names select."""
        pools = await self._read(INFERENCE_POOLS, dict.fromkeys(named, ""))
        selectors = {
            namespace: [pool_selector(pool) for pool in part if pool["metadata"]["name"] in named[namespace]]
            for namespace, part in pools.items()
            if not isinstance(part, PortError)
        }
        covering = {namespace: covering_selector(part) for namespace, part in selectors.items() if part}
        return pools, await self._read(PODS, covering)

    async def _read(self, resource: Resource, selectors: Mapping[str, str]) -> Found:
        found = await self._lists.read(resource, selectors)
        if resource in INSTALL:  # a collection that is missing is a kind that the API server does not serve
            return {
                namespace: Missing(absent(resource)) if isinstance(part, Missing) else part
                for namespace, part in found.items()
            }
        return found


def _find(part: list[Object] | PortError, route: FallbackRoute) -> Object | PortError | None:
    if isinstance(part, PortError):
        return part
    return next((found for found in part if found["metadata"]["name"] == route.route), None)


def _backends_of(asked: Iterable[Asked]) -> Named:
    """The backends of all rules that can be found."""
    named: dict[BackendKind, dict[str, set[str]]] = {kind: defaultdict(set) for kind in BackendKind}
    for each in asked:
        try:
            rule = find_rule(each.found, each.route) if each.found else None
        except Unusable:
            continue
        if rule is not None:
            for name, kind in zip((each.route.primary, each.route.fallback), rule.kinds, strict=True):
                named[kind][each.key.namespace].add(name)
    return named


def _services_of(named: Named, seen: _Seen) -> dict[str, set[str]]:
    """By namespace, the Services that are backends, and those that AIServiceBackends send requests to."""
    found = {namespace: set(names) for namespace, names in named[BackendKind.SERVICE].items()}
    for namespace, names in named[BackendKind.AI_SERVICE_BACKEND].items():
        for name in names:
            try:
                services = seen.hosts(name, namespace).services
            except (Unusable, PortError):
                continue  # said where its endpoints are counted
            if services:
                found.setdefault(namespace, set()).update(services)
    return found


def _service_selectors(named: Mapping[str, set[str]]) -> dict[str, str]:
    return {namespace: f"{SERVICE_LABEL} in ({','.join(sorted(names))})" for namespace, names in named.items()}


def _state(asked: Asked, seen: _Seen) -> RouteState:
    found, route, namespace = asked.found, asked.route, asked.key.namespace
    ready: dict[str, int] = {}
    try:
        rule = find_rule(found, route) if found else None
    except Unusable:
        rule = None  # observe_route says so
    try:
        for name, kind in zip((route.primary, route.fallback), rule.kinds, strict=True) if rule else ():
            ready[name] = _ready(name, kind, namespace, seen)
    except (Unusable, PortError) as error:
        return RouteState(route.route, problem=str(error))
    return observe_route(found, route, asked.key, ready)


def _ready(name: str, kind: BackendKind, namespace: str, seen: _Seen) -> int:
    """Ready endpoints of a backend; none where it does not exist. Raises Unusable, or why it could not be read."""
    match kind:
        case BackendKind.SERVICE:
            return service_endpoints(name, _read_or_raise(seen.endpoint_slices[namespace]))
        case BackendKind.INFERENCE_POOL:
            pools = _read_or_raise(seen.pools[namespace])
            pool = next((pool for pool in pools if dig(pool, "metadata", "name") == name), None)
            return 0 if pool is None else pool_endpoints(pool, _read_or_raise(seen.pods[namespace]))
        case BackendKind.AI_SERVICE_BACKEND:
            where = seen.hosts(name, namespace)
            return hosts_endpoints(where, _read_or_raise(seen.endpoint_slices[namespace]) if where.services else ())


def _read_or_raise(part: list[Object] | PortError) -> list[Object]:
    if isinstance(part, PortError):
        raise part
    return part
