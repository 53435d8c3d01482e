"""Moving weights and giving them back: the patches as data, and what a real API server makes of them."""

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from e2e.fuzz.routes import applied
from hypothesis import given
from hypothesis import strategies as st
from support.api_server import Kubectl
from support.objects import AI_ROUTE, POOL, ROUTE, ai_backend, ai_gateway_route, backend, grpc_route, http_route, rule
from support.objects_api import ObjectsApi

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer
from flyball.cluster.routes import APPLIED, ORIGINAL, Unusable, find_rule, observe_route
from flyball.cluster.weights import restore_patch, weights_patch
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.observation import RouteState
from flyball.core.ports import Conflict, Missing, Rejected
from flyball.core.spec import FallbackRoute

on_api_server = [pytest.mark.api_server, pytest.mark.timeout(1800)]
KEY = WorkloadKey("shop", "chat")
PRIMARY = "/spec/rules/0/backendRefs/0"
FALLBACK = "/spec/rules/0/backendRefs/1"


def read(*backends: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return http_route(rule(*backends), resourceVersion="7", namespace="shop", **metadata)


def test_the_first_patch_tests_sets_and_remembers() -> None:
    found = read(backend("chat"), backend("chat-small", 0), labels={"team": "shop"})
    entry = {"fallback": "chat-small", "owner": "shop/chat", "primary": "chat", "weights": [None, 0]}
    remembered = {
        ORIGINAL: json.dumps({"chat/chat-small": entry}, separators=(",", ":")),
        APPLIED: '{"chat/chat-small":[60,40]}',
    }
    assert weights_patch(found, ROUTE, KEY, (60, 40)) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "test", "path": f"{PRIMARY}/name", "value": "chat"},
        {"op": "test", "path": f"{FALLBACK}/name", "value": "chat-small"},
        {"op": "add", "path": f"{PRIMARY}/weight", "value": 60},
        {"op": "add", "path": f"{FALLBACK}/weight", "value": 40},
        {"op": "add", "path": "/metadata/annotations", "value": remembered},
        {"op": "add", "path": "/metadata/labels/flyball.dev~1route-state", "value": "fallback"},
    ]


def test_an_absent_weight_is_restored_as_absent() -> None:
    entry = {"fallback": "chat-small", "owner": "shop/chat", "primary": "chat", "weights": [None, 0]}
    annotations = {ORIGINAL: json.dumps({"chat/chat-small": entry}), APPLIED: '{"chat/chat-small":[60,40]}'}
    found = read(
        backend("chat", 60),
        backend("chat-small", 40),
        annotations=annotations,
        labels={"flyball.dev/route-state": "fallback"},
    )
    patch, conflict = restore_patch(found, "chat/chat-small", RouteKind.HTTP)
    assert conflict == ""
    assert patch[3:] == [
        {"op": "remove", "path": f"{PRIMARY}/weight"},
        {"op": "add", "path": f"{FALLBACK}/weight", "value": 0},
        {"op": "remove", "path": "/metadata/annotations/flyball.dev~1original-weights"},
        {"op": "remove", "path": "/metadata/annotations/flyball.dev~1applied-weights"},
        {"op": "remove", "path": "/metadata/labels/flyball.dev~1route-state"},
    ]


def test_a_fallback_behind_the_primary_gets_its_priority_while_its_weight_is_moved() -> None:
    found = ai_gateway_route(namespace="shop", resourceVersion="7")
    entry = {"fallback": "chat-small", "owner": "shop/chat", "primary": "chat", "weights": [1, 1]}
    remembered = {
        ORIGINAL: json.dumps(
            {"chat/chat-small": {**entry, "priorities": [0, 1]}}, separators=(",", ":"), sort_keys=True
        ),
        APPLIED: '{"chat/chat-small":[60,40]}',
    }
    assert weights_patch(found, AI_ROUTE, KEY, (60, 40))[3:] == [
        {"op": "add", "path": f"{PRIMARY}/weight", "value": 60},
        {"op": "add", "path": f"{FALLBACK}/weight", "value": 40},
        {"op": "add", "path": f"{FALLBACK}/priority", "value": 0},
        {"op": "add", "path": "/metadata/annotations", "value": remembered},
        {"op": "add", "path": "/metadata/labels", "value": {"flyball.dev/route-state": "fallback"}},
    ]


fields = st.fixed_dictionaries(
    {}, optional={"weight": st.integers(0, 9), "priority": st.integers(0, 2), "modelNameOverride": st.just("m")}
)
shares = st.sampled_from([(99, 1), (75, 25), (50, 50), (0, 100)])


@given(primary=fields, fallback=fields, other=fields, moves=st.lists(shares, min_size=1, max_size=3))
def test_whatever_was_moved_of_an_ai_gateways_route_is_given_back(
    primary: dict[str, Any], fallback: dict[str, Any], other: dict[str, Any], moves: list[tuple[int, int]]
) -> None:
    references = [ai_backend("chat", **primary), ai_backend("chat-small", **fallback), ai_backend("other", **other)]
    own = ai_gateway_route(rule(*references), namespace="shop", resourceVersion="7", annotations={}, labels={})
    try:
        find_rule(own, AI_ROUTE)
    except Unusable:
        assert primary.get("priority", 0) > min(fallback.get("priority", 0), other.get("priority", 0))
        return
    moved = own
    for weights in moves:
        moved = applied(moved, weights_patch(moved, AI_ROUTE, KEY, weights))
        state = observe_route(moved, AI_ROUTE, KEY, {})
        assert (state.primary_weight, state.fallback_weight, state.foreign) == (*weights, "")
        assert moved["spec"]["rules"][0]["backendRefs"][2] == references[2], "the other backend is nobody's"
    patch, conflict = restore_patch(moved, "chat/chat-small", RouteKind.AI_GATEWAY)
    assert (conflict, applied(moved, patch)) == ("", own)


def test_priorities_that_somebody_else_moved_stay() -> None:
    moved = applied(
        ai_gateway_route(namespace="shop", resourceVersion="7", annotations={}, labels={}),
        weights_patch(ai_gateway_route(namespace="shop", resourceVersion="7", annotations={}), AI_ROUTE, KEY, (60, 40)),
    )
    for reference in moved["spec"]["rules"][0]["backendRefs"]:
        reference["priority"] = 2
    patch, conflict = restore_patch(moved, "chat/chat-small", RouteKind.AI_GATEWAY)
    assert "weights 60:40 with priorities 2:2 of chat and chat-small in AIGatewayRoute chat are not those" in conflict
    assert applied(moved, patch)["spec"] == moved["spec"]


@pytest.mark.parametrize(
    "weights", [(0, 0), (-1, 1), (1, 1_000_001)], ids=["no traffic at all", "negative", "too large"]
)
def test_refuses_weights_that_answer_with_errors(weights: tuple[int, int]) -> None:
    with pytest.raises(Unusable, match="between 0 and 1000000"):
        weights_patch(read(backend("chat"), backend("chat-small", 0)), ROUTE, KEY, weights)


def weights_of(found: dict[str, Any], index: int = 0) -> tuple[int, ...]:
    return tuple(each["weight"] for each in found["spec"]["rules"][index]["backendRefs"])


def flyball_metadata(found: dict[str, Any]) -> list[str]:
    metadata = found["metadata"]
    return [name for part in ("annotations", "labels") for name in metadata.get(part, {}) if "flyball.dev" in name]


class TestOnApiServer:
    pytestmark = on_api_server

    @pytest.fixture
    def cluster(self, api: ApiServer) -> KubernetesCluster:
        return KubernetesCluster(api)

    @pytest.fixture
    def key(self, namespace: str) -> WorkloadKey:
        return WorkloadKey(namespace, "chat")

    async def test_moves_and_gives_back(self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey) -> None:
        kubectl.create(http_route(rule(backend("chat", 9), backend("chat-small", 1)), labels={"team": "shop"}))
        before = kubectl.get("httproute", "chat")
        await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 1), 60, 40)
        moved = kubectl.get("httproute", "chat")
        assert weights_of(moved) == (60, 40)
        assert moved["metadata"]["labels"] == {"team": "shop", "flyball.dev/route-state": "fallback"}
        await cluster.set_weights(key, ROUTE, RouteState("chat", 60, 40), 50, 50)
        await cluster.restore_weights(key, ROUTE)
        after = kubectl.get("httproute", "chat")
        assert after["spec"] == before["spec"]
        assert after["metadata"]["labels"] == {"team": "shop"}
        assert flyball_metadata(after) == []

    async def test_a_grpc_route_is_moved_and_given_back(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        asked = replace(ROUTE, kind=RouteKind.GRPC)
        kubectl.create(
            http_route(rule(backend("chat", 8), backend("chat-small", 2))),
            grpc_route(rule(backend("chat", 9), backend("chat-small", 1))),
        )
        before = kubectl.get("grpcroute", "chat")
        await cluster.set_weights(key, asked, RouteState("chat", 9, 1), 60, 40)
        assert weights_of(kubectl.get("grpcroute", "chat")) == (60, 40)
        assert weights_of(kubectl.get("httproute", "chat")) == (8, 2)
        await cluster.restore_weights(key, ROUTE)
        assert weights_of(kubectl.get("grpcroute", "chat")) == (60, 40), "of the same name, and another kind"
        await cluster.restore_all(key)
        after = kubectl.get("grpcroute", "chat")
        assert (after["spec"], flyball_metadata(after)) == (before["spec"], [])

    async def test_weights_of_inference_pools_are_moved_and_given_back(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        kubectl.create(http_route(rule(backend("chat", 9, **POOL), backend("chat-small", 0, **POOL))))
        before = kubectl.get("httproute", "chat")
        await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 0), 60, 40)
        assert weights_of(kubectl.get("httproute", "chat")) == (60, 40)
        await cluster.restore_all(key)
        after = kubectl.get("httproute", "chat")
        assert (after["spec"], flyball_metadata(after)) == (before["spec"], [])

    async def test_an_ai_gateways_route_is_moved_and_given_back(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        kubectl.create(ai_gateway_route())
        before = kubectl.get("aigatewayroute", "chat")
        await cluster.set_weights(key, AI_ROUTE, RouteState("chat", 1, 0), 60, 40)
        moved = kubectl.get("aigatewayroute", "chat")
        references = moved["spec"]["rules"][0]["backendRefs"]
        assert [(each["weight"], each["priority"]) for each in references] == [(60, 0), (40, 0)]
        await cluster.set_weights(key, AI_ROUTE, RouteState("chat", 60, 40), 0, 100)
        await cluster.restore_all(key)
        after = kubectl.get("aigatewayroute", "chat")
        assert (after["spec"], flyball_metadata(after)) == (before["spec"], [])

    async def test_an_ai_gateways_route_whose_priorities_somebody_moved_is_left_alone(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        kubectl.create(ai_gateway_route())
        await cluster.set_weights(key, AI_ROUTE, RouteState("chat", 1, 0), 60, 40)
        theirs = rule(ai_backend("chat", weight=60, priority=2), ai_backend("chat-small", weight=40, priority=2))
        kubectl.patch("aigatewayroute", "chat", {"spec": {"rules": [theirs]}})
        with pytest.raises(Conflict, match="60:40 with priorities 2:2, not those written by Flyball, 60:40"):
            await cluster.set_weights(key, AI_ROUTE, RouteState("chat", 60, 40), 50, 50)
        with pytest.raises(Conflict, match="are left as they are"):
            await cluster.restore_all(key)
        after = kubectl.get("aigatewayroute", "chat")
        assert weights_of(after) == (60, 40)
        assert flyball_metadata(after) == []

    @pytest.mark.parametrize(
        ("references", "text"),
        [
            pytest.param(
                (ai_backend("chat", **POOL), ai_backend("chat-small", **POOL)),
                "only one InferencePool backend is allowed per rule",
                id="two pools",
            ),
            pytest.param(
                (ai_backend("chat", **POOL), ai_backend("chat-small")),
                "cannot mix InferencePool and AIServiceBackend references",
                id="a pool and another",
            ),
            pytest.param(
                (ai_backend("chat", weight=-1), ai_backend("chat-small")), "greater than or equal to 0", id="below 0"
            ),
        ],
    )
    def test_what_an_ai_gateways_route_may_hold_is_what_is_assumed(
        self, kubectl: Kubectl, objects: ObjectsApi, references: tuple[dict[str, Any], ...], text: str
    ) -> None:
        refused = objects.dry_run(yaml.safe_dump(ai_gateway_route(rule(*references))), kubectl.namespace)
        assert text in refused.json()["message"]

    async def test_two_rules_are_remembered_apart(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        second = FallbackRoute("chat", "search", "search-small", rule_name="search")
        kubectl.create(
            http_route(
                rule(backend("chat", 9), backend("chat-small", 1)),
                rule(backend("search", 7), backend("search-small", 0), name="search"),
            )
        )
        await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 1), 1, 1)
        await cluster.set_weights(key, second, RouteState("chat", 7, 0), 2, 2)
        await cluster.restore_weights(key, ROUTE)
        found = kubectl.get("httproute", "chat")
        assert (weights_of(found), weights_of(found, 1)) == ((9, 1), (2, 2))
        assert found["metadata"]["labels"] == {"flyball.dev/route-state": "fallback"}
        await cluster.restore_all(key)
        found = kubectl.get("httproute", "chat")
        assert weights_of(found, 1) == (7, 0)
        assert flyball_metadata(found) == []

    async def test_an_absent_weight_becomes_what_the_api_server_makes_of_it(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        kubectl.create(http_route(rule(backend("chat"), backend("chat-small", 0))))
        before = kubectl.get("httproute", "chat")["spec"]
        await cluster.set_weights(key, ROUTE, RouteState("chat", 1, 0), 1, 1)
        await cluster.restore_weights(key, ROUTE)
        assert kubectl.get("httproute", "chat")["spec"] == before

    async def test_refuses_to_write_over_a_change_since_the_observation(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        kubectl.create(http_route(rule(backend("chat", 8), backend("chat-small", 2))))
        with pytest.raises(Conflict, match="8:2, not those observed, 9:1"):
            await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 1), 1, 1)
        assert weights_of(kubectl.get("httproute", "chat")) == (8, 2)

    async def test_refuses_to_write_over_somebody_elses_weights(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        kubectl.create(http_route(rule(backend("chat", 9), backend("chat-small", 1))))
        await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 1), 1, 1)
        kubectl.patch("httproute", "chat", {"spec": {"rules": [rule(backend("chat", 3), backend("chat-small", 4))]}})
        with pytest.raises(Conflict, match="3:4, not those written by Flyball, 1:1"):
            await cluster.set_weights(key, ROUTE, RouteState("chat", 3, 4), 0, 1)
        with pytest.raises(Conflict, match=r"3:4 .* left as they are"):
            await cluster.restore_weights(key, ROUTE)
        found = kubectl.get("httproute", "chat")
        assert weights_of(found) == (3, 4)
        assert flyball_metadata(found) == []
        await cluster.restore_weights(key, ROUTE)

    async def test_a_race_with_another_writer_is_a_conflict(
        self,
        kubectl: Kubectl,
        api: ApiServer,
        cluster: KubernetesCluster,
        key: WorkloadKey,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        kubectl.create(http_route(rule(backend("chat", 9), backend("chat-small", 1))))
        read_first = api.get

        async def read_then_lose_the_race(*arguments: Any, **more: Any) -> Any:
            found = await read_first(*arguments, **more)
            monkeypatch.setattr(api, "get", read_first)
            kubectl.patch("httproute", "chat", {"metadata": {"labels": {"team": "shop"}}})
            return found

        monkeypatch.setattr(api, "get", read_then_lose_the_race)
        with pytest.raises(Conflict, match="changed since it was read"):
            await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 1), 1, 1)
        assert weights_of(kubectl.get("httproute", "chat")) == (9, 1)

    async def test_a_rule_that_is_gone_is_forgotten(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        kubectl.create(http_route(rule(backend("chat", 9), backend("chat-small", 1))))
        await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 1), 1, 1)
        kubectl.patch("httproute", "chat", {"spec": {"rules": [rule(backend("chat", 1))]}})
        with pytest.raises(Conflict, match="nothing is left to restore"):
            await cluster.restore_weights(key, ROUTE)
        assert flyball_metadata(kubectl.get("httproute", "chat")) == []

    async def test_another_workloads_rule_is_left_alone(
        self, kubectl: Kubectl, cluster: KubernetesCluster, key: WorkloadKey
    ) -> None:
        kubectl.create(http_route(rule(backend("chat", 9), backend("chat-small", 1))))
        await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 1), 1, 1)
        other = WorkloadKey(key.namespace, "search")
        with pytest.raises(Rejected, match="already moves this rule"):
            await cluster.set_weights(other, ROUTE, RouteState("chat", 1, 1), 0, 1)
        await cluster.restore_weights(other, ROUTE)
        await cluster.restore_all(other)
        assert weights_of(kubectl.get("httproute", "chat")) == (1, 1)

    async def test_a_route_that_is_gone(self, cluster: KubernetesCluster, key: WorkloadKey) -> None:
        await cluster.restore_weights(key, ROUTE)
        await cluster.restore_all(key)
        with pytest.raises(Missing):
            await cluster.set_weights(key, ROUTE, RouteState("chat"), 1, 1)
