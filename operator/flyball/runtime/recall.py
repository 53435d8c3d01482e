"""What a restarted operator finds of its predecessor in a status: money, announced states, fallback and conditions."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from flyball.api.parse import parse_status
from flyball.api.v1alpha1 import WorkloadSLOStatus
from flyball.core.fleet.zero import AT_ZERO
from flyball.core.memory import FallbackMemory, Memory, SpendMemory, SpendRate, TollMemory, VariantMemory, ZeroMemory
from flyball.core.names import ConditionType, FallbackState, Period
from flyball.core.observation import WorkloadState
from flyball.core.periods import CALENDAR, label
from flyball.core.routing import overflow
from flyball.core.service.slo import BUDGET_LOW
from flyball.core.spec import Fallback, WorkloadSpec
from flyball.core.told.conditions import KnownCondition
from flyball.core.told.findings import APPROACHING, FORECAST_OVER, HALF, REACHED
from flyball.core.units import parse_ratio
from flyball.runtime.status import known_conditions, parse_time

States = Iterator[tuple[str, str]]
_UNTOLD = "what moved it ended before it said why"
# The status shows whole percents, and weights are such.
_ROUNDING = 0.01


def recall(raw: Mapping[str, Any]) -> tuple[Memory, tuple[KnownCondition, ...]]:
    """What is remembered of a workload, from the raw object. A status that cannot be read is no memory."""
    status = parse_status(raw)
    conditions = known_conditions(status)
    states = (
        *_objective_states(status),
        *((f"roi/{report.name}", report.state) for report in status.roi),
        *_ceiling_states(raw, status, conditions),
        *_condition_states(conditions),
    )
    # A condition's age tells for how long costs have been on record: after a restart an ROI window need not fill again.
    started_at = min((condition.since for condition in conditions if condition.since > 0), default=None)
    memory = Memory(states=states, spend=_spend(status), started_at=started_at, zero=_zero(status, conditions))
    reclaimed = (VariantMemory(target.name, reclaims=target.reclaims) for target in status.targets if target.reclaims)
    memory = replace(memory, variants=tuple(reclaimed), toll=_toll(status))
    return replace(memory, fallback=_fallback(status)), conditions


def _fallback(status: WorkloadSLOStatus) -> FallbackMemory:
    """Where the fallback stood: nothing has moved since, for all that is known."""
    found = status.fallback
    if found is None or found.state == FallbackState.PRIMARY or found.state not in list(FallbackState):
        return FallbackMemory()
    since, share = parse_time(found.since) or 0.0, _ratio(found.weight)
    part = found.state == FallbackState.FALLBACK and share < 1.0  # as versions before Shedding called it
    return FallbackMemory(
        FallbackState.SHEDDING if part else FallbackState(found.state),
        level=share,
        share=share,
        since=since,
        stepped_at=since,
        cause=found.reason or "",
        moved_before=share,
        moved_at=since,
    )


def as_found(memory: Memory, spec: WorkloadSpec, state: WorkloadState, at: float) -> Memory:
    """What a predecessor's status says, corrected by what its routes have.

    A process that dies after it moved weights and before it says so leaves a status that would move them again, or
    back; and one whose clock was ahead leaves times that are still to come.
    """
    fallback, seen = memory.fallback, state.routes
    times = {name: min(getattr(fallback, name), at) for name in ("since", "stepped_at", "moved_at")}
    fallback = replace(fallback, **times)
    unclear = state.problem or any(route.problem or overflow.conflict(route) for route in seen)
    if spec.fallback is None or unclear or len(seen) != len(spec.fallback.routes):
        return replace(memory, fallback=fallback)
    parts = tuple(overflow.part(route.applied_weights) if route.applied_weights else 0.0 for route in seen)
    share = sum(share for _, share in overflow.flows(spec.fallback, parts))
    if not share:
        return replace(memory, fallback=FallbackMemory())
    level = _level(spec.fallback, fallback.share if fallback.active else 0.0, share, parts)
    if not level:
        return replace(memory, fallback=FallbackMemory(since=at, returned_at=at))
    if not fallback.active:
        where = FallbackState.FALLBACK if share >= 1.0 else FallbackState.SHEDDING
        fallback = FallbackMemory(where, since=at, stepped_at=at, moved_at=at, cause=_UNTOLD)
    return replace(memory, fallback=replace(fallback, level=level, share=share, parts=parts, moved_before=share))


def _level(fallback: Fallback, told: float, share: float, parts: tuple[float, ...]) -> float:
    """The level that a predecessor meant: where it died between two routes, what it had begun goes on for the rest.

    Else a route that was moved would be moved back first. `told` is the share by the status, `share` the one found.
    """
    reached = overflow.reached(fallback, parts)
    if share > told + _ROUNDING:
        return max(level for level, part in zip(reached, parts, strict=True) if part > 0)
    return min(reached) if share < told - _ROUNDING else share


def _zero(status: WorkloadSLOStatus, conditions: tuple[KnownCondition, ...]) -> ZeroMemory:
    """That it was at zero, since the last decision that was shown at the latest: nobody else switched it off."""
    asleep = any(c.type is ConditionType.SCALE_TO_ZERO and c.reason == AT_ZERO for c in conditions)
    shown = parse_time(status.last_decision.time) if status.last_decision else None
    return ZeroMemory(asleep_since=shown) if asleep else ZeroMemory()


def _objective_states(status: WorkloadSLOStatus) -> States:
    for objective in status.objectives:
        yield f"objective/{objective.name}", objective.state
        if objective.state in ("Breached", "Met"):
            yield f"breach/{objective.name}", objective.state
        if objective.budget_left:
            left = _ratio(objective.budget_left)
            yield f"budget/{objective.name}", "Exhausted" if left <= 0 else "Low" if left < BUDGET_LOW else "Plenty"


def _condition_states(conditions: tuple[KnownCondition, ...]) -> States:
    found = {condition.type: condition for condition in conditions}
    if telemetry := found.get(ConditionType.TELEMETRY_HEALTHY):
        yield "telemetry", "Bad" if telemetry.status == "False" else "Good"
    if zero := found.get(ConditionType.SCALE_TO_ZERO):
        yield "zero", "Allowed" if zero.status == "True" else "Refused"
    if price := found.get(ConditionType.PRICE_TRUSTED):
        yield "price", "Missing" if price.status == "False" else "Known"
    if ready := found.get(ConditionType.READY):
        yield "targets", "Missing" if ready.reason == "TargetMissing" else "Found"
        yield "contended", "Contended" if ConditionType.CONTENDED in found else "Alone"
        yield "route", "Conflict" if ConditionType.ROUTE_CONFLICT in found else "Own"


def _ceiling_states(
    raw: Mapping[str, Any], status: WorkloadSLOStatus, conditions: tuple[KnownCondition, ...]
) -> States:
    """Reached where the condition says so, else counted again from the figures that the status shows."""
    cost = status.cost
    judged = next((c for c in conditions if c.type is ConditionType.WITHIN_BUDGET), None)
    if cost is None or judged is None:
        return
    figures = {
        Period.HOUR: _decimal(cost.per_hour),
        Period.DAY: _decimal(cost.day_to_date),
        Period.MONTH: _decimal(cost.month_to_date),
        Period.REQUEST: _decimal(cost.per_request),
        Period.MILLION_TOKENS: _decimal(cost.per_million_tokens),
    }
    for ceiling in ((raw.get("spec") or {}).get("cost") or {}).get("ceilings") or ():
        period, amount = ceiling.get("period"), _decimal(str(ceiling.get("amount", "")))
        if period not in figures:
            continue
        spent = figures[period]
        budgeted = period in CALENDAR
        if _names(judged, REACHED, period):
            yield f"ceiling/{period}", "Reached"
        elif spent > APPROACHING * amount:
            yield f"ceiling/{period}", "Approaching"
        else:
            yield f"ceiling/{period}", "Half" if budgeted and spent > HALF * amount else "Within"
        if budgeted:
            yield f"forecast/{period}", "Over" if _names(judged, FORECAST_OVER, period) else "Within"


def _names(judged: KnownCondition, which: str, period: str) -> bool:
    """Whether the condition's message lists the ceiling of that period among those that are so."""
    return any(part.startswith(which) and f" per {period}" in part for part in judged.message.split("; "))


def _spend(status: WorkloadSLOStatus) -> SpendMemory:
    cost = status.cost
    as_of = parse_time(cost.as_of) if cost else None
    if cost is None or as_of is None:
        return SpendMemory()
    return SpendMemory(
        as_of=as_of,
        month=label(Period.MONTH, as_of),
        month_to_date=_decimal(cost.month_to_date),
        rates=(SpendRate(as_of, _decimal(cost.per_hour)),),
        day=label(Period.DAY, as_of),
        day_to_date=_decimal(cost.day_to_date),
    )


def _toll(status: WorkloadSLOStatus) -> TollMemory:
    """What ceilings held back in the month of the status, without the time in which nobody looked."""
    cost = status.cost
    as_of = parse_time(cost.as_of) if cost else None
    if cost is None or as_of is None or not cost.ceilings_spared:
        return TollMemory()
    missed = float(_decimal(cost.ceilings_missed))
    return TollMemory(label(Period.MONTH, as_of), as_of, _decimal(cost.ceilings_spared), missed)


def _decimal(text: str | None) -> Decimal:
    try:
        found = Decimal(text or "0")
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() else Decimal(0)


def _ratio(text: str | None) -> float:
    """The ratio of a percentage; 0 for what is none, an overdrawn budget's negative one among them."""
    try:
        return parse_ratio(text or "0%")
    except ValueError:
        return 0.0
