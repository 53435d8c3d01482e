"""From findings to what people read: conditions, Events on transitions, the cost report and a one-line summary."""

import math
from collections.abc import Sequence

from flyball.core.decision import Condition, CostReport, Event, FallbackReport, VariantDecision
from flyball.core.memory import Memory
from flyball.core.money.currency import money
from flyball.core.money.pacing import Pace
from flyball.core.names import ConditionType, FallbackState, Mode, Period
from flyball.core.observation import BucketEdges
from flyball.core.service import slo
from flyball.core.service.stages import because
from flyball.core.told.findings import (
    FORECAST_OVER,
    REACHED,
    Findings,
    awaited,
    ceiling_state,
    cost_report,
    forecast_state,
    spent_against,
)
from flyball.core.told.subjects import States, announce
from flyball.core.units import counted, format_duration, format_ratio
from flyball.core.value import baseline, roi
from flyball.core.values import dataclass

_FALLBACK_REASONS = {
    FallbackState.PRIMARY: "GivingBack",
    FallbackState.SHEDDING: "Overflowing",
    FallbackState.FALLBACK: "PrimaryGone",
    FallbackState.PROBING: "Probing",
    FallbackState.RETURNING: "Returning",
}


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a tick has to say. `states` are the subjects' states announced by now."""

    conditions: tuple[Condition, ...]
    events: tuple[Event, ...]
    cost: CostReport
    summary: str
    states: States


def conclude(findings: Findings, memory: Memory) -> Conclusion:
    """Conditions, Events for every subject whose state changed, the cost report, the summary, and the new states."""
    costs = cost_report(findings, memory)
    events, states = announce(findings, costs, memory)
    conditions = (
        _ready(findings),
        _slo_met(findings),
        _within_budget(findings, costs, memory),
        *_roi_met(findings),
        *_baseline_recorded(findings),
        _telemetry_healthy(findings, memory),
        _price_trusted(findings),
        _capacity_available(findings),
        _scaling_active(findings),
        *_scale_to_zero(findings),
        *_while_true(findings),
    )
    return Conclusion(conditions, events, costs, summary(findings.variants), states)


def _ready(findings: Findings) -> Condition:
    if findings.observation.state.problem:
        return Condition(ConditionType.READY, None, "ClusterUnknown", findings.observation.state.problem)
    if problems := findings.target_problems:
        return Condition(ConditionType.READY, False, "TargetMissing", "; ".join(problems))
    return Condition(ConditionType.READY, True, "Reconciled", "the spec is valid and its targets are found")


def _slo_met(findings: Findings) -> Condition:
    states = {report.name: report.state for report in findings.objectives}
    breached = [name for name, state in states.items() if state == slo.BREACHED]
    unknown = [
        f"{name} is {state}" for name, state in states.items() if state not in (slo.BREACHED, slo.BURNING, slo.MET)
    ]
    if breached:
        signals = findings.observation.signals
        why = [f"{r.name} is {text}" for r in findings.objectives if (text := because(r, signals))]
        return Condition(
            ConditionType.SLO_MET, False, "Breached", "; ".join([f"breached: {', '.join(breached)}", *why])
        )
    if unknown:
        return Condition(ConditionType.SLO_MET, None, "InsufficientData", "; ".join(unknown))
    return Condition(ConditionType.SLO_MET, True, "Met", "every objective is met")


def _within_budget(findings: Findings, costs: CostReport, memory: Memory) -> Condition:
    if not findings.spec.ceilings:
        return Condition(ConditionType.WITHIN_BUDGET, True, "NoCeiling", "no ceiling is declared")
    judged = [
        (c, ceiling_state(findings, c, spent_against(c, costs), memory.state(f"ceiling/{c.period}")))
        for c in findings.spec.ceilings
    ]
    reached = [f"{money(c.amount, c.currency)} per {c.period}" for c, state in judged if state == "Reached"]
    unknown = [f"{c.period}" for c, state in judged if state == "Unknown"]
    over = [
        f"{money(pace.ceiling.amount, pace.ceiling.currency)} per {pace.ceiling.period}"
        for pace in findings.budgets.paces
        if forecast_state(pace, memory.state(f"forecast/{pace.ceiling.period}")) == "Over"
    ]
    stand = [*([f"{FORECAST_OVER}{', '.join(over)}"] if over else []), *map(_budget, findings.budgets.paces)]
    if reached:
        text = "; ".join([f"{REACHED}{', '.join(reached)}", *stand])
        return Condition(ConditionType.WITHIN_BUDGET, False, "CeilingReached", text)
    if unknown:
        why = "no requests or no price to count it from"
        return Condition(ConditionType.WITHIN_BUDGET, None, "Unknown", f"{', '.join(unknown)}: {why}")
    reason = "ForecastOver" if over else "WithinCeilings"
    return Condition(ConditionType.WITHIN_BUDGET, True, reason, "; ".join(["spend is within every ceiling", *stand]))


def _budget(pace: Pace) -> str:
    """Where a day's or month's budget stands."""
    word = "today" if pace.ceiling.period is Period.DAY else "this month"
    currency = pace.ceiling.currency
    spent, amount, forecast = (money(m, currency) for m in (pace.spent, pace.ceiling.amount, pace.forecast))
    expected = f", {forecast} if all demand is served" if pace.held.known else ""
    part = f" (its part of {pace.ceiling.source})" if pace.ceiling.source else ""
    return f"{word} {spent} of {amount}{part} are spent{expected}"


def _roi_met(findings: Findings) -> list[Condition]:
    if not findings.roi:
        return []
    by_state = {state: [r.name for r in findings.roi if r.state == state] for state in {r.state for r in findings.roi}}
    if roi.BREACHED in by_state:
        names = ", ".join(by_state[roi.BREACHED])
        return [Condition(ConditionType.ROI_MET, False, "Breached", f"breached beyond doubt: {names}")]
    unknown = [(report.name, report.why) for report in findings.roi if report.state not in roi.JUDGED]
    if unknown:
        reasons = {roi.PRICE_MISSING: "PriceMissing", roi.UNPROVEN: "Unproven", roi.INSUFFICIENT: "InsufficientData"}
        reason = next(reason for state, reason in reasons.items() if state in by_state)
        text = "; ".join(f"{name} ({why})" if why else name for name, why in unknown)
        return [Condition(ConditionType.ROI_MET, None, reason, f"not enough to judge: {text}")]
    if roi.AT_RISK in by_state:
        names = ", ".join(by_state[roi.AT_RISK])
        return [Condition(ConditionType.ROI_MET, True, "AtRisk", f"not met beyond doubt, nor missed: {names}")]
    return [Condition(ConditionType.ROI_MET, True, "Met", "every ROI target is met")]


def _baseline_recorded(findings: Findings) -> list[Condition]:
    """Whether there is a baseline to hold relative targets against, while there are such targets."""
    spec, books = findings.spec, findings.observation.books
    if not any(target.relative for target in spec.roi_targets):
        return []
    kind, known = ConditionType.BASELINE_RECORDED, books.baseline if books else None
    if books is None or known is None:
        text = f"record one before the change: flyball baseline record {spec.key.name} -n {spec.key.namespace}"
        why = "no baseline is recorded" if books else "there is no ledger, or it was not read yet"
        return [Condition(kind, False if books else None, "Missing", f"{why}, so no saving is claimed; {text}")]
    days = round((known.end - known.begin) / baseline.DAY_MS)
    said = f"a baseline of {counted(days, 'day')} with {known.requests:.0f} requests"
    if why := baseline.stale(known, baseline.fingerprint(spec), round(books.at * 1000)):
        return [Condition(kind, False, "Stale", f"{said} cannot be compared with: {why}; record a new one")]
    return [Condition(kind, True, "Recorded", said)]


def _telemetry_healthy(findings: Findings, memory: Memory) -> Condition:
    trust = findings.situation.trust
    if waiting := awaited(findings, memory):
        return Condition(ConditionType.TELEMETRY_HEALTHY, None, "FirstScrape", waiting)
    if trust.problem:
        return Condition(ConditionType.TELEMETRY_HEALTHY, False, str(trust.state), trust.problem)
    if trust.partial:
        return Condition(ConditionType.TELEMETRY_HEALTHY, None, "Partial", trust.partial)
    if findings.zero.at_zero and findings.spec.scaling.to_zero is not None and not findings.zero.refused:
        text = "at zero no pod exports anything; what tells of who asks is read"
        return Condition(ConditionType.TELEMETRY_HEALTHY, True, "AtZero", text)
    if not any(state.ready for state in findings.states):
        return Condition(ConditionType.TELEMETRY_HEALTHY, None, "NothingReady", "no replica is ready, so none reports")
    return Condition(ConditionType.TELEMETRY_HEALTHY, True, "Fresh", "every signal needed is fresh")


def _price_trusted(findings: Findings) -> Condition:
    if missing := findings.unpriced:
        return Condition(ConditionType.PRICE_TRUSTED, False, "PriceMissing", "; ".join(missing))
    if stale := findings.stale_prices:
        return Condition(ConditionType.PRICE_TRUSTED, False, "PriceStale", stale)
    if doubtful := findings.spec.prices.doubtful:
        return Condition(ConditionType.PRICE_TRUSTED, False, "PriceDisagrees", "; ".join(doubtful))
    sources = sorted({v.price_source for v in findings.spec.variants if v.price_source})
    return Condition(ConditionType.PRICE_TRUSTED, True, "Priced", f"prices from {', '.join(sources) or 'the manifest'}")


def _capacity_available(findings: Findings) -> Condition:
    lacking = sum(state.unschedulable for state in findings.states)
    if lacking:
        text = f"no node has a free GPU for {counted(lacking, 'pod')}"
        return Condition(ConditionType.CAPACITY_AVAILABLE, False, "Unschedulable", text)
    if findings.short.wanted > findings.short.allowed:
        bound = "CostCeiling" if findings.short.by_ceiling else "MaxReplicas"
        text = f"{findings.short.allowed} of the {counted(findings.short.wanted, 'replica')} needed are allowed"
        return Condition(ConditionType.CAPACITY_AVAILABLE, False, bound, text)
    return Condition(ConditionType.CAPACITY_AVAILABLE, True, "Enough", "what is needed is allowed and found a node")


def _scaling_active(findings: Findings) -> Condition:
    off = {
        Mode.RECOMMEND: "mode is Recommend: decisions are shown, none is carried out",
        Mode.PAUSED: "mode is Paused: nothing is decided or changed",
    }.get(findings.spec.mode)
    if off:
        return Condition(ConditionType.SCALING_ACTIVE, False, str(findings.spec.mode), off)
    if contenders := findings.contenders:
        return Condition(ConditionType.SCALING_ACTIVE, False, "Contended", "; ".join(contenders))
    if problems := findings.target_problems:
        return Condition(ConditionType.SCALING_ACTIVE, False, "TargetMissing", "; ".join(problems))
    return Condition(ConditionType.SCALING_ACTIVE, True, "Acting", "Flyball sets the replica counts")


def _scale_to_zero(findings: Findings) -> list[Condition]:
    """Whether the workload may be at zero, and what serves then, while that is declared."""
    declared, zero = findings.spec.scaling.to_zero, findings.zero
    if declared is None or findings.observation.state.problem:
        return []
    kind = ConditionType.SCALE_TO_ZERO
    if zero.refused:
        return [Condition(kind, None if zero.lost else False, *zero.refused)]
    if zero.at_zero and zero.cause:
        return [Condition(kind, True, zero.cause.code, zero.cause.text)]
    idle = format_duration(declared.idle_after_seconds)
    text = f"its last replica goes when nobody has asked for it for {idle} at least and keeping it costs more"
    return [Condition(kind, True, "Awake", text)]


def _while_true(findings: Findings) -> list[Condition]:
    """The conditions that exist only while they hold."""
    conditions = []
    if findings.fallback is not None and findings.fallback.state is not FallbackState.PRIMARY:
        conditions.append(overflowing(findings.fallback))
    if contenders := findings.contenders:
        conditions.append(Condition(ConditionType.CONTENDED, True, "OtherScaler", "; ".join(contenders)))
    if findings.foreign:
        conditions.append(Condition(ConditionType.ROUTE_CONFLICT, True, "ForeignWrite", findings.foreign))
    if findings.spec.not_acted_on:
        text = "declared, not yet acted on: " + "; ".join(findings.spec.not_acted_on)
        conditions.append(Condition(ConditionType.DECLARED_NOT_ACTED_ON, True, "NotImplemented", text))
    notes = [
        _edge_note(objective.name, objective.threshold_seconds or 0.0, edges)
        for objective in findings.spec.objectives
        if (edges := findings.observation.signals.objective(objective.name).edges) is not None and not edges.exact
    ]
    if notes:
        conditions.append(Condition(ConditionType.THRESHOLD_BETWEEN_EDGES, True, "Interpolated", "; ".join(notes)))
    return conditions


def overflowing(fallback: FallbackReport) -> Condition:
    """That traffic overflows: how much, since what, and on which way it is."""
    text = f"{format_ratio(fallback.share, 0)} of traffic overflows: {fallback.cause}"
    return Condition(ConditionType.FALLBACK_ACTIVE, True, _FALLBACK_REASONS[fallback.state], text)


def _edge_note(name: str, threshold: float, edges: BucketEdges) -> str:
    limit = f"{name}: {format_duration(threshold)}"
    if edges.lower <= 0:
        return f"{limit} is below the smallest bucket edge {format_duration(edges.upper)}: unmeasurable"
    if math.isinf(edges.upper):
        return f"{limit} is above the largest bucket edge {format_duration(edges.lower)}: unmeasurable"
    near = f"{format_duration(edges.lower)} and {format_duration(edges.upper)}"
    return f"{limit} is no bucket edge, so its share is interpolated between {near}"


def summary(variants: Sequence[VariantDecision]) -> str:
    """Where each variant's replicas go, and why, in a line."""
    sizes = [
        f"{v.name} {v.current}→{v.desired}" if v.current != v.desired else f"{v.name} stays at {v.current}"
        for v in variants
    ]
    why = "; ".join(dict.fromkeys(c.text for v in variants for c in v.causes))
    return f"{', '.join(sizes)}: {why}" if why else ", ".join(sizes)
