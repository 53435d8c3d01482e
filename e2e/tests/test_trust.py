"""What an owner trusts Flyball with: it acts only when told to, steps aside for others, survives what clusters do, and
gives everything back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from e2e.story import kit as tools
from e2e.story.watch import events, wait_for

if TYPE_CHECKING:
    from e2e.story.kit import Kit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PATIENCE = 180


def workload(mode: str = "Auto", minimum: int = 1, *, fallback: bool = False, name: str = "chat") -> str:
    """A WorkloadSLO on the Deployment `chat`."""
    text = f"""
apiVersion: flyball.dev/v1alpha1
kind: WorkloadSLO
metadata: {{name: {name}}}
spec:
  workloadType: Assistant
  mode: {mode}
  targets:
    - targetRef: {{name: chat}}
      minReplicas: {minimum}
      maxReplicas: 4
      pricePerGpuHour: "2"
      enginePreset: Llama8BOnA100
"""
    if fallback:
        text += """
  fallback:
    routes: [{httpRoute: chat, primary: chat, fallback: hosted}]
    triggerFor: 5s
    minHold: 10s
    returnHold: 10s
"""
    return text


def deploy(kit: Kit, namespace: str) -> None:
    """The small workload, rolled out."""
    kit.kubectl("-n", namespace, "apply", "-f", str(tools.MANIFESTS / "small.yaml"))
    kit.kubectl("-n", namespace, "rollout", "status", "deploy/chat", "deploy/hosted", "--timeout=180s")


def declare(kit: Kit, namespace: str, text: str) -> None:
    """Apply a WorkloadSLO."""
    kit.kubectl("-n", namespace, "apply", "-f", "-", text=text)


def reasons(kit: Kit, namespace: str) -> list[str]:
    """Reasons of the Events so far."""
    return [str(event["reason"]) for event in events(kit, namespace)]


def primary_that_never_serves(kit: Kit, namespace: str) -> None:
    """Replace the primary's pods by ones that take an hour to load, so that traffic must fall back."""
    loading = ["modelserver", "--preset", "a100_8b", "--startup-seconds", "3600"]
    template = {"spec": {"containers": [{"name": "vllm", "args": loading}]}}
    patch = json.dumps({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}, "template": template}})
    kit.kubectl("-n", namespace, "patch", "deploy", "chat", "--type=strategic", "-p", patch)


def test_recommend_shows_and_never_acts_and_auto_acts(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Recommend", 3))

    def recommended(s: Any) -> bool:
        return bool(s.status.get("targets")) and s.status["targets"][0]["desired"] == 3

    shown = wait_for(flyball, "a recommendation of 3", recommended, PATIENCE, namespace)
    assert shown.condition("ScalingActive") == "False"
    time.sleep(12)
    still = wait_for(flyball, "the same", recommended, PATIENCE, namespace)
    assert still.replicas == 1
    assert "ScaledUp" not in reasons(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 3))
    wait_for(flyball, "3 ready replicas", lambda s: s.ready == 3, PATIENCE, namespace)
    assert "ScaledUp" in reasons(flyball, namespace)


def test_an_hpa_on_the_target_makes_flyball_step_aside_until_it_is_gone(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    flyball.kubectl("-n", namespace, "autoscale", "deploy/chat", "--min=1", "--max=2", "--cpu-percent=80")
    declare(flyball, namespace, workload("Auto", 3))
    aside = wait_for(flyball, "Contended", lambda s: s.condition("Contended") == "True", PATIENCE, namespace)
    assert aside.condition("ScalingActive") == "False"
    assert aside.replicas == 1
    assert "Contended" in reasons(flyball, namespace)
    flyball.kubectl("-n", namespace, "delete", "hpa", "chat")
    wait_for(flyball, "3 replicas", lambda s: s.replicas == 3, PATIENCE, namespace)


def test_of_two_workloadslos_for_one_target_the_older_governs(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 2))
    wait_for(flyball, "2 replicas", lambda s: s.replicas == 2, PATIENCE, namespace)
    time.sleep(1.1)  # creation times have a resolution of one second
    declare(flyball, namespace, workload("Auto", 4, name="younger"))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = flyball.get("-n", namespace, "wslo", "younger").get("status", {})
        if any(c["type"] == "Contended" and c["status"] == "True" for c in status.get("conditions", ())):
            break
        time.sleep(1)
    else:
        pytest.fail(f"the younger one never said Contended: {status}")
    assert "WorkloadSLO/chat" in str(status["conditions"])
    assert wait_for(flyball, "still 2", lambda s: True, PATIENCE, namespace).replicas == 2


def test_a_missing_target_is_said_and_found_again(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 2))
    wait_for(flyball, "2 replicas", lambda s: s.replicas == 2, PATIENCE, namespace)
    flyball.kubectl("-n", namespace, "delete", "deploy", "chat")
    deadline = time.monotonic() + PATIENCE
    while "TargetMissing" not in reasons(flyball, namespace):
        assert time.monotonic() < deadline, "TargetMissing was never told"
        time.sleep(1)
    flyball.kubectl("-n", namespace, "apply", "-f", str(tools.MANIFESTS / "small.yaml"))
    wait_for(
        flyball, "2 replicas again", lambda s: s.replicas == 2 and s.condition("Ready") == "True", PATIENCE, namespace
    )


def test_without_prometheus_nothing_is_removed_and_it_recovers_by_itself(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    flyball.kubectl("-n", namespace, "scale", "deploy/chat", "--replicas=2")
    flyball.kubectl("-n", namespace, "rollout", "status", "deploy/chat", "--timeout=180s")
    prometheus = process(flyball, "prometheus")
    os.kill(prometheus, signal.SIGSTOP)
    try:
        declare(flyball, namespace, workload("Auto", 1))
        blind = wait_for(
            flyball, "TelemetryHealthy=False", lambda s: s.condition("TelemetryHealthy") == "False", PATIENCE, namespace
        )
        assert blind.replicas == 2
        assert "TelemetryStale" in reasons(flyball, namespace)
    finally:
        os.kill(prometheus, signal.SIGCONT)
    wait_for(flyball, "telemetry again", lambda s: s.condition("TelemetryHealthy") == "True", PATIENCE, namespace)
    assert "TelemetryRecovered" in reasons(flyball, namespace)


def test_an_api_server_that_restarts_is_outlived(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 1))
    wait_for(flyball, "Ready", lambda s: s.condition("Ready") == "True", PATIENCE, namespace)
    before = restarts(flyball)
    subprocess.run([sys.executable, str(tools.DRIVER), "restart", "kube-apiserver"], check=True)
    declare(flyball, namespace, workload("Auto", 3))
    wait_for(flyball, "3 replicas", lambda s: s.replicas == 3, PATIENCE, namespace)
    assert restarts(flyball) == before


def test_an_operator_killed_while_it_scales_goes_on_where_it_was(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 1, fallback=True))
    wait_for(flyball, "Ready", lambda s: s.condition("Ready") == "True", PATIENCE, namespace)
    declare(flyball, namespace, workload("Auto", 3, fallback=True))
    flyball.kubectl(
        "-n", "flyball-system", "delete", "pod", "-l", "app.kubernetes.io/name=flyball", "--force", "--grace-period=0"
    )
    wait_for(flyball, "3 ready replicas", lambda s: s.ready == 3, PATIENCE, namespace)
    scaled = [event for event in events(flyball, namespace) if event["reason"] == "ScaledUp"]
    assert len(scaled) <= 1
    assert all((event.get("series") or {}).get("count", 1) == 1 for event in scaled)


def test_a_dead_primary_falls_back_and_pausing_gives_the_route_back(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 1, fallback=True))
    primary_that_never_serves(flyball, namespace)
    moved = wait_for(flyball, "weights 0:100", lambda s: s.weights == (0, 100), PATIENCE, namespace)
    assert moved.condition("FallbackActive") == "True" or wait_for(
        flyball, "FallbackActive", lambda s: s.condition("FallbackActive") == "True", PATIENCE, namespace
    )
    declare(flyball, namespace, workload("Paused", 1, fallback=True))
    wait_for(flyball, "the user's own weights", lambda s: s.weights == (7, 0), PATIENCE, namespace)
    annotations = flyball.get("-n", namespace, "httproute", "chat")["metadata"].get("annotations", {})
    assert not [key for key in annotations if key.startswith("flyball.dev/")]
    finalizers = flyball.get("-n", namespace, "wslo", "chat")["metadata"].get("finalizers", [])
    assert finalizers == []


def test_weights_that_somebody_else_changes_are_theirs_until_they_agree_again(flyball: Kit, namespace: str) -> None:
    def set_weights(*weights: int) -> None:
        patch = [
            {"op": "replace", "path": f"/spec/rules/0/backendRefs/{place}/weight", "value": weight}
            for place, weight in enumerate(weights)
        ]
        flyball.kubectl("-n", namespace, "patch", "httproute", "chat", "--type=json", "-p", json.dumps(patch))

    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 1, fallback=True))
    primary_that_never_serves(flyball, namespace)
    wait_for(flyball, "weights 0:100", lambda s: s.weights == (0, 100), PATIENCE, namespace)
    set_weights(30, 70)
    wait_for(flyball, "RouteConflict", lambda s: s.condition("RouteConflict") == "True", PATIENCE, namespace)
    assert "RouteConflict" in reasons(flyball, namespace)
    time.sleep(12)
    assert wait_for(flyball, "their weights", lambda s: True, PATIENCE, namespace).weights == (30, 70)
    set_weights(0, 100)
    wait_for(flyball, "no conflict", lambda s: s.condition("RouteConflict") != "True", PATIENCE, namespace)
    declare(flyball, namespace, workload("Paused", 1, fallback=True))
    wait_for(flyball, "the user's own weights", lambda s: s.weights == (7, 0), PATIENCE, namespace)


def test_deleting_a_workloadslo_gives_its_route_and_annotations_back(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 1, fallback=True))
    primary_that_never_serves(flyball, namespace)
    wait_for(flyball, "weights 0:100", lambda s: s.weights == (0, 100), PATIENCE, namespace)
    flyball.kubectl("-n", namespace, "delete", "wslo", "chat", "--timeout=180s")
    weights = [
        b.get("weight") for b in flyball.get("-n", namespace, "httproute", "chat")["spec"]["rules"][0]["backendRefs"]
    ]
    assert weights == [7, 0]
    left = flyball.get("-n", namespace, "deploy", "chat")["metadata"].get("annotations", {})
    assert not [key for key in left if key.startswith("flyball.dev/")]


def test_a_namespace_goes_while_its_traffic_is_on_the_fallback(flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 1, fallback=True))
    primary_that_never_serves(flyball, namespace)
    wait_for(flyball, "weights 0:100", lambda s: s.weights == (0, 100), PATIENCE, namespace)
    flyball.kubectl("delete", "namespace", namespace, "--timeout=180s")
    flyball.kubectl("create", "namespace", namespace)


def test_helm_test_passes(flyball: Kit) -> None:
    assert "Succeeded" in flyball.helm("test", "flyball", "-n", "flyball-system", "--timeout", "2m")


@pytest.mark.parametrize("operator_alive", [True, False], ids=["the operator is there", "the operator is gone already"])
def test_helm_uninstall_gives_everything_back(flyball: Kit, namespace: str, operator_alive: bool) -> None:
    flyball.install()
    deploy(flyball, namespace)
    declare(flyball, namespace, workload("Auto", 1, fallback=True))
    primary_that_never_serves(flyball, namespace)
    wait_for(flyball, "weights 0:100", lambda s: s.weights == (0, 100), PATIENCE, namespace)
    if not operator_alive:
        flyball.kubectl("-n", "flyball-system", "delete", "deploy", "flyball", "--wait")
    flyball.helm("uninstall", "flyball", "-n", "flyball-system", "--wait", "--timeout", "4m")
    route = flyball.get("-n", namespace, "httproute", "chat")
    assert [b.get("weight") for b in route["spec"]["rules"][0]["backendRefs"]] == [7, 0]
    left = flyball.get("-n", namespace, "wslo", "chat")
    assert left["metadata"].get("finalizers", []) == []
    assert "workloadslos" in flyball.kubectl("get", "crd", "workloadslos.flyball.dev", "-o", "name")
    flyball.install()


def process(kit: Kit, component: str) -> int:
    """The process id of one of the embedded cluster's components."""
    done = subprocess.run(
        [sys.executable, str(tools.DRIVER), "status", "-o", "json"], capture_output=True, text=True, check=True
    )
    return int(json.loads(done.stdout)["components"][component]["pid"])


def restarts(kit: Kit) -> int:
    """How often the operator's container was restarted."""
    pods = kit.get("-n", "flyball-system", "pods", "-l", "app.kubernetes.io/name=flyball")["items"]
    return sum(status["restartCount"] for pod in pods for status in pod["status"].get("containerStatuses", ()))
