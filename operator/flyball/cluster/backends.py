"""Which endpoints of a backend are ready, from the objects that say so for its kind.

A Service's are in its EndpointSlices, an InferencePool's are the pods that its selector selects. An AIServiceBackend
names a Backend of Envoy Gateway, and that hosts: those of Services (`chat.shop.svc.cluster.local`) count as these do.
Of any other, such as a hosted API, nothing in the cluster says whether it answers: it counts as one that does. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from flyball.cluster.pods import count, matches
from flyball.cluster.resources import ENVOY_BACKENDS, Object, dig
from flyball.cluster.routes import Unusable

SERVICE_LABEL = "kubernetes.io/service-name"
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def service_endpoints(service: str, endpoint_slices: Iterable[Object]) -> int:
    """Ready endpoints of a Service, counted once where it has slices for both IPv4 and IPv6."""
    by_family: dict[str, set[str]] = {}
    for found in endpoint_slices:
        if dig(found, "metadata", "labels", SERVICE_LABEL) == service:
            addresses = by_family.setdefault(str(found.get("addressType")), set())
            for endpoint in found.get("endpoints") or ():
                if dig(endpoint, "conditions", "ready") is not False:
                    addresses.update((endpoint.get("addresses") or ())[:1])
    return max((len(addresses) for addresses in by_family.values()), default=0)


def pool_selector(pool: Object) -> Object:
    """The label selector of an InferencePool, which has `matchLabels` only."""
    return dig(pool, "spec", "selector") or {}


def pool_endpoints(pool: Object, pods: Iterable[Object]) -> int:
    """Ready endpoints of an InferencePool: the ready pods among those that it selects."""
    selector = pool_selector(pool)
    return count(pod for pod in pods if matches(selector, dig(pod, "metadata", "labels") or {})).ready


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where an AIServiceBackend sends requests: Services beside it, and how many addresses of something else."""

    services: tuple[str, ...] = ()
    others: int = 0


def hosts(name: str, namespace: str, ai_service_backends: Iterable[Object], envoy_backends: Iterable[Object]) -> Hosts:
    """Where the AIServiceBackend of that name sends requests; nowhere, where it or its Backend does not exist.

    Raises Unusable where it sends them to what is not looked at.
    """
    found = _named(name, ai_service_backends)
    if found is None:
        return Hosts()
    reference = dig(found, "spec", "backendRef") or {}
    kind, group = reference.get("kind"), reference.get("group")
    if (kind, group) != ("Backend", ENVOY_BACKENDS.group):
        raise Unusable(f"AIServiceBackend {name} names a {kind}; name a Backend of {ENVOY_BACKENDS.group}")
    if reference.get("namespace", namespace) != namespace:
        raise Unusable(f"AIServiceBackend {name} names a Backend of another namespace; use one beside the route")
    backend = _named(str(reference.get("name")), envoy_backends)
    if backend is None:
        return Hosts()
    if dig(backend, "spec", "type") == "DynamicResolver":
        return Hosts(others=1)
    services: set[str] = set()
    others = 0
    for endpoint in dig(backend, "spec", "endpoints") or ():
        service, home = _service_of(str(dig(endpoint, "fqdn", "hostname") or ""))
        if service and home != namespace:
            raise Unusable(
                f"AIServiceBackend {name} sends requests to Service {service} of namespace {home}, whose endpoints are"
                " not read; use a Service beside the route"
            )
        services |= {service} if service else set()
        others += not service
    return Hosts(tuple(sorted(services)), others)


def hosts_endpoints(found: Hosts, endpoint_slices: Iterable[Object]) -> int:
    """Ready endpoints of what an AIServiceBackend sends requests to."""
    slices = list(endpoint_slices)
    return found.others + sum(service_endpoints(service, slices) for service in found.services)


def _service_of(hostname: str) -> tuple[str, str]:
    """Name and namespace of the Service whose name in the cluster's DNS that is, by any cluster domain; else empty."""
    service, namespace, kind, *_ = [*hostname.split("."), "", "", ""]
    known = kind == "svc" and _DNS_LABEL.fullmatch(service) and _DNS_LABEL.fullmatch(namespace)
    return (service, namespace) if known else ("", "")


def _named(name: str, objects: Iterable[Object]) -> Object | None:
    return next((found for found in objects if dig(found, "metadata", "name") == name), None)
