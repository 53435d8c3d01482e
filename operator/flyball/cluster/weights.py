"""The JSON patches that move the weights of an adopted rule of a route, and give them back.

`rules` and `backendRefs` are atomic lists, so a patch names the two `/weight` fields by index, and tests the object's
resourceVersion and both backends' names first; where backends have priorities, the fallback's too, which gets the
primary's. In the same patch go the annotations that remember the user's weights
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
    Fields,
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
    original, own = _fields(rule, "weight"), _fields(rule, "priority") if rule.priorities else None
    if earlier:
        original, own = earlier.original, own and (earlier.priorities or own)
    remembered[rule_key(route)] = Adoption(str(key), route.primary, route.fallback, original, weights, own)
    fields = _field_operations(rule, "weight", weights)
    if rule.priorities and rule.priorities[1] != rule.priorities[0]:
        fields += _field_operations(rule, "priority", (rule.primary.get("priority"), rule.priorities[0]))
    return [*_tests(found, rule), *fields, *_memory_operations(found, remembered)]


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
    if not adopted.stands(rule):
        wrote = f"{adopted.applied[0]}:{adopted.applied[1]}" if adopted.applied else "none"
        conflict = (
            f"weights {rule.shown} of {adopted.primary} and {adopted.fallback} in {route} are not"
            f" those that Flyball wrote ({wrote}); they are left as they are"
        )
        return version + _memory_operations(found, remembered), conflict
    operations = _tests(found, rule) + _field_operations(rule, "weight", adopted.original)
    if adopted.priorities:
        operations += _field_operations(rule, "priority", adopted.priorities)
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


def _fields(rule: Rule, field: str) -> Fields:
    return rule.primary.get(field), rule.fallback.get(field)


def _field_operations(rule: Rule, field: str, wanted: Fields) -> list[Object]:
    """Operations that give a field of the two backends these values, None for none; where it has them, nothing."""
    operations: list[Object] = []
    for at, now, value in zip((rule.primary_index, rule.fallback_index), _fields(rule, field), wanted, strict=True):
        path = pointer("spec", "rules", rule.index, "backendRefs", at, field)
        if value is not None and value != now:
            operations.append({"op": "add", "path": path, "value": value})
        elif value is None and now is not None:
            operations.append({"op": "remove", "path": path})
    return operations


def _memory_operations(found: Object, remembered: Mapping[str, Adoption]) -> list[Object]:
    """Operations that make annotations and label say exactly what is remembered."""
    original = {
        key: {"owner": a.owner, "primary": a.primary, "fallback": a.fallback, "weights": list(a.original)}
        | ({"priorities": list(a.priorities)} if a.priorities else {})
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
