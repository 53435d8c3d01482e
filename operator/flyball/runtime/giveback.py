"""The budget's annotations on targets, and giving everything back when a workload goes."""

from collections.abc import Awaitable, Iterable

import structlog

from flyball.core.decision import Decision, Event
from flyball.core.names import EventReason, Mode, WorkloadKey
from flyball.core.observation import Observation
from flyball.core.ports import Cluster, Missing, PortError, Rejected
from flyball.core.spec import TargetRef, WorkloadSpec
from flyball.runtime import budget
from flyball.runtime.claims import Claims
from flyball.runtime.known import Known

log = structlog.get_logger("flyball.giveback")

RELEASE = "release"


async def annotate(
    cluster: Cluster,
    spec: WorkloadSpec,
    observation: Observation,
    decision: Decision,
    known: Known,
    claims: Claims,
) -> list[str]:
    """Write annotations where they say something new, and take them off targets that are no longer governed."""
    failures: list[str] = []
    if spec.mode is Mode.PAUSED or observation.state.problem:
        return failures
    wanted, namespace = budget.annotations(spec, decision), spec.key.namespace
    for variant in spec.variants:
        target = variant.target
        if claims[namespace, target] != spec.key or not observation.state.variant(variant.name).exists:
            known.annotated.pop(target, None)
        elif budget.material(known.annotated.get(target), wanted):
            try:
                await cluster.annotate(namespace, target, wanted)
            except Rejected as error:  # tried again when there is something new to say
                failures.append(f"annotate {target}: {error}")
            except PortError as error:
                failures.append(f"annotate {target}: {error}")
                continue
            known.annotated[target] = wanted
    dropped = known.annotated.keys() - {variant.target for variant in spec.variants}
    return failures + await _remove_annotations(cluster, namespace, dropped, known, claims)


async def release(
    cluster: Cluster, key: WorkloadKey, known: Known, has_finalizer: bool, claims: Claims
) -> tuple[list[str], list[Event]]:
    """Give back everything of a workload that is being deleted, then let it go; once that is done, nothing.

    Only routes hold the object back: annotations that cannot be removed now are tried again when it is gone. They go
    before the finalizer, so that a process that dies in between is followed by one that still finds the object.
    """
    if known.released:
        return [], []
    failures: list[str] = []
    events: list[Event] = []
    held = has_finalizer or known.memory.fallback.active
    restored = held and await _give_up(cluster.restore_all(key), known, failures, events)
    failures += await _remove_annotations(cluster, key.namespace, _targets(known), known, claims)
    if restored:
        await _give_up(cluster.hold_finalizer(key, False), known, failures, events)
    known.released = not failures
    log.info("released", workload=str(key), failures=failures)
    return failures, events


async def _give_up(step: Awaitable[None], known: Known, failures: list[str], events: list[Event]) -> bool:
    """Do one step of what must be done before the object may go; whether it was done."""
    try:
        await step
    except PortError as error:
        failures.append(f"restore: {error}")
        if isinstance(error, Rejected) and RELEASE not in known.blocked:
            known.blocked.add(RELEASE)
            text = f"cannot be deleted before its routes are restored: {error}"
            events.append(Event(EventReason.FALLBACK_BLOCKED, text, "ShiftTraffic", warning=True))
        return False
    return True


async def depart(cluster: Cluster, key: WorkloadKey, known: Known, claims: Claims, reborn: bool) -> bool:
    """Give back what an object that is gone left behind; returns whether that is done.

    The routes of an object that was `reborn` under the same name are the new one's, which takes them over.
    """
    if known.released:
        return True
    failures: list[str] = []
    if known.memory.fallback.active and not reborn:
        try:
            await cluster.restore_all(key)
        except PortError as error:
            failures.append(f"restore: {error}")
    failures += await _remove_annotations(cluster, key.namespace, _targets(known), known, claims)
    log.info("gone", workload=str(key), failures=failures)
    return not failures


def _targets(known: Known) -> set[TargetRef]:
    declared = {variant.target for variant in known.spec.variants} if known.spec else set()
    return declared | known.annotated.keys()


async def _remove_annotations(
    cluster: Cluster, namespace: str, targets: Iterable[TargetRef], known: Known, claims: Claims
) -> list[str]:
    """Take the annotations off targets that nobody governs now. A target that is gone or forbidden is let go."""
    failures = []
    for target in sorted(targets, key=str):
        if (namespace, target) not in claims:
            try:
                await cluster.annotate(namespace, target, budget.REMOVED)
            except Missing:
                pass
            except Rejected as error:
                log.warning("annotations stay", target=str(target), namespace=namespace, error=str(error))
            except PortError as error:
                failures.append(f"annotate {target}: {error}")
                continue
        known.annotated.pop(target, None)
    return failures
