"""What a block of an experiment cost and served: from the ledger, and the objectives from what ticks counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flyball.core.experiment import (
    LEAST_MEASURED,
    Arm,
    Block,
    Design,
    Measured,
    Metric,
    Plan,
    blocks_of,
    pairs_of,
)
from flyball.core.names import WorkloadKey
from flyball.ledger.attainment import attained
from flyball.ledger.experiments import spent
from flyball.ledger.schema import Grain
from flyball.ledger.store import DAY_MS, KEPT_MS, Ledger
from flyball.runtime.counts import HOUR_MS, Count

LATE_MS = 1_800_000
"""How long after its end a block waits for the ledger to have all of it."""

Counted = Callable[[Sequence[WorkloadKey], str, int, int], Count]


@dataclass(frozen=True, slots=True)
class Members:
    """The WorkloadSLOs of both arms, by name and by uid."""

    baseline: tuple[tuple[WorkloadKey, str], ...]
    treatment: tuple[tuple[WorkloadKey, str], ...]

    def keys(self, arm: Arm) -> list[WorkloadKey]:
        """Those of one arm."""
        return [key for key, _ in (self.treatment if arm is Arm.TREATMENT else self.baseline)]

    @property
    def uids(self) -> list[str]:
        """All of them."""
        return [uid for _, uid in (*self.baseline, *self.treatment)]


def due(plan: Plan, begin: int, known: Sequence[Measured], through: int, now: int) -> list[Block]:
    """The blocks that have ended, that the ledger holds (or is overdue to hold), and that are not measured yet.

    `through` is up to when all members' costs are in the ledger.
    """
    there = {(each.block.pair, each.block.place) for each in known}
    first = min((pair for pair in range(len(known) // 2 + 1) if len({(pair, 0), (pair, 1)} & there) < 2), default=0)
    last = pairs_of(plan, begin, now)
    found = [block for pair in range(first, last + 1) for block in blocks_of(plan, begin, pair) if block.end <= now]
    ready = [block for block in found if block.end <= through or block.end + LATE_MS <= now]
    return [each for each in ready if (each.pair, each.place) not in there and each.pair < pairs_of_all(plan, begin)]


def pairs_of_all(plan: Plan, begin: int) -> int:
    """How many pairs there are at most."""
    return pairs_of(plan, begin, 1 << 62)


def measure(ledger: Ledger, plan: Plan, block: Block, members: Members, counted: Counted, now: int) -> Measured:
    """What a block showed."""
    begin, keys = block.counted_from(plan), members.keys(block.arm)
    targets = plan.source(block.arm).targets
    dollars, requests, tokens, measured_ms, unpriced = spent(ledger, keys, targets, begin, block.end, now)
    objectives = {}
    for name in dict.fromkeys((*plan.guards, *((plan.objective,) if plan.objective else ()))):
        count = _count(ledger, plan, keys, name, begin, block.end, counted)
        if count.measured_ms >= LEAST_MEASURED * (block.end - begin) * len(keys):
            objectives[name] = (round(count.good, 3), round(count.total, 3))
    found = Measured(block, dollars, requests, tokens, objectives)
    why = _unusable(plan, found, measured_ms, unpriced, now)
    return Measured(block, dollars, requests, tokens, objectives, why)


def _count(
    ledger: Ledger, plan: Plan, keys: Sequence[WorkloadKey], name: str, begin: int, end: int, counted: Counted
) -> Count:
    """Of time that is long over, by the hours of the ledger: whoever wrote them measured all that there is."""
    if plan.design is not Design.BEFORE_AFTER:
        return counted(keys, name, begin, end)
    grain = Grain.DAY if (end - begin) % DAY_MS == 0 else Grain.HOUR
    good, total = attained(ledger, keys, name, begin, end, grain)
    return Count(good, total, (end - begin) * len(keys) if total else 0)


def _unusable(plan: Plan, found: Measured, measured_ms: int, unpriced: Sequence[str], now: int) -> str:
    begin, end = found.block.counted_from(plan), found.block.end
    if _too_old(begin, end, now):
        return "the ledger no longer has rows as short as this block"
    if plan.metric is Metric.MISSED_REQUESTS:
        return "" if plan.objective in found.objectives else "the objective was not measured"
    if unpriced:
        return f"prices are missing: {', '.join(sorted(set(unpriced)))}"
    if measured_ms < LEAST_MEASURED * (end - begin):
        return "requests were not measured for most of it"
    divisor = found.tokens if plan.metric is Metric.COST_PER_MILLION_TOKENS else found.requests
    if divisor <= 0 or found.requests < 1:
        return "there were no requests"
    return "" if found.dollars > 0 else "it cost nothing"


def _too_old(begin: int, end: int, now: int) -> bool:
    """Whether rows that would be needed at its edges were dropped."""
    if begin < now - KEPT_MS[Grain.HOUR]:
        return bool((end - begin) % DAY_MS)
    return begin < now - KEPT_MS[Grain.PERIOD] and bool(begin % HOUR_MS or end % HOUR_MS)
