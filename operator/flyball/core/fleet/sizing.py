"""From demand to replicas: what each variant would need, the bounds that hold it, and how slowly it may shrink."""

import math
from collections.abc import Sequence
from decimal import Decimal

from flyball.core.fleet.capacity import ReplicaCapacity
from flyball.core.fleet.economics import Choice, Stakes
from flyball.core.fleet.misses import MissCurve, carried
from flyball.core.fleet.plans import planned
from flyball.core.memory import Plan
from flyball.core.money.cost import replica_price
from flyball.core.observation import VariantState
from flyball.core.spec import Variant
from flyball.core.values import dataclass, replace

# Where nothing was measured or declared: the middle of what engines of 8B to 70B take on a warm node (80 to 200 s).
ASSUMED_STARTUP_SECONDS = 120.0
# A replica that went is back after one start-up; keeping it for about that long costs what needing it again would.
# Three telemetry windows at least: within fewer the load has hardly been seen twice. On recorded traffic with starts of
# 30 s this halved the changes for less than 2% more GPU-hours.
SHORTEST_HOLD_SECONDS = 180.0
# A capacity that was not measured yet is trusted for this multiple of the load per replica that was seen.
LOAD_TRUST = 2.0
# An unpriced replica is taken to cost this multiple of the dearest priced one.
UNPRICED = 2.0
# A need is counted up to this multiple of the maximum: enough to say how short it is, whatever a metric claims.
FARTHEST_NEED = 10


Needs = tuple[tuple[float, int], ...]
"""Times (epoch seconds) and the replicas needed then, oldest first."""


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """One variant on its way through sizing: its declaration, its state, and what a replica carries (None: unknown).

    `wakes` says that Flyball may raise it from zero; else whoever scaled it to zero has switched it off. `spare` says
    that another variant always keeps a replica, so that this one may go to zero and come back. `risk` is the share of
    its replicas that is expected to be missing, reclaimed.
    """

    variant: Variant
    state: VariantState
    capacity: ReplicaCapacity | None
    wakes: bool = False
    risk: float = 0.0
    spare: bool = False

    @property
    def fixed(self) -> bool:
        """Whether its count cannot be changed: it is not Flyball's to scale, or switched off."""
        off = self.state.replicas == 0 and self.variant.min_replicas == 0 and not (self.wakes or self.spare)
        return not self.state.manageable or off

    @property
    def least(self) -> int:
        """The fewest replicas that may be chosen now: what has not been measured is not trusted with more than twice
        the load per replica that was seen.
        """
        floor = max(self.variant.min_replicas, 1 if self.state.replicas and not self.spare else 0)
        unsure = self.capacity is not None and not self.capacity.confident
        return max(floor, math.ceil(self.state.replicas / LOAD_TRUST)) if unsure else floor

    @property
    def dollars_per_request_rate(self) -> tuple[bool, float, str]:
        """Sort key: dollars per hour for one request/s of dependable capacity, unpriced ones last, ties by name."""
        price = replica_price(self.variant, self.state)
        if price is None or self.capacity is None:
            return (True, math.inf, self.variant.name)
        return (False, float(price) / (self.capacity.requests_per_second * (1.0 - self.risk)), self.variant.name)


def cheapest_mix(plans: Sequence[VariantPlan], stakes: Stakes, kept: Plan | None = None) -> tuple[dict[str, int], Plan]:
    """Replicas per variant that serve what may arrive at the least cost, misses priced; and the plan that they follow.

    The dearest of them may exceed its maximum: then the demand does not fit, and whoever clamps can say so. A variant
    that cannot be changed, or whose capacity is unknown, keeps what it has.
    """
    plan = planned(*choices_among(plans, stakes), kept)
    return {each.variant.name: each.state.replicas for each in plans} | dict(plan.counts), plan


def choices_among(plans: Sequence[VariantPlan], stakes: Stakes) -> tuple[list[Choice], Stakes]:
    """The variants whose count may be chosen, cheapest first, and the stakes with what the others carry.

    One without a price is taken to be dearer than any that has one; where none has, all cost the same.
    """
    order = sorted(plans, key=lambda plan: plan.dollars_per_request_rate)
    free = [(plan, plan.capacity) for plan in order if plan.capacity is not None and not plan.fixed]
    prices = [replica_price(plan.variant, plan.state) for plan, _ in free]
    known = [float(price) for price in prices if price]
    choices = []
    for index, ((plan, capacity), price) in enumerate(zip(free, prices, strict=True)):
        last = index == len(free) - 1
        choices.append(
            Choice(
                plan.variant.name,
                float(price) if price else UNPRICED * max(known, default=1.0),
                capacity.requests_per_second,
                plan.least,
                plan.variant.max_replicas * (FARTHEST_NEED if last else 1),
                plan.state.replicas,
                startup_seconds(plan.variant, plan.state),
                plan.risk,
                capacity.batch,
            )
        )
    chosen = {choice.name for choice in choices}
    staying = [plan for plan in order if plan.variant.name not in chosen and plan.capacity is not None]
    rate = sum(plan.state.ready * plan.capacity.requests_per_second for plan in staying if plan.capacity)
    return choices, replace(stakes, fixed_rate=rate, fixed_replicas=sum(plan.state.ready for plan in staying))


def carried_by(plans: Sequence[VariantPlan], counts: dict[str, int], curve: MissCurve) -> float:
    """Requests per second that those replicas carry together with hardly more misses than objectives allow."""
    known = [(counts.get(plan.variant.name, 0), plan.capacity) for plan in plans if plan.capacity]
    total = sum(count for count, _ in known)
    rate = sum(count * capacity.requests_per_second for count, capacity in known)
    return carried(curve, total, rate / total) if total else 0.0


def clamp_to_ceiling(counts: dict[str, int], plans: Sequence[VariantPlan], per_hour: Decimal) -> dict[str, int]:
    """The counts cut to so many dollars per hour: the dearest capacity goes first, no variant below its minimum.

    The last replica of all stays unless it may be woken: at zero nobody would be served or heard, nor would it come
    back when there is money again.
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
            last = not plan.wakes and sum(kept.values()) == kept[name]
            least = max(plan.variant.min_replicas, 1 if last else 0)
            kept[name] = max(min(kept[name], least), kept[name] - math.ceil(over / prices[name]))
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
