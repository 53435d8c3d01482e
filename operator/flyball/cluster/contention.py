"""Who else owns a target's replica count: an autoscaler that points at it, or somebody who scaled it after we did.

**An autoscaler** is a HorizontalPodAutoscaler or a KEDA ScaledObject whose scaleTargetRef is the target. KEDA works
through an HPA of its own, which is reported as the ScaledObject that it belongs to. A paused ScaledObject is none.

**A person** (or a script) is a contender for `HOLD_SECONDS` (ten minutes) from when they are first seen to have taken
the replica count from this process, which had scaled the target before them. Then Flyball takes it back. The sign is

- an entry of another manager in `metadata.managedFields`, for the subresource `scale`, that owns `spec.replicas`: the
  API server gives a changed field to its writer alone, so they wrote it after us (a scale's entry has no time); or
- no replicas where we asked for some: a count of 0 leaves no entry.

So `kubectl scale` on a fresh Deployment, or while Flyball only recommends, is no contention. Replicas that come with
the object itself (`kubectl apply`, Helm, Argo CD) are normal: entries without a subresource never count, or every
roll-out would switch scaling off for ten minutes. A process started after the other's write cannot know, and takes
over. Nothing here reads a clock: times are seconds since the epoch.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

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

    replicas: int
    resource_version: str


class Takeovers:
    """Remembers since when somebody else has had a target's replica count."""

    def __init__(self) -> None:
        self._since: dict[Hashable, tuple[str, float]] = {}

    def contender(self, place: Hashable, found: Object, replicas: int, write: Write | None, now: float) -> str | None:
        """Who took the count within the last ten minutes. Another change by them begins these anew."""
        who = scaler_by_hand(found, replicas, write)
        if who is None:
            self._since.pop(place, None)
            return None
        if self._since.get(place, ("", 0.0))[0] != who:
            self._since[place] = who, now
        return who if now - self._since[place][1] < HOLD_SECONDS else None


def scaler_by_hand(found: Object, replicas: int, write: Write | None) -> str | None:
    """Who scaled a target after our last write. A reading from before that write says nothing."""
    if write is None or int(found["metadata"]["resourceVersion"]) < int(write.resource_version):
        return None
    if replicas == 0 and write.replicas > 0:
        return "somebody, who scaled it to 0"
    managers = [entry["manager"] for entry in dig(found, "metadata", "managedFields") or () if _owns_replicas(entry)]
    return next((f"{manager}, which scaled it to {replicas}" for manager in managers if manager != FIELD_MANAGER), None)


def _owns_replicas(entry: Object) -> bool:
    return entry.get("subresource") == "scale" and dig(entry, "fieldsV1", "f:spec", "f:replicas") is not None


def _points_at(reference: Object | None, target: TargetRef) -> bool:
    if not reference or reference.get("name") != target.name or reference.get("kind", "Deployment") != target.kind:
        return False
    return group_of(reference.get("apiVersion") or "apps/v1") == group_of(target.api_version)


def _is_paused(scaled: Object) -> bool:
    annotations = dig(scaled, "metadata", "annotations") or {}
    return any(annotations.get(name, "false") != "false" for name in _KEDA_PAUSED)
