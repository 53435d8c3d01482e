"""A LeaderWorkerSet's pods as replicas: groups that serve together."""

from typing import Any

import pytest
from support.objects import READY, SCHEDULED, UNSCHEDULABLE, condition, pod

from flyball.cluster import groups
from flyball.cluster.pods import PodCounts, StartupTimes, count, spans, timestamp
from flyball.core.spec import TargetRef

NOT_READY = condition("Ready", False)
LATER = "2026-11-23T12:07:00Z"


def lws(size: int, worker_gpus: int = 8, leader_gpus: int | None = None) -> dict[str, Any]:
    template: dict[str, Any] = {"size": size, "workerTemplate": {"spec": pod("w", gpus=worker_gpus)["spec"]}}
    if leader_gpus is not None:
        template["leaderTemplate"] = {"spec": pod("l", gpus=leader_gpus)["spec"]}
    return {"spec": {"replicas": 2, "leaderWorkerTemplate": template}}


def member(group: int, worker: int, *conditions: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    labels = {groups.SET_LABEL: "llm", groups.GROUP_LABEL: str(group), groups.WORKER_LABEL: str(worker)}
    name = f"llm-{group}" + (f"-{worker}" if worker else "")
    return pod(name, *conditions) | {"metadata": {"name": name, "labels": labels, "uid": name, **metadata}}


SERVING = (SCHEDULED, READY)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param([], PodCounts(), id="no pods"),
        pytest.param([member(0, 0, *SERVING), member(0, 1, *SERVING)], PodCounts(ready=1), id="a whole group"),
        pytest.param([member(0, 0, *SERVING)], PodCounts(starting=1), id="the worker is not created yet"),
        pytest.param([member(0, 1, *SERVING)], PodCounts(), id="a worker whose leader is gone"),
        pytest.param(
            [member(0, 0, *SERVING), member(0, 1, SCHEDULED, NOT_READY)], PodCounts(starting=1), id="a worker starts"
        ),
        pytest.param(
            [member(0, 0, SCHEDULED, NOT_READY), member(0, 1, UNSCHEDULABLE)],
            PodCounts(unschedulable=1),
            id="no node for the worker",
        ),
        pytest.param(
            [member(0, 0, *SERVING), member(0, 1, *SERVING, deletionTimestamp="2026-11-23T12:00:00Z")],
            PodCounts(),
            id="a member is being deleted",
        ),
        pytest.param(
            [member(g, w, *SERVING) for g in (0, 1) for w in (0, 1)], PodCounts(ready=2), id="two groups, told apart"
        ),
    ],
)
def test_a_group_counts_once_and_only_whole(members: list[dict[str, Any]], expected: PodCounts) -> None:
    assert count(groups.as_replicas(lws(2), members)) == expected


def test_a_group_holds_gpus_and_serves_from_when_its_last_member_does() -> None:
    late = (condition("PodScheduled", True, at="2026-11-23T12:03:00Z"), condition("Ready", True, at=LATER))
    members = [member(0, 0, *SERVING), member(0, 1, *late)]
    (span,) = spans(groups.as_replicas(lws(2), members))
    assert (span.held_from, span.ready_from) == (timestamp("2026-11-23T12:03:00Z"), timestamp(LATER))


def test_a_group_starts_for_as_long_as_its_last_member() -> None:
    created = {"creationTimestamp": "2026-11-23T12:00:00Z"}
    members = [
        member(0, 0, *SERVING, **created),
        member(0, 1, SCHEDULED, condition("Ready", True, at=LATER), **created),
    ]
    now = timestamp("2026-11-23T12:30:00Z")
    assert now is not None
    assert StartupTimes().of(groups.as_replicas(lws(2), members), now) == (7 * 60.0,)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(lws(2), 16, id="one template for both"),
        pytest.param(lws(4, 8, leader_gpus=0), 24, id="a leader without GPUs"),
        pytest.param(lws(3, 8, leader_gpus=4), 20, id="a smaller leader"),
        pytest.param(lws(1), 8, id="a leader alone"),
        pytest.param(lws(2, worker_gpus=0), None, id="no container names a GPU"),
        pytest.param({"spec": {}}, None, id="nothing declared"),
    ],
)
def test_a_replica_occupies_the_gpus_of_all_its_members(found: dict[str, Any], expected: int | None) -> None:
    assert groups.gpus_per_group(found) == expected


def test_all_pods_of_the_set_are_asked_for_and_not_the_leaders_alone() -> None:
    target = TargetRef("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "llm")
    assert groups.is_group(target)
    assert groups.selector_of(target) == {"matchLabels": {groups.SET_LABEL: "llm"}}
