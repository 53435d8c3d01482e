"""What is seen of workloads on a real API server, and in how many requests."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.api_server import Kubectl
from support.objects import (
    AI_ROUTE,
    CHAT,
    POOL,
    READY,
    ROUTE,
    SCHEDULED,
    UNSCHEDULABLE,
    ai_gateway_route,
    ai_service_backend,
    autoscaler,
    backend,
    deployment,
    endpoint_slice,
    grpc_route,
    http_route,
    inference_pool,
    pod,
    rule,
    workload,
)

from flyball.cluster import route_kinds, route_reader
from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer, connect
from flyball.cluster.groups import GROUP_KIND, GROUP_LABEL, SET_LABEL, WORKER_LABEL
from flyball.cluster.resources import (
    AI_GATEWAY_ROUTES,
    AI_SERVICE_BACKENDS,
    ENVOY_BACKENDS,
    INFERENCE_POOLS,
    Resource,
)
from flyball.core.names import RouteKind
from flyball.core.observation import RouteState, VariantState, WorkloadState
from flyball.core.spec import FallbackRoute, TargetRef

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]

WIDGET = TargetRef("example.com/v1", "Widget", "chat")


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(api: ApiServer, clock: Clock) -> KubernetesCluster:
    return KubernetesCluster(api, clock=clock)


@pytest.fixture
def requests(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Path of every request, without its query."""
    paths: list[str] = []
    exchange = api._exchange

    async def counted(method: str, path: str, *more: Any) -> tuple[int, bytes]:
        paths.append(path.partition("?")[0])
        return await exchange(method, path, *more)

    monkeypatch.setattr(api, "_exchange", counted)
    return paths


async def observe(cluster: KubernetesCluster, namespace: str, *targets: TargetRef, **more: Any) -> WorkloadState:
    spec = workload(namespace, *targets, **more)
    return (await cluster.observe([spec]))[spec.key]


async def test_pods_by_where_they_stand(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(
        deployment(replicas=4, gpus=2, nodeSelector={"nvidia.com/gpu.product": "NVIDIA-L4"}),
        pod("ready", SCHEDULED, READY),
        pod("loading", SCHEDULED),
        pod("pending", UNSCHEDULABLE),
        pod("other", SCHEDULED, READY, app="search"),
    )
    (variant,) = (await observe(cluster, kubectl.namespace)).variants
    assert (variant.replicas, variant.ready, variant.starting, variant.unschedulable) == (4, 1, 1, 1)
    assert (variant.accelerator, variant.gpus_per_replica) == ("NVIDIA-L4", 2)
    assert variant.contender is None
    bound = datetime(2026, 11, 23, 12, 1, tzinfo=UTC).timestamp()
    assert {(span.held_from, span.ready_from) for span in variant.pods} == {(bound, bound), (bound, None)}
    assert len({span.uid for span in variant.pods}) == 2


async def test_the_accelerator_is_that_of_the_nodes(
    kubectl: Kubectl, cluster: KubernetesCluster, requests: list[str]
) -> None:
    node = f"node-{kubectl.namespace}"
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100"}
    kubectl.create(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}},
        deployment(gpus=1),
        pod("ready", READY, gpus=1, nodeName=node),
    )
    for _ in range(2):
        state = await observe(cluster, kubectl.namespace)
        assert state.variants[0].accelerator == "NVIDIA-H100"
    assert requests.count(f"/api/v1/nodes/{node}") == 1


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(CHAT, VariantState("chat", exists=False, scalable=False), id="missing"),
        pytest.param(WIDGET, VariantState("chat", exists=False, scalable=False), id="of a kind that is not served"),
        pytest.param(
            TargetRef("v1", "ConfigMap", "settings"), VariantState("settings", scalable=False), id="not scalable"
        ),
    ],
)
async def test_targets_that_cannot_be_acted_on(
    kubectl: Kubectl, cluster: KubernetesCluster, target: TargetRef, expected: VariantState
) -> None:
    kubectl("create", "configmap", "settings")
    assert await observe(cluster, kubectl.namespace, target) == WorkloadState((expected,))


def serve(kubectl: Kubectl, group: str, kind: str, replicas: str) -> None:
    """A resource `<kind>s` with a scale subresource, whose count stands in `.spec.<replicas>`."""
    paths = {
        "specReplicasPath": f".spec.{replicas}",
        "statusReplicasPath": f".status.{replicas}",
        "labelSelectorPath": ".status.selector",
    }
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": schema,
        "subresources": {"status": {}, "scale": paths},
    }
    names = {"plural": f"{kind.lower()}s", "singular": kind.lower(), "kind": kind}
    kubectl.create(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{kind.lower()}s.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
        }
    )
    kubectl("wait", "--for=condition=Established", "crd", f"{kind.lower()}s.{group}", "--timeout=120s")


async def test_any_kind_through_its_scale_subresource(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    group = f"{kubectl.namespace}.example.com"
    serve(kubectl, group, "Engine", "size")
    engine = {"apiVersion": f"{group}/v1", "kind": "Engine", "metadata": {"name": "chat"}, "spec": {"size": 2}}
    kubectl.create(engine | {"status": {"size": 1, "selector": "app=chat"}}, pod("ready", READY, gpus=4))
    target = TargetRef(f"{group}/v1", "Engine", "chat")
    (variant,) = (await observe(cluster, kubectl.namespace, target)).variants
    assert (variant.replicas, variant.ready, variant.gpus_per_replica) == (2, 1, 4)
    await cluster.scale(kubectl.namespace, target, 2, 0)
    await cluster.scale(kubectl.namespace, target, 0, 3)
    assert (await observe(cluster, kubectl.namespace, target)).variants[0].replicas == 3


async def test_a_leader_worker_set_is_counted_in_groups(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    api_group = f"{kubectl.namespace}.example.com"
    serve(kubectl, api_group, GROUP_KIND, "replicas")
    leaders = f"{SET_LABEL}=llm,{WORKER_LABEL}=0"
    kubectl.create(
        {
            "apiVersion": f"{api_group}/v1",
            "kind": GROUP_KIND,
            "metadata": {"name": "llm"},
            "spec": {
                "replicas": 2,
                "leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": pod("worker", gpus=8)["spec"]}},
            },
            "status": {"replicas": 2, "selector": leaders},
        }
    )
    for group, worker, ready in ((0, 0, True), (0, 1, True), (1, 0, True), (1, 1, False)):
        member = pod(f"llm-{group}-{worker}", SCHEDULED, *([READY] if ready else []), gpus=8)
        member["metadata"]["labels"] = {SET_LABEL: "llm", GROUP_LABEL: str(group), WORKER_LABEL: str(worker)}
        kubectl.create(member)
    target = TargetRef(f"{api_group}/v1", GROUP_KIND, "llm")
    (seen,) = (await observe(cluster, kubectl.namespace, target)).variants
    assert (seen.replicas, seen.ready, seen.starting, seen.gpus_per_replica) == (2, 1, 1, 16)
    assert len(seen.pods) == 2, "a group's GPUs are held, and paid, once"


async def test_steps_aside_for_an_autoscaler(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(deployment(), autoscaler("cpu"))
    assert (await observe(cluster, kubectl.namespace)).variants[0].contender == "HorizontalPodAutoscaler/cpu"


@pytest.mark.parametrize(
    ("replicas", "who"),
    [(1, "kubectl, which scaled it to 1"), (0, "somebody, who scaled it to 0")],
    ids=["one", "zero"],
)
async def test_steps_aside_for_a_person_for_ten_minutes(
    kubectl: Kubectl, cluster: KubernetesCluster, clock: Clock, replicas: int, who: str
) -> None:
    async def contender() -> str | None:
        return (await observe(cluster, kubectl.namespace)).variants[0].contender

    kubectl.create(deployment(replicas=1))
    kubectl("scale", "deployment/chat", "--replicas=2")
    assert await contender() is None
    await cluster.scale(kubectl.namespace, CHAT, 2, 3)
    assert await contender() is None
    kubectl("scale", "deployment/chat", f"--replicas={replicas}")
    assert await contender() == who
    clock.now += 599
    assert await contender() == who
    clock.now += 2
    assert await contender() is None
    await cluster.scale(kubectl.namespace, CHAT, replicas, 3)
    assert await contender() is None


async def test_routes_with_their_endpoints(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(
        deployment(),
        http_route(),
        endpoint_slice("chat", "10.0.0.1", "10.0.0.2"),
        endpoint_slice("chat-small", "10.0.0.3"),
    )
    state = await observe(cluster, kubectl.namespace, routes=(ROUTE,))
    expected = RouteState("chat", 1, 0, primary_ready_endpoints=2, fallback_ready_endpoints=1)
    assert state.routes == (expected,)
    await cluster.set_weights(workload(kubectl.namespace).key, ROUTE, expected, 3, 1)
    (moved,) = (await observe(cluster, kubectl.namespace, routes=(ROUTE,))).routes
    assert (moved.original_weights, moved.applied_weights) == ((1, 0), (3, 1))
    assert (moved.primary_weight, moved.fallback_weight) == (3, 1)


async def test_grpc_routes_are_read_where_one_is_declared(
    kubectl: Kubectl, cluster: KubernetesCluster, requests: list[str]
) -> None:
    kubectl.create(http_route(), grpc_route(rule(backend("chat", 9), backend("chat-small", 1))))
    asked = replace(ROUTE, kind=RouteKind.GRPC)
    found = (await observe(cluster, kubectl.namespace, routes=(ROUTE, asked))).routes
    seen = [(each.problem, each.primary_weight, each.fallback_weight) for each in found]
    assert seen == [("", 1, 0), ("", 9, 1)]
    requests.clear()
    await observe(cluster, kubectl.namespace, routes=(ROUTE,))
    assert not [path for path in requests if "grpcroutes" in path]


POOLED = http_route(rule(backend("chat", 1, **POOL), backend("chat-small", 0, **POOL)))


async def test_ready_endpoints_of_an_inference_pool_are_the_pods_that_it_selects(
    kubectl: Kubectl, cluster: KubernetesCluster, requests: list[str]
) -> None:
    kubectl.create(
        deployment(), POOLED, inference_pool("chat"), inference_pool("chat-small", "small"),
        endpoint_slice("chat", "10.0.0.1", "10.0.0.2", "10.0.0.3"),  # of a Service that is only called like the pool
        pod("chat-0", READY), pod("chat-1", READY), pod("chat-2"), pod("small-0", READY, app="small"),
        pod("other-0", READY, app="other"),
    )  # fmt: skip
    requests.clear()
    (found,) = (await observe(cluster, kubectl.namespace, routes=(ROUTE,))).routes
    assert found == RouteState("chat", 1, 0, primary_ready_endpoints=2, fallback_ready_endpoints=1)
    read = sorted(path.rpartition("/")[2] for path in requests if not path.startswith("/apis/keda"))
    assert read == ["deployments", "horizontalpodautoscalers", "httproutes", "inferencepools", "pods", "pods"]


async def test_a_pool_and_a_service_share_a_rule(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(
        deployment(), http_route(rule(backend("chat", 1, **POOL), backend("chat-small", 0))), inference_pool("chat"),
        pod("chat-0"), endpoint_slice("chat-small", "10.0.0.3"),
    )  # fmt: skip
    (found,) = (await observe(cluster, kubectl.namespace, routes=(ROUTE,))).routes
    assert (found.primary_ready_endpoints, found.fallback_ready_endpoints) == (0, 1)


async def test_a_pool_that_does_not_exist_has_no_endpoints(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(deployment(), POOLED, inference_pool("chat"), pod("chat-0", READY), pod("small-0", READY))
    (found,) = (await observe(cluster, kubectl.namespace, routes=(ROUTE,))).routes
    assert (found.problem, found.primary_ready_endpoints, found.fallback_ready_endpoints) == ("", 2, 0)


async def test_ready_endpoints_of_an_ai_gateways_backends_are_those_of_their_hosts(
    kubectl: Kubectl, cluster: KubernetesCluster, requests: list[str]
) -> None:
    kubectl.create(
        deployment(), ai_gateway_route(), *ai_service_backend("chat", f"vllm.{kubectl.namespace}.svc.cluster.local"),
        *ai_service_backend("chat-small", "api.example.com"), endpoint_slice("vllm", "10.0.0.1", "10.0.0.2"),
        endpoint_slice("chat", "10.0.0.3"),
    )  # fmt: skip
    requests.clear()
    (found,) = (await observe(cluster, kubectl.namespace, routes=(AI_ROUTE,))).routes
    assert found == RouteState("chat", 1, 0, primary_ready_endpoints=2, fallback_ready_endpoints=1)
    read = sorted(path.rpartition("/")[2] for path in requests if not path.startswith("/apis/keda"))
    expected = ["aigatewayroutes", "aiservicebackends", "backends", "endpointslices"]
    assert read == [*expected[:3], "deployments", expected[3], "horizontalpodautoscalers", "pods"]


@pytest.mark.parametrize(
    ("resource", "route", "text"),
    [
        pytest.param(
            INFERENCE_POOLS,
            ROUTE,
            "serves no inferencepools of inference.networking.k8s.io/v9; install the CRDs of the Gateway API Inference",
            id="pools",
        ),
        pytest.param(
            AI_SERVICE_BACKENDS,
            AI_ROUTE,
            "serves no aiservicebackends of aigateway.envoyproxy.io/v9; install Envoy AI Gateway's CRDs",
            id="backends of an AI gateway",
        ),
        pytest.param(
            ENVOY_BACKENDS,
            AI_ROUTE,
            "serves no backends of gateway.envoyproxy.io/v9; install Envoy Gateway's CRDs",
            id="backends of Envoy Gateway",
        ),
        pytest.param(
            AI_GATEWAY_ROUTES,
            AI_ROUTE,
            "serves no aigatewayroutes of aigateway.envoyproxy.io/v9; install Envoy AI Gateway's CRDs",
            id="routes of an AI gateway",
        ),
    ],
)
async def test_without_a_crd_it_says_what_to_install(
    kubectl: Kubectl,
    cluster: KubernetesCluster,
    monkeypatch: pytest.MonkeyPatch,
    resource: Resource,
    route: FallbackRoute,
    text: str,
) -> None:
    unserved = replace(resource, version="v9")
    for name in ("INFERENCE_POOLS", "AI_SERVICE_BACKENDS", "ENVOY_BACKENDS"):
        if getattr(route_reader, name) == resource:
            monkeypatch.setattr(route_reader, name, unserved)
    served = {kind: unserved if each == resource else each for kind, each in route_kinds.RESOURCES.items()}
    monkeypatch.setattr(route_reader, "RESOURCES", served)
    monkeypatch.setitem(route_kinds.INSTALL, unserved, route_kinds.INSTALL[resource])  # type: ignore[arg-type]
    kubectl.create(deployment(), POOLED, ai_gateway_route())
    state = await observe(cluster, kubectl.namespace, routes=(route,))
    assert text in state.routes[0].problem
    assert state.problem == ""


async def test_a_route_that_does_not_exist(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(deployment())
    state = await observe(cluster, kubectl.namespace, routes=(ROUTE,))
    assert "does not exist" in state.routes[0].problem
    assert state.problem == ""


async def test_an_installation_without_routes_reads_none(kubectl: Kubectl, api: ApiServer, requests: list[str]) -> None:
    kubectl.create(deployment(), http_route())
    state = await observe(KubernetesCluster(api, routes=False), kubectl.namespace, routes=(ROUTE,))
    assert "fallback.enabled" in state.routes[0].problem
    assert not any("httproutes" in path for path in requests)


async def test_requests_follow_namespaces_and_not_workloads(
    kubectl: Kubectl, cluster: KubernetesCluster, requests: list[str], writes: list[tuple[str, str]]
) -> None:
    targets = [TargetRef("apps/v1", "Deployment", f"chat-{number}") for number in range(20)]
    kubectl.create(*(deployment(target.name) for target in targets), http_route())
    specs = [workload(kubectl.namespace, target, name=target.name, routes=(ROUTE,)) for target in targets]
    await cluster.observe(specs)
    requests.clear()
    states = await cluster.observe(specs)
    assert all(state.variants[0].exists for state in states.values())
    collections = sorted(path.rpartition("/")[2] for path in requests)
    assert collections == ["deployments", "endpointslices", "horizontalpodautoscalers", "httproutes", "pods"]
    assert writes == []


async def test_many_namespaces_are_read_as_one(
    kubectl: Kubectl, cluster: KubernetesCluster, requests: list[str]
) -> None:
    kubectl.create(deployment(), pod("ready", READY))
    specs = [workload(namespace) for namespace in (kubectl.namespace, *(f"empty-{number}" for number in range(40)))]
    states = await cluster.observe(specs)
    assert states[specs[0].key].variants[0].ready == 1
    assert not states[specs[1].key].variants[0].exists
    assert "/apis/apps/v1/deployments" in requests
    assert len(requests) <= 5


@pytest.fixture
def restricted(kubectl: Kubectl) -> str:
    """A user who may do in one namespace what Flyball does, and nothing elsewhere."""
    rules = ["deployments.apps", "pods", "horizontalpodautoscalers.autoscaling"]
    kubectl("create", "role", "flyball", "--verb=list", *(f"--resource={resource}" for resource in rules))
    kubectl("create", "rolebinding", "flyball", "--role=flyball", f"--user=flyball-{kubectl.namespace}")
    return f"flyball-{kubectl.namespace}"


async def test_without_rights_to_the_cluster_it_reads_by_namespace(
    kubectl: Kubectl, server: "Server", restricted: str
) -> None:
    kubectl.create(deployment())
    specs = [workload(namespace) for namespace in (kubectl.namespace, *(f"empty-{number}" for number in range(40)))]
    async with connect(server.kubeconfig_for(restricted)) as api:
        states = await KubernetesCluster(api).observe(specs)
    assert states[specs[0].key].problem == ""
    assert states[specs[0].key].variants[0].exists
    assert "grant verb 'list' on 'deployments' in API group 'apps' in namespace empty-0" in states[specs[1].key].problem


async def test_a_namespace_that_is_not_watched(kubectl: Kubectl, api: ApiServer) -> None:
    state = await observe(KubernetesCluster(api, namespaces=["shop"]), kubectl.namespace)
    assert "not among those that the operator watches: shop" in state.problem


async def test_no_api_server_is_a_problem_and_no_exception(kubectl: Kubectl, server: "Server") -> None:
    async with connect(server.kubeconfig) as api:
        api._api_client.configuration.host = "https://127.0.0.1:1"
        state = await observe(KubernetesCluster(api), kubectl.namespace, CHAT, WIDGET, routes=(ROUTE,))
    assert "Cannot connect" in state.problem
    assert "Cannot connect" in state.routes[0].problem
