"""Events on transitions: every subject (an objective, a ceiling, the telemetry …) with its state, told when it changes.

A warning is told when a state is new; good news only after bad news, so that a first look that finds everything in
order announces nothing. Where nothing new is known of a subject, the state announced before stays.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from flyball.core.decision import CostReport, Event, ObjectiveReport, RoiReport
from flyball.core.memory import Memory
from flyball.core.money.currency import money
from flyball.core.money.pacing import Pace
from flyball.core.names import EventReason, Period, RoiMetric
from flyball.core.service import segments, slo
from flyball.core.service.stages import because
from flyball.core.spec import Ceiling, Objective, RoiTarget
from flyball.core.told.findings import Findings, awaited, ceiling_state, forecast_state, spent_against
from flyball.core.units import counted, format_duration, format_ratio
from flyball.core.value import roi
from flyball.core.value.kpi import LOWER_IS_BETTER
from flyball.core.values import dataclass

KEEP = ""
"""The state of a subject of which nothing new is known: the one announced before stays."""

# States that are bad news, after which good news is news.
_TROUBLE = frozenset({slo.BREACHED, roi.BREACHED, roi.AT_RISK, "Approaching", "Reached", "Over", "Bad"})
# States that are neither, and told all the same when they are new.
_MILESTONES = frozenset({"Half"})

_PERIODS = {
    Period.HOUR: "per hour",
    Period.DAY: "today",
    Period.MONTH: "this month",
    Period.REQUEST: "per request",
    Period.MILLION_TOKENS: "per million tokens",
}

States = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing whose state is announced when it changes: its name, its state, and what gives the Event of each state:
    few states change with a look, and sentences are written for those alone.
    """

    name: str
    state: str
    told: Callable[[], Mapping[str, Event]] = dict


def announce(findings: Findings, costs: CostReport, memory: Memory) -> tuple[tuple[Event, ...], States]:
    """The Events for every subject whose state changed, and the states announced by now."""
    subjects, known = _subjects(findings, costs, memory), dict(memory.states)
    told = [(s, s.told().get(s.state)) for s in subjects if s.state not in (known.get(s.name), KEEP)]
    events = tuple(event for s, event in told if event is not None and _is_news(s, event, known.get(s.name)))
    return events, tuple((s.name, known.get(s.name, KEEP) if s.state == KEEP else s.state) for s in subjects)


def _is_news(subject: Subject, event: Event, before: str | None) -> bool:
    return event.warning or before in _TROUBLE or subject.state in _MILESTONES


def _subjects(findings: Findings, costs: CostReport, memory: Memory) -> Sequence[Subject]:
    subjects: list[Subject] = []
    for objective, report in zip(findings.spec.objectives, findings.objectives, strict=True):
        subjects.append(Subject(f"objective/{objective.name}", report.state))
        slow = because(report, findings.observation.signals)
        subjects += [_breach(objective, report, slow), _error_budget(objective, report)]
    subjects += [_ceiling(findings, ceiling, costs, memory) for ceiling in findings.spec.ceilings if not ceiling.source]
    subjects += [_forecast(pace, memory) for pace in findings.budgets.paces if not pace.ceiling.source]
    subjects += [_roi(findings, report) for report in findings.roi]
    for split in segments.told(findings.spec, findings.observation.signals, memory):
        subjects.append(Subject(segments.subject(split.measured), split.worst or "None"))
    problem = findings.situation.trust.problem
    stale = Event(EventReason.TELEMETRY_STALE, f"holding capacity: {problem}", "Hold", warning=True)
    recovered = Event(EventReason.TELEMETRY_RECOVERED, "telemetry can be trusted again", "Observe")
    trouble = KEEP if awaited(findings, memory) else "Bad" if problem else "Good"
    subjects.append(Subject("telemetry", trouble, lambda: {"Bad": stale, "Good": recovered}))
    price, targets, contended = (
        "; ".join(texts) for texts in (findings.unpriced, findings.target_problems, findings.contenders)
    )
    contended = contended and f"{contended}: Flyball steps aside until one of the two is removed"
    subjects += [
        _trouble("price", ("Missing", "Known"), EventReason.PRICE_MISSING, price, "Observe"),
        _trouble("targets", ("Missing", "Found"), EventReason.TARGET_MISSING, targets, "Observe"),
        _trouble("contended", ("Contended", "Alone"), EventReason.CONTENDED, contended, "StepAside"),
    ]
    if findings.spec.scaling.to_zero is not None:
        refused = findings.zero.refused[1] if findings.zero.refused else ""
        subjects.append(_trouble("zero", ("Refused", "Allowed"), EventReason.SCALE_TO_ZERO_REFUSED, refused, "Hold"))
    if findings.spec.fallback is not None:
        blocked = "" if findings.foreign else findings.blocked
        subjects += [
            _trouble("route", ("Conflict", "Own"), EventReason.ROUTE_CONFLICT, findings.foreign, "StepAside"),
            _trouble("fallback", ("Blocked", "Free"), EventReason.FALLBACK_BLOCKED, blocked, "Hold"),
        ]
    return subjects


def _trouble(name: str, states: tuple[str, str], reason: EventReason, problem: str, action: str) -> Subject:
    """A subject that either has a problem (the first state) or is fine (the second), which is no news."""
    bad, fine = states
    return Subject(name, bad if problem else fine, lambda: {bad: Event(reason, problem, action, warning=True)})


def _breach(objective: Objective, report: ObjectiveReport, slow: str) -> Subject:
    state = report.state if report.state in (slo.BREACHED, slo.MET) else KEEP
    return Subject(f"breach/{objective.name}", state, lambda: _of_breach(objective, report, slow))


def _of_breach(objective: Objective, report: ObjectiveReport, slow: str) -> dict[str, Event]:
    limit = f"within {format_duration(objective.threshold_seconds)}" if objective.threshold_seconds else "good"
    goal = f"{objective.target * 100:g}% of requests {limit}"
    p95 = f", p95 {format_duration(float(f'{report.p95:.3g}'))}" if report.p95 is not None else ""
    seen = f"(burn rate {report.burn_short or 0.0:.1f}{p95})"
    breached = f"{objective.name} is breached: fewer than {goal} {seen}{f'; {slow}' if slow else ''}"
    met = f"{objective.name} is met again: at least {goal} {seen}"
    return {
        slo.BREACHED: Event(EventReason.SLO_BREACHED, breached, "Observe", warning=True),
        slo.MET: Event(EventReason.SLO_RECOVERED, met, "Observe"),
    }


def _error_budget(objective: Objective, report: ObjectiveReport) -> Subject:
    state = slo.budget_state(report) or KEEP
    return Subject(f"budget/{objective.name}", state, lambda: _of_error_budget(objective, report))


def _of_error_budget(objective: Objective, report: ObjectiveReport) -> dict[str, Event]:
    budget = f"{format_duration(objective.window_seconds)} error budget"
    left = format_ratio(max(0.0, report.budget_left or 0.0), 0)
    low, gone = f"{objective.name}: {left} of its {budget} is left", f"{objective.name}: its {budget} is used up"
    return {
        "Low": Event(EventReason.ERROR_BUDGET_LOW, low, "Observe", warning=True),
        "Exhausted": Event(EventReason.ERROR_BUDGET_EXHAUSTED, gone, "Observe", warning=True),
    }


def _ceiling(findings: Findings, ceiling: Ceiling, costs: CostReport, memory: Memory) -> Subject:
    name, now = f"ceiling/{ceiling.period}", spent_against(ceiling, costs)
    state = ceiling_state(findings, ceiling, now, memory.state(name))
    spend = f"spend of {_money(now, ceiling.currency)} {_PERIODS[ceiling.period]}"
    limit = f"its ceiling of {_money(ceiling.amount, ceiling.currency)}"
    short = ""
    if findings.short.by_ceiling is ceiling.period:
        short = f": {findings.short.allowed} of the {counted(findings.short.wanted, 'replica')} needed are allowed"
    reached = f"{spend} has reached {limit}{short} (enforcement {ceiling.enforcement})"
    recovered = Event(EventReason.BUDGET_RECOVERED, f"{spend} is well within {limit} again", "Observe")
    half = Event(EventReason.BUDGET_CEILING_APPROACHING, f"{spend} is more than half of {limit}", "Observe")
    told = {
        "Half": recovered if memory.state(name) in _TROUBLE else half,
        "Approaching": Event(EventReason.BUDGET_CEILING_APPROACHING, f"{spend} nears {limit}", "Observe", warning=True),
        "Reached": Event(EventReason.BUDGET_CEILING_REACHED, reached, "Clamp", warning=True),
        "Within": recovered,
    }
    return Subject(name, KEEP if state == "Unknown" else state, lambda: told)


def _forecast(pace: Pace, memory: Memory) -> Subject:
    ceiling, name = pace.ceiling, f"forecast/{pace.ceiling.period}"
    state = forecast_state(pace, memory.state(name))
    told_of = f"{_PERIODS[ceiling.period]} costs {_money(pace.forecast, ceiling.currency)} if all demand is served"
    limit = f"its ceiling of {_money(ceiling.amount, ceiling.currency)} (enforcement {ceiling.enforcement})"
    over = f"{told_of}, more than {limit}; {_money(pace.spent, ceiling.currency)} are spent"
    told = {
        "Over": Event(EventReason.BUDGET_CEILING_APPROACHING, over, "Observe", warning=True),
        "Within": Event(EventReason.BUDGET_RECOVERED, f"{told_of}, within {limit}", "Observe"),
    }
    return Subject(name, KEEP if state == "Unknown" else state, lambda: told)


def _roi(findings: Findings, report: RoiReport) -> Subject:
    target = next(t for t in findings.spec.roi_targets if t.name == report.name)
    goal = f"target {_sense(findings, target)} {_number(float(report.target))} over "
    goal += format_duration(target.window_seconds)
    interval = f"95% interval {_number(report.low)} to {_number(report.high)}"
    paid = counted(sum(state.ready + state.starting for state in findings.states), "replica")
    spend = _money(findings.per_hour, findings.spec.currency)
    seen = f"{target.metric} {_number(report.value)}, {goal} ({interval}); spend {spend}/h on {paid}"
    seen += f". {report.cause_code}: {report.cause}" if report.cause else ""
    seen += f". {report.advice}" if report.advice else ""
    told = {
        roi.BREACHED: Event(EventReason.ROI_TARGET_BREACHED, f"{report.name} is breached: {seen}", "Observe", True),
        roi.AT_RISK: Event(EventReason.ROI_TARGET_AT_RISK, f"{report.name} is at risk: {seen}", "Observe", True),
        roi.MET: Event(EventReason.ROI_TARGET_MET, f"{report.name} is met: {seen}", "Observe"),
    }
    return Subject(f"roi/{report.name}", report.state if report.state in told else KEEP, lambda: told)


def _sense(findings: Findings, target: RoiTarget) -> str:
    """Whether a target is a floor or a limit."""
    kpi = next((each for each in findings.spec.value.kpis if each.name == target.kpi), None)
    floor = target.metric is RoiMetric.VALUE_COST_RATIO or (kpi is not None and kpi.kind not in LOWER_IS_BETTER)
    return "at least" if floor else "at most"


def _money(amount: Decimal | None, currency: str) -> str:
    return "unknown" if amount is None else money(amount, currency)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
