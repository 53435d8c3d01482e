"""What cost ceilings cost in service, and what lifting them would buy: dollars against requests that miss.

Replicas that a ceiling holds back spare their price; without them more requests miss their objectives, by the learned
curve of misses at the load that each replica then has, and all that is not carried at all. Both are per hour, and add
up over the month (UTC). What overflows to a fallback is counted as missed here: it is answered, by something else.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from flyball.core import periods
from flyball.core.fleet.misses import MissCurve
from flyball.core.fleet.sizing import VariantPlan
from flyball.core.memory import TollMemory
from flyball.core.money.ceilings import per_hour
from flyball.core.money.currency import DEFAULT_CURRENCY, money
from flyball.core.names import Period
from flyball.core.values import dataclass, replace

SECONDS_PER_HOUR = 3600.0
MOST_SECONDS = 300.0
"""A look that comes later than this after the last one counts this long only: what was between is not known."""


@dataclass(frozen=True, slots=True)
class Toll:
    """Dollars per hour that ceilings spare, and requests per hour that miss because of them."""

    spared: Decimal
    missed: float
    currency: str = DEFAULT_CURRENCY

    @property
    def text(self) -> str:
        """What lifting the ceilings would cost and buy, in a sentence."""
        each = ""
        if self.missed >= 1:
            each = f", {money(self.spared / Decimal(str(self.missed)), self.currency, 4)} for each"
        return (
            f"lifting it would cost {money(self.spared, self.currency)} an hour more and keep {self.missed:.0f} more "
            f"requests an hour within their objectives{each}"
        )


def toll(
    plans: Sequence[VariantPlan],
    wanted: Mapping[str, int],
    allowed: Mapping[str, int],
    demand: float | None,
    curve: MissCurve,
    currency: str = DEFAULT_CURRENCY,
) -> Toll | None:
    """What the difference between two sets of counts costs at that demand (requests/s); None where nobody can tell."""
    if demand is None or not any(plan.capacity for plan in plans):
        return None
    spared = per_hour(plans, wanted) - per_hour(plans, allowed)
    more = _missed(plans, allowed, demand, curve) - _missed(plans, wanted, demand, curve)
    return Toll(max(Decimal(0), spared), max(0.0, more) * SECONDS_PER_HOUR, currency)


def account(memory: TollMemory, at: float, now: Toll | None) -> TollMemory:
    """The month's sum until `at`, at that of the last look, and the toll from now on; a new month begins at zero."""
    month = periods.label(Period.MONTH, at)
    if memory.month != month:
        memory = TollMemory(month, at)
    hours = min(MOST_SECONDS, max(0.0, at - memory.at)) / SECONDS_PER_HOUR
    return replace(
        memory,
        at=at,
        spared=memory.spared + memory.spared_per_hour * Decimal(str(hours)),
        missed=memory.missed + memory.missed_per_hour * hours,
        spared_per_hour=now.spared if now else Decimal(0),
        missed_per_hour=now.missed if now else 0.0,
    )


def _missed(plans: Sequence[VariantPlan], counts: Mapping[str, int], demand: float, curve: MissCurve) -> float:
    """Requests per second that miss where so many replicas serve: those that are late, or are not carried."""
    known = [(counts.get(plan.variant.name, 0), plan.capacity.requests_per_second) for plan in plans if plan.capacity]
    replicas, rate = sum(count for count, _ in known), sum(count * each for count, each in known)
    if rate <= 0:
        return demand
    share = float(curve.shares(np.array([demand / rate]), np.array([float(max(1, replicas))]))[0])
    return min(demand, share * demand + max(0.0, demand - rate))
