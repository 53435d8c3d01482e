"""What a target's pods say: which are ready, starting or without a node, how long they took, and what they run on.

Pure: pods as dictionaries in, counts out. Times are seconds since the epoch.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeVar

from flyball.cluster.resources import Object, dig
from flyball.core.observation import PodSpan

GPU_RESOURCE = "nvidia.com/gpu"
ACCELERATOR_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator")

Key = TypeVar("Key", bound=Hashable)

_RECENT_SECONDS = 86_400.0
_RECENT_PODS = 10
_MAX_SELECTOR_VALUES = 64
_FINISHED = ("Succeeded", "Failed")


class PodPhase(Enum):
    """Where a pod stands on its way to serving; GONE ones are finished or being deleted, and count for nothing."""

    READY = "ready"
    STARTING = "starting"
    UNSCHEDULABLE = "unschedulable"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class PodCounts:
    """How many of a target's pods stand where."""

    ready: int = 0
    starting: int = 0
    unschedulable: int = 0


def timestamp(text: str | None) -> float | None:
    """Seconds since the epoch of a Kubernetes time such as `2026-11-23T12:00:00Z`; None where there is none."""
    return datetime.fromisoformat(text).timestamp() if text else None


def phase_of(pod: Object) -> PodPhase:
    """Where a pod stands. One that waits for admission (a scheduling gate) has no node either."""
    if dig(pod, "metadata", "deletionTimestamp") or dig(pod, "status", "phase") in _FINISHED:
        return PodPhase.GONE
    if condition_of(pod, "Ready").get("status") == "True":
        return PodPhase.READY
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") in ("Unschedulable", "SchedulingGated"):
        return PodPhase.UNSCHEDULABLE
    return PodPhase.STARTING


def count(pods: Iterable[Object]) -> PodCounts:
    """The pods by where they stand."""
    phases = [phase_of(pod) for pod in pods]
    return PodCounts(*(phases.count(phase) for phase in (PodPhase.READY, PodPhase.STARTING, PodPhase.UNSCHEDULABLE)))


def spans(pods: Iterable[Object]) -> tuple[PodSpan, ...]:
    """The pods that hold their GPUs: bound to a node and not finished. One that is being deleted holds them until it is
    gone.
    """
    found = []
    for pod in pods:
        bound, ready = condition_of(pod, "PodScheduled"), condition_of(pod, "Ready")
        held_from = timestamp(bound.get("lastTransitionTime")) if bound.get("status") == "True" else None
        if held_from is None or dig(pod, "status", "phase") in _FINISHED:
            continue
        ready_from = timestamp(ready.get("lastTransitionTime")) if ready.get("status") == "True" else None
        found.append(PodSpan(str(dig(pod, "metadata", "uid")), held_from, ready_from))
    return tuple(found)


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (`matchLabels`, `matchExpressions`) selects these labels. An empty one selects none."""
    equal = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    if not equal and not expressions:
        return False
    return all(labels.get(key) == value for key, value in equal.items()) and all(
        _expression_holds(expression, labels) for expression in expressions
    )


def covering_selector(selectors: Iterable[Object]) -> str:
    """One label selector that selects at least all that these select: a label that each of them fixes, and its values.

    Empty (all pods) where they fix no label in common, or too many values for a URL.
    """
    label, values = _distinguishing_label(selectors)
    return f"{label} in ({','.join(sorted(values))})" if label and len(values) <= _MAX_SELECTOR_VALUES else ""


def selected(selectors: Mapping[Key, Object], pods: Iterable[Object]) -> dict[Key, list[Object]]:
    """The pods of each selector, by its key, without comparing every pod to every selector."""
    label, _ = _distinguishing_label(selectors.values())
    by_value: dict[str | None, list[Object]] = defaultdict(list)
    for pod in pods:
        by_value[_labels(pod).get(label) if label else None].append(pod)
    return {
        key: [
            pod
            for pod in by_value[selector["matchLabels"][label] if label else None]
            if matches(selector, _labels(pod))
        ]
        for key, selector in selectors.items()
    }


def gpus_per_replica(pod_spec: Object) -> int | None:
    """GPUs that the containers of one pod are limited to, together; None where none of them names a GPU."""
    limits = [dig(container, "resources", "limits", GPU_RESOURCE) for container in pod_spec.get("containers") or ()]
    named = [int(limit) for limit in limits if limit is not None]
    return sum(named) if named else None


def accelerator(pod_spec: Object) -> str | None:
    """The one GPU product that a pod's node selector or required affinity asks for; None where it leaves it open."""
    node_selector = pod_spec.get("nodeSelector") or {}
    required = dig(pod_spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or ()
    for label in ACCELERATOR_LABELS:
        if label in node_selector:
            return str(node_selector[label])
        wanted = {
            value
            for term in terms
            for expression in term.get("matchExpressions") or ()
            if expression.get("key") == label and expression.get("operator") == "In"
            for value in expression.get("values") or ()
        }
        if len(wanted) == 1:
            return str(wanted.pop())
    return None


def node_accelerator(node: Object) -> str | None:
    """The GPU product that a node's labels name."""
    labels = dig(node, "metadata", "labels") or {}
    return next((str(labels[label]) for label in ACCELERATOR_LABELS if label in labels), None)


class StartupTimes:
    """How long pods took from creation to ready, each judged when first seen ready.

    A pod's Ready condition moves again with every later failure of its probe, so the first sight of it is kept. Pods
    with restarts, and those created more than a day ago, tell nothing about starting.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def of(self, pods: Iterable[Object], now: float) -> tuple[float, ...]:
        """Seconds that the latest ten of these pods took, newest first."""
        created = {
            dig(pod, "metadata", "uid"): (timestamp(dig(pod, "metadata", "creationTimestamp")) or 0.0, pod)
            for pod in pods
            if phase_of(pod) is PodPhase.READY and not _restarted(pod)
        }
        recent = sorted(
            ((at, uid, pod) for uid, (at, pod) in created.items() if now - at <= _RECENT_SECONDS),
            key=lambda entry: entry[:2],
            reverse=True,
        )[:_RECENT_PODS]
        for at, uid, pod in recent:
            ready_at = timestamp(condition_of(pod, "Ready").get("lastTransitionTime"))
            if uid not in self._seconds and ready_at is not None and ready_at >= at:
                self._seconds[uid] = ready_at - at
        return tuple(self._seconds[uid] for _, uid, _ in recent if uid in self._seconds)

    def forget_all_but(self, uids: Iterable[str]) -> None:
        """Forget the pods that no longer exist."""
        kept = set(uids)
        self._seconds = {uid: seconds for uid, seconds in self._seconds.items() if uid in kept}


def _distinguishing_label(selectors: Iterable[Object]) -> tuple[str, set[str]]:
    """The label that all selectors fix and that tells most of them apart, with its values; empty without one."""
    equalities: list[Mapping[str, str]] = [selector.get("matchLabels") or {} for selector in selectors]
    shared = set.intersection(*(set(equal) for equal in equalities)) if equalities else set()
    values = {label: {equal[label] for equal in equalities} for label in sorted(shared)}
    label = max(values, key=lambda candidate: len(values[candidate]), default="")
    return label, values.get(label, set())


def _labels(pod: Object) -> Mapping[str, str]:
    return dig(pod, "metadata", "labels") or {}


def condition_of(pod: Object, kind: str) -> Object:
    """The condition of that type; empty where the pod has none yet."""
    conditions: list[Object] = dig(pod, "status", "conditions") or []
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def _restarted(pod: Object) -> bool:
    return any(status.get("restartCount") for status in dig(pod, "status", "containerStatuses") or ())


def _expression_holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
