"""Which endpoints are ready, by what says so for each kind of backend."""

from typing import Any

import pytest
from support.objects import READY, ai_service_backend, endpoint_slice, inference_pool, pod

from flyball.cluster.backends import Hosts, hosts, hosts_endpoints, pool_endpoints, service_endpoints
from flyball.cluster.routes import Unusable


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
def test_endpoints_of_a_service(slices: list[dict[str, Any]], expected: int) -> None:
    assert service_endpoints("chat", slices) == expected


def going(name: str) -> dict[str, Any]:
    found = pod(name, READY)
    found["metadata"]["deletionTimestamp"] = "2026-11-23T12:02:00Z"
    return found


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param([pod("a", READY), pod("b", READY)], 2, id="ready"),
        pytest.param([pod("a")], 0, id="not ready"),
        pytest.param([going("a")], 0, id="being deleted"),
        pytest.param([pod("a", READY, app="search")], 0, id="not selected"),
        pytest.param([], 0, id="none"),
    ],
)
def test_endpoints_of_an_inference_pool(pods: list[dict[str, Any]], expected: int) -> None:
    assert pool_endpoints(inference_pool("pool", "chat"), pods) == expected


def test_a_pool_without_a_selector_selects_nothing() -> None:
    assert pool_endpoints(inference_pool("pool", selector={}), [pod("a", READY)]) == 0


@pytest.mark.parametrize(
    ("hostnames", "expected"),
    [
        pytest.param(["chat.shop.svc.cluster.local"], Hosts(("chat",)), id="a Service"),
        pytest.param(["chat.shop.svc"], Hosts(("chat",)), id="without the cluster's domain"),
        pytest.param(["api.example.com"], Hosts(others=1), id="a hosted API"),
        pytest.param(["chat.shop.svc.example.org", "api.example.com"], Hosts(("chat",), 1), id="both"),
        pytest.param(["a)(b.shop.svc.cluster.local"], Hosts(others=1), id="no name of a Service"),
        pytest.param([], Hosts(), id="none"),
    ],
)
def test_where_an_ai_service_backend_sends_requests(hostnames: list[str], expected: Hosts) -> None:
    named, backend = ai_service_backend("chat", *hostnames)
    assert hosts("chat", "shop", [named], [backend]) == expected
    assert hosts("other", "shop", [named], [backend]) == Hosts(), "there is none of that name"
    assert hosts("chat", "shop", [named], []) == Hosts(), "its Backend does not exist"


def _with_reference(**fields: str) -> dict[str, Any]:
    named = ai_service_backend("chat")[0]
    named["spec"]["backendRef"] |= fields
    return named


@pytest.mark.parametrize(
    ("named", "text"),
    [
        pytest.param(_with_reference(kind="Service", group=""), "names a Service; name a Backend", id="a Service"),
        pytest.param(_with_reference(namespace="team"), "a Backend of another namespace", id="another namespace"),
        pytest.param(_with_reference(), "Service chat of namespace team, whose endpoints", id="a Service elsewhere"),
    ],
)
def test_what_is_not_looked_at_is_said(named: dict[str, Any], text: str) -> None:
    backend = ai_service_backend("chat", "chat.team.svc.cluster.local")[1]
    with pytest.raises(Unusable, match=text):
        hosts("chat", "shop", [named], [backend])


def test_a_backend_that_resolves_any_host_counts_once() -> None:
    named, backend = ai_service_backend("chat")
    backend["spec"] = {"type": "DynamicResolver"}
    assert hosts("chat", "shop", [named], [backend]) == Hosts(others=1)


def test_endpoints_of_hosts() -> None:
    slices = [endpoint_slice("chat", "10.0.0.1", "10.0.0.2"), endpoint_slice("other", "10.0.0.3")]
    assert hosts_endpoints(Hosts(("chat",), 1), slices) == 3
    assert hosts_endpoints(Hosts(("gone",)), slices) == 0
