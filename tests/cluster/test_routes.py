"""Finding the one rule that is meant, and refusing every other."""

import json
from dataclasses import replace
from typing import Any

import pytest
from support.objects import AI_ROUTE, POOL, ROUTE, ai_backend, ai_gateway_route, backend, grpc_route, http_route, rule

from flyball.cluster.route_kinds import BackendKind
from flyball.cluster.routes import APPLIED, ORIGINAL, Unusable, find_rule, observe_route
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.routing.overflow import conflict

KEY = WorkloadKey("shop", "chat")
PAIR = (backend("chat", 9), backend("chat-small", 1))
NAMED = replace(ROUTE, rule_name="answers")
OWNED = {
    ORIGINAL: json.dumps(
        {"chat/chat-small": {"owner": "shop/chat", "primary": "chat", "fallback": "chat-small", "weights": [9, None]}}
    ),
    APPLIED: json.dumps({"chat/chat-small": [50, 50]}),
}


@pytest.mark.parametrize(
    ("found", "route", "expected"),
    [
        pytest.param(http_route(rule(*PAIR)), ROUTE, (0, 0, 1), id="the only rule"),
        pytest.param(http_route(rule(backend("docs")), rule(*PAIR)), ROUTE, (1, 0, 1), id="the only one that has both"),
        pytest.param(http_route(rule(backend("beta", 1), *reversed(PAIR))), ROUTE, (0, 2, 1), id="in any order"),
        pytest.param(
            http_route(rule(*PAIR, name="ask"), rule(*PAIR, name="answers")),
            NAMED,
            (1, 0, 1),
            id="by name among equals",
        ),
    ],
)
def test_finds_the_rule(found: dict[str, Any], route: Any, expected: tuple[int, int, int]) -> None:
    rule_found = find_rule(found, route)
    assert (rule_found.index, rule_found.primary_index, rule_found.fallback_index) == expected
    assert rule_found.weights == (9, 1)


@pytest.mark.parametrize(
    ("found", "route", "text"),
    [
        pytest.param(
            http_route(rule(backend("chat"))), ROUTE, "add chat-small with weight 0", id="no fallback backend"
        ),
        pytest.param(http_route(rule(*PAIR), rule(*PAIR)), ROUTE, "2 rules.*a name", id="two unnamed rules fit"),
        pytest.param(
            http_route(rule(*PAIR, name="ask")), NAMED, "no rule named answers; its rules: ask", id="no such name"
        ),
        pytest.param(http_route(rule(*PAIR)), NAMED, "none of them is named", id="no names at all"),
        pytest.param(
            http_route(rule(backend("chat"), name="answers")),
            NAMED,
            "chat-small stands nowhere",
            id="the named rule lacks it",
        ),
        pytest.param(http_route(rule(*PAIR, PAIR[1])), ROUTE, "chat-small stands 2 times", id="the same backend twice"),
        pytest.param(
            http_route(rule(backend("chat", group="gateway.envoyproxy.io", kind="Backend"), PAIR[1])),
            ROUTE,
            "of kind Backend in API group gateway.envoyproxy.io; weights move between Services and InferencePools only",
            id="a kind whose endpoints nobody can count",
        ),
        pytest.param(
            http_route(rule(backend("chat", group="inference.networking.x-k8s.io", kind="InferencePool"), PAIR[1])),
            ROUTE,
            "InferencePool in API group inference.networking.x-k8s.io",
            id="a pool of the API before v1",
        ),
        pytest.param(
            grpc_route(rule(backend("chat", **POOL), PAIR[1])),
            replace(ROUTE, kind=RouteKind.GRPC),
            "weights move between Services only",
            id="a pool in a GRPCRoute",
        ),
        pytest.param(
            http_route(rule(PAIR[0], backend("chat-small", namespace="other"))),
            ROUTE,
            "another namespace",
            id="elsewhere",
        ),
        pytest.param(
            http_route(rule(*PAIR)), replace(ROUTE, fallback="chat"), "name two Services", id="a fallback to itself"
        ),
    ],
)
def test_refuses(found: dict[str, Any], route: Any, text: str) -> None:
    with pytest.raises(Unusable, match=text):
        find_rule(found, route)


def test_finds_pools_as_well_as_services() -> None:
    found = find_rule(http_route(rule(backend("chat", 3, **POOL), backend("chat-small", 0))), ROUTE)
    assert (found.kinds, found.weights) == ((BackendKind.INFERENCE_POOL, BackendKind.SERVICE), (3, 0))


@pytest.mark.parametrize(
    ("primary", "fallback", "weights", "priorities"),
    [
        pytest.param({}, {}, (1, 1), (0, 0), id="nothing said"),
        pytest.param({"weight": 9}, {"weight": 1}, (9, 1), (0, 0), id="by weights"),
        pytest.param({"weight": 9}, {"weight": 1, "priority": 1}, (9, 0), (0, 1), id="behind the primary"),
        pytest.param({"weight": 0, "priority": 2}, {"weight": 5, "priority": 2}, (0, 5), (2, 2), id="beside it"),
    ],
)
def test_a_fallback_behind_the_primary_has_no_part_of_the_traffic(
    primary: dict[str, int], fallback: dict[str, int], weights: tuple[int, int], priorities: tuple[int, int]
) -> None:
    found = ai_gateway_route(rule(ai_backend("chat", **primary), ai_backend("chat-small", **fallback)))
    assert (find_rule(found, AI_ROUTE).weights, find_rule(found, AI_ROUTE).priorities) == (weights, priorities)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        pytest.param(
            ai_gateway_route(rule(ai_backend("chat", priority=1), ai_backend("chat-small", priority=0))),
            "backend chat-small of AIGatewayRoute chat has priority 0 and comes before chat with 1; give the primary",
            id="the fallback comes first",
        ),
        pytest.param(
            ai_gateway_route(
                rule(ai_backend("chat", priority=1), ai_backend("chat-small", priority=2), ai_backend("main"))
            ),
            "backend main of AIGatewayRoute chat has priority 0 and comes before chat",
            id="another backend comes first",
        ),
        pytest.param(
            ai_gateway_route(rule(ai_backend("chat", **POOL))),
            "an InferencePool is alone in a rule of an AIGatewayRoute, so put two into a rule of an HTTPRoute",
            id="a pool",
        ),
        pytest.param(
            ai_gateway_route(*(rule(ai_backend("chat"), ai_backend("chat-small")) for _ in range(2))),
            "2 rules of AIGatewayRoute chat fit; give each an AIGatewayRoute of its own",
            id="two rules fit, and have no names",
        ),
    ],
)
def test_refuses_routes_of_an_ai_gateway(found: dict[str, Any], text: str) -> None:
    with pytest.raises(Unusable, match=text):
        find_rule(found, AI_ROUTE)


def test_an_absent_weight_counts_one() -> None:
    assert find_rule(http_route(rule(backend("chat"), backend("chat-small", 0))), ROUTE).weights == (1, 0)


def test_observes_weights_and_endpoints() -> None:
    state = observe_route(http_route(rule(*PAIR)), ROUTE, KEY, {"chat": 3, "chat-small": 1})
    expected = RouteState("chat", 9, 1, primary_ready_endpoints=3, fallback_ready_endpoints=1)
    assert state == expected


def test_observes_what_was_remembered() -> None:
    state = observe_route(
        http_route(rule(backend("chat", 50), backend("chat-small", 50)), annotations=OWNED), ROUTE, KEY, {}
    )
    assert (state.original_weights, state.applied_weights, state.problem) == ((9, 1), (50, 50), "")


OTHER_PAIR = {
    ORIGINAL: json.dumps(
        {"chat/other": {"owner": "shop/chat", "primary": "chat", "fallback": "other", "weights": [9, 0]}}
    )
}
REFUSED = {"type": "Accepted", "status": "False", "message": "no such listener"}
PARENTS = {"parents": [{"parentRef": {"name": "edge"}, "conditions": [REFUSED]}]}
UNKNOWN_KIND = {"type": "ResolvedRefs", "status": "False", "reason": "InvalidKind", "message": "unknown backend"}
NO_POOLS = {"parents": [{"parentRef": {"name": "edge"}, "conditions": [UNKNOWN_KIND]}]}
CANARY = {"ownerReferences": [{"kind": "Canary", "name": "chat"}]}
ROLLOUT = {"labels": {"rollouts.argoproj.io/gatewayapi-canary": "in-progress"}}


@pytest.mark.parametrize(
    ("found", "key", "text"),
    [
        pytest.param(None, KEY, "does not exist in namespace shop", id="no route"),
        pytest.param(http_route(**CANARY), KEY, "Canary/chat owns", id="Flagger owns it"),
        pytest.param(http_route(**ROLLOUT), KEY, "Argo Rollouts", id="a roll-out in progress"),
        pytest.param(
            http_route(annotations=OWNED),
            WorkloadKey("shop", "search"),
            "WorkloadSLO shop/chat already",
            id="another's",
        ),
        pytest.param(
            http_route(rule(*PAIR, backend("other", 0), name="ask"), annotations=OTHER_PAIR),
            KEY,
            "already moves this rule of HTTPRoute chat from chat to other",
            id="two entries of one workload for one rule",
        ),
        pytest.param(http_route(annotations={ORIGINAL: "{"}), KEY, "remove both", id="unreadable annotations"),
        pytest.param(
            http_route(annotations={ORIGINAL: '{"a": 1}'}), KEY, "remove both", id="annotations of another form"
        ),
        pytest.param(http_route() | {"status": PARENTS}, KEY, "Gateway edge does not accept", id="no gateway takes it"),
        pytest.param(
            http_route(rule(PAIR[0], backend("chat-small", 1, **POOL))) | {"status": NO_POOLS},
            KEY,
            "Gateway edge sends no traffic to an InferencePool of HTTPRoute chat: unknown backend",
            id="a gateway that knows no pools",
        ),
    ],
)
def test_problems(found: dict[str, Any] | None, key: WorkloadKey, text: str) -> None:
    assert text in observe_route(found, ROUTE, key, {}).problem


NOT_ACCEPTED = {"conditions": [{"type": "NotAccepted", "status": "False", "message": "no such AIServiceBackend"}]}
GENERATED = {"ownerReferences": [{"kind": "AIGatewayRoute", "name": "chat", "controller": True}]}


def test_what_an_ai_gateway_does_not_accept_is_not_moved() -> None:
    found = ai_gateway_route() | {"status": NOT_ACCEPTED}
    expected = "Envoy AI Gateway does not accept AIGatewayRoute chat: no such AIServiceBackend"
    assert observe_route(found, AI_ROUTE, KEY, {}).problem == expected


def test_a_route_that_an_ai_gateway_made_is_not_moved() -> None:
    problem = observe_route(http_route(**GENERATED), ROUTE, KEY, {}).problem
    assert problem == "AIGatewayRoute/chat owns HTTPRoute chat; name that as aiGatewayRoute"


@pytest.mark.parametrize(
    ("priorities", "foreign"),
    [
        pytest.param((0, 0), "", id="as Flyball wrote it"),
        pytest.param((0, 1), "weights to 60:40 with priorities 0:1", id="the fallback's priority"),
        pytest.param((2, 2), "weights to 60:40 with priorities 2:2", id="both"),
    ],
)
def test_priorities_that_somebody_else_moved_are_seen(priorities: tuple[int, int], foreign: str) -> None:
    entry = {"owner": "shop/chat", "primary": "chat", "fallback": "chat-small", "weights": [1, 1]}
    notes = {
        ORIGINAL: json.dumps({"chat/chat-small": {**entry, "priorities": [0, 1]}}),
        APPLIED: json.dumps({"chat/chat-small": [60, 40]}),
    }
    references = (
        ai_backend("chat", weight=60, priority=priorities[0]),
        ai_backend("chat-small", weight=40, priority=priorities[1]),
    )
    state = observe_route(ai_gateway_route(rule(*references), annotations=notes), AI_ROUTE, KEY, {})
    assert (state.foreign, state.original_weights, conflict(state)) == (foreign, (1, 0), bool(foreign))


def test_a_gateway_that_resolves_not_all_kinds_still_takes_services() -> None:
    assert observe_route(http_route() | {"status": NO_POOLS}, ROUTE, KEY, {}).problem == ""
