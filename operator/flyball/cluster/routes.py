"""One rule of a route: where its two backends stand, which weights they have, and who moves them.

Flyball adopts a rule, it never owns one: it is found by name or as the only one that holds both backends, never by a
bare index, and refused where that is ambiguous or another controller is at work. What `weights` wrote of it is read
back from two annotations of the route:

- `flyball.dev/original-weights`: per rule, who moved it, its two backends, and the weights that the user had (null for
  a field that was absent);
- `flyball.dev/applied-weights`: per rule, the weights that Flyball wrote last.

A rule's key in both is its name, or `primary/fallback` for a rule without one. Pure.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flyball.cluster.resources import GRPC_ROUTES, HTTP_ROUTES, Object, Resource, dig
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.spec import FallbackRoute

ORIGINAL = "flyball.dev/original-weights"
APPLIED = "flyball.dev/applied-weights"

RESOURCES: Mapping[RouteKind, Resource] = {RouteKind.HTTP: HTTP_ROUTES, RouteKind.GRPC: GRPC_ROUTES}
"""The kinds of routes whose weights move, as the API server's paths name them."""

_OTHER_CONTROLLERS = frozenset({"Canary", "Rollout"})
_SERVICE_LABEL = "kubernetes.io/service-name"
_ROLLOUT_LABEL = "rollouts.argoproj.io/gatewayapi-canary"

Pair = tuple[int, int]


class Unusable(Exception):
    """The route cannot be adopted as it is; the text says why and what to change."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where the two backends stand in a route: indices of the rule and of its backendRefs, and their weights."""

    index: int
    primary_index: int
    fallback_index: int
    primary: Object
    fallback: Object

    @property
    def weights(self) -> Pair:
        """The weights in force; an absent one counts 1, by the Gateway API."""
        return int(self.primary.get("weight", 1)), int(self.fallback.get("weight", 1))


@dataclass(frozen=True, slots=True)
class Adoption:
    """What the annotations remember of one rule. A weight is None where the user had none."""

    owner: str
    primary: str
    fallback: str
    original: tuple[int | None, int | None]
    applied: Pair | None

    @property
    def effective_original(self) -> Pair:
        """The user's own weights as they were in force."""
        primary, fallback = self.original
        return 1 if primary is None else primary, 1 if fallback is None else fallback


def rule_key(route: FallbackRoute) -> str:
    """The rule's key in the annotations."""
    return route.rule_name or f"{route.primary}/{route.fallback}"


def find_rule(found: Object, route: FallbackRoute) -> Rule:
    """The one rule that is meant, by its name or as the only one that holds both backends. Raises Unusable."""
    rules: list[Object] = dig(found, "spec", "rules") or []
    if route.rule_name:
        indices = [index for index, rule in enumerate(rules) if rule.get("name") == route.rule_name]
        if not indices:
            names = (
                ", ".join(sorted(str(rule["name"]) for rule in rules if rule.get("name"))) or "none of them is named"
            )
            raise Unusable(f"{route} has no rule named {route.rule_name}; its rules: {names}")
    else:
        indices = [index for index, rule in enumerate(rules) if {route.primary, route.fallback} <= _backends(rule)]
        if not indices:
            raise Unusable(
                f"no rule of {route} has both {route.primary} and {route.fallback} in its backendRefs;"
                f" add {route.fallback} with weight 0 beside {route.primary}"
            )
    if len(indices) > 1:
        raise Unusable(f"{len(indices)} rules of {route} fit; give each rule a name and set the fallback route's rule")
    return _rule(found, indices[0], route)


def adoptions(found: Object) -> dict[str, Adoption]:
    """What the annotations remember, by rule key. Raises Unusable where they cannot be read."""
    annotations = dig(found, "metadata", "annotations") or {}
    try:
        original = json.loads(annotations.get(ORIGINAL, "{}"))
        applied = json.loads(annotations.get(APPLIED, "{}"))
        return {
            key: Adoption(
                owner=str(entry["owner"]),
                primary=str(entry["primary"]),
                fallback=str(entry["fallback"]),
                original=(entry["weights"][0], entry["weights"][1]),
                applied=(int(applied[key][0]), int(applied[key][1])) if key in applied else None,
            )
            for key, entry in original.items()
        }
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        name = found["metadata"]["name"]
        raise Unusable(
            f"annotations {ORIGINAL} and {APPLIED} of route {name} cannot be read;"
            " set the rule's weights by hand and remove both"
        ) from error


def observe_route(
    found: Object | None, route: FallbackRoute, key: WorkloadKey, ready_endpoints: Mapping[str, int]
) -> RouteState:
    """The route's state for one workload; `ready_endpoints` counts by Service name."""
    if found is None:
        return RouteState(route.route, problem=f"{route} does not exist in namespace {key.namespace}")
    try:
        rule = find_rule(found, route)
        adopted = adoptions(found).get(rule_key(route))
        refuse_others(found, rule, route, key)
    except Unusable as error:
        return RouteState(route.route, problem=str(error))
    primary, fallback = rule.weights
    return RouteState(
        route.route,
        primary_weight=primary,
        fallback_weight=fallback,
        original_weights=adopted.effective_original if adopted else None,
        applied_weights=adopted.applied if adopted else None,
        primary_ready_endpoints=ready_endpoints.get(route.primary, 0),
        fallback_ready_endpoints=ready_endpoints.get(route.fallback, 0),
    )


def ready_endpoints(service: str, endpoint_slices: Iterable[Object]) -> int:
    """Ready endpoints of a Service, counted once where it has slices for both IPv4 and IPv6."""
    by_family: dict[str, set[str]] = {}
    for found in endpoint_slices:
        if dig(found, "metadata", "labels", _SERVICE_LABEL) == service:
            addresses = by_family.setdefault(str(found.get("addressType")), set())
            for endpoint in found.get("endpoints") or ():
                if dig(endpoint, "conditions", "ready") is not False:
                    addresses.update((endpoint.get("addresses") or ())[:1])
    return max((len(addresses) for addresses in by_family.values()), default=0)


def refuse_others(found: Object, rule: Rule, route: FallbackRoute, key: WorkloadKey) -> None:
    """Raise Unusable where another controller or another workload moves this rule, or no gateway takes the route."""
    for reference in dig(found, "metadata", "ownerReferences") or ():
        if reference.get("kind") in _OTHER_CONTROLLERS:
            raise Unusable(f"{reference['kind']}/{reference.get('name')} owns {route}; use a route of your own")
    if dig(found, "metadata", "labels", _ROLLOUT_LABEL):
        raise Unusable(f"Argo Rollouts is moving {route}; the fallback waits until it has finished")
    for other_key, other in adoptions(found).items():
        ours = other.owner == str(key) and other_key == rule_key(route)
        if not ours and _same_rule(found, rule, other_key, other, route.kind):
            what = f"from {other.primary} to {other.fallback}"
            raise Unusable(f"WorkloadSLO {other.owner} already moves this rule of {route} {what}; only one may")
    generation = dig(found, "metadata", "generation")
    for parent in dig(found, "status", "parents") or ():
        for condition in parent.get("conditions") or ():
            current = condition.get("observedGeneration", generation) == generation
            if current and condition.get("type") == "Accepted" and condition.get("status") == "False":
                gateway = dig(parent, "parentRef", "name")
                raise Unusable(f"Gateway {gateway} does not accept {route}: {condition.get('message')}")


def _rule(found: Object, index: int, route: FallbackRoute) -> Rule:
    references: list[Object] = found["spec"]["rules"][index].get("backendRefs") or []
    home = found["metadata"].get("namespace")

    def only(name: str) -> int:
        positions = [position for position, reference in enumerate(references) if reference.get("name") == name]
        if len(positions) != 1:
            times = f"{len(positions)} times" if positions else "nowhere"
            raise Unusable(f"{name} stands {times} in the backendRefs of that rule of {route}; it must once")
        reference = references[positions[0]]
        kind = reference.get("kind", "Service")
        if kind != "Service":
            raise Unusable(f"backend {name} of {route} is of kind {kind}; weights move between Services only")
        if reference.get("namespace", home) != home:
            raise Unusable(f"backend {name} of {route} names another namespace; use a Service beside the route")
        return positions[0]

    primary, fallback = only(route.primary), only(route.fallback)
    if primary == fallback:
        raise Unusable(f"primary and fallback of {route} are both {route.primary}; name two Services")
    return Rule(index, primary, fallback, references[primary], references[fallback])


def _backends(rule: Object) -> set[str]:
    return {str(reference.get("name")) for reference in rule.get("backendRefs") or ()}


def route_of(found: Object, key: str, adopted: Adoption, kind: RouteKind) -> FallbackRoute:
    """The declaration that a remembered rule came from."""
    name = None if "/" in key else key
    return FallbackRoute(found["metadata"]["name"], adopted.primary, adopted.fallback, name, kind)


def _same_rule(found: Object, rule: Rule, key: str, other: Adoption, kind: RouteKind) -> bool:
    try:
        return find_rule(found, route_of(found, key, other, kind)).index == rule.index
    except Unusable:
        return False
