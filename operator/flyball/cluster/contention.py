"""Who else owns a target's replica count: an autoscaler that points at it, or somebody who scaled it after we did.

**An autoscaler** is a HorizontalPodAutoscaler or a KEDA ScaledObject whose scaleTargetRef is the target. KEDA works
through an HPA of its own, which is reported as the ScaledObject that it belongs to. A paused ScaledObject is none.

**A person** (or a script) is a contender for `HOLD_SECONDS` (ten minutes) after they took the replica count from this
process, which had scaled the target before them. Then Flyball takes it back. There are two signs of it:

- `metadata.managedFields` has an entry of another manager, for the subresource `scale`, that owns `spec.replicas` and
  is younger than our last write. The API server gives a changed field to its writer alone, so they wrote it last.
- The target has no replicas, though our last write, which this reading is not older than, asked for some. (A count of
  0 leaves no entry in managedFields; the ten minutes run from when it was first seen.)

So `kubectl scale` on a fresh Deployment, or while Flyball only recommends, is no contention. Replicas that come with
the object itself (`kubectl apply`, Helm, Argo CD) are normal: entries without a subresource never count, or every roll-out
would switch scaling off for ten minutes. A process started after the other's write cannot know, and takes over. Pure:
times are seconds since the epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from flyball.cluster.pods import timestamp
from flyball.cluster.resources import FIELD_MANAGER, Object, dig, group_of
from flyball.core.spec import TargetRef

HOLD_SECONDS = 600.0
_KEDA_LABEL = "scaledobject.keda.sh/name"
_KEDA_PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")


def autoscaler_of(target: TargetRef, autoscalers: Iterable[Object], scaled_objects: Iterable[Object]) -> str | None:
    """The autoscaler of the target's namespace that points at it, such as `HorizontalPodAutoscaler/chat`."""
    for autoscaler in autoscalers:
        if _points_at(dig(autoscaler, "spec", "scaleTargetRef"), target):
            keda = dig(autoscaler, "metadata", "labels", _KEDA_LABEL)
            return f"ScaledObject/{keda}" if keda else f"HorizontalPodAutoscaler/{autoscaler['metadata']['name']}"
    for scaled in scaled_objects:
        if _points_at(dig(scaled, "spec", "scaleTargetRef"), target) and not _is_paused(scaled):
            return f"ScaledObject/{scaled['metadata']['name']}"
    return None


@dataclass(frozen=True, slots=True)
class Write:
    """Our last write of a target's replicas, and the resourceVersion that it made."""

    at: float
    replicas: int
    resource_version: str


def scaler_by_hand(found: Object, write: Write | None, now: float, zero_since: float | None = None) -> str | None:
    """Who took the replica count from us within the last ten minutes.

    `zero_since` is since when `zeroed_by_others` has been true, None while it is not.
    """
    if write is None:
        return None
    if zero_since is not None and now - zero_since < HOLD_SECONDS:
        return "somebody, who scaled it to zero"
    for entry in dig(found, "metadata", "managedFields") or ():
        at = timestamp(entry.get("time"))
        if at is None or entry.get("manager") == FIELD_MANAGER or not _owns_replicas(entry):
            continue
        # Their time has whole seconds, ours has not: one second of grace, in favour of stepping aside.
        if now - at < HOLD_SECONDS and write.at <= at + 1:
            return f"{entry.get('manager')}, which scaled it at {entry.get('time')}"
    return None


def zeroed_by_others(found: Object, replicas: int, write: Write | None) -> bool:
    """Whether a target has no replicas although we last asked for some; a reading from before that says nothing."""
    if write is None or replicas != 0 or write.replicas == 0:
        return False
    return int(found["metadata"]["resourceVersion"]) >= int(write.resource_version)


def _owns_replicas(entry: Object) -> bool:
    return entry.get("subresource") == "scale" and dig(entry, "fieldsV1", "f:spec", "f:replicas") is not None


def _points_at(reference: Object | None, target: TargetRef) -> bool:
    if not reference or reference.get("name") != target.name or reference.get("kind", "Deployment") != target.kind:
        return False
    return group_of(reference.get("apiVersion") or "apps/v1") == group_of(target.api_version)


def _is_paused(scaled: Object) -> bool:
    annotations = dig(scaled, "metadata", "annotations") or {}
    return any(annotations.get(name, "false") != "false" for name in _KEDA_PAUSED)
