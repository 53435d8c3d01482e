"""One rule of a route: where its two backends stand, which weights they have, and who moves them.

Flyball adopts a rule, it never owns one: it is found by name or as the only one that holds both backends, never by a
bare index, and refused where that is ambiguous or another controller is at work. What `weights` wrote of it is read
back from two annotations of the route:

- `flyball.dev/original-weights`: per rule, who moved it, its two backends, and the weights that the user had (null for
  a field that was absent), and where backends have priorities, these;
- `flyball.dev/applied-weights`: per rule, the weights that Flyball wrote last.

A rule's key in both is its name, or `primary/fallback` for a rule without one.

Where backends have priorities (Envoy AI Gateway), all traffic goes to those of the least one while they are healthy. A
fallback that stands behind the primary is the gateway's own, for failures: its weight counts 0 here. To move part of
the traffic there, it gets the primary's priority, and the weights say how much. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from flyball.cluster.resources import Object, dig
from flyball.cluster.route_kinds import OTHER_CONTROLLERS, RULES, BackendKind
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.spec import FallbackRoute

ORIGINAL = "flyball.dev/original-weights"
APPLIED = "flyball.dev/applied-weights"

_ROLLOUT_LABEL = "rollouts.argoproj.io/gatewayapi-canary"

Pair = tuple[int, int]
Fields = tuple[int | None, int | None]
"""A field of the two backends; None where it is absent."""


class Unusable(Exception):
    """The route cannot be adopted as it is; the text says why and what to change."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where the two backends stand in a route: indices of the rule and of its backendRefs, these, and their kinds.

    `priorities` are None where backends have none.
    """

    index: int
    primary_index: int
    fallback_index: int
    primary: Object
    fallback: Object
    kinds: tuple[BackendKind, BackendKind] = (BackendKind.SERVICE, BackendKind.SERVICE)
    priorities: Pair | None = None

    @property
    def weights(self) -> Pair:
        """The weights in force; an absent one counts 1, by the Gateway API."""
        return _in_force((self.primary.get("weight"), self.fallback.get("weight")), self.priorities)

    @property
    def shown(self) -> str:
        """The weights as they are written, and the priorities, for people."""
        return _shown((self.primary.get("weight"), self.fallback.get("weight")), self.priorities)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What the annotations remember of one rule. A weight or priority is None where the user had none, `priorities`
    where backends have none.
    """

    owner: str
    primary: str
    fallback: str
    original: Fields
    applied: Pair | None
    priorities: Fields | None = None

    @property
    def effective_original(self) -> Pair:
        """The user's own weights as they were in force."""
        return _in_force(self.original, self._own_priorities)

    @property
    def shown(self) -> str:
        """The user's own weights and priorities, for people."""
        return _shown(self.original, self._own_priorities)

    @property
    def applied_priorities(self) -> Pair | None:
        """The priorities that Flyball's weights need: both the primary's own."""
        own = self._own_priorities
        return own and (own[0], own[0])

    def stands(self, rule: Rule) -> bool:
        """Whether the rule is as Flyball wrote it."""
        return rule.weights == self.applied and rule.priorities == self.applied_priorities

    @property
    def _own_priorities(self) -> Pair | None:
        return self.priorities and (self.priorities[0] or 0, self.priorities[1] or 0)


def _in_force(weights: Fields, priorities: Pair | None) -> Pair:
    primary, fallback = (1 if weight is None else int(weight) for weight in weights)
    return primary, 0 if priorities and priorities[1] > priorities[0] else fallback


def _shown(weights: Fields, priorities: Pair | None) -> str:
    primary, fallback = _in_force(weights, None)
    return f"{primary}:{fallback}" + (f" with priorities {priorities[0]}:{priorities[1]}" if priorities else "")


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
            _refuse_kinds(rules, route)
            raise Unusable(
                f"no rule of {route} has both {route.primary} and {route.fallback} in its backendRefs;"
                f" add {route.fallback} with weight 0 beside {route.primary}"
            )
    if len(indices) > 1:
        fix = f"give each an {route.kind} of its own"
        if RULES[route.kind].named:
            fix = "give each rule a name and set the fallback route's rule"
        raise Unusable(f"{len(indices)} rules of {route} fit; {fix}")
    return _rule(found, indices[0], route)


def _refuse_kinds(rules: list[Object], route: FallbackRoute) -> None:
    """Raise Unusable where the primary is of a kind beside which no other backend may stand."""
    for rule in rules:
        for reference in rule.get("backendRefs") or ():
            if reference.get("name") == route.primary:
                _kind(reference, route)


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
                priorities=_fields(entry.get("priorities")),
            )
            for key, entry in original.items()
        }
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        name = found["metadata"]["name"]
        raise Unusable(
            f"annotations {ORIGINAL} and {APPLIED} of route {name} cannot be read;"
            " set the rule's weights by hand and remove both"
        ) from error


def _fields(found: list[int | None] | None) -> Fields | None:
    if found is None:
        return None
    primary, fallback = (None if each is None else int(each) for each in found)
    return primary, fallback


def observe_route(
    found: Object | None, route: FallbackRoute, key: WorkloadKey, ready_endpoints: Mapping[str, int]
) -> RouteState:
    """The route's state for one workload; `ready_endpoints` counts by backend name."""
    if found is None:
        return RouteState(route.route, problem=f"{route} does not exist in namespace {key.namespace}")
    try:
        rule = find_rule(found, route)
        adopted = adoptions(found).get(rule_key(route))
        refuse_others(found, rule, route, key)
    except Unusable as error:
        return RouteState(route.route, problem=str(error))
    primary, fallback = rule.weights
    moved = adopted is not None and adopted.applied is not None and rule.priorities != adopted.applied_priorities
    return RouteState(
        route.route,
        primary_weight=primary,
        fallback_weight=fallback,
        original_weights=adopted.effective_original if adopted else None,
        applied_weights=adopted.applied if adopted else None,
        primary_ready_endpoints=ready_endpoints.get(route.primary, 0),
        fallback_ready_endpoints=ready_endpoints.get(route.fallback, 0),
        foreign=f"weights to {rule.shown}" if moved else "",
    )


def refuse_others(found: Object, rule: Rule, route: FallbackRoute, key: WorkloadKey) -> None:
    """Raise Unusable where another controller or another workload moves this rule, or no gateway takes the route."""
    for reference in dig(found, "metadata", "ownerReferences") or ():
        if reference.get("kind") in OTHER_CONTROLLERS:
            kind = reference["kind"]
            raise Unusable(f"{kind}/{reference.get('name')} owns {route}; {OTHER_CONTROLLERS[kind]}")
    if dig(found, "metadata", "labels", _ROLLOUT_LABEL):
        raise Unusable(f"Argo Rollouts is moving {route}; the fallback waits until it has finished")
    for other_key, other in adoptions(found).items():
        ours = other.owner == str(key) and other_key == rule_key(route)
        if not ours and _same_rule(found, rule, other_key, other, route.kind):
            what = f"from {other.primary} to {other.fallback}"
            raise Unusable(f"WorkloadSLO {other.owner} already moves this rule of {route} {what}; only one may")
    pools = [str(kind) for kind in rule.kinds if kind is BackendKind.INFERENCE_POOL]
    for who, reason, message in RULES[route.kind].refusals(found):
        if reason == "Accepted":
            raise Unusable(f"{who} does not accept {route}: {message}")
        if pools and reason == "ResolvedRefs/InvalidKind":
            raise Unusable(f"{who} sends no traffic to an {pools[0]} of {route}: {message}")


def _rule(found: Object, index: int, route: FallbackRoute) -> Rule:
    references: list[Object] = found["spec"]["rules"][index].get("backendRefs") or []
    home = found["metadata"].get("namespace")

    def only(name: str) -> tuple[int, BackendKind]:
        positions = [position for position, reference in enumerate(references) if reference.get("name") == name]
        if len(positions) != 1:
            times = f"{len(positions)} times" if positions else "nowhere"
            raise Unusable(f"{name} stands {times} in the backendRefs of that rule of {route}; it must once")
        reference = references[positions[0]]
        kind = _kind(reference, route)
        if reference.get("namespace", home) != home:
            raise Unusable(f"backend {name} of {route} names another namespace; use a {kind} beside the route")
        return positions[0], kind

    (primary, primary_kind), (fallback, fallback_kind) = only(route.primary), only(route.fallback)
    if primary == fallback:
        raise Unusable(f"primary and fallback of {route} are both {route.primary}; name two {primary_kind}s")
    kinds, priorities = (primary_kind, fallback_kind), None
    if RULES[route.kind].prioritized:
        priorities = _priorities(references, primary, fallback, route)
    return Rule(index, primary, fallback, references[primary], references[fallback], kinds, priorities)


def _priorities(references: list[Object], primary: int, fallback: int, route: FallbackRoute) -> Pair:
    """The two priorities. Raises Unusable where some backend comes before the primary, which then serves nobody."""
    every = [int(reference.get("priority") or 0) for reference in references]
    first = every.index(min(every))
    if every[first] < every[primary]:
        raise Unusable(
            f"backend {references[first].get('name')} of {route} has priority {every[first]} and comes before"
            f" {route.primary} with {every[primary]}; give the primary the least priority of its rule"
        )
    return every[primary], every[fallback]


def _kind(reference: Object, route: FallbackRoute) -> BackendKind:
    rules = RULES[route.kind]
    kind = rules.backend_kind(reference)
    if kind is None:
        group = f" in API group {reference['group']}" if reference.get("group") else ""
        what = f"backend {reference.get('name')} of {route} is of kind {reference.get('kind')}{group}"
        kinds = " and ".join(f"{each}s" for each in rules.backends)
        raise Unusable(f"{what}; weights move between {kinds} only{rules.instead}")
    return kind


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
