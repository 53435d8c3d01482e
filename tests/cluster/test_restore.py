"""Leaving a cluster as it was, with the operator gone."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.api_server import Kubectl
from support.objects import (
    AI_ROUTE,
    CHAT,
    ROUTE,
    ai_gateway_route,
    backend,
    deployment,
    grpc_route,
    http_route,
    rule,
    workload_slo,
)

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer, connect
from flyball.cluster.restore import restore_everything
from flyball.core.names import RouteKind, WorkloadKey
from flyball.core.observation import RouteState

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]


@pytest.fixture
async def used(kubectl: Kubectl, api: ApiServer) -> Kubectl:
    """A namespace in which Flyball has done all that it does."""
    route = http_route(rule(backend("chat", 9), backend("chat-small", 1)))
    kubectl.create(workload_slo(), deployment(), deployment("untouched"), route)
    key, cluster = WorkloadKey(kubectl.namespace, "chat"), KubernetesCluster(api)
    await cluster.hold_finalizer(key, True)
    await cluster.set_weights(key, ROUTE, RouteState("chat", 9, 1), 0, 1)
    await cluster.annotate(kubectl.namespace, CHAT, {"flyball.dev/cost-per-hour": "3.20", "team": "shop"})
    return kubectl


async def test_restores_everything_and_says_so(used: Kubectl, api: ApiServer) -> None:
    said: list[str] = []
    assert await restore_everything(api, said.append, namespaces=[used.namespace]) == 0
    where = f"in namespace {used.namespace}"
    assert said == [
        f"httproutes.gateway.networking.k8s.io chat {where}: weights of chat and chat-small are 9:1 again",
        f"deployments.apps chat {where}: removed flyball.dev/cost-per-hour",
        f"workloadslos.flyball.dev chat {where}: removed the finalizer",
    ]
    backends = used.get("httproute", "chat")["spec"]["rules"][0]["backendRefs"]
    assert [each["weight"] for each in backends] == [9, 1]
    assert used.get("deployment", "chat")["metadata"]["annotations"] == {"team": "shop"}
    used("delete", "workloadslo", "chat", "--timeout=120s")


async def test_an_ai_gateways_route_is_restored_with_its_priorities(used: Kubectl, api: ApiServer) -> None:
    used.create(ai_gateway_route())
    before = used.get("aigatewayroute", "chat")["spec"]
    await KubernetesCluster(api).set_weights(WorkloadKey(used.namespace, "chat"), AI_ROUTE, RouteState("chat"), 0, 1)
    said: list[str] = []
    assert await restore_everything(api, said.append, namespaces=[used.namespace]) == 0
    assert any("aigatewayroutes" in line and "are 1:1 with priorities 0:1 again" in line for line in said)
    after = used.get("aigatewayroute", "chat")
    assert (after["spec"], after["metadata"].get("annotations")) == (before, None)


async def test_a_grpc_route_is_restored_too(used: Kubectl, api: ApiServer) -> None:
    used.create(grpc_route(rule(backend("chat", 7), backend("chat-small", 0))))
    key, asked = WorkloadKey(used.namespace, "chat"), replace(ROUTE, kind=RouteKind.GRPC)
    await KubernetesCluster(api).set_weights(key, asked, RouteState("chat", 7, 0), 0, 1)
    said: list[str] = []
    assert await restore_everything(api, said.append, namespaces=[used.namespace]) == 0
    assert any("grpcroutes" in line and "are 7:0 again" in line for line in said)
    backends = used.get("grpcroute", "chat")["spec"]["rules"][0]["backendRefs"]
    assert [each["weight"] for each in backends] == [7, 0]


async def test_a_second_time_there_is_nothing_to_do(
    used: Kubectl, api: ApiServer, writes: list[tuple[str, str]]
) -> None:
    await restore_everything(api, print, namespaces=[used.namespace])
    writes.clear()
    said: list[str] = []
    assert await restore_everything(api, said.append, namespaces=[used.namespace]) == 0
    assert (said, writes) == ([], [])


async def test_the_whole_cluster(used: Kubectl, api: ApiServer) -> None:
    assert await restore_everything(api, print) == 0
    assert "finalizers" not in used.get("workloadslo", "chat")["metadata"]


async def test_weights_of_others_stay(used: Kubectl, api: ApiServer) -> None:
    used.patch("httproute", "chat", {"spec": {"rules": [rule(backend("chat", 3), backend("chat-small", 4))]}})
    said: list[str] = []
    assert await restore_everything(api, said.append, namespaces=[used.namespace]) == 0
    assert "left as they are" in said[0]
    assert "annotations" not in used.get("httproute", "chat")["metadata"]
    assert "finalizers" not in used.get("workloadslo", "chat")["metadata"]


async def test_unreadable_annotations_block_nothing(used: Kubectl, api: ApiServer) -> None:
    used("annotate", "httproute", "chat", "flyball.dev/original-weights={", "--overwrite")
    said: list[str] = []
    assert await restore_everything(api, said.append, namespaces=[used.namespace]) == 0
    assert "by hand" in said[0]
    assert "it was {" in said[0]
    assert "annotations" not in used.get("httproute", "chat")["metadata"]


async def test_a_namespace_stuck_in_deletion_is_set_free(used: Kubectl, api: ApiServer) -> None:
    used("delete", "workloadslo", "chat", "--wait=false")
    assert used.get("workloadslo", "chat")["metadata"]["deletionTimestamp"]
    await restore_everything(api, print, namespaces=[used.namespace])
    assert used.get_all("workloadslos") == []


async def test_finalizers_stay_while_a_route_cannot_be_restored(used: Kubectl, server: "Server") -> None:
    user = f"restorer-{used.namespace}"
    readable = [
        "workloadslos.flyball.dev",
        "httproutes.gateway.networking.k8s.io",
        "deployments.apps",
        "statefulsets.apps",
    ]
    used("create", "role", "look", "--verb=get,list", *(f"--resource={resource}" for resource in readable))
    used(
        "create", "role", "touch", "--verb=patch", "--resource=workloadslos.flyball.dev", "--resource=deployments.apps"
    )
    for role in ("look", "touch"):
        used("create", "rolebinding", role, f"--role={role}", f"--user={user}")
    said: list[str] = []
    async with connect(server.kubeconfig_for(user)) as restricted:
        failures = await restore_everything(restricted, said.append, namespaces=[used.namespace])
    assert failures == 1
    assert "grant verb 'patch' on 'httproutes'" in said[0]
    assert "finalizers are left in place" in said[-1]
    assert used.get("workloadslo", "chat")["metadata"]["finalizers"] == ["flyball.dev/restore-routes"]
