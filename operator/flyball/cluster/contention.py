"""Who else owns a target's replica count: an autoscaler that points at it, or somebody who scaled it after we did.

**An autoscaler** is a HorizontalPodAutoscaler or a KEDA ScaledObject whose scaleTargetRef is the target. KEDA works
through an HPA of its own, which is reported as the ScaledObject that it belongs to. A paused ScaledObject is none.

**A person** (or a script) is a contender while all of this holds:

- `metadata.managedFields` has an entry of another manager, for the subresource `scale`, that owns `spec.replicas`. The
  API server gives a changed field to its writer alone, so such an entry means that they wrote it last.
- That entry is younger than `HOLD_SECONDS` (ten minutes). Then Flyball takes the target back.
- This process scaled the target before them. So `kubectl scale` on a fresh Deployment, or while Flyball only
  recommends, is no contention. (Their write erases our entry: a process started since cannot know, and takes over.)

Replicas that come with the object itself (`kubectl apply`, Helm, Argo CD) are normal: entries without a subresource
never count, or every roll-out would switch scaling off for ten minutes. Pure: times are seconds since the epoch.
"""

from collections.abc import Iterable

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


def scaler_by_hand(found: Object, wrote_at: float | None, now: float, hold_seconds: float = HOLD_SECONDS) -> str | None:
    """Who took the replica count from us lately. `wrote_at` is when this process last scaled the target."""
    if wrote_at is None:
        return None
    for entry in dig(found, "metadata", "managedFields") or ():
        at = timestamp(entry.get("time"))
        if at is None or entry.get("manager") == FIELD_MANAGER or not _owns_replicas(entry):
            continue
        # Their time has whole seconds, ours has not: one second of grace, in favour of stepping aside.
        if now - at < hold_seconds and wrote_at <= at + 1:
            return f"{entry.get('manager')}, which scaled it at {entry.get('time')}"
    return None


def _owns_replicas(entry: Object) -> bool:
    return entry.get("subresource") == "scale" and dig(entry, "fieldsV1", "f:spec", "f:replicas") is not None


def _points_at(reference: Object | None, target: TargetRef) -> bool:
    if not reference or reference.get("name") != target.name or reference.get("kind", "Deployment") != target.kind:
        return False
    return group_of(reference.get("apiVersion") or "apps/v1") == group_of(target.api_version)


def _is_paused(scaled: Object) -> bool:
    annotations = dig(scaled, "metadata", "annotations") or {}
    return any(annotations.get(name, "false") != "false" for name in _KEDA_PAUSED)
