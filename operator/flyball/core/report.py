"""From findings to what people read: conditions, Events on transitions, the cost report and a one-line summary."""

import math
from dataclasses import dataclass
from decimal import Decimal

from flyball.core import cost, roi, slo
from flyball.core.decision import (
    Condition,
    CostReport,
    Event,
    FallbackReport,
    ObjectiveReport,
    RoiReport,
    VariantDecision,
)
from flyball.core.demand import Situation
from flyball.core.memory import Memory
from flyball.core.names import ConditionType, EventReason, Mode, Period
from flyball.core.observation import BucketEdges, Observation, VariantState
from flyball.core.spec import Ceiling, WorkloadSpec
from flyball.core.units import format_duration, format_money, format_ratio

# The share of a ceiling from which owners are told that it comes near.
APPROACHING = Decimal("0.8")
# Windows in seconds over which unit costs are counted.
UNIT_COST_WINDOW = 3600.0
MILLION = Decimal(1_000_000)

States = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything one tick found out and decided about a workload's size, objectives, money and routes."""

    spec: WorkloadSpec
    observation: Observation
    states: tuple[VariantState, ...]
    situation: Situation
    objectives: tuple[ObjectiveReport, ...]
    variants: tuple[VariantDecision, ...]
    wanted: int
    allowed: int
    ceiling_bound: bool
    per_hour: Decimal | None
    roi: tuple[RoiReport, ...]
    fallback: FallbackReport | None
    blocked: str
    conflict: bool


def conclude(
    findings: Findings, memory: Memory
) -> tuple[tuple[Condition, ...], tuple[Event, ...], CostReport, str, States]:
    """Conditions, Events for every subject whose state changed, the cost report, the summary, and the new states."""
    costs = _cost_report(findings, memory)
    subjects = (
        *_objective_subjects(findings),
        *_ceiling_subjects(findings, costs),
        *(_roi_subject(findings, report) for report in findings.roi),
        _telemetry_subject(findings),
        _price_subject(findings),
        _target_subject(findings),
        _contended_subject(findings),
        *_route_subjects(findings),
    )
    changes = [(memory.state(name), told.get(state)) for name, state, told in subjects if memory.state(name) != state]
    events = tuple(event for before, event in changes if event is not None and _worth(before, event))
    states = tuple((name, (memory.state(name) or KEEP) if state == KEEP else state) for name, state, _ in subjects)
    conditions = (
        _ready(findings),
        _slo_met(findings),
        _within_budget(findings, costs),
        *_roi_met(findings),
        _telemetry_healthy(findings),
        _price_trusted(findings),
        _capacity_available(findings),
        _scaling_active(findings),
        *_while_true(findings),
    )
    return conditions, events, costs, _summary(findings), states


Subject = tuple[str, str, dict[str, Event]]
"""A thing with a state that is announced when it changes: its name, its state, and the Event for each state."""

KEEP = ""
"""The state of a subject of which nothing new is known: the one announced before stays."""


def _worth(before: str | None, event: Event) -> bool:
    """Good news is news only after bad news: a first look that finds everything in order announces nothing."""
    return event.warning or before not in (None, KEEP)


def _objective_subjects(findings: Findings) -> list[Subject]:
    subjects: list[Subject] = []
    for objective, report in zip(findings.spec.objectives, findings.objectives, strict=True):
        limit = f" within {format_duration(objective.threshold_seconds)}" if objective.threshold_seconds else ""
        goal = f"{objective.name}: {format_ratio(objective.target)} of requests{limit}"
        p95 = f", p95 now {format_duration(report.p95)}" if report.p95 is not None else ""
        burn = f"burn rate {report.burn_short:.1f}" if report.burn_short is not None else "no traffic"
        breached = Event(EventReason.SLO_BREACHED, f"{goal} is breached: {burn}{p95}", "Observe", warning=True)
        recovered = Event(EventReason.SLO_RECOVERED, f"{goal} is met again: {burn}{p95}", "Observe")
        announced = {slo.BREACHED: "Breached", slo.MET: "Met"}.get(report.state, KEEP)
        subjects.append((f"objective/{objective.name}", report.state, {}))
        subjects.append((f"breach/{objective.name}", announced, {"Breached": breached, "Met": recovered}))
        window = format_duration(objective.window_seconds)
        left = format_ratio(max(0.0, report.budget_left or 0.0), 0)
        subjects.append(
            (
                f"budget/{objective.name}",
                slo.budget_state(report) or "Unknown",
                {
                    "Low": Event(
                        EventReason.ERROR_BUDGET_LOW,
                        f"{goal}: {left} of the {window} error budget is left",
                        "Observe",
                        True,
                    ),
                    "Exhausted": Event(
                        EventReason.ERROR_BUDGET_EXHAUSTED,
                        f"{goal}: the {window} error budget is used up",
                        "Observe",
                        True,
                    ),
                },
            )
        )
    return subjects


def _ceiling_subjects(findings: Findings, costs: CostReport) -> list[Subject]:
    subjects: list[Subject] = []
    for ceiling in findings.spec.ceilings:
        now = _counted(ceiling, costs)
        state = _ceiling_state(findings, ceiling, now)
        text = f"{_amount(now)} of {_amount(ceiling.amount)} per {ceiling.period} ({ceiling.enforcement})"
        if ceiling.period is Period.HOUR and findings.ceiling_bound:
            text += f"; {findings.wanted} replicas are needed, {findings.allowed} are allowed"
        subjects.append(
            (
                f"ceiling/{ceiling.period}",
                state,
                {
                    "Approaching": Event(
                        EventReason.BUDGET_CEILING_APPROACHING, f"spend nears its ceiling: {text}", "Observe", True
                    ),
                    "Reached": Event(
                        EventReason.BUDGET_CEILING_REACHED, f"spend is at its ceiling: {text}", "Clamp", True
                    ),
                    "Within": Event(EventReason.BUDGET_RECOVERED, f"spend is within its ceiling: {text}", "Observe"),
                },
            )
        )
    return subjects


def _ceiling_state(findings: Findings, ceiling: Ceiling, now: Decimal | None) -> str:
    if now is None:
        return "Unknown"
    if now > ceiling.amount or (ceiling.period is Period.HOUR and findings.ceiling_bound):
        return "Reached"
    return "Approaching" if now > APPROACHING * ceiling.amount else "Within"


def _counted(ceiling: Ceiling, costs: CostReport) -> Decimal | None:
    match ceiling.period:
        case Period.HOUR:
            return costs.per_hour
        case Period.MONTH:
            return costs.month_to_date if costs.per_hour is not None else None
        case Period.REQUEST:
            return costs.per_request
        case Period.MILLION_TOKENS:
            return costs.per_million_tokens
        case Period.DAY:
            return costs.per_hour * 24 if costs.per_hour is not None else None


def _roi_subject(findings: Findings, report: RoiReport) -> Subject:
    target = next(t for t in findings.spec.roi_targets if t.name == report.name)
    sense = "at least" if target.metric.endswith("Ratio") else "at most"
    text = f"{report.name}: {target.metric} {_number(report.value)}, target {sense} {target.amount}"
    text += (
        f" over {format_duration(target.window_seconds)} (95% interval {_number(report.low)} to {_number(report.high)})"
    )
    text += f"; spend {_amount(findings.per_hour)}/h on {sum(s.ready + s.starting for s in findings.states)} replicas"
    told = {
        roi.BREACHED: Event(EventReason.ROI_TARGET_BREACHED, f"{text} is breached", "Observe", warning=True),
        roi.AT_RISK: Event(EventReason.ROI_TARGET_AT_RISK, f"{text} is at risk", "Observe", warning=True),
        roi.MET: Event(EventReason.ROI_TARGET_MET, f"{text} is met", "Observe"),
    }
    return (f"roi/{report.name}", report.state, told)


def _telemetry_subject(findings: Findings) -> Subject:
    problem = findings.situation.trust.problem
    told = {
        "Bad": Event(EventReason.TELEMETRY_STALE, f"holding capacity: {problem}", "Hold", warning=True),
        "Good": Event(EventReason.TELEMETRY_RECOVERED, "telemetry can be trusted again", "Observe"),
    }
    return ("telemetry", "Bad" if problem else "Good", told)


def _price_subject(findings: Findings) -> Subject:
    missing = cost.unpriced(findings.spec.variants, findings.states)
    told = {"Missing": Event(EventReason.PRICE_MISSING, "; ".join(missing), "Observe", warning=True)}
    return ("price", "Missing" if missing else "Known", told)


def _target_problems(findings: Findings) -> list[str]:
    problems = []
    for variant, state in zip(findings.spec.variants, findings.states, strict=True):
        if findings.observation.state.problem:
            continue
        if not state.exists:
            problems.append(f"target {variant.target} does not exist in namespace {findings.spec.key.namespace}")
        elif not state.scalable:
            problems.append(
                f"target {variant.target} has no scale subresource: point targetRef at a Deployment or StatefulSet"
            )
    return problems


def _target_subject(findings: Findings) -> Subject:
    problems = _target_problems(findings)
    told = {"Missing": Event(EventReason.TARGET_MISSING, "; ".join(problems), "Observe", warning=True)}
    return ("targets", "Missing" if problems else "Found", told)


def _contenders(findings: Findings) -> list[str]:
    pairs = zip(findings.spec.variants, findings.states, strict=True)
    return [f"{state.contender} also scales {variant.target}" for variant, state in pairs if state.contender]


def _contended_subject(findings: Findings) -> Subject:
    contenders = _contenders(findings)
    text = f"{'; '.join(contenders)}: Flyball steps aside until one of the two is removed"
    told = {"Contended": Event(EventReason.CONTENDED, text, "StepAside", warning=True)}
    return ("contended", "Contended" if contenders else "Alone", told)


def _route_subjects(findings: Findings) -> list[Subject]:
    if findings.spec.fallback is None:
        return []
    conflict = Event(EventReason.ROUTE_CONFLICT, findings.blocked, "StepAside", warning=True)
    blocked = Event(EventReason.FALLBACK_BLOCKED, findings.blocked, "Hold", warning=True)
    return [
        ("route", "Conflict" if findings.conflict else "Own", {"Conflict": conflict}),
        ("fallback", "Blocked" if findings.blocked and not findings.conflict else "Free", {"Blocked": blocked}),
    ]


def _ready(findings: Findings) -> Condition:
    problems = _target_problems(findings)
    if findings.observation.state.problem:
        problems = [findings.observation.state.problem]
    if problems:
        return Condition(ConditionType.READY, False, "TargetMissing", "; ".join(problems))
    return Condition(ConditionType.READY, True, "Reconciled", "the spec is valid and its targets are found")


def _slo_met(findings: Findings) -> Condition:
    states = {report.name: report.state for report in findings.objectives}
    breached = [name for name, state in states.items() if state == slo.BREACHED]
    unknown = [
        f"{name} is {state}" for name, state in states.items() if state not in (slo.BREACHED, slo.BURNING, slo.MET)
    ]
    if breached:
        return Condition(ConditionType.SLO_MET, False, "Breached", f"breached: {', '.join(breached)}")
    if unknown:
        return Condition(ConditionType.SLO_MET, None, "InsufficientData", "; ".join(unknown))
    return Condition(ConditionType.SLO_MET, True, "Met", "every objective is met")


def _within_budget(findings: Findings, costs: CostReport) -> Condition:
    if not findings.spec.ceilings:
        return Condition(ConditionType.WITHIN_BUDGET, True, "NoCeiling", "no ceiling is declared")
    judged = [(c, _ceiling_state(findings, c, _counted(c, costs))) for c in findings.spec.ceilings]
    reached = [f"{c.amount} per {c.period}" for c, state in judged if state == "Reached"]
    unknown = [f"{c.period}" for c, state in judged if state == "Unknown"]
    if reached:
        return Condition(ConditionType.WITHIN_BUDGET, False, "CeilingReached", f"reached: {', '.join(reached)}")
    if unknown:
        why = "no requests or no price to count it from"
        return Condition(ConditionType.WITHIN_BUDGET, None, "Unknown", f"{', '.join(unknown)}: {why}")
    return Condition(ConditionType.WITHIN_BUDGET, True, "WithinCeilings", "spend is within every ceiling")


def _roi_met(findings: Findings) -> list[Condition]:
    if not findings.roi:
        return []
    by_state = {state: [r.name for r in findings.roi if r.state == state] for state in {r.state for r in findings.roi}}
    if roi.BREACHED in by_state:
        names = ", ".join(by_state[roi.BREACHED])
        return [Condition(ConditionType.ROI_MET, False, "Breached", f"breached beyond doubt: {names}")]
    unknown = by_state.get(roi.INSUFFICIENT, []) + by_state.get(roi.PRICE_MISSING, [])
    if unknown:
        reason = "PriceMissing" if roi.PRICE_MISSING in by_state else "InsufficientData"
        return [Condition(ConditionType.ROI_MET, None, reason, f"not enough to judge: {', '.join(unknown)}")]
    if roi.AT_RISK in by_state:
        names = ", ".join(by_state[roi.AT_RISK])
        return [Condition(ConditionType.ROI_MET, True, "AtRisk", f"missed, but not beyond doubt: {names}")]
    return [Condition(ConditionType.ROI_MET, True, "Met", "every ROI target is met")]


def _telemetry_healthy(findings: Findings) -> Condition:
    trust = findings.situation.trust
    if trust.problem:
        return Condition(ConditionType.TELEMETRY_HEALTHY, False, str(trust.state), trust.problem)
    if not any(state.ready for state in findings.states):
        return Condition(ConditionType.TELEMETRY_HEALTHY, None, "NothingReady", "no replica is ready, so none reports")
    return Condition(ConditionType.TELEMETRY_HEALTHY, True, "Fresh", "every signal needed is fresh")


def _price_trusted(findings: Findings) -> Condition:
    missing = cost.unpriced(findings.spec.variants, findings.states)
    if missing:
        return Condition(ConditionType.PRICE_TRUSTED, False, "PriceMissing", "; ".join(missing))
    sources = sorted({v.price_source for v in findings.spec.variants if v.price_source})
    return Condition(ConditionType.PRICE_TRUSTED, True, "Priced", f"prices from {', '.join(sources) or 'the manifest'}")


def _capacity_available(findings: Findings) -> Condition:
    lacking = sum(state.unschedulable for state in findings.states)
    if lacking:
        return Condition(
            ConditionType.CAPACITY_AVAILABLE, False, "Unschedulable", f"{lacking} pods find no node with a free GPU"
        )
    if findings.wanted > findings.allowed:
        bound = "CostCeiling" if findings.ceiling_bound else "MaxReplicas"
        text = f"{findings.wanted} replicas are needed, {findings.allowed} are allowed"
        return Condition(ConditionType.CAPACITY_AVAILABLE, False, bound, text)
    return Condition(ConditionType.CAPACITY_AVAILABLE, True, "Enough", "what is needed is allowed and found a node")


def _scaling_active(findings: Findings) -> Condition:
    off = {
        Mode.RECOMMEND: "mode is Recommend: decisions are shown, none is carried out",
        Mode.PAUSED: "mode is Paused: nothing is decided or changed",
    }.get(findings.spec.mode)
    if off:
        return Condition(ConditionType.SCALING_ACTIVE, False, str(findings.spec.mode), off)
    if contenders := _contenders(findings):
        return Condition(ConditionType.SCALING_ACTIVE, False, "Contended", "; ".join(contenders))
    if problems := _target_problems(findings):
        return Condition(ConditionType.SCALING_ACTIVE, False, "TargetMissing", "; ".join(problems))
    return Condition(ConditionType.SCALING_ACTIVE, True, "Acting", "Flyball sets the replica counts")


def _while_true(findings: Findings) -> list[Condition]:
    """The conditions that exist only while they hold."""
    conditions = []
    if findings.fallback is not None and findings.fallback.state == "Fallback":
        text = f"{format_ratio(findings.fallback.share, 0)} of traffic overflows: {findings.fallback.cause}"
        conditions.append(Condition(ConditionType.FALLBACK_ACTIVE, True, "Overflowing", text))
    if contenders := _contenders(findings):
        conditions.append(Condition(ConditionType.CONTENDED, True, "OtherScaler", "; ".join(contenders)))
    if findings.conflict:
        conditions.append(Condition(ConditionType.ROUTE_CONFLICT, True, "ForeignWrite", findings.blocked))
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


def _edge_note(name: str, threshold: float, edges: BucketEdges) -> str:
    limit = f"{name}: {format_duration(threshold)}"
    if edges.lower <= 0:
        return f"{limit} is below the smallest bucket edge {format_duration(edges.upper)}: unmeasurable"
    if math.isinf(edges.upper):
        return f"{limit} is above the largest bucket edge {format_duration(edges.lower)}: unmeasurable"
    near = f"{format_duration(edges.lower)} and {format_duration(edges.upper)}"
    return f"{limit} is no bucket edge, so its share is interpolated between {near}"


def _cost_report(findings: Findings, memory: Memory) -> CostReport:
    at, signals = findings.observation.at, findings.observation.signals
    requests, tokens = dict(signals.completions).get(UNIT_COST_WINDOW), dict(signals.tokens).get(UNIT_COST_WINDOW)
    covered = min(UNIT_COST_WINDOW, at - (memory.started_at or at))
    known = findings.per_hour is not None and covered > 0
    served = (requests or 0.0) + cost.overflowed_in(memory.spend, at, UNIT_COST_WINDOW)
    spent = cost.spent_in(memory.spend, at, UNIT_COST_WINDOW) if known else Decimal(0)
    return CostReport(
        per_hour=findings.per_hour,
        month_to_date=memory.spend.month_to_date,
        month_forecast=cost.month_forecast(memory.spend, at) if findings.per_hour is not None else None,
        per_request=spent / Decimal(str(served)) if known and served else None,
        per_million_tokens=spent / Decimal(str(tokens)) * MILLION if known and tokens else None,
    )


def _summary(findings: Findings) -> str:
    sizes = [
        f"{v.name} {v.current}→{v.desired}" if v.current != v.desired else f"{v.name} stays at {v.current}"
        for v in findings.variants
    ]
    why = "; ".join(dict.fromkeys(c.text for v in findings.variants for c in v.causes))
    return f"{', '.join(sizes)}: {why}" if why else ", ".join(sizes)


def _amount(amount: Decimal | None) -> str:
    return "$" + format_money(amount, 2) if amount is not None else "unknown"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
