"""Routes of all kinds as anybody may leave them: what cannot be used says why, and what is moved is two weights, and
of an AI gateway's route the fallback's priority, given back.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from e2e.fuzz.schema import JUNK

from flyball.cluster.routes import APPLIED, ORIGINAL, Unusable, adoptions, observe_route, rule_key
from flyball.cluster.weights import STATE_LABEL, forget_patch, restore_patch, weights_patch
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.spec import FallbackRoute

if TYPE_CHECKING:
    from random import Random

NAMES = ("own", "hosted", "small", "other")
RULES = ("chat", "generate", "own/hosted", None, None)
KEY, OTHER = WorkloadKey("team", "chat"), WorkloadKey("team", "shop")
WEIGHTS = (None, 0, 1, 50, 100, 10**6)
KINDS = (*(RouteKind.HTTP,) * 3, RouteKind.GRPC, RouteKind.AI_GATEWAY)
POOL = {"group": "inference.networking.k8s.io", "kind": "InferencePool"}


def try_one(dice: Random) -> str:
    """One route, looked at, moved twice, and given back."""
    kind = dice.choice(KINDS)
    found = _route(dice, kind)
    route = _declared(found, dice, kind)
    before = deepcopy(found)
    state = observe_route(found, route, KEY, {"own": 1, "hosted": dice.randint(0, 2)})
    assert found == before, "looking changed the route"
    json.dumps(forget_patch(found))
    if state.problem:
        _cannot_be_moved(found, route)
        return "refused"
    moved = found
    for _ in range(2):
        weights = dice.choice(((90, 10), (0, 1), (50, 50)))
        moved = applied(moved, weights_patch(moved, route, KEY, weights))
        again = observe_route(moved, route, KEY, {})
        assert (again.primary_weight, again.fallback_weight, again.problem) == (*weights, "")
        assert again.applied_weights == weights
        assert _without_ours(moved, route) == _without_ours(found, route), "more than two weights was moved"
    patch, conflict = restore_patch(moved, rule_key(route), route.kind)
    back = applied(moved, patch)
    assert not conflict
    earlier = adoptions(found).get(rule_key(route))
    if earlier is None:
        assert _unnoted(back) == _unnoted(found), "what was given back is not what was there"
    return "moved and given back"


def _declared(found: dict[str, Any], dice: Random, kind: RouteKind) -> FallbackRoute:
    """Mostly a declaration that some rule fits."""
    fitting = [rule for rule in found["spec"].get("rules") or () if len(rule["backendRefs"]) > 1]
    if not fitting or dice.random() < 0.2:
        primary, fallback = dice.sample(NAMES, 2)
        return FallbackRoute("r", primary, fallback, dice.choice(RULES), kind)
    rule = dice.choice(fitting)
    primary, fallback = (reference["name"] for reference in dice.sample(rule["backendRefs"], 2))
    return FallbackRoute("r", primary, fallback, rule.get("name"), kind)


def _cannot_be_moved(found: dict[str, Any], route: FallbackRoute) -> None:
    why = ""
    try:
        weights_patch(found, route, KEY, (50, 50))
    except Unusable as error:
        why = str(error)
    assert why, "a route that cannot be used can be moved, or is refused without a reason"


def applied(found: dict[str, Any], patch: list[dict[str, Any]]) -> dict[str, Any]:
    """The object after a JSON patch (RFC 6902: test, add, remove), as the API server makes it."""
    changed = deepcopy(found)
    for operation in patch:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place: Any = changed
        for part in way:
            place = place[int(part) if isinstance(place, list) else part]
        if operation["op"] == "test":
            assert place[last] == operation["value"], f"the test of {operation['path']} fails"
        elif operation["op"] == "add":
            place[last] = operation["value"]
        else:
            del place[last]
    return changed


def _without_ours(found: dict[str, Any], route: FallbackRoute) -> dict[str, Any]:
    """The route without what may be written: the weights of the two backends, a fallback's priority, and our notes."""
    plain = _unnoted(found)
    for rule in plain["spec"].get("rules") or ():
        for reference in rule.get("backendRefs") or ():
            if reference.get("name") in (route.primary, route.fallback):
                reference.pop("weight", None)
            if reference.get("name") == route.fallback and route.kind is RouteKind.AI_GATEWAY:
                reference.pop("priority", None)
    return plain


def _unnoted(found: dict[str, Any]) -> dict[str, Any]:
    """The route without our notes; an empty map and none at all are the same to the API server."""
    plain = deepcopy(found)
    for field, names in (("annotations", (ORIGINAL, APPLIED)), ("labels", (STATE_LABEL,))):
        part = {name: text for name, text in (plain["metadata"].get(field) or {}).items() if name not in names}
        plain["metadata"][field] = part
    return plain


def _route(dice: Random, kind: RouteKind) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "r", "namespace": "team", "resourceVersion": "7", "generation": 3}
    if dice.random() < 0.4:
        metadata["annotations"] = _annotations(dice)
    if dice.random() < 0.2:
        metadata["labels"] = dice.choice(({}, {"app": "x"}, {STATE_LABEL: "fallback"}))
    if dice.random() < 0.1:
        owner = dice.choice(("Canary", "Rollout", "Gateway", "AIGatewayRoute"))
        metadata["ownerReferences"] = [{"kind": owner, "name": "x"}]
    rules = [_rule(dice, kind) for _ in range(dice.randint(0, 3))]
    found: dict[str, Any] = {"metadata": metadata, "spec": {"rules": rules} if dice.random() < 0.97 else {}}
    if dice.random() < 0.2:
        condition = {"type": "Accepted", "status": dice.choice(("True", "False")), "message": "no listener"}
        conditions = {"conditions": [condition, {"type": dice.choice(("NotAccepted", "Other"))}]}
        parents = {"parents": [{"parentRef": {"name": "g"}, **conditions}]}
        found["status"] = conditions if kind is RouteKind.AI_GATEWAY else parents
    return found


def _rule(dice: Random, kind: RouteKind) -> dict[str, Any]:
    references = []
    for name in dice.sample(NAMES, dice.choice((0, 1, 2, 2, 2, 3))):
        reference: dict[str, Any] = {"name": name}
        if kind is RouteKind.AI_GATEWAY and dice.random() < 0.5:
            reference["priority"] = dice.randint(0, 2)
        weight = dice.choice(WEIGHTS)
        if weight is not None:
            reference["weight"] = weight
        if dice.random() < 0.05:
            reference |= dice.choice(({"kind": "Service"}, {"kind": "InferencePool"}, POOL))
        if dice.random() < 0.05:
            reference["namespace"] = dice.choice(("team", "elsewhere"))
        references.append(reference)
    own = dice.choice(RULES)
    return {**({"name": own} if own and "/" not in own else {}), "backendRefs": references}


def _annotations(dice: Random) -> dict[str, str]:
    """Ours as we write them, as somebody may have edited them, and others'."""
    return {
        name: dice.choice((_ours(name, dice), "", "{", "null", "[]", "7", '"x"', json.dumps(_junk(dice)), "\x00"))
        for name in dice.sample((ORIGINAL, APPLIED, "team"), dice.randint(0, 3))
    }


def _ours(name: str, dice: Random) -> str:
    key = dice.choice(("own/hosted", "chat", "small/other"))
    primary, _, fallback = key.partition("/") if "/" in key else ("own", "", "hosted")
    if name == APPLIED:
        return json.dumps({key: [dice.choice((0, 1, 50, 90, "x", None)), dice.choice((0, 10, 50))]})
    owner = str(dice.choice((KEY, KEY, OTHER, "")))
    pair = [dice.choice(WEIGHTS), dice.choice(WEIGHTS)]
    entry = {"owner": owner, "primary": primary, "fallback": fallback, "weights": pair}
    return json.dumps({key: entry | dice.choice(({}, {}, {"priorities": [0, 1]}, {"priorities": dice.choice(JUNK)}))})


def _junk(dice: Random) -> Any:
    return {dice.choice(("own/hosted", "chat", "")): dice.choice(JUNK)}
