"""What each kind of route allows, as data: so weights move, and are given back, in the same way in all of them.

Facts of the Gateway API v1, the Gateway API Inference Extension v1 and Envoy AI Gateway v1beta1. Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from flyball.cluster.resources import (
    AI_GATEWAY_ROUTES,
    AI_SERVICE_BACKENDS,
    ENVOY_BACKENDS,
    GRPC_ROUTES,
    HTTP_ROUTES,
    INFERENCE_POOLS,
    Object,
    Resource,
    dig,
)
from flyball.core.names import RouteKind


class BackendKind(StrEnum):
    """The kinds of backends between which weights move."""

    SERVICE = "Service"
    INFERENCE_POOL = "InferencePool"
    AI_SERVICE_BACKEND = "AIServiceBackend"


GROUPS: Mapping[BackendKind, str] = {
    BackendKind.SERVICE: "",
    BackendKind.INFERENCE_POOL: INFERENCE_POOLS.group,
    BackendKind.AI_SERVICE_BACKEND: AI_SERVICE_BACKENDS.group,
}

Refusals = Iterator[tuple[str, str, str]]
"""Who refuses a route, the condition's type and reason (`Accepted`, `ResolvedRefs/InvalidKind`), and the message."""


def _refused_by_gateways(found: Object) -> Refusals:
    """What the gateways of a Gateway API route do not take of its present generation."""
    generation = dig(found, "metadata", "generation")
    for parent in dig(found, "status", "parents") or ():
        for condition in parent.get("conditions") or ():
            if condition.get("observedGeneration", generation) == generation and condition.get("status") == "False":
                what = condition.get("type")
                reason = what if what == "Accepted" else f"{what}/{condition.get('reason')}"
                yield f"Gateway {dig(parent, 'parentRef', 'name')}", str(reason), str(condition.get("message"))


def _refused_by_its_controller(found: Object) -> Refusals:
    """Envoy AI Gateway replaces the one condition of a route, Accepted, by one of the type NotAccepted."""
    for condition in dig(found, "status", "conditions") or ():
        if condition.get("type") == "NotAccepted":
            yield "Envoy AI Gateway", "Accepted", str(condition.get("message"))


@dataclass(frozen=True, slots=True)
class RouteRules:
    """One kind of route.

    Weights move between `backends`, of which the first is the default. `named` says that its rules may have names.
    `prioritized` says that backends have priorities: traffic goes to those of the least one, while they are healthy.
    `instead` says what to do about a backend of another kind.
    """

    resource: Resource
    backends: tuple[BackendKind, ...]
    refusals: Callable[[Object], Refusals] = _refused_by_gateways
    named: bool = True
    prioritized: bool = False
    instead: str = ""

    def backend_kind(self, reference: Object) -> BackendKind | None:
        """The kind of a backendRef; None where weights do not move to it."""
        default = self.backends[0]
        kind, group = reference.get("kind", default), reference.get("group", GROUPS[default])
        return next((each for each in self.backends if each == kind and GROUPS[each] == group), None)


RULES: Mapping[RouteKind, RouteRules] = {
    RouteKind.HTTP: RouteRules(HTTP_ROUTES, (BackendKind.SERVICE, BackendKind.INFERENCE_POOL)),
    RouteKind.GRPC: RouteRules(GRPC_ROUTES, (BackendKind.SERVICE,)),
    RouteKind.AI_GATEWAY: RouteRules(
        AI_GATEWAY_ROUTES,
        (BackendKind.AI_SERVICE_BACKEND,),
        _refused_by_its_controller,
        named=False,
        prioritized=True,
        instead="; an InferencePool is alone in a rule of an AIGatewayRoute, so put two into a rule of an HTTPRoute",
    ),
}

RESOURCES: Mapping[RouteKind, Resource] = {kind: rules.resource for kind, rules in RULES.items()}
"""The kinds of routes whose weights move, as the API server's paths name them."""

OTHER_CONTROLLERS: Mapping[str, str] = {
    "Canary": "use a route of your own",
    "Rollout": "use a route of your own",
    RouteKind.AI_GATEWAY: "name that as aiGatewayRoute",
}
"""By kind of owner, those that write a route's weights themselves, and what to do instead."""

INSTALL: Mapping[Resource, str] = {
    HTTP_ROUTES: "the Gateway API's CRDs",
    GRPC_ROUTES: "the Gateway API's CRDs",
    INFERENCE_POOLS: "the CRDs of the Gateway API Inference Extension",
    AI_GATEWAY_ROUTES: "Envoy AI Gateway's CRDs",
    AI_SERVICE_BACKENDS: "Envoy AI Gateway's CRDs",
    ENVOY_BACKENDS: "Envoy Gateway's CRDs",
}
"""What an API server lacks that does not serve a resource."""


def absent(resource: Resource) -> str:
    """Why nothing of a resource can be read where the API server does not serve it, and what to do."""
    served = f"{resource.group}/{resource.version}"
    return f"the API server serves no {resource.plural} of {served}; install {INSTALL[resource]}"
