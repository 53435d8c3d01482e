"""Finding the one rule that is meant, and refusing every other."""

import json
from dataclasses import replace
from typing import Any

import pytest
from support.objects import ROUTE, backend, endpoint_slice, http_route, rule

from flyball.cluster.routes import APPLIED, ORIGINAL, Unusable, find_rule, observe_route, ready_endpoints
from flyball.core.names import WorkloadKey
from flyball.core.observation import RouteState

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
            http_route(rule(backend("chat", kind="InferencePool"), PAIR[1])),
            ROUTE,
            "InferencePool",
            id="an inference pool",
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
    ],
)
def test_problems(found: dict[str, Any] | None, key: WorkloadKey, text: str) -> None:
    assert text in observe_route(found, ROUTE, key, {}).problem


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        pytest.param([endpoint_slice("chat", "10.0.0.1", "10.0.0.2")], 2, id="ready"),
        pytest.param([endpoint_slice("chat", "10.0.0.1", ready=False)], 0, id="not ready"),
        pytest.param([endpoint_slice("search", "10.0.0.1")], 0, id="another Service's"),
        pytest.param(
            [endpoint_slice("chat", "10.0.0.1"), endpoint_slice("chat", "fd00::1") | {"addressType": "IPv6"}],
            1,
            id="one pod with two families",
        ),
        pytest.param([endpoint_slice("chat") | {"endpoints": None}], 0, id="none"),
    ],
)
def test_ready_endpoints(slices: list[dict[str, Any]], expected: int) -> None:
    assert ready_endpoints("chat", slices) == expected
