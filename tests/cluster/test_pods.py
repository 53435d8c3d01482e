"""Pods classified, counted and selected."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.objects import READY, SCHEDULED, UNSCHEDULABLE, condition, pod

from flyball.cluster.pods import (
    PodCounts,
    PodPhase,
    StartupTimes,
    accelerator,
    count,
    covering_selector,
    gpus_per_replica,
    matches,
    phase_of,
    selected,
    spans,
)

CREATED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW = (CREATED + timedelta(minutes=30)).timestamp()


def with_metadata(found: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return found | {"metadata": found["metadata"] | metadata}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(pod("p", SCHEDULED, READY), PodPhase.READY, id="ready"),
        pytest.param(pod("p", SCHEDULED, condition("Ready", False)), PodPhase.STARTING, id="scheduled, not ready"),
        pytest.param(pod("p"), PodPhase.STARTING, id="the scheduler has not looked yet"),
        pytest.param(pod("p", UNSCHEDULABLE), PodPhase.UNSCHEDULABLE, id="no node fits"),
        pytest.param(
            pod("p", condition("PodScheduled", False, "SchedulingGated")), PodPhase.UNSCHEDULABLE, id="waits for quota"
        ),
        pytest.param(
            pod("p", condition("PodScheduled", False, "SchedulerError")), PodPhase.STARTING, id="the scheduler failed"
        ),
        pytest.param(
            with_metadata(pod("p", READY), deletionTimestamp="2026-11-23T12:00:00Z"), PodPhase.GONE, id="being deleted"
        ),
        pytest.param(pod("p", READY) | {"status": {"phase": "Failed"}}, PodPhase.GONE, id="evicted"),
    ],
)
def test_phase(found: dict[str, Any], expected: PodPhase) -> None:
    assert phase_of(found) is expected


def test_counts_each_pod_once() -> None:
    pods = [pod("a", READY), pod("b", READY), pod("c", SCHEDULED), pod("d", UNSCHEDULABLE)]
    assert count(pods) == PodCounts(ready=2, starting=1, unschedulable=1)


def at(found: dict[str, Any], minutes: int) -> dict[str, Any]:
    """A condition that came about so many minutes after the pod was created."""
    moment = CREATED + timedelta(minutes=minutes)
    return found | {"lastTransitionTime": moment.isoformat().replace("+00:00", "Z")}


BOUND, CAME_READY = at(SCHEDULED, 1), at(READY, 3)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(pod("p", BOUND, CAME_READY), [(1, 3)], id="ready"),
        pytest.param(pod("p", BOUND, at(condition("Ready", False), 2)), [(1, None)], id="bound, not ready"),
        pytest.param(pod("p", at(UNSCHEDULABLE, 1)), [], id="without a node it holds nothing"),
        pytest.param(
            with_metadata(pod("p", BOUND, CAME_READY), deletionTimestamp="2026-11-23T12:09:00Z"),
            [(1, 3)],
            id="being deleted it still holds them",
        ),
        pytest.param({**(ended := pod("p", BOUND)), "status": ended["status"] | {"phase": "Failed"}}, [], id="evicted"),
    ],
)
def test_a_pod_holds_its_gpus_from_its_node_to_its_end(
    found: dict[str, Any], expected: list[tuple[int, int | None]]
) -> None:
    created = CREATED.timestamp()
    minutes = [
        ((span.held_from - created) / 60, span.ready_from and (span.ready_from - created) / 60)
        for span in spans([found])
    ]
    assert minutes == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param({"matchLabels": {"app": "chat"}}, True, id="equal"),
        pytest.param({"matchLabels": {"app": "chat", "tier": "x"}}, False, id="one label is missing"),
        pytest.param({"matchExpressions": [{"key": "app", "operator": "In", "values": ["chat"]}]}, True, id="in"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["chat"]}]}, False, id="not in"
        ),
        pytest.param({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True, id="exists"),
        pytest.param({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False, id="does not exist"),
        pytest.param({}, False, id="an empty selector selects nothing"),
    ],
)
def test_label_selectors(selector: dict[str, Any], expected: bool) -> None:
    assert matches(selector, {"app": "chat"}) is expected


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        pytest.param([{"app": "a"}, {"app": "b"}], "app in (a,b)", id="a label that all fix"),
        pytest.param(
            [{"app": "a", "team": "x"}, {"app": "b", "team": "x"}], "app in (a,b)", id="the label that tells most apart"
        ),
        pytest.param([{"app": "a"}, {"name": "b"}], "", id="none in common"),
        pytest.param([{"app": str(number)} for number in range(65)], "", id="too many for a URL"),
        pytest.param([], "", id="nothing to select"),
    ],
)
def test_covering_selector(selectors: list[dict[str, str]], expected: str) -> None:
    assert covering_selector([{"matchLabels": labels} for labels in selectors]) == expected


@pytest.mark.parametrize("second", [{"app": "b"}, {"name": "b"}], ids=["by an index", "without a label in common"])
def test_selects_the_pods_of_each_target(second: dict[str, str]) -> None:
    pods = [
        with_metadata(pod(name), labels=labels) for name, labels in (("a1", {"app": "a"}), ("b1", second), ("c", {}))
    ]
    found = selected({"a": {"matchLabels": {"app": "a"}}, "b": {"matchLabels": second}}, pods)
    assert {key: [each["metadata"]["name"] for each in part] for key, part in found.items()} == {
        "a": ["a1"],
        "b": ["b1"],
    }


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param([{"nvidia.com/gpu": "2"}, {"nvidia.com/gpu": "1"}], 3, id="containers add up"),
        pytest.param([{"nvidia.com/gpu": "1"}, {"cpu": "2"}], 1, id="a sidecar has none"),
        pytest.param([{"cpu": "2"}], None, id="nothing names a GPU"),
    ],
)
def test_gpus_per_replica(limits: list[dict[str, str]], expected: int | None) -> None:
    assert gpus_per_replica({"containers": [{"resources": {"limits": limit}} for limit in limits]}) == expected


def affinity(*values: str) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": list(values)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}}, "NVIDIA-L4", id="node selector"),
        pytest.param({"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}, "nvidia-l4", id="on GKE"),
        pytest.param(affinity("NVIDIA-L4"), "NVIDIA-L4", id="required affinity"),
        pytest.param(affinity("NVIDIA-L4", "NVIDIA-A10"), None, id="either of two"),
        pytest.param({}, None, id="left open"),
    ],
)
def test_accelerator(spec: dict[str, Any], expected: str | None) -> None:
    assert accelerator(spec) == expected


def ready_pod(uid: str, created: datetime, ready_after: float, restarts: int = 0) -> dict[str, Any]:
    at = (created + timedelta(seconds=ready_after)).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = with_metadata(
        pod(uid, condition("Ready", True, at=at)), uid=uid, creationTimestamp=created.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    found["status"]["containerStatuses"] = [{"restartCount": restarts}]
    return found


def test_startup_times_newest_first() -> None:
    pods = [ready_pod("a", CREATED, 60), ready_pod("b", CREATED + timedelta(minutes=1), 90)]
    assert StartupTimes().of(pods, NOW) == (90.0, 60.0)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(ready_pod("a", CREATED, 60, restarts=1), id="a restarted pod was ready before"),
        pytest.param(ready_pod("a", CREATED - timedelta(days=2), 60), id="two days ago other things were so too"),
        pytest.param(pod("a", SCHEDULED), id="not ready yet"),
    ],
)
def test_what_tells_nothing_about_starting(found: dict[str, Any]) -> None:
    assert StartupTimes().of([found], NOW) == ()


def test_a_later_failure_of_the_probe_does_not_lengthen_the_start() -> None:
    startups = StartupTimes()
    startups.of([ready_pod("a", CREATED, 60)], NOW)
    assert startups.of([ready_pod("a", CREATED, 1500)], NOW) == (60.0,)


def test_forgets_pods_that_are_gone() -> None:
    startups = StartupTimes()
    startups.of([ready_pod("a", CREATED, 60)], NOW)
    startups.forget_all_but([])
    assert startups.of([ready_pod("a", CREATED, 90)], NOW) == (90.0,)
