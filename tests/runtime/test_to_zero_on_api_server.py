"""To zero replicas and back on a real API server: which kubectl shows which replicas and weights, and when.

There are no controllers: pods and endpoints are written as those would, between the ticks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.api_server import Kubectl
from support.fakes import FakeEvents
from support.objects import (
    READY,
    SCHEDULED,
    backend,
    deployment,
    endpoint_slice,
    http_route,
    pod,
    rule,
    workload_slo,
)

from flyball.cluster.adapter import KubernetesCluster
from flyball.cluster.client import ApiServer
from flyball.core.names import WorkloadKey
from flyball.core.observation import Reading, VariantSignals, WorkloadSignals, ok
from flyball.core.spec import WorkloadSpec
from flyball.runtime.mirror import Mirror
from flyball.runtime.tick import Ticker

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]

START = 1_800_000_000.0
SPEC = {
    "mode": "Auto",
    "targets": [
        {
            "name": "gpu",
            "targetRef": {"name": "chat"},
            "minReplicas": 0,
            "maxReplicas": 4,
            "accelerator": "NVIDIA-L4",
            "gpusPerReplica": 1,
            "pricePerGpuHour": "0.80",
            "startupTime": "30s",
        }
    ],
    "scaling": {"scaleToZero": {"idleAfter": "1m", "wakeUp": {"query": "sum(rate(gateway_requests_total[1m]))"}}},
    "fallback": {
        "routes": [{"httpRoute": "chat", "primary": "chat", "fallback": "chat-small"}],
        "triggerFor": "0s",
        "minHold": "15s",
        "returnHold": "15s",
    },
}


@dataclass
class Gateway:
    """Telemetry of a workload without load: its pods report silence, the gateway what `wanted` says."""

    wanted: Reading = field(default_factory=lambda: ok(0.0))

    async def read(self, workloads: Sequence[WorkloadSpec], at: float) -> Mapping[WorkloadKey, WorkloadSignals]:
        silent = {name: ok(0.0) for name in ("running", "waiting", "completions_per_second")}
        return {
            spec.key: WorkloadSignals(
                variants=tuple(VariantSignals(v.name, **silent) for v in spec.variants), wanted=self.wanted
            )
            for spec in workloads
        }


@dataclass
class Stage:
    """The operator's tick over a real API server, with a clock of its own."""

    kubectl: Kubectl
    ticker: Ticker
    mirror: Mirror
    metrics: Gateway
    at: float = START
    raw: dict[str, dict[str, Any]] = field(default_factory=dict)

    def look(self) -> None:
        """Read everything with kubectl."""
        shown = self.kubectl("get", "wslo/chat", "deployment/chat", "httproute/chat", "--output=json")
        self.raw = {found["kind"]: found for found in json.loads(shown)["items"]}
        self.mirror.put(self.raw["WorkloadSLO"])

    def condition(self, kind: str) -> dict[str, Any]:
        found = next(c for c in self.raw["WorkloadSLO"]["status"]["conditions"] if c["type"] == kind)
        return dict(found)

    async def tick(self) -> tuple[int, tuple[int, int]]:
        """One tick; replicas and weights after it."""
        report = await self.ticker.tick(self.at)
        assert [failure for outcome in report.outcomes for failure in outcome.failures] == []
        self.at += 15.0
        self.look()
        primary, fallback = self.raw["HTTPRoute"]["spec"]["rules"][0]["backendRefs"]
        return self.raw["Deployment"]["spec"]["replicas"], (primary["weight"], fallback["weight"])

    def serve(self, ready: bool) -> None:
        """What controllers would bring about: the pod and its endpoint, or none."""
        self.kubectl("delete", "pod,endpointslice", "--selector=app=chat", "--grace-period=0", "--force")
        endpoint = endpoint_slice("chat", *(("10.0.0.1",) if ready else ()))
        endpoint["metadata"]["labels"]["app"] = "chat"
        self.kubectl.create(endpoint, *((pod("chat-0", SCHEDULED, READY),) if ready else ()))


@pytest.fixture
def stage(api: ApiServer, kubectl: Kubectl) -> Stage:
    declared = workload_slo()
    declared["spec"] |= SPEC
    route = http_route(rule(backend("chat", 1), backend("chat-small", 0)))
    kubectl.create(deployment(replicas=1), route, endpoint_slice("chat-small", "10.0.0.2"), declared)
    mirror, metrics = Mirror(), Gateway()
    found = Stage(kubectl, Ticker(mirror, metrics, KubernetesCluster(api), FakeEvents()), mirror, metrics)
    found.serve(True)
    found.look()
    return found


async def test_to_zero_and_back_on_a_real_api_server(stage: Stage) -> None:
    went = [await stage.tick() for _ in range(7)]
    assert list(dict.fromkeys(went)) == [(1, (1, 0)), (1, (0, 100)), (0, (0, 100))]
    stage.serve(False)
    assert await stage.tick() == (0, (0, 100))
    at_zero = stage.condition("ScaleToZero")
    assert (at_zero["status"], at_zero["reason"]) == ("True", "AtZero")
    assert "chat-small serves" in at_zero["message"]
    assert stage.condition("TelemetryHealthy")["reason"] == "AtZero"
    stage.metrics.wanted = ok(0.2)
    assert await stage.tick() == (1, (0, 100)), "awake within the tick; the route waits"
    assert await stage.tick() == (1, (0, 100))
    stage.serve(True)
    came = [(await stage.tick())[1] for _ in range(32)]
    steps = list(dict.fromkeys(came))
    assert steps[-4:] == [(5, 95), (50, 50), (75, 25), (1, 0)], "the replica is probed, then gets its traffic in steps"


async def test_what_could_not_be_woken_is_refused_for_everybody_to_see(stage: Stage) -> None:
    stage.kubectl.patch("wslo", "chat", {"spec": {"scaling": {"scaleToZero": {"wakeUp": None}}}})
    stage.look()
    assert {await stage.tick() for _ in range(8)} == {(1, (1, 0))}
    refused = stage.condition("ScaleToZero")
    assert (refused["status"], refused["reason"]) == ("False", "NoWakeUpSignal")
    assert "set scaling.scaleToZero.wakeUp.query" in refused["message"]
