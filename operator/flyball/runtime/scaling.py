"""Scaling a workload's targets as decided, and saying which of them refuse or get no GPUs."""

from collections.abc import Sequence
from dataclasses import replace

from flyball.core.decision import Condition, Decision, Event, VariantDecision
from flyball.core.names import ConditionType, EventReason, Mode
from flyball.core.pools.rationing import GPUS_SHORT, limited_by_pool
from flyball.core.ports import Cluster, PortError, Rejected
from flyball.core.spec import TargetRef, WorkloadSpec
from flyball.core.units import counted
from flyball.runtime.known import SCALE_BLOCKED, Known


async def scale_all(
    cluster: Cluster, spec: WorkloadSpec, decision: Decision, known: Known
) -> tuple[list[str], list[Event], list[str]]:
    """Scale what should be scaled: failures, Events, and for each target that refuses, why."""
    failures: list[str] = []
    events: list[Event] = []
    blocks: list[str] = []
    if spec.mode is not Mode.AUTO:
        return failures, events, blocks
    for variant, decided in zip(spec.variants, decision.variants, strict=True):
        target = variant.target
        if decided.desired == decided.current:
            known.blocked.discard(str(target))
            continue
        try:
            events.append(await _scale(cluster, spec, target, decided))
            known.blocked.discard(str(target))
        except Rejected as error:
            failures.append(f"scale {target}: {error}")
            blocks.append(f"{target}: {error}")
            if str(target) not in known.blocked:
                known.blocked.add(str(target))
                text = f"cannot scale {_scaling(target, decided)}: {error}"
                events.append(Event(EventReason.SCALE_BLOCKED, text, "Scale", warning=True))
        except PortError as error:  # the next look tells what is there then
            failures.append(f"scale {target}: {error}")
    return failures, events, blocks


async def _scale(cluster: Cluster, spec: WorkloadSpec, target: TargetRef, decided: VariantDecision) -> Event:
    await cluster.scale(spec.key.namespace, target, decided.current, decided.desired)
    up = decided.desired > decided.current
    reason = EventReason.SCALED_UP if up else EventReason.SCALED_DOWN
    return Event(reason, f"scaled {_scaling(target, decided)}", "Scale")


def _scaling(target: TargetRef, decided: VariantDecision) -> str:
    why = "; ".join(cause.text for cause in decided.causes)
    return f"{target} from {decided.current} to {decided.desired} replicas: {why}"


def gpus_short(spec: WorkloadSpec, decision: Decision, known: Known) -> list[Event]:
    """An Event for each target that a GPUPool holds below what it needs, when that begins."""
    events = []
    for variant, decided in zip(spec.variants, decision.variants, strict=True):
        subject = f"{GPUS_SHORT}/{variant.name}"
        if not limited_by_pool(decided.limited_by):
            known.blocked.discard(subject)
        elif subject not in known.blocked:
            known.blocked.add(subject)
            why = next(cause.text for cause in decided.causes if cause.code == GPUS_SHORT)
            text = f"cannot scale {variant.target} beyond {counted(decided.desired, 'replica')}: {why}"
            events.append(Event(EventReason.SCALE_BLOCKED, text, "Scale", warning=True))
    return events


def blocked(decision: Decision, blocks: Sequence[str]) -> Decision:
    """The decision with the condition of a workload whose targets refuse to be scaled."""
    if not blocks:
        return decision
    refused = Condition(ConditionType.SCALING_ACTIVE, False, SCALE_BLOCKED, "; ".join(blocks))
    conditions = tuple(refused if c.type is ConditionType.SCALING_ACTIVE else c for c in decision.conditions)
    return replace(decision, conditions=conditions)
