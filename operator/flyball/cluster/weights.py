"""The JSON patches that move the weights of an adopted rule of a route, and give them back.

`rules` and `backendRefs` are atomic lists, so a patch names the two `/weight` fields by index, and tests the object's
resourceVersion and both backends' names first. In the same patch go the annotations that remember the user's weights
and ours, and the label `flyball.dev/route-state: fallback` for tools that would otherwise report drift; all three go
when the last rule is restored. Weights that are not those that Flyball wrote are somebody else's: they are never
overwritten. Pure.
"""

import json
from collections.abc import Mapping

from flyball.cluster.resources import Object, dig, pointer
from flyball.cluster.routes import (
    APPLIED,
    ORIGINAL,
    Adoption,
    Pair,
    Rule,
    Unusable,
    adoptions,
    find_rule,
    refuse_others,
    route_of,
    rule_key,
)
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.spec import FallbackRoute

STATE_LABEL = "flyball.dev/route-state"
DIVERTED = "fallback"
MAX_WEIGHT = 1_000_000


def weights_patch(found: Object, route: FallbackRoute, key: WorkloadKey, weights: Pair) -> list[Object]:
    """The JSON patch that sets both weights and remembers what was there. Raises Unusable."""
    if not all(0 <= weight <= MAX_WEIGHT for weight in weights) or not any(weights):
        raise Unusable(f"weights {weights[0]}:{weights[1]} must be between 0 and {MAX_WEIGHT}, and one of them above 0")
    rule = find_rule(found, route)
    refuse_others(found, rule, route, key)
    remembered = adoptions(found)
    earlier = remembered.get(rule_key(route))
    original = earlier.original if earlier else (rule.primary.get("weight"), rule.fallback.get("weight"))
    remembered[rule_key(route)] = Adoption(str(key), route.primary, route.fallback, original, weights)
    return [*_tests(found, rule), *_weight_operations(rule, weights), *_memory_operations(found, remembered)]


def restore_patch(found: Object, key: str, kind: RouteKind) -> tuple[list[Object], str]:
    """The JSON patch that gives a remembered rule its user's weights back and forgets it, and a conflict's sentence.

    Where the weights are no longer those that Flyball wrote, or the rule is gone, it only forgets, and the sentence
    says why; otherwise that is empty. Raises Unusable where the annotations cannot be read, KeyError for unknown keys.
    """
    remembered = adoptions(found)
    adopted = remembered.pop(key)
    version = [_test_version(found)]
    route = route_of(found, key, adopted, kind)
    try:
        rule = find_rule(found, route)
    except Unusable as error:
        return version + _memory_operations(found, remembered), f"{error}; nothing is left to restore"
    if rule.weights != adopted.applied:
        primary, fallback = rule.weights
        wrote = f"{adopted.applied[0]}:{adopted.applied[1]}" if adopted.applied else "none"
        conflict = (
            f"weights {primary}:{fallback} of {adopted.primary} and {adopted.fallback} in {route} are not"
            f" those that Flyball wrote ({wrote}); they are left as they are"
        )
        return version + _memory_operations(found, remembered), conflict
    operations = _tests(found, rule) + _weight_operations(rule, adopted.original)
    return operations + _memory_operations(found, remembered), ""


def forget_patch(found: Object) -> list[Object]:
    """The JSON patch that removes the annotations and the label, for annotations that cannot be read."""
    return [_test_version(found), *_memory_operations(found, {})]


def _test_version(found: Object) -> Object:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]}


def _tests(found: Object, rule: Rule) -> list[Object]:
    named = ((rule.primary_index, rule.primary), (rule.fallback_index, rule.fallback))
    return [_test_version(found)] + [
        {
            "op": "test",
            "path": pointer("spec", "rules", rule.index, "backendRefs", at, "name"),
            "value": reference["name"],
        }
        for at, reference in named
    ]


def _weight_operations(rule: Rule, weights: tuple[int | None, int | None]) -> list[Object]:
    operations: list[Object] = []
    indexed = ((rule.primary_index, rule.primary), (rule.fallback_index, rule.fallback))
    for (at, reference), weight in zip(indexed, weights, strict=True):
        path = pointer("spec", "rules", rule.index, "backendRefs", at, "weight")
        if weight is not None:
            operations.append({"op": "add", "path": path, "value": weight})
        elif "weight" in reference:
            operations.append({"op": "remove", "path": path})
    return operations


def _memory_operations(found: Object, remembered: Mapping[str, Adoption]) -> list[Object]:
    """Operations that make annotations and label say exactly what is remembered."""
    original = {
        key: {"owner": a.owner, "primary": a.primary, "fallback": a.fallback, "weights": list(a.original)}
        for key, a in remembered.items()
    }
    applied = {key: list(adopted.applied) for key, adopted in remembered.items() if adopted.applied}
    annotations = {ORIGINAL: _compact(original), APPLIED: _compact(applied)}
    labels = {STATE_LABEL: DIVERTED if remembered else None}
    return _map_operations(found, "annotations", annotations) + _map_operations(found, "labels", labels)


def _compact(value: Mapping[str, object]) -> str | None:
    return json.dumps(value, separators=(",", ":"), sort_keys=True) if value else None


def _map_operations(found: Object, field: str, wanted: Mapping[str, str | None]) -> list[Object]:
    present: Mapping[str, str] | None = dig(found, "metadata", field)
    if not present:
        values = {name: value for name, value in wanted.items() if value is not None}
        return [{"op": "add", "path": pointer("metadata", field), "value": values}] if values else []
    operations: list[Object] = []
    for name, value in wanted.items():
        if value is not None:
            operations.append({"op": "add", "path": pointer("metadata", field, name), "value": value})
        elif name in present:
            operations.append({"op": "remove", "path": pointer("metadata", field, name)})
    return operations
