"""From demand to replicas: what each variant would need, the bounds that hold it, and how slowly it may shrink."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from flyball.core.capacity import ReplicaCapacity, fleet_capacity, replicas_for
from flyball.core.cost import replica_price
from flyball.core.observation import VariantState
from flyball.core.spec import Variant

# Where nothing was measured or declared: the middle of what engines of 8B to 70B take on a warm node (80 to 200 s).
ASSUMED_STARTUP_SECONDS = 120.0
# A replica that went is back after one start-up; keeping it for about that long costs what needing it again would.
SHORTEST_HOLD_SECONDS = 30.0
# A need is counted up to this multiple of the maximum: enough to say how short it is, whatever a metric claims.
FARTHEST_NEED = 10


Needs = tuple[tuple[float, int], ...]
"""Times (epoch seconds) and the replicas needed then, oldest first."""


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """One variant on its way through sizing: its declaration, its state, and what a replica carries (None: unknown)."""

    variant: Variant
    state: VariantState
    capacity: ReplicaCapacity | None

    @property
    def fixed(self) -> bool:
        """Whether its count cannot be changed: no such target, none to scale, somebody else's, or scaled to zero."""
        off = self.state.replicas == 0 and self.variant.min_replicas == 0
        return not self.state.exists or not self.state.scalable or self.state.contender is not None or off

    @property
    def dollars_per_request_rate(self) -> tuple[bool, float, str]:
        """Sort key: dollars per hour for one request/s of capacity, unpriced ones last, ties by name."""
        price = replica_price(self.variant, self.state)
        if price is None or self.capacity is None:
            return (True, math.inf, self.variant.name)
        return (False, float(price) / self.capacity.requests_per_second, self.variant.name)


def spread(demand: float, plans: Sequence[VariantPlan]) -> dict[str, int]:
    """Replicas per variant that carry the demand (requests/s) together, the cheapest per request first.

    The last of them may exceed its maximum: then the demand does not fit, and whoever clamps can say so. A variant that
    cannot be changed, or whose capacity is unknown, keeps what it has.
    """
    order = sorted(plans, key=lambda plan: plan.dollars_per_request_rate)
    counts = {
        plan.variant.name: plan.state.replicas
        if plan.fixed or plan.capacity is None
        else max(plan.variant.min_replicas, 1 if plan.state.replicas else 0)
        for plan in order
    }
    free = [(plan, plan.capacity) for plan in order if plan.capacity is not None and not plan.fixed]
    for index, (plan, capacity) in enumerate(free):
        others = sum(_carried(other, counts[other.variant.name]) for other in order if other is not plan)
        last = index == len(free) - 1
        most = plan.variant.max_replicas * (FARTHEST_NEED if last else 1)
        needed = replicas_for(demand - others, capacity.requests_per_second, most)
        counts[plan.variant.name] = max(counts[plan.variant.name], min(needed, most))
    return counts


def carried(plans: Sequence[VariantPlan], counts: dict[str, int]) -> float:
    """Requests per second that those replicas carry together."""
    return sum(_carried(plan, counts.get(plan.variant.name, 0)) for plan in plans)


def clamp_to_ceiling(counts: dict[str, int], plans: Sequence[VariantPlan], per_hour: Decimal) -> dict[str, int]:
    """The counts cut to an hourly ceiling: the dearest capacity goes first, no variant below its minimum.

    Replicas without a known price cost nothing here; PriceTrusted says that the ceiling cannot be kept then.
    """
    kept = dict(counts)
    prices = {plan.variant.name: replica_price(plan.variant, plan.state) or Decimal(0) for plan in plans}
    for plan in sorted(plans, key=lambda plan: plan.dollars_per_request_rate, reverse=True):
        name = plan.variant.name
        if plan.fixed:
            continue
        over = sum((kept[n] * prices[n] for n in kept), Decimal(0)) - per_hour
        if over > 0 and prices[name] > 0:
            kept[name] = max(min(kept[name], plan.variant.min_replicas), kept[name] - math.ceil(over / prices[name]))
    return kept


def hold_seconds(declared: float | None, startup: float, idle: bool) -> float:
    """For how long a need is remembered before a replica goes: declared, else about the time one takes to come back.

    A GPU verdict of Idle confirms that nothing is waiting, and halves the wait.
    """
    if declared is not None:
        return declared
    return max(SHORTEST_HOLD_SECONDS, startup * (0.5 if idle else 1.0))


def startup_seconds(variant: Variant, state: VariantState) -> float:
    """Time from asking for a replica to serving: declared, else the 90th percentile of those observed, else assumed."""
    if variant.startup_seconds is not None:
        return variant.startup_seconds
    if state.startup_seconds:
        ordered = sorted(state.startup_seconds)
        return ordered[min(len(ordered) - 1, math.ceil(0.9 * len(ordered)) - 1)]
    return ASSUMED_STARTUP_SECONDS


def remember_need(needs: Needs, at: float, need: int, hold: float) -> Needs:
    """The needs within the hold (seconds), reduced to those that can still be the highest or lowest of a coming window.

    The newest always stays; one that is no younger than the new one goes.
    """
    kept = [(at, need)]
    highest = lowest = need
    for when, count in reversed(needs):
        if at - hold <= when < at and not lowest <= count <= highest:
            kept.append((when, count))
            highest, lowest = max(highest, count), min(lowest, count)
    return tuple(reversed(kept))


def steadied(needs: Needs, current: int, down_hold: float, up_hold: float) -> int:
    """What the needs, now last, justify: up to the lowest within one hold, or down to the highest within the other."""
    at, need = needs[-1]
    if need > current:
        return max(current, min(n for when, n in needs if when >= at - up_hold))
    if need < current:
        return min(current, max(n for when, n in needs if when > at - down_hold or when == at))
    return need


def _carried(plan: VariantPlan, replicas: int) -> float:
    return fleet_capacity(replicas, plan.capacity.requests_per_second) if plan.capacity else 0.0
