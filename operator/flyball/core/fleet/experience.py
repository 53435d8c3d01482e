"""What users experienced, as lessons: how misses rise with load, and how much of each error budget burned lately."""

import math

from flyball.core.fleet import misses
from flyball.core.fleet.capacity import CapacityFit, ReplicaLimits, RequestShape, first_token_slack
from flyball.core.fleet.economics import AIM, price_of_miss
from flyball.core.memory import BurnedBudget, Memory
from flyball.core.observation import Observation, SignalState, WindowShare
from flyball.core.spec import Objective, WorkloadSpec
from flyball.core.values import dataclass, replace

# Misses are forgotten with this half-life: what burned yesterday is half forgiven today.
BURNED_HALF_LIFE_SECONDS = 86_400.0
# Before anything burned, budgets are taken to burn as aimed at, with the weight of this much of the present traffic:
# the first hour of a workload, with or without a miss, says little of its day.
PRIOR_SECONDS = 21_600.0
# Of a tick after a gap no more than this counts: the shares are of one window.
LONGEST_TICK_SECONDS = 60.0
# Misses that come at whatever load are nobody's to avert with replicas: a short answer beside a long prompt misses its
# time per token on an empty fleet, too. They are learned where the load is below this share of that at which 5% miss,
# within the first time, and unlearned within the second wherever fewer miss.
LOW_LOAD = 0.5
LEARNED_SECONDS, UNLEARNED_SECONDS = 1800.0, 300.0
# What happens this soon after the first look was decided by nobody here, and burns no budget: two start-ups, and ten
# minutes at least.
YOUNG_SECONDS, YOUNG_LEADS = 600.0, 2.0


@dataclass(frozen=True, slots=True)
class Served:
    """What the fleet carried over the window: arrivals that stayed (requests/s), the replicas that served them, and
    what one of those carries alone.

    `clear` says that nothing but this load shaped what users saw: settled replicas, and no queue but one that grows.
    """

    rate: float
    replicas: int
    capacity: float
    clear: bool


def teach(
    spec: WorkloadSpec,
    observation: Observation,
    served: Served,
    fit: CapacityFit,
    shape: RequestShape,
    limits: ReplicaLimits,
    lead_seconds: float,
    memory: Memory,
) -> Memory:
    """The memory after this window's misses."""
    at, window = observation.at, observation.signals.window_seconds
    curve = memory.curve or misses.prior(first_token_slack(fit, shape, limits))
    elapsed = min(LONGEST_TICK_SECONDS, at - memory.burned_at) if memory.burned_at else 0.0
    seen = [(objective, _newest(observation, objective)) for objective in spec.objectives]
    known = [(objective, share) for objective, share in seen if share is not None]
    if elapsed > 0 and known:
        weight = elapsed / window
        age = at - (at if memory.started_at is None else memory.started_at)
        if age >= max(YOUNG_SECONDS, YOUNG_LEADS * lead_seconds):
            memory = replace(memory, burned=_burned(known, weight, elapsed, memory))
        if served.clear and served.replicas > 0 and served.capacity > 0:
            worst = max((share.bad_share / o.budget for o, share in known if o.budget > 0), default=0.0)
            load = served.rate / (served.replicas * served.capacity)
            idle = load < LOW_LOAD * curve.load_at(misses.PRIOR_SHARE, served.replicas)
            memory = replace(memory, unavoidable=_unavoidable(memory.unavoidable, worst, elapsed, idle))
            missed = min(1.0, max(0.0, worst - memory.unavoidable) * _tightest(spec))
            requests = weight * max(share.total for _, share in known)
            curve = misses.learn(curve, load, served.replicas, missed, requests, elapsed / 3600.0)
    return replace(memory, curve=curve, burned_at=at)


def dropped(memory: Memory, requests: float) -> Memory:
    """The memory after so many requests were dropped by replicas that were taken away, and began anew elsewhere.

    They miss every objective of latency, and no engine's histogram shows it: each counts from where they began anew.
    """
    return replace(memory, burned=tuple(replace(b, missed=b.missed + requests) for b in memory.burned))


def price(spec: WorkloadSpec, rate: float, memory: Memory) -> float:
    """What a miss costs now, in multiples of serving a request: by the budget that burned most."""
    weight = max(1.0, rate * PRIOR_SECONDS)
    burned = []
    for objective in spec.objectives:
        if objective.budget > 0:
            counted = memory.burned_of(objective.name)
            share = (counted.missed + AIM * objective.budget * weight) / (counted.requests + weight)
            burned.append(share / objective.budget)
    return price_of_miss(_tightest(spec), max(burned, default=AIM))


def _tightest(spec: WorkloadSpec) -> float:
    """The smallest allowed share of misses; what an objective of 100% allows is nothing, and cannot be priced."""
    return min((o.budget for o in spec.objectives if o.budget > 0), default=0.05)


def _newest(observation: Observation, objective: Objective) -> WindowShare | None:
    """The shares of the telemetry window; None where they are not known, or nothing happened."""
    reading = observation.signals.objective(objective.name)
    if reading.state is not SignalState.OK or not reading.shares:
        return None
    share = reading.shares[0]
    fits = share.window_seconds <= observation.signals.window_seconds
    return share if fits and share.usable and share.total > 0 else None


def _burned(
    known: list[tuple[Objective, WindowShare]], weight: float, elapsed: float, memory: Memory
) -> tuple[BurnedBudget, ...]:
    keep, base = 0.5 ** (elapsed / BURNED_HALF_LIFE_SECONDS), memory.unavoidable
    found = []
    for objective, share in known:
        before = memory.burned_of(objective.name)
        found.append(
            BurnedBudget(
                objective.name,
                keep * before.missed + weight * share.total * max(0.0, share.bad_share - base * objective.budget),
                keep * before.requests + weight * share.total,
            )
        )
    named = {objective.name for objective, _ in known}
    return (*found, *(b for b in memory.burned if b.objective not in named))


def _unavoidable(known: float, burned: float, elapsed: float, idle: bool) -> float:
    """The multiple of the budget that burns at whatever load, after a window that burned so much."""
    if burned < known:
        return known + (1.0 - math.exp(-elapsed / UNLEARNED_SECONDS)) * (burned - known)
    return known + (1.0 - math.exp(-elapsed / LEARNED_SECONDS)) * (burned - known) if idle else known
