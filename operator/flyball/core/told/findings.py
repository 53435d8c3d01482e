"""What one tick found out and decided, and the judgements on it that conditions and Events share."""

from decimal import Decimal

from flyball.core import periods
from flyball.core.decision import CostReport, FallbackReport, ObjectiveReport, RoiReport, VariantDecision
from flyball.core.fleet.staffing import Shortage
from flyball.core.fleet.zero import Zero
from flyball.core.memory import Memory
from flyball.core.money import cost, prices
from flyball.core.money.budgets import month_range
from flyball.core.money.pacing import Budgets, Pace
from flyball.core.names import Period
from flyball.core.observation import Observation, Reading, SignalState, VariantState
from flyball.core.spec import Ceiling, WorkloadSpec
from flyball.core.traffic.demand import Situation
from flyball.core.values import dataclass

# The shares of a ceiling from which owners are told that half of a budget is spent, and that a ceiling comes near.
HALF, APPROACHING = Decimal("0.5"), Decimal("0.8")
# A ceiling once reached or near is so until spend is this far below that line: costs per request waver with every tick.
RELIEF = Decimal("0.95")
# What WithinBudget's message says of ceilings, before each of its lists of them: a restarted operator reads it again.
REACHED, FORECAST_OVER = "reached: ", "forecast over: "
# The windows in seconds over which unit costs are counted: the longest for which costs are on record.
UNIT_COST_WINDOWS = (3600.0, 300.0)
MILLION = Decimal(1_000_000)
# A pod that just became ready is scraped within half a rate window (a rate takes two scrapes in one) and has filled the
# window one later. Until then missing metrics say nothing.
FIRST_SCRAPES_WINDOWS = 1.5


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything one tick found out and decided about a workload's size, objectives, money and routes.

    `blocked` says why no traffic may move to the fallback, `foreign` who else moved its weights; empty where none.
    `zero` is what scaling to zero made of it, `budgets` where the day's and the month's stand.
    """

    spec: WorkloadSpec
    observation: Observation
    states: tuple[VariantState, ...]
    situation: Situation
    objectives: tuple[ObjectiveReport, ...]
    variants: tuple[VariantDecision, ...]
    short: Shortage
    per_hour: Decimal | None
    roi: tuple[RoiReport, ...]
    fallback: FallbackReport | None
    blocked: str
    foreign: str
    zero: Zero
    budgets: Budgets

    @property
    def unpriced(self) -> tuple[str, ...]:
        """For each price that is needed and not known, what is missing."""
        return (*cost.unpriced(self.spec.variants, self.states), *prices.missing(self.spec))

    @property
    def stale_prices(self) -> str:
        """Which prices are past their date; empty where none are."""
        return prices.stale(self.spec.prices, self.observation.at)

    @property
    def target_problems(self) -> tuple[str, ...]:
        """For each target that cannot be scaled, why."""
        problems = []
        for variant, state in zip(self.spec.variants, self.states, strict=True):
            if self.observation.state.problem:
                continue
            if not state.exists:
                problems.append(f"target {variant.target} does not exist in namespace {self.spec.key.namespace}")
            elif not state.scalable:
                fix = "point targetRef at a Deployment or StatefulSet"
                problems.append(f"target {variant.target} has no scale subresource: {fix}")
        return tuple(problems)

    @property
    def contenders(self) -> tuple[str, ...]:
        """For each target that somebody else scales, who."""
        pairs = zip(self.spec.variants, self.states, strict=True)
        return tuple(f"{state.contender} also scales {variant.target}" for variant, state in pairs if state.contender)


def awaited(findings: Findings, memory: Memory) -> str:
    """Which targets' pods are too new to have been scraped, in a sentence; empty where telemetry lacks anything else.

    Trouble that was announced stays trouble, whatever becomes ready meanwhile.
    """
    at, signals = findings.observation.at, findings.observation.signals
    source = signals.problem or findings.observation.state.problem
    if not findings.situation.trust.problem or source or memory.state("telemetry") == "Bad":
        return ""
    young = []
    for state in findings.states:
        signal, ready_for = signals.variant(state.name), at - memory.variant(state.name).ready_changed_at
        missing = [r for r in (signal.running, signal.waiting, signal.completions_per_second) if not r.ok]
        if not state.ready or not missing:
            continue
        if ready_for > FIRST_SCRAPES_WINDOWS * signals.window_seconds or not all(
            _before(r, ready_for) for r in missing
        ):
            return ""
        young.append(state.name)
    return f"target {', '.join(young)}: its pods have just become ready; waiting for the first scrapes" if young else ""


def _before(reading: Reading, seconds: float) -> bool:
    """Whether nothing was reported for so long: what is stale then is of pods that are gone."""
    stale = reading.state is SignalState.STALE and reading.age_seconds >= seconds
    return stale or reading.state in (SignalState.ABSENT, SignalState.INSUFFICIENT)


def cost_report(findings: Findings, memory: Memory) -> CostReport:
    """What the workload costs now, this month and per unit."""
    at, signals = findings.observation.at, findings.observation.signals
    on_record = at - (at if memory.started_at is None else memory.started_at)
    window = next((seconds for seconds in UNIT_COST_WINDOWS if seconds <= on_record), None)
    served = spent = tokens = None
    if window is not None and findings.per_hour is not None:
        spent, tokens = cost.spent_in(memory.spend, at, window), signals.generated(window)
        served = (signals.completed(window) or 0.0) + cost.overflowed_in(memory.spend, at, window)
    books, month = findings.observation.books, memory.spend.month_to_date
    low, high = month_range(month, findings.budgets.month_forecast, books.rest if books else None)
    return CostReport(
        per_hour=findings.per_hour,
        month_to_date=memory.spend.month_to_date,
        month_forecast=findings.budgets.month_forecast if findings.per_hour is not None else None,
        month_low=low if findings.per_hour is not None else None,
        month_high=high if findings.per_hour is not None else None,
        month_record=books.record.text if books and books.record else "",
        spared=memory.toll.spared,
        missed=memory.toll.missed,
        per_request=spent / Decimal(str(served)) if spent is not None and served else None,
        per_million_tokens=spent / Decimal(str(tokens)) * MILLION if spent is not None and tokens else None,
        requests=served,
        day_to_date=memory.spend.day_to_date,
    )


def spent_against(ceiling: Ceiling, costs: CostReport) -> Decimal | None:
    """The dollars that count against a ceiling; None where they are unknown."""
    match ceiling.period:
        case Period.HOUR:
            return costs.per_hour
        case Period.DAY:
            return costs.day_to_date if costs.per_hour is not None else None
        case Period.MONTH:
            return costs.month_to_date if costs.per_hour is not None else None
        case Period.REQUEST:
            return costs.per_request
        case Period.MILLION_TOKENS:
            return costs.per_million_tokens


def ceiling_state(findings: Findings, ceiling: Ceiling, now: Decimal | None, before: str | None) -> str:
    """Within, Half (of a day's or month's), Approaching, Reached or Unknown, given the state announced before."""
    if now is None:
        return "Unknown"
    reached = ceiling.amount * (RELIEF if before == "Reached" and now < ceiling.amount else Decimal(1))
    if now > reached or (ceiling.period is Period.HOUR is findings.short.by_ceiling):
        return "Reached"
    near = APPROACHING * ceiling.amount * (RELIEF if before in ("Approaching", "Reached") else Decimal(1))
    if now > near:
        return "Approaching"
    return "Half" if ceiling.period in periods.CALENDAR and now > HALF * ceiling.amount else "Within"


def forecast_state(pace: Pace, before: str | None) -> str:
    """Over where the period is forecast to cost more than its ceiling, else Within; Unknown on too little evidence."""
    if not pace.held.known:
        return "Unknown"
    over = pace.ceiling.amount * (RELIEF if before == "Over" else Decimal(1))
    return "Over" if pace.forecast > over else "Within"
