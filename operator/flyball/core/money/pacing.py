"""Budgets of days and months, paced: what is left of one is spread over what is still expected of its period.

    allowance = floor + share × (wanted − floor),    share = (left − committed) / (expected − committed)

All in dollars per hour or dollars. `expected` is what the rest of the period costs if all demand is served, `committed`
what it costs at the least: minimum replicas, targets that are not Flyball's, and what requests cost beside replicas.
Every hour gives up the same share of what it wants beyond that, so busy hours get more than quiet ones, and the share
moves with every forecast and with every dollar that was spent otherwise than expected: there is no cliff at the end.
Where the budget covers more than is expected, the surplus may be spent within an hour, and is expected to be needed
from then on.

What is expected comes from the load of the same half hours of earlier days or weeks, of announced events, and of what
is wanted now in relation to what arrives now. While not even a day of load is known (after a restart, for one), it is
the mean of what was spent this month, and before there is a day of that, what is wanted now goes on.
"""

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from flyball.core import periods
from flyball.core.fleet.misses import PRIOR_SHARE, MissCurve
from flyball.core.fleet.sizing import VariantPlan
from flyball.core.memory import HeldPace, Memory, SpendMemory
from flyball.core.money.cost import accrued, hourly, replica_price
from flyball.core.money.currency import money
from flyball.core.names import Enforcement, Period
from flyball.core.observation import Observation
from flyball.core.routing import overflow
from flyball.core.spec import Ceiling, WorkloadSpec
from flyball.core.traffic import forecast
from flyball.core.traffic.demand import Situation
from flyball.core.traffic.demand_events import DemandWindow, multiplier
from flyball.core.traffic.forecast import SLOT_SECONDS, Numbers
from flyball.core.values import dataclass, replace

HOUR_SECONDS, DAY_SECONDS = 3600.0, 86_400.0
# A share stands for this long, or for a sixth of what is left of the period: recomputed with every tick it would move a
# replica to and fro between two counts that are paid for on average. A sixth of what is left may then be spent at most.
HOLD_SECONDS, HOLD_PART = 600.0, 6.0
# What is wanted beyond what arrives (insurance, whole replicas, holds) is learned over a few hours, since it differs by
# the time of the day, and is believed within these bounds.
MARGIN_SECONDS, LEAST_MARGIN, MOST_MARGIN = 21_600.0, 0.5, 4.0

PERIOD_WORDS = {Period.HOUR: "hourly", Period.DAY: "daily", Period.MONTH: "monthly"}


@dataclass(frozen=True, slots=True)
class Expected:
    """Dollars that the rest of a period costs: with all demand `served`, and at the least (`committed`).

    `known` says that load of at least a day stands behind it.
    """

    served: float
    committed: float
    known: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """One ceiling of a day or month at one time.

    `overflow_price` is what a request costs that overflows because of this ceiling; None where none does, or where it
    is not known.
    """

    ceiling: Ceiling
    spent: Decimal
    held: HeldPace
    overflow_price: Decimal | None = None

    @property
    def forecast(self) -> Decimal:
        """Dollars of the whole period if all demand is served."""
        return max(self.spent, self.held.forecast)

    def allowance(self, wanted: Decimal, floor: Decimal) -> Decimal:
        """Dollars per hour of replicas that may run where so many are wanted, and `floor` cannot be spared."""
        beyond = float(max(Decimal(0), wanted - floor))
        paced = min(beyond * self.held.share + self.held.surplus_per_hour, self.held.most_per_hour)
        return floor + Decimal(str(round(paced, 6)))

    @property
    def text(self) -> str:
        """Where the budget stands and what that leaves, in a sentence."""
        word, currency = PERIOD_WORDS[self.ceiling.period], self.ceiling.currency
        amount, spent, forecast_ = (money(m, currency) for m in (self.ceiling.amount, self.spent, self.forecast))
        of = f", its part of {self.ceiling.source}," if self.ceiling.source else ""
        return (
            f"the {word} ceiling of {amount}{of} pays for {self.held.share:.0%} of what is wanted beyond the minimum: "
            f"{spent} are spent, and serving everything would make it {forecast_}"
        )

    @property
    def numbers(self) -> tuple[tuple[str, float], ...]:
        """The numbers of that sentence: dollars, and a ratio."""
        return (
            ("amount", float(self.ceiling.amount)),
            ("spent", float(self.spent)),
            ("forecast", float(self.forecast)),
            ("share", self.held.share),
        )


@dataclass(frozen=True, slots=True)
class Budgets:
    """The paces of a workload's daily and monthly ceilings, and what this month costs if all demand is served."""

    paces: tuple[Pace, ...]
    month_forecast: Decimal


def look(
    spec: WorkloadSpec, observation: Observation, plans: Sequence[VariantPlan], curve: MissCurve, memory: Memory
) -> tuple[Budgets, Memory]:
    """Where the budgets stand now, and the memory with the paces that hold from now on."""
    at = observation.at
    account = accrued(memory.spend, at)

    def held_for(period: Period, amount: Decimal | None) -> HeldPace:
        before = next((h for h in memory.pacing.held if (h.period, h.amount) == (period, amount)), None)
        left = periods.end(period, at) - at
        stands = before is not None and 0 <= at - before.at < min(HOLD_SECONDS, left / HOLD_PART)
        if before is not None and stands and before.known:
            return before
        rest = expected(period, observation, plans, curve, spec.scaling.headroom, memory)
        spent = account.to_date(period)
        forecast_ = spent + Decimal(str(round(rest.served, 6)))
        if before is not None and stands:  # what is not known yet may be told anew, but the pace stands
            return replace(before, forecast=forecast_, known=rest.known)
        return HeldPace(period, amount, at, forecast_, rest.known, *_paced(amount, float(spent), rest, left))

    ceilings = {ceiling.period: ceiling for ceiling in spec.ceilings if ceiling.period in periods.CALENDAR}
    held = {period: held_for(period, ceiling.amount) for period, ceiling in ceilings.items()}
    month = held.get(Period.MONTH) or held_for(Period.MONTH, None)
    paces = tuple(
        Pace(ceiling, account.to_date(period), held[period], _overflow_price(spec, ceiling, memory))
        for period, ceiling in ceilings.items()
    )
    known = replace(memory.pacing, held=tuple({**held, Period.MONTH: month}.values()))
    return Budgets(paces, max(month.forecast, account.month_to_date)), replace(memory, pacing=known)


def learn(plans: Sequence[VariantPlan], situation: Situation, wanted: float, at: float, memory: Memory) -> Memory:
    """The memory after a tick that wanted so many dollars per hour of replicas for what arrives."""
    known, demand = memory.pacing, situation.demand
    margin = known.margin
    usual = None if demand is None else float(replica_cost(np.array([demand]), plans, situation.curve)[0])
    if usual is not None and usual > _floor(plans) and wanted > 0:
        seen = min(MOST_MARGIN, max(LEAST_MARGIN, wanted / usual))
        elapsed = max(0.0, at - known.at)
        margin = seen if margin is None else margin + (1.0 - math.exp(-elapsed / MARGIN_SECONDS)) * (seen - margin)
    return replace(memory, pacing=replace(known, margin=margin, wanted_per_hour=wanted, at=at))


def expected(
    period: Period,
    observation: Observation,
    plans: Sequence[VariantPlan],
    curve: MissCurve,
    headroom: float,
    memory: Memory,
) -> Expected:
    """What the rest of the period is expected to cost."""
    at, events = observation.at, observation.expected
    until = periods.end(period, at)
    hours = (until - at) / HOUR_SECONDS
    beside = float(memory.spend.rates[-1].components) if memory.spend.rates else 0.0
    floor = _floor(plans)
    committed = (floor + beside) * hours
    rates, seconds = forecast.ahead(memory.forecast, at, until) if memory.forecast else (np.empty(0), np.empty(0))
    if len(rates) and any(plan.capacity for plan in plans):
        rates = rates * _multiples(events, at, until, len(rates)) * (1.0 + headroom)
        costs = np.maximum(floor, (memory.pacing.margin or 1.0) * replica_cost(rates, plans, curve))
        return Expected(float(costs @ seconds) / HOUR_SECONDS + beside * hours, committed, known=True)
    mean, known = _mean(at, plans, memory)
    return Expected(max(mean * hours, committed), committed, known)


def replica_cost(rates: Numbers, plans: Sequence[VariantPlan], curve: MissCurve) -> Numbers:
    """Dollars per hour of the replicas that carry those rates (requests/s), in parts of replicas, cheapest first.

    Replicas without a price cost nothing here, those whose capacity is not known carry nothing beyond what they have.
    """
    size = max(1, sum(plan.state.replicas for plan in plans))
    left, total = rates.copy(), np.zeros_like(rates)
    for plan in sorted(plans, key=lambda plan: plan.dollars_per_request_rate):
        price = float(replica_price(plan.variant, plan.state) or 0)
        if plan.fixed or plan.capacity is None:
            counts = np.full_like(rates, plan.state.replicas)
        else:
            counts = left / (plan.capacity.requests_per_second * min(1.0, curve.load_at(PRIOR_SHARE, size)))
            counts = np.clip(counts, plan.variant.min_replicas, plan.variant.max_replicas)
        if plan.capacity is not None:
            each = plan.capacity.requests_per_second * min(1.0, curve.load_at(PRIOR_SHARE, size))
            left = np.maximum(0.0, left - counts * each)
        total = total + counts * price
    return total


def _floor(plans: Sequence[VariantPlan]) -> float:
    """Dollars per hour of what always runs."""
    return sum(
        (plan.state.replicas if plan.fixed else plan.variant.min_replicas)
        * float(replica_price(plan.variant, plan.state) or 0)
        for plan in plans
    )


def _paced(amount: Decimal | None, spent: float, rest: Expected, left: float) -> tuple[float, float, float]:
    """What a `HeldPace` says of a budget with so many seconds left: without a ceiling, that everything is paid for."""
    if amount is None:
        return 1.0, math.inf, math.inf
    free, beyond = float(amount) - spent - rest.committed, rest.served - rest.committed
    hours = min(1.0, left / HOUR_SECONDS)
    share = 1.0 if free >= beyond else max(0.0, free) / beyond if beyond > 0 else 0.0
    return share, max(0.0, free - beyond) / hours, max(0.0, free) / hours


def _mean(at: float, plans: Sequence[VariantPlan], memory: Memory) -> tuple[float, bool]:
    """Dollars per hour to go on with, and whether they are the mean of at least a day."""
    account: SpendMemory = accrued(memory.spend, at)
    since = max(periods.begin(Period.MONTH, at), at if memory.started_at is None else memory.started_at)
    if at - since >= DAY_SECONDS and account.month_to_date > 0:
        return float(account.month_to_date) / (at - since) * HOUR_SECONDS, True
    paid = hourly([plan.variant for plan in plans], [plan.state for plan in plans])
    beside = float(account.rates[-1].overflow + account.rates[-1].components) if account.rates else 0.0
    return max(float(paid or 0), memory.pacing.wanted_per_hour) + beside, False


def _multiples(events: Sequence[DemandWindow], at: float, until: float, slots: int) -> Numbers:
    """The multiple of usual load in the middle of each slot from `at` on."""
    found = np.ones(slots)
    first = int(at // SLOT_SECONDS)
    coming = [event for event in events if event.start < until]
    for event in coming:
        begin = max(0, int(event.start // SLOT_SECONDS) - first)
        for slot in range(begin, min(slots, int(event.end // SLOT_SECONDS) - first + 1)):
            found[slot] = multiplier(coming, (first + slot + 0.5) * SLOT_SECONDS)
    return found


def _overflow_price(spec: WorkloadSpec, ceiling: Ceiling, memory: Memory) -> Decimal | None:
    if spec.fallback is None or ceiling.enforcement is not Enforcement.FALLBACK:
        return None
    flowing = overflow.flows(spec.fallback, memory.fallback.parts) or overflow.first_flows(spec.fallback)
    return overflow.mean_cost(spec.fallback, spec.prices, memory.shape, flowing)
