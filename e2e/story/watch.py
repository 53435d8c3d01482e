"""Watching a workload as a user would, with kubectl: one snapshot a few seconds, Events as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.story.kit import Kit

PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What kubectl showed of the workload, its Deployment and its route at one moment. `at` is seconds since start."""

    at: float
    replicas: int
    ready: int
    status: dict[str, Any]
    weights: tuple[int, int]
    annotations: dict[str, str]

    def condition(self, kind: str) -> str | None:
        """Status of that condition; None where it is absent."""
        return next((c["status"] for c in self.status.get("conditions", ()) if c["type"] == kind), None)


def settled(snapshot: Snapshot) -> bool:
    """Whether nothing is left of a surge: one replica, objectives, budget and ROI met, and the route as it was."""
    calm = all(snapshot.condition(kind) == "True" for kind in ("SLOMet", "WithinBudget", "ROIMet"))
    return calm and snapshot.replicas == snapshot.ready == 1 and snapshot.weights[1] == 0


def look(kit: Kit, started: float, namespace: str = "demo", name: str = "chat") -> Snapshot:
    """Take a snapshot."""
    found = kit.get("-n", namespace, f"wslo/{name}", f"deploy/{name}", f"httproute/{name}")["items"]
    workload, deployment, route = found
    backends = route["spec"]["rules"][0]["backendRefs"]
    return Snapshot(
        at=time.monotonic() - started,
        replicas=deployment["spec"]["replicas"],
        ready=deployment["status"].get("readyReplicas", 0),
        status=workload.get("status", {}),
        weights=(backends[0].get("weight", 1), backends[1].get("weight", 1)),
        annotations=deployment["metadata"].get("annotations", {}),
    )


def events(kit: Kit, namespace: str = "demo") -> list[dict[str, Any]]:
    """The WorkloadSLO's Events, oldest first."""
    found = kit.get("-n", namespace, "events.events.k8s.io")["items"]
    ours = [event for event in found if event.get("reportingController") == "flyball.dev/flyball"]
    return sorted(ours, key=lambda event: str(event.get("eventTime") or event["metadata"]["creationTimestamp"]))


def until(what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Look twice a second until it holds; raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(LOOK_SECONDS)


def wait_for(
    kit: Kit, namespace: str, what: str, seen: Callable[[Snapshot], bool], seconds: float = PATIENCE_SECONDS
) -> Snapshot:
    """The workload's first snapshot in which it is seen; raises TimeoutError that says what is there instead."""
    started = time.monotonic()
    found: list[Snapshot] = []

    def sees() -> bool:
        found[:] = [look(kit, started, namespace)]
        return seen(found[0])

    try:
        until(what, sees, seconds)
    except TimeoutError as error:
        snapshot = found[0]
        summary = snapshot.status.get("summary", {})
        conditions = [f"{c['type']}={c['status']} ({c['reason']})" for c in snapshot.status.get("conditions", ())]
        raise TimeoutError(
            f"{error}; replicas {snapshot.replicas}, ready {snapshot.ready}, weights {snapshot.weights}, {summary}, "
            f"{', '.join(conditions)}"
        ) from None
    return found[0]
