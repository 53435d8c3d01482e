"""On a real API server: the operator and the jobs can do all their work with the rights that the chart grants."""

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.api_server import Kubectl
from support.objects import (
    CHAT,
    ROUTE,
    demand_event,
    deployment,
    endpoint_slice,
    experiment,
    gpu_pool,
    http_route,
    pod,
    workload,
    workload_slo,
)

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import connect
from flyball.cluster.events import EventRecorder
from flyball.cluster.experiments import KubernetesExperiments
from flyball.cluster.restore import restore_everything
from flyball.core.decision import Event
from flyball.core.names import EventReason, WorkloadKey
from flyball.core.ports import Rejected

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

NOW = 1_795_000_000.0
FALLBACK = EventReason.FALLBACK_ACTIVATED
MODES = [pytest.param(False, id="cluster-wide"), pytest.param(True, id="in watched namespaces")]


@pytest.fixture
def grant(kubectl: Kubectl, render: Any) -> Any:
    """Create a release's roles and bindings, with this test's namespace as the release's own and the watched one."""
    rendered_roles: list[str] = []

    def granted(watched: bool, **values: Any) -> None:
        values |= {"watchNamespaces": [kubectl.namespace] if watched else []}
        rendered = render(values, namespace=kubectl.namespace)
        rights = [each for each in rendered.objects if each["kind"].endswith(("Role", "RoleBinding"))]
        rendered_roles.append(yaml.safe_dump_all(rights))
        kubectl("apply", "--filename=-", text=rendered_roles[-1])

    yield granted
    for text in rendered_roles:
        kubectl("delete", "--ignore-not-found", "--filename=-", text=text)


def _account(kubectl: Kubectl, name: str) -> str:
    return f"system:serviceaccount:{kubectl.namespace}:{name}"


@pytest.mark.parametrize("watched", MODES)
async def test_the_operator_can_do_everything_that_it_does(
    server: "Server", kubectl: Kubectl, grant: Any, watched: bool
) -> None:
    grant(watched)
    kubectl.create(deployment(gpus=1), http_route(), endpoint_slice("chat-small", "10.0.0.9"), workload_slo())
    kubectl.create(pod("chat-0", gpus=1, nodeName="gpu-node"))
    key = WorkloadKey(kubectl.namespace, "chat")
    spec = workload(kubectl.namespace, CHAT, routes=(ROUTE,))
    uid = kubectl.get("workloadslo", "chat")["metadata"]["uid"]
    async with connect(server.kubeconfig, impersonate=_account(kubectl, "flyball")) as api:
        cluster = KubernetesCluster(api, namespaces=[kubectl.namespace] if watched else [])
        assert len(await cluster.list_workloads()) >= 1
        await cluster.list_price_books()
        state = (await cluster.observe([spec]))[key]
        assert (state.problem, [route.problem for route in state.routes]) == ("", [""])
        await cluster.scale(kubectl.namespace, CHAT, 2, 3)
        await cluster.annotate(kubectl.namespace, CHAT, {"flyball.dev/cost-per-hour": "1.00"})
        await cluster.hold_finalizer(key, True)
        await cluster.set_weights(key, ROUTE, state.routes[0], 50, 50)
        await cluster.restore_all(key)
        await cluster.hold_finalizer(key, False)
        await cluster.write_status(key, {"observedGeneration": 1})
        for recorder in (EventRecorder(api), EventRecorder(api)):  # the second one is the operator after a restart
            await recorder.publish(key, uid, Event(FALLBACK, "moved", "MoveTraffic"), NOW)
    watched_kinds = ("workloadslos", "pricebooks", "gpupools", "budgets", "demandevents", "roiexperiments")
    for right in (*(["watch", f"{kind}.flyball.dev"] for kind in watched_kinds), ["get", "nodes"]):
        assert kubectl("auth", "can-i", *right, f"--as={_account(kubectl, 'flyball')}").strip() == "yes"


@pytest.mark.parametrize("watched", MODES)
async def test_the_operator_can_do_everything_for_pools_and_announced_load(
    server: "Server", kubectl: Kubectl, grant: Any, watched: bool
) -> None:
    grant(watched, gpuPools={"discovery": True})
    pool = f"pool-{kubectl.namespace}"
    kubectl.create(gpu_pool(pool), demand_event("2026-12-01T08:00:00Z", "2026-12-01T20:00:00Z"))
    async with connect(server.kubeconfig, impersonate=_account(kubectl, "flyball")) as api:
        cluster = KubernetesCluster(api, namespaces=[kubectl.namespace] if watched else [])
        assert pool in {found["metadata"]["name"] for found in await cluster.list_gpu_pools()}
        assert "launch" in {found["metadata"]["name"] for found in await cluster.list_demand_events()}
        await cluster.list_gpus()
        await cluster.write_pool_status(pool, {"observedGeneration": 1})
        await cluster.write_demand_event_status(WorkloadKey(kubectl.namespace, "launch"), {"phase": "Upcoming"})
    assert kubectl.get("gpupool", pool)["status"] == {"observedGeneration": 1}
    assert kubectl.get("demandevent", "launch")["status"] == {"phase": "Upcoming"}
    kubectl("delete", "gpupool", pool)


@pytest.mark.parametrize("watched", MODES)
async def test_the_operator_can_switch_an_experiment_s_route_and_the_uninstall_s_job_can_undo_it(
    server: "Server", kubectl: Kubectl, grant: Any, watched: bool
) -> None:
    grant(watched)
    kubectl.create(http_route(), endpoint_slice("chat", "10.0.0.8"), experiment())
    key = WorkloadKey(kubectl.namespace, "quantized")
    async with connect(server.kubeconfig, impersonate=_account(kubectl, "flyball")) as api:
        cluster = KubernetesCluster(api, namespaces=[kubectl.namespace] if watched else [])
        assert "quantized" in {found["metadata"]["name"] for found in await cluster.list_roi_experiments()}
        experiments = KubernetesExperiments(api, cluster)
        seen = await experiments.observe(key, ROUTE)
        assert (seen.problem, seen.primary_ready_endpoints, seen.fallback_ready_endpoints) == ("", 1, 0)
        await experiments.hold_finalizer(key, True)
        await experiments.set_weights(key, ROUTE, seen, 25, 75)
        moved = await experiments.observe(key, ROUTE)
        assert (moved.applied_weights, moved.original_weights) == ((25, 75), (1, 0))
        fallback = await cluster.observe([workload(kubectl.namespace, CHAT, routes=(ROUTE,))])
        (refused,) = fallback[WorkloadKey(kubectl.namespace, "chat")].routes
        assert "roiexperiment/quantized already moves this rule" in refused.problem
        await experiments.write_status(key, {"phase": "Running"})
        await experiments.restore(key)
        await experiments.set_weights(key, ROUTE, await experiments.observe(key, ROUTE), 25, 75)
    assert kubectl.get("roiexperiment", "quantized")["status"] == {"phase": "Running"}
    said: list[str] = []
    async with connect(server.kubeconfig, impersonate=_account(kubectl, "flyball-restore")) as api:
        assert await restore_everything(api, said.append, namespaces=[kubectl.namespace]) == 0, said
    (rule,) = kubectl.get("httproute", "chat")["spec"]["rules"]
    assert [backend["weight"] for backend in rule["backendRefs"]] == [1, 0]
    assert "finalizers" not in kubectl.get("roiexperiment", "quantized")["metadata"]


async def test_nodes_that_may_not_be_listed_are_refused_with_the_missing_right(
    server: "Server", kubectl: Kubectl, grant: Any
) -> None:
    grant(False)
    async with connect(server.kubeconfig, impersonate=_account(kubectl, "flyball")) as api:
        with pytest.raises(Rejected, match="grant verb 'list' on 'nodes'"):
            await KubernetesCluster(api).list_gpus()


async def test_an_operator_of_watched_namespaces_sees_no_other(server: "Server", kubectl: Kubectl, grant: Any) -> None:
    grant(True)
    async with connect(server.kubeconfig, impersonate=_account(kubectl, "flyball")) as api:
        with pytest.raises(Rejected, match="grant verb 'list' on 'workloadslos'"):
            await KubernetesCluster(api).list_workloads()
        with pytest.raises(Rejected, match="forbidden"):
            await KubernetesCluster(api).scale("default", CHAT, 1, 2)


@pytest.mark.parametrize("watched", MODES)
async def test_the_uninstall_s_job_can_restore_what_the_operator_changed(
    server: "Server", kubectl: Kubectl, grant: Any, watched: bool
) -> None:
    grant(watched)
    kubectl.create(deployment(), http_route(), workload_slo())
    key = WorkloadKey(kubectl.namespace, "chat")
    spec = workload(kubectl.namespace, CHAT, routes=(ROUTE,))
    async with connect(server.kubeconfig, impersonate=_account(kubectl, "flyball")) as api:
        cluster = KubernetesCluster(api, namespaces=[kubectl.namespace])
        await cluster.hold_finalizer(key, True)
        state = (await cluster.observe([spec]))[key]
        await cluster.set_weights(key, ROUTE, state.routes[0], 50, 50)
        await cluster.annotate(kubectl.namespace, CHAT, {"flyball.dev/cost-per-hour": "1.00"})
    said: list[str] = []
    async with connect(server.kubeconfig, impersonate=_account(kubectl, "flyball-restore")) as api:
        assert await restore_everything(api, said.append, namespaces=[kubectl.namespace]) == 0, said
    (rule,) = kubectl.get("httproute", "chat")["spec"]["rules"]
    assert [backend["weight"] for backend in rule["backendRefs"]] == [1, 0]
    assert "finalizers" not in kubectl.get("workloadslo", "chat")["metadata"]
    assert "flyball.dev/cost-per-hour" not in kubectl.get("deployment", "chat")["metadata"].get("annotations", {})
    stop = ["auth", "can-i", "patch", "deployments/flyball", "--subresource=scale"]
    assert kubectl(*stop, f"--as={_account(kubectl, 'flyball-restore')}").strip() == "yes"


async def test_the_helm_test_can_try_a_workloadslo(kubectl: Kubectl, grant: Any) -> None:
    grant(False)
    may_create = ["auth", "can-i", "create", "workloadslos.flyball.dev", f"--as={_account(kubectl, 'flyball-test')}"]
    assert kubectl(*may_create).strip() == "yes"
