"""What an owner trusts Flyball with: it acts only when told to, steps aside for others, survives what clusters do, and
gives everything back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from e2e.faults.cases import frozen, named
from e2e.faults.stage import Stage
from e2e.story import workloads
from e2e.story.watch import events, until, wait_for

if TYPE_CHECKING:
    from e2e.story.kit import Kit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TWO_TICKS = 12.0


def declare(kit: Kit, namespace: str, mode: str, minimum: int = 1, *, fallback: bool = False, **more: Any) -> None:
    """Apply a WorkloadSLO on the Deployment `chat`."""
    target = {"minReplicas": minimum, "maxReplicas": 4, **workloads.PRESET}
    if fallback:
        more["fallback"] = workloads.FALLBACK
    kit.apply(workloads.workload_slo(mode, target=target, **more), namespace)


def reasons(kit: Kit, namespace: str) -> list[str]:
    """Reasons of the Events so far."""
    return [str(event["reason"]) for event in events(kit, namespace)]


def weights(kit: Kit, namespace: str) -> list[int]:
    """What the route gives its two backends."""
    rules = kit.get("-n", namespace, "httproute", "chat")["spec"]["rules"]
    return [backend.get("weight") for backend in rules[0]["backendRefs"]]


def fall_back(kit: Kit, namespace: str) -> None:
    """Have all traffic of the small workload on the fallback, since its primary takes an hour to load."""
    workloads.replace_primary(kit, namespace, 3600)
    declare(kit, namespace, "Auto", fallback=True)
    wait_for(kit, namespace, "weights 0:100", lambda s: s.weights == (0, 100))


def test_recommend_shows_and_never_acts_and_auto_acts(flyball: Kit, small: str) -> None:
    declare(flyball, small, "Recommend", 3)

    def recommended(s: Any) -> bool:
        return bool(s.status.get("targets")) and s.status["targets"][0]["desired"] == 3

    shown = wait_for(flyball, small, "a recommendation of 3", recommended)
    assert shown.condition("ScalingActive") == "False"
    time.sleep(TWO_TICKS)
    still = wait_for(flyball, small, "the same", recommended)
    assert still.replicas == 1
    assert "ScaledUp" not in reasons(flyball, small)
    declare(flyball, small, "Auto", 3)
    wait_for(flyball, small, "3 ready replicas", lambda s: s.ready == 3)
    assert "ScaledUp" in reasons(flyball, small)


def test_an_hpa_on_the_target_makes_flyball_step_aside_until_it_is_gone(flyball: Kit, small: str) -> None:
    flyball.kubectl("-n", small, "autoscale", "deploy/chat", "--min=1", "--max=2", "--cpu-percent=80")
    declare(flyball, small, "Auto", 3)
    aside = wait_for(flyball, small, "Contended", lambda s: s.condition("Contended") == "True")
    assert aside.condition("ScalingActive") == "False"
    assert aside.replicas == 1
    assert "Contended" in reasons(flyball, small)
    flyball.kubectl("-n", small, "delete", "hpa", "chat")
    wait_for(flyball, small, "3 replicas", lambda s: s.replicas == 3)


def test_of_two_workloadslos_for_one_target_the_older_governs(flyball: Kit, small: str) -> None:
    declare(flyball, small, "Auto", 2)
    wait_for(flyball, small, "2 replicas", lambda s: s.replicas == 2)
    time.sleep(1.1)  # creation times have a resolution of one second
    declare(flyball, small, "Auto", 4, name="younger")

    def contended() -> list[str]:
        status = flyball.get("-n", small, "wslo", "younger").get("status", {})
        return [c["message"] for c in status.get("conditions", ()) if (c["type"], c["status"]) == ("Contended", "True")]

    until("Contended at the younger one", contended)
    assert "WorkloadSLO/chat" in contended()[0]
    assert wait_for(flyball, small, "still 2", lambda s: True).replicas == 2


def test_a_missing_target_is_said_and_found_again(flyball: Kit, small: str) -> None:
    declare(flyball, small, "Auto", 2)
    wait_for(flyball, small, "2 replicas", lambda s: s.replicas == 2)
    flyball.kubectl("-n", small, "delete", "deploy", "chat")
    until("TargetMissing", lambda: "TargetMissing" in reasons(flyball, small))
    workloads.deploy(flyball, small)
    wait_for(flyball, small, "2 replicas again", lambda s: s.replicas == 2 and s.condition("Ready") == "True")


def test_without_prometheus_nothing_is_removed_and_it_recovers_by_itself(flyball: Kit, small: str) -> None:
    flyball.kubectl("-n", small, "scale", "deploy/chat", "--replicas=2")
    flyball.kubectl("-n", small, "rollout", "status", "deploy/chat", "--timeout=180s")
    with frozen(Stage(flyball).processes("prometheus")):
        declare(flyball, small, "Auto")
        blind = wait_for(flyball, small, "TelemetryHealthy=False", lambda s: s.condition("TelemetryHealthy") == "False")
        assert blind.replicas == 2
        assert "TelemetryStale" in reasons(flyball, small)
    wait_for(flyball, small, "telemetry again", lambda s: s.condition("TelemetryHealthy") == "True")
    assert "TelemetryRecovered" in reasons(flyball, small)


def test_an_api_server_that_restarts_is_outlived(flyball: Kit, small: str) -> None:
    declare(flyball, small, "Auto")
    wait_for(flyball, small, "Ready", lambda s: s.condition("Ready") == "True")
    stage = Stage(flyball)
    before = stage.restarts()
    named("API server restarted").play(stage, 0.0)
    declare(flyball, small, "Auto", 3)
    wait_for(flyball, small, "3 replicas", lambda s: s.replicas == 3)
    assert stage.restarts() == before


def test_an_operator_killed_while_it_scales_goes_on_where_it_was(flyball: Kit, small: str) -> None:
    declare(flyball, small, "Auto", fallback=True)
    wait_for(flyball, small, "Ready", lambda s: s.condition("Ready") == "True")
    declare(flyball, small, "Auto", 3, fallback=True)
    flyball.kubectl(
        "-n", "flyball-system", "delete", "pod", "-l", "app.kubernetes.io/name=flyball", "--force", "--grace-period=0"
    )
    wait_for(flyball, small, "3 ready replicas", lambda s: s.ready == 3)
    scaled = [event for event in events(flyball, small) if event["reason"] == "ScaledUp"]
    assert len(scaled) <= 1
    assert all((event.get("series") or {}).get("count", 1) == 1 for event in scaled)


def test_a_dead_primary_falls_back_and_pausing_gives_the_route_back(flyball: Kit, small: str) -> None:
    declare(flyball, small, "Auto", fallback=True)
    wait_for(flyball, small, "Ready", lambda s: s.condition("Ready") == "True")
    workloads.replace_primary(flyball, small, 3600)
    wait_for(flyball, small, "weights 0:100", lambda s: s.weights == (0, 100))
    wait_for(flyball, small, "FallbackActive", lambda s: s.condition("FallbackActive") == "True")
    declare(flyball, small, "Paused", fallback=True)
    wait_for(flyball, small, "the user's own weights", lambda s: s.weights == (7, 0))
    annotations = flyball.get("-n", small, "httproute", "chat")["metadata"].get("annotations", {})
    assert not [key for key in annotations if key.startswith("flyball.dev/")]
    finalizers = flyball.get("-n", small, "wslo", "chat")["metadata"].get("finalizers", [])
    assert finalizers == []


def test_weights_that_somebody_else_changes_are_theirs_until_they_agree_again(flyball: Kit, small: str) -> None:
    def set_weights(*wanted: int) -> None:
        patch = [
            {"op": "replace", "path": f"/spec/rules/0/backendRefs/{place}/weight", "value": weight}
            for place, weight in enumerate(wanted)
        ]
        flyball.kubectl("-n", small, "patch", "httproute", "chat", "--type=json", "-p", json.dumps(patch))

    fall_back(flyball, small)
    set_weights(30, 70)
    wait_for(flyball, small, "RouteConflict", lambda s: s.condition("RouteConflict") == "True")
    assert "RouteConflict" in reasons(flyball, small)
    time.sleep(TWO_TICKS)
    assert wait_for(flyball, small, "their weights", lambda s: True).weights == (30, 70)
    set_weights(0, 100)
    wait_for(flyball, small, "no conflict", lambda s: s.condition("RouteConflict") != "True")
    declare(flyball, small, "Paused", fallback=True)
    wait_for(flyball, small, "the user's own weights", lambda s: s.weights == (7, 0))


def test_deleting_a_workloadslo_gives_its_route_and_annotations_back(flyball: Kit, small: str) -> None:
    fall_back(flyball, small)
    flyball.kubectl("-n", small, "delete", "wslo", "chat", "--timeout=180s")
    assert weights(flyball, small) == [7, 0]
    left = flyball.get("-n", small, "deploy", "chat")["metadata"].get("annotations", {})
    assert not [key for key in left if key.startswith("flyball.dev/")]


def test_a_namespace_goes_while_its_traffic_is_on_the_fallback(flyball: Kit, small: str) -> None:
    fall_back(flyball, small)
    flyball.kubectl("delete", "namespace", small, "--timeout=180s")


def test_helm_test_passes(flyball: Kit) -> None:
    assert "Succeeded" in flyball.helm("test", "flyball", "-n", "flyball-system", "--timeout", "2m")


@pytest.mark.parametrize("operator_alive", [True, False], ids=["the operator is there", "the operator is gone already"])
def test_helm_uninstall_gives_everything_back(flyball: Kit, small: str, operator_alive: bool) -> None:
    flyball.install()
    fall_back(flyball, small)
    if not operator_alive:
        flyball.kubectl("-n", "flyball-system", "delete", "deploy", "flyball", "--wait")
    flyball.helm("uninstall", "flyball", "-n", "flyball-system", "--wait", "--timeout", "4m")
    assert weights(flyball, small) == [7, 0]
    left = flyball.get("-n", small, "wslo", "chat")
    assert left["metadata"].get("finalizers", []) == []
    assert "workloadslos" in flyball.kubectl("get", "crd", "workloadslos.flyball.dev", "-o", "name")
