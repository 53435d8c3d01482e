"""LeaderWorkerSets: one replica is a group of pods, a leader and its workers, that serve one engine together.

Pure: pods as dictionaries in, one pod per replica out, so that all that counts pods counts replicas. Labels are those
of sigs.k8s.io/lws (api/leaderworkerset/v1).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from flyball.cluster.pods import PodPhase, condition_of, gpus_per_replica, phase_of
from flyball.cluster.resources import Object, dig
from flyball.core.spec import TargetRef

GROUP_KIND = "LeaderWorkerSet"
SET_LABEL, GROUP_LABEL, WORKER_LABEL = (
    f"leaderworkerset.sigs.k8s.io/{part}" for part in ("name", "group-index", "worker-index")
)
_LEADER = "0"
# What a group waits for first: a member that is gone, then one without a node, then one that starts.
_SLOWEST_FIRST = (PodPhase.GONE, PodPhase.UNSCHEDULABLE, PodPhase.STARTING, PodPhase.READY)


def is_group(target: TargetRef) -> bool:
    """Whether a target's replicas are groups of pods."""
    return target.kind == GROUP_KIND


def selector_of(target: TargetRef) -> Object:
    """The LabelSelector of all pods of a set. Its scale subresource names the leaders only."""
    return {"matchLabels": {SET_LABEL: target.name}}


def gpus_per_group(found: Object) -> int | None:
    """GPUs of one replica: those of the leader and of size - 1 workers; None where no container names a GPU."""
    template = dig(found, "spec", "leaderWorkerTemplate") or {}
    worker = gpus_per_replica(dig(template, "workerTemplate", "spec") or {})
    leader_spec = dig(template, "leaderTemplate", "spec")
    leader = gpus_per_replica(leader_spec) if leader_spec else worker
    if leader is None and worker is None:
        return None
    return (leader or 0) + (_size(found) - 1) * (worker or 0)


def pod_spec_of(found: Object) -> Object:
    """The pod template of the workers, which run on the accelerator that the set is about."""
    spec: Object = dig(found, "spec", "leaderWorkerTemplate", "workerTemplate", "spec") or {}
    return spec


def as_replicas(found: Object, pods: Iterable[Object]) -> list[Object]:
    """One pod for each group that has a leader: the leader, in the state of the group's slowest member.

    A group lacks a member until all of them exist: then it is starting. GPUs count as held from when the last member is
    bound, and a group as ready from when its last member is.
    """
    groups: Mapping[str, list[Object]] = defaultdict(list)
    for pod in pods:
        groups[_label(pod, GROUP_LABEL)].append(pod)
    return [replica for members in groups.values() for replica in _folded(members, _size(found))]


def _folded(members: list[Object], size: int) -> list[Object]:
    leader = next((pod for pod in members if _label(pod, WORKER_LABEL) == _LEADER), None)
    if leader is None:
        return []
    slowest = min(members, key=lambda pod: _SLOWEST_FIRST.index(phase_of(pod)))
    whole = len(members) >= size
    conditions = [folded for kind in ("PodScheduled", "Ready") if (folded := _last(members, kind, whole=whole))]
    metadata = {**leader["metadata"], "deletionTimestamp": dig(slowest, "metadata", "deletionTimestamp")}
    status = {
        "phase": dig(slowest, "status", "phase"),
        "conditions": conditions,
        "containerStatuses": [status for pod in members for status in dig(pod, "status", "containerStatuses") or ()],
    }
    return [{**leader, "metadata": metadata, "status": status}]


def _last(members: list[Object], kind: str, *, whole: bool) -> Object:
    """The condition that holds a group back: one that is not true, else the one that became true last."""
    found = [condition_of(pod, kind) for pod in members]
    lacking = next((condition for condition in found if condition.get("status") != "True"), None)
    if lacking is not None:
        return lacking
    last = max(found, key=lambda condition: str(condition.get("lastTransitionTime", "")))
    return last if whole or kind == "PodScheduled" else {**last, "status": "False"}


def _size(found: Object) -> int:
    size = dig(found, "spec", "leaderWorkerTemplate", "size")
    return 1 if size is None else int(size)


def _label(pod: Object, name: str) -> str:
    return str((dig(pod, "metadata", "labels") or {}).get(name, ""))
