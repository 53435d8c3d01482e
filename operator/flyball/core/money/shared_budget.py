"""A budget that several workloads share: what each may spend of it, so that all of them give up the same share.

    amount = spent + committed + free × (expected − committed) / Σ (expected − committed)
    free   = max(0, ceiling − Σ spent − Σ committed)

Dollars of one period. `committed` is what the minimum replicas cost for the rest of it, `expected` what the rest costs
if all demand is served. Each workload then paces its own amount (`core.money.pacing`): what is left is spread over
what it wants beyond its minimum, and that share is the same for all, since the amounts were made so.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from flyball.core.names import Enforcement, Period, WorkloadKey
from flyball.core.spec import Ceiling, WorkloadSpec
from flyball.core.values import dataclass, replace

NOTHING = Decimal(0)
PERIODS = (Period.HOUR, Period.DAY, Period.MONTH)
"""Periods that a shared budget may have."""


@dataclass(frozen=True, slots=True)
class SharedBudget:
    """Ceilings for all workloads of a namespace together, or for those that carry all of the labels."""

    key: WorkloadKey
    ceilings: tuple[Ceiling, ...]
    labels: tuple[tuple[str, str], ...] = ()

    def concerns(self, key: WorkloadKey, labels: Mapping[str, str]) -> bool:
        """Whether a workload is one of those."""
        return key.namespace == self.key.namespace and all(labels.get(name) == value for name, value in self.labels)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one workload spent of a period, and what the rest of it costs at the least and if all demand is served."""

    key: WorkloadKey
    spent: Decimal
    committed: Decimal
    expected: Decimal

    @property
    def beyond(self) -> Decimal:
        """What is expected beyond the least."""
        return max(NOTHING, self.expected - self.committed)


def amounts(ceiling: Decimal, claims: Sequence[Claim]) -> dict[WorkloadKey, Decimal]:
    """The dollars of each workload for the period, to the cent; more than the ceiling in all only where what is spent
    and committed already is.
    """
    least = sum((claim.spent + claim.committed for claim in claims), NOTHING)
    free, beyond = max(NOTHING, ceiling - least), sum((claim.beyond for claim in claims), NOTHING)

    def part(claim: Claim) -> Decimal:
        share = claim.beyond / beyond if beyond else Decimal(1) / len(claims)
        return (claim.spent + claim.committed + free * share).quantize(Decimal("0.01"))

    return {claim.key: part(claim) for claim in claims}


def share_of(ceiling: Decimal, claims: Sequence[Claim]) -> float:
    """The share of what is wanted beyond the least that the budget pays for."""
    least = sum((claim.spent + claim.committed for claim in claims), NOTHING)
    beyond = sum((claim.beyond for claim in claims), NOTHING)
    return 1.0 if beyond <= 0 else min(1.0, max(0.0, float((ceiling - least) / beyond)))


def within(spec: WorkloadSpec, shared: Sequence[Ceiling]) -> WorkloadSpec:
    """The spec with its part of shared budgets: of one period the tightest ceiling that holds replicas back counts, and
    stands in place of one that only alerts.
    """
    found = {ceiling.period: ceiling for ceiling in spec.ceilings}
    for ceiling in shared:
        own = found.get(ceiling.period)
        if own is None or own.enforcement is Enforcement.ALERT or ceiling.amount < own.amount:
            found[ceiling.period] = ceiling
    return replace(spec, ceilings=tuple(found.values())) if shared else spec
