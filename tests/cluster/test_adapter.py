"""Scaling, annotating, status and the finalizer, on a real API server."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.api_server import Kubectl
from support.objects import CHAT, demand_event, deployment, gpu_pool, workload_slo

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer, connect
from flyball.core.names import WorkloadKey
from flyball.core.ports import Conflict, Missing, Rejected
from flyball.core.spec import TargetRef

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Reconciled",
    "message": "",
    "lastTransitionTime": "2026-11-23T12:00:00Z",
}
STATUS = {"observedGeneration": 1, "conditions": [READY]}


@pytest.fixture
def cluster(api: ApiServer) -> KubernetesCluster:
    return KubernetesCluster(api)


@pytest.mark.parametrize(
    ("current", "wanted"),
    [pytest.param(2, 5, id="up"), pytest.param(0, 3, id="from zero"), pytest.param(3, 0, id="to zero")],
)
async def test_scales_through_the_scale_subresource(
    kubectl: Kubectl, cluster: KubernetesCluster, writes: list[tuple[str, str]], current: int, wanted: int
) -> None:
    kubectl.create(deployment(replicas=current))
    await cluster.scale(kubectl.namespace, CHAT, current, wanted)
    found = kubectl.get("deployment", "chat")
    assert found["spec"]["replicas"] == wanted
    managers = {(entry["manager"], entry.get("subresource")) for entry in found["metadata"]["managedFields"]}
    assert (("flyball", "scale") in managers) == (wanted > 0)  # a Scale of 0 owns no field
    assert writes == [("deployments/scale", "patch")]


@pytest.mark.parametrize("expected", [0, 2], ids=lambda expected: f"expecting {expected}")
async def test_refuses_to_scale_what_somebody_else_scaled(
    kubectl: Kubectl, cluster: KubernetesCluster, expected: int
) -> None:
    kubectl.create(deployment(replicas=4))
    with pytest.raises(Conflict, match=f"has 4 replicas, not {expected}"):
        await cluster.scale(kubectl.namespace, CHAT, expected, 5)
    assert kubectl.get("deployment", "chat")["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        pytest.param(CHAT, Missing, "chat", id="no such object"),
        pytest.param(replace(CHAT, kind="Deplyment"), Missing, "targetRef", id="no such kind"),
        pytest.param(TargetRef("v1", "ConfigMap", "settings"), Rejected, "no scale subresource", id="not scalable"),
    ],
)
async def test_says_why_a_target_cannot_be_scaled(
    kubectl: Kubectl, cluster: KubernetesCluster, target: TargetRef, error: type[Exception], text: str
) -> None:
    kubectl("create", "configmap", "settings")
    with pytest.raises(error, match=text):
        await cluster.scale(kubectl.namespace, target, 1, 2)


async def test_an_impossible_replica_count_is_rejected(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(deployment(replicas=1))
    with pytest.raises(Rejected, match="greater than or equal to 0"):
        await cluster.scale(kubectl.namespace, CHAT, 1, -1)


async def test_forbidden_names_the_rbac_rule(kubectl: Kubectl, server: "Server", namespace: str) -> None:
    kubectl.create(deployment())
    async with connect(server.kubeconfig_for("restricted")) as restricted:
        with pytest.raises(Rejected, match=r"grant verb 'patch' on 'deployments/scale' in API group 'apps'"):
            await KubernetesCluster(restricted).scale(namespace, CHAT, 2, 3)


async def test_annotates_the_object_and_never_the_pod_template(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(deployment())
    await cluster.annotate(kubectl.namespace, CHAT, {"flyball.dev/cost-per-hour": "3.20", "flyball.dev/gone": None})
    annotated = kubectl.get("deployment", "chat")
    assert annotated["metadata"]["annotations"] == {"flyball.dev/cost-per-hour": "3.20"}
    assert "annotations" not in annotated["spec"]["template"]["metadata"]
    await cluster.annotate(kubectl.namespace, CHAT, {"flyball.dev/cost-per-hour": None})
    assert "annotations" not in kubectl.get("deployment", "chat")["metadata"]


async def test_the_same_status_twice_changes_nothing(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(workload_slo())
    key = WorkloadKey(kubectl.namespace, "chat")
    await cluster.write_status(key, STATUS)
    first = kubectl.get("workloadslo", "chat")["metadata"]["resourceVersion"]
    await cluster.write_status(key, STATUS)
    found = kubectl.get("workloadslo", "chat")
    assert found["metadata"]["resourceVersion"] == first
    assert found["status"]["observedGeneration"] == 1


async def test_what_a_status_no_longer_says_is_removed(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    kubectl.create(workload_slo())
    key = WorkloadKey(kubectl.namespace, "chat")
    await cluster.write_status(key, STATUS)
    await cluster.write_status(key, {"conditions": [READY]})
    assert "observedGeneration" not in kubectl.get("workloadslo", "chat")["status"]


async def test_a_status_does_not_bring_a_deleted_object_back(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    with pytest.raises(Missing):
        await cluster.write_status(WorkloadKey(kubectl.namespace, "chat"), STATUS)
    assert kubectl.get_all("workloadslos") == []


@pytest.mark.parametrize("others", [[], ["example.com/a", "example.com/b"]], ids=["alone", "beside others"])
async def test_the_finalizer_comes_and_goes(kubectl: Kubectl, cluster: KubernetesCluster, others: list[str]) -> None:
    kubectl.create(workload_slo())
    kubectl.patch("workloadslo", "chat", {"metadata": {"finalizers": others}})
    key = WorkloadKey(kubectl.namespace, "chat")
    for hold, expected in ((True, [*others, "flyball.dev/restore-routes"]), (False, others)):
        for _ in range(2):
            await cluster.hold_finalizer(key, hold)
            assert kubectl.get("workloadslo", "chat")["metadata"].get("finalizers", []) == expected
    kubectl.patch("workloadslo", "chat", {"metadata": {"finalizers": None}})


async def test_the_finalizer_is_written_once(
    kubectl: Kubectl, cluster: KubernetesCluster, writes: list[tuple[str, str]]
) -> None:
    kubectl.create(workload_slo())
    key = WorkloadKey(kubectl.namespace, "chat")
    await cluster.hold_finalizer(key, True)
    await cluster.hold_finalizer(key, True)
    await cluster.hold_finalizer(key, False)
    assert writes == [("workloadslos", "patch")] * 2


async def test_the_finalizer_survives_a_race_with_another_writer(
    kubectl: Kubectl, api: ApiServer, cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl.create(workload_slo())
    read_first = api.get

    async def read_then_lose_the_race(*arguments: Any, **more: Any) -> Any:
        found = await read_first(*arguments, **more)
        monkeypatch.setattr(api, "get", read_first)
        kubectl.patch("workloadslo", "chat", {"metadata": {"finalizers": ["example.com/a"]}})
        return found

    monkeypatch.setattr(api, "get", read_then_lose_the_race)
    await cluster.hold_finalizer(WorkloadKey(kubectl.namespace, "chat"), True)
    expected = ["example.com/a", "flyball.dev/restore-routes"]
    assert kubectl.get("workloadslo", "chat")["metadata"]["finalizers"] == expected
    kubectl.patch("workloadslo", "chat", {"metadata": {"finalizers": None}})


async def test_the_finalizer_of_a_deleted_object(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    key = WorkloadKey(kubectl.namespace, "chat")
    await cluster.hold_finalizer(key, False)
    with pytest.raises(Missing):
        await cluster.hold_finalizer(key, True)


async def test_lists_its_own_objects_page_by_page(
    kubectl: Kubectl, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyball.cluster.client.PAGE_SIZE", 2)
    names = [f"chat-{number}" for number in range(5)]
    kubectl.create(*map(workload_slo, names))
    cluster = KubernetesCluster(api, namespaces=[kubectl.namespace])
    assert [found["metadata"]["name"] for found in await cluster.list_workloads()] == names
    assert await cluster.list_price_books() == []


async def test_writes_the_status_of_pools_and_announced_load(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    pool, key = f"pool-{kubectl.namespace}", WorkloadKey(kubectl.namespace, "launch")
    kubectl.create(gpu_pool(pool, 4), demand_event("2026-12-01T08:00:00Z", "2026-12-01T20:00:00Z"))
    try:
        for summary in ({"granted": "1 of 4", "asked": "1"}, {"granted": "2 of 4"}):
            await cluster.write_pool_status(pool, {"summary": summary, "conditions": [READY]})
            assert kubectl.get("gpupool", pool)["status"] == {"summary": summary, "conditions": [READY]}
        await cluster.write_demand_event_status(key, {"phase": "Active", "workloads": ["chat"]})
        await cluster.write_demand_event_status(key, {"phase": "Past"})
        found = kubectl.get("demandevent", "launch")
        assert found["status"] == {"phase": "Past"}
        assert {entry["manager"] for entry in found["metadata"]["managedFields"] if "subresource" in entry} == {
            "flyball"
        }
        with pytest.raises(Missing):
            await cluster.write_pool_status("nobody", {})
    finally:
        kubectl("delete", "gpupool", pool)


async def test_lists_the_gpus_of_nodes_by_either_label(kubectl: Kubectl, cluster: KubernetesCluster) -> None:
    own = {"example.com/test": kubectl.namespace}
    both = {"nvidia.com/gpu.product": "NVIDIA-L4", "cloud.google.com/gke-accelerator": "nvidia-l4"}
    nodes = {
        f"gpu-{kubectl.namespace}": both,
        f"gke-{kubectl.namespace}": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        f"cpu-{kubectl.namespace}": {},
    }
    for name, labels in nodes.items():
        metadata = {"name": name, "labels": own | labels}
        status = {"allocatable": {"nvidia.com/gpu": "4"}, "capacity": {"nvidia.com/gpu": "4"}}
        kubectl.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})
    try:
        found = [node for node in await cluster.list_gpus() if own.items() <= node.labels.items()]
        assert sorted((node.accelerator, node.gpus) for node in found) == [("NVIDIA-L4", 4), ("nvidia-l4", 4)]
    finally:
        kubectl("delete", "node", *nodes)
