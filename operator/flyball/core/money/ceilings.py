"""What cost ceilings leave of the replicas that are wanted: the tightest one binds, in dollars per hour.

An hourly ceiling is itself that number; a daily and a monthly one are paced to it (`core.money.pacing`). One that
moves what it cuts to the fallback is waived where that would cost more than the replicas it spares: it would raise
the bill.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from flyball.core.fleet.misses import MissCurve
from flyball.core.fleet.sizing import VariantPlan, carried_by, clamp_to_ceiling
from flyball.core.money.cost import replica_price
from flyball.core.money.currency import money
from flyball.core.money.pacing import PERIOD_WORDS, Pace
from flyball.core.names import Enforcement, Period
from flyball.core.spec import WorkloadSpec
from flyball.core.values import dataclass

SECONDS_PER_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Cut:
    """The counts within every ceiling, the period of the one that binds, and why others were waived."""

    counts: dict[str, int]
    period: Period | None = None
    waived: str = ""


def within(
    spec: WorkloadSpec,
    paces: Sequence[Pace],
    plans: Sequence[VariantPlan],
    counts: Mapping[str, int],
    demand: float | None,
    curve: MissCurve,
) -> Cut:
    """The counts cut to the tightest ceiling that holds replicas back; `demand` is in requests/s."""
    wanted, floor = per_hour(plans, counts), per_hour(plans, _least(plans, counts))
    limits: list[tuple[Decimal, Period]] = []
    waived = []
    hour = spec.ceiling(Period.HOUR)
    if hour is not None and hour.enforcement is not Enforcement.ALERT:
        limits.append((hour.amount, Period.HOUR))
    for pace in paces:
        if pace.ceiling.enforcement is Enforcement.ALERT:
            continue
        allowed = pace.allowance(wanted, floor)
        cut = clamp_to_ceiling(dict(counts), plans, allowed)
        if why := _dearer(pace, wanted - per_hour(plans, cut), demand, carried_by(plans, cut, curve)):
            waived.append(why)
        else:
            limits.append((allowed, pace.ceiling.period))
    if not limits:
        return Cut(dict(counts), waived="; ".join(waived))
    allowed, period = min(limits)
    kept = clamp_to_ceiling(dict(counts), plans, allowed)
    return Cut(kept, period if kept != dict(counts) else None, "; ".join(waived))


def per_hour(plans: Sequence[VariantPlan], counts: Mapping[str, int]) -> Decimal:
    """Dollars per hour of those replicas; those without a price cost nothing here."""
    found = (counts[plan.variant.name] * (replica_price(plan.variant, plan.state) or Decimal(0)) for plan in plans)
    return sum(found, Decimal(0))


def _least(plans: Sequence[VariantPlan], counts: Mapping[str, int]) -> dict[str, int]:
    """What no ceiling takes away."""
    return {
        plan.variant.name: counts[plan.variant.name]
        if plan.fixed
        else min(counts[plan.variant.name], plan.variant.min_replicas)
        for plan in plans
    }


def _dearer(pace: Pace, spared: Decimal, demand: float | None, carried: float) -> str:
    """Why what a cut moves to the fallback costs no less than the replicas it spares; empty where it does."""
    if pace.overflow_price is None or demand is None or spared <= 0:
        return ""
    moved = Decimal(str(round(max(0.0, demand - carried), 6)))
    price = moved * SECONDS_PER_HOUR * pace.overflow_price
    if price < spared:
        return ""
    dear, saved = (money(amount, pace.ceiling.currency) for amount in (price, spared))
    return (
        f"the {PERIOD_WORDS[pace.ceiling.period]} ceiling holds nothing back: overflow would cost {dear}/h, and spare "
        f"replicas for {saved}/h"
    )
