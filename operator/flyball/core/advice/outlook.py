"""A workload's capacity plan as its status keeps it: made of hours, compared with the last one, and put into money.

A plan is made anew now and then, and told anew only where it says something else: a count that chance moves within the
range that was told is no news. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from flyball.core.advice.plan import HOURS_PER_MONTH, MOST_REPLICAS, Kind, Need, Past, Plan
from flyball.core.advice.plan import plan as make_plan
from flyball.core.fleet.capacity import ReplicaLimits, RequestShape, first_token_slack, replica_capacity, start_fit
from flyball.core.fleet.misses import carried, prior, replicas_for
from flyball.core.memory import Memory
from flyball.core.observation import WorkloadState
from flyball.core.spec import Variant, WorkloadSpec
from flyball.core.traffic.demand import limits_of
from flyball.core.traffic.demand_events import DemandWindow
from flyball.core.traffic.trends import DAY_SECONDS, HOUR_SECONDS
from flyball.core.values import dataclass

HORIZON_DAYS = 90
"""A quarter: GPUs are ordered and budgets are made for that long, and no month of growth is carried on for longer."""
WANTED_HOURS = 24
"""A peak is that of a day: what is known of less says nothing of the busiest hour."""
TOLD_AGAIN_SECONDS = DAY_SECONDS
"""A plan that still holds is told with today's figures once a day, its days being counted from today."""


@dataclass(frozen=True, slots=True)
class HourOfLoad:
    """One hour that ended at `end` (epoch seconds): its mean rate, its highest mean over five minutes (requests/s), and
    the mean prompt (tokens). NaN where unknown.
    """

    end: float
    rate: float
    peak: float
    prompt_tokens: float

    def joined(self, other: "HourOfLoad") -> "HourOfLoad":
        """The same hour of both together; where one is unknown, the other alone."""
        if math.isnan(other.rate):
            return self
        if math.isnan(self.rate):
            return other
        rate = self.rate + other.rate
        known = [(hour.rate, hour.prompt_tokens) for hour in (self, other) if not math.isnan(hour.prompt_tokens)]
        weight = sum(each for each, _ in known)
        prompt = sum(each * tokens for each, tokens in known) / weight if weight > 0 else math.nan
        return HourOfLoad(self.end, rate, self.peak + other.peak, prompt)


@dataclass(frozen=True, slots=True)
class Purchase:
    """Thirty days of one kind, bought for the highest five minutes of the past, against scaled to each hour's.

    `scaled_replicas` are the mean of what each hour's highest five minutes need, one at least. Dollars are None without
    a price.
    """

    kind: str
    peak_replicas: int
    scaled_replicas: float
    buying: Decimal | None
    scaling: Decimal | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """A plan made at `at` (epoch seconds) from so many known hours; no plan where they are too few, and `problem` says
    in words why else there is none. `unmeasured` are the targets of which only the declared engine is known so far.
    """

    at: float
    known_hours: int
    plan: Plan | None = None
    purchase: Purchase | None = None
    problem: str = ""
    unmeasured: tuple[str, ...] = ()


def past_of(hours: Sequence[HourOfLoad]) -> Past:
    """Consecutive hours, oldest first, as a past in UTC."""
    ends = np.array([hour.end for hour in hours])
    return Past(
        local=ends - HOUR_SECONDS,
        end=float(ends[-1]),
        step_seconds=HOUR_SECONDS,
        rates=np.array([hour.rate for hour in hours]),
        prompt_tokens=np.array([hour.prompt_tokens for hour in hours]),
        peaks=np.array([hour.peak for hour in hours]),
    )


def purchase(past: Past, request: RequestShape, kinds: Sequence[Kind], limits: ReplicaLimits) -> Purchase | None:
    """What the kind that is cheapest at the peak costs both ways; None where no kind can meet the objectives."""
    peaks = np.fmax(past.rates, past.rates if past.peaks is None else past.peaks)
    known = peaks[~np.isnan(peaks)]
    found = [one for kind in kinds if (one := _of_kind(known, request, kind, limits))]
    priced = [one for one in found if one.buying is not None]
    # Where a price is missing, the fewest replicas are the best that can be said.
    if len(priced) == len(found):
        return min(priced, key=lambda one: one.buying or 0, default=None)
    return min(found, key=lambda one: one.peak_replicas)


def _of_kind(peaks: np.ndarray, request: RequestShape, kind: Kind, limits: ReplicaLimits) -> Purchase | None:
    capacity = replica_capacity(kind.fit, request, limits)
    curve = prior(first_token_slack(kind.fit, request, limits))
    most = replicas_for(curve, float(peaks.max()), capacity.requests_per_second, MOST_REPLICAS)
    if capacity.infeasible or most > MOST_REPLICAS:
        return None
    carry = np.array([carried(curve, count, capacity.requests_per_second) for count in range(1, most + 1)])
    counts = 1 + np.searchsorted(np.maximum.accumulate(carry), peaks) if most else np.ones(len(peaks))
    most, mean = max(1, most), float(counts.mean())
    price = None if kind.price_per_gpu_hour is None else kind.price_per_gpu_hour * kind.gpus_per_replica
    return Purchase(
        kind=kind.name,
        peak_replicas=most,
        scaled_replicas=mean,
        buying=None if price is None else most * price * HOURS_PER_MONTH,
        scaling=None if price is None else Decimal(mean) * price * HOURS_PER_MONTH,
    )


def worth_telling(told: Outlook | None, now: Outlook) -> bool:
    """Whether the new outlook says something that the one told last does not."""
    if told is None or told.plan is None or now.plan is None:
        return told is None or (told.plan is None) != (now.plan is None) or told.problem != now.problem
    before, after = _needs(told, told.plan), _needs(now, now.plan)
    return (
        before.keys() != after.keys()
        or told.unmeasured != now.unmeasured
        or any(_other(before[key], need) for key, need in after.items())
        or told.plan.cheapest != now.plan.cheapest
        or [one.expected is None for one in told.plan.exhausted] != [one.expected is None for one in now.plan.exhausted]
    )


def stale(told: Outlook, now: Outlook) -> bool:
    """Whether the figures told last are old enough to be brought up to date when something else is written."""
    return now.at - told.at >= TOLD_AGAIN_SECONDS or told.known_hours < WANTED_HOURS


def _needs(outlook: Outlook, plan: Plan) -> Mapping[tuple[str, str, int], Need]:
    """Needs by kind and reason, those of events by their day, the others by how far they lie ahead."""
    return {
        (
            need.kind,
            need.why,
            math.floor((outlook.at if need.why == "event" else 0.0) / DAY_SECONDS + need.days_ahead),
        ): need
        for need in plan.needs
    }


def _other(told: Need, now: Need) -> bool:
    within = told.replicas.low <= now.replicas.expected <= told.replicas.high
    return not within or told.infeasible != now.infeasible or _price(told) != _price(now)


def _price(need: Need) -> Decimal | None:
    """Dollars a month for one replica; None where it is not known, or nothing is needed."""
    count = Decimal(need.replicas.expected)
    return need.per_month / count if need.per_month is not None and count else None


def foresee(
    spec: WorkloadSpec,
    state: WorkloadState,
    memory: Memory,
    hours: Sequence[HourOfLoad],
    events: Sequence[DemandWindow],
    unmeasured: tuple[str, ...] = (),
) -> Outlook | None:
    """The outlook from consecutive hours, oldest first; None while no request was seen, whose size must be known.

    Each target is planned as if it served all of the load alone. What it carries is what was learned of it, or else the
    declared engine's.
    """
    known = sum(not math.isnan(hour.rate) for hour in hours)
    if known < WANTED_HOURS:
        return Outlook(hours[-1].end, known)
    if memory.shape is None:
        return None
    past, limits = past_of(hours), limits_of(spec)
    kinds = [_kind(variant, state, memory) for variant in spec.variants]
    found = make_plan(past, memory.shape, kinds, limits, events, HORIZON_DAYS)
    bought = purchase(past, memory.shape, kinds, limits)
    return Outlook(past.end, known, found, bought, unmeasured=unmeasured)


def still_unmeasured(spec: WorkloadSpec, memory: Memory, before: Sequence[str] | None) -> tuple[str, ...]:
    """The targets of which it was not measured yet what a replica carries: of those `before`, where that is known. A
    fit that loses its confidence again is still one.
    """
    names = [variant.name for variant in spec.variants] if before is None else before
    fits = ((name, memory.variant(name).fit) for name in names)
    return tuple(name for name, fit in fits if fit is None or not fit.confident)


def _kind(variant: Variant, state: WorkloadState, memory: Memory) -> Kind:
    seen = state.variant(variant.name)
    return Kind(
        name=variant.name,
        accelerator=variant.accelerator or seen.accelerator,
        fit=memory.variant(variant.name).fit or start_fit(variant.engine),
        gpus_per_replica=variant.gpus_per_replica or seen.gpus_per_replica or 1,
        max_replicas=variant.max_replicas,
        price_per_gpu_hour=variant.price_per_gpu_hour,
    )
