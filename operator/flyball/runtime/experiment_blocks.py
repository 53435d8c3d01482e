"""What a block of an experiment cost, served and led to: all of it from the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flyball.core.evidence.experiment import (
    FEWEST_REQUESTS,
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
from flyball.core.evidence.experiment_kpi import lacking
from flyball.core.evidence.experiment_sources import KpiPlan
from flyball.core.names import WorkloadKey
from flyball.core.value.outcomes import Counted
from flyball.ledger import objective_slots
from flyball.ledger.attainment import attained
from flyball.ledger.experiment_kpis import hours_of, outcomes_of
from flyball.ledger.experiments import spent
from flyball.ledger.schema import Grain
from flyball.ledger.store import DAY_MS, KEPT_MS, Ledger
from flyball.runtime.counts import HOUR_MS

LATE_MS = 1_800_000
"""How long after its end a block waits for the ledger to have all of it."""


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
    """The blocks to measure that the ledger holds (or is overdue to hold), and whose outcomes were waited for.

    `through` is up to when all members' costs are in the ledger.
    """
    return [
        each
        for each in outstanding(plan, begin, known, now)
        if (each.end <= through or each.end + LATE_MS <= now) and each.end + plan.settle_ms <= now
    ]


def outstanding(plan: Plan, begin: int, known: Sequence[Measured], now: int) -> list[Block]:
    """The blocks that have ended and are not measured yet."""
    there = {(each.block.pair, each.block.place) for each in known}
    first = min((pair for pair in range(len(known) // 2 + 1) if len({(pair, 0), (pair, 1)} & there) < 2), default=0)
    last = pairs_of(plan, begin, now)
    found = [block for pair in range(first, last + 1) for block in blocks_of(plan, begin, pair) if block.end <= now]
    return [each for each in found if (each.pair, each.place) not in there and each.pair < pairs_of_all(plan, begin)]


def pairs_of_all(plan: Plan, begin: int) -> int:
    """How many pairs there are at most."""
    return pairs_of(plan, begin, 1 << 62)


def measure(ledger: Ledger, plan: Plan, block: Block, members: Members, kpis: KpiPlan, now: int) -> Measured:
    """What a block showed."""
    begin, keys = block.counted_from(plan), members.keys(block.arm)
    targets = plan.source(block.arm).targets
    dollars, requests, tokens, measured_ms, unpriced = spent(ledger, keys, targets, begin, block.end, now)
    objectives = {}
    for name in dict.fromkeys((*plan.guards, *((plan.objective,) if plan.objective else ()))):
        good, total, counted_ms = _count(ledger, plan, keys, name, begin, block.end)
        if counted_ms >= LEAST_MEASURED * (block.end - begin) * len(keys):
            objectives[name] = (round(good, 3), round(total, 3))
    outcomes = _outcomes(ledger, plan, block, keys, kpis, now)
    found = Measured(block, dollars, requests, tokens, objectives, outcomes)
    return replace(found, unusable=_unusable(plan, found, kpis, measured_ms, unpriced, now))


def _count(
    ledger: Ledger, plan: Plan, keys: Sequence[WorkloadKey], name: str, begin: int, end: int
) -> tuple[float, float, int]:
    """Of time that is long over, by the hours of the ledger: whoever wrote them measured all that there is."""
    if plan.design is not Design.BEFORE_AFTER:
        return objective_slots.within(ledger, keys, name, begin, end)
    grain = Grain.DAY if (end - begin) % DAY_MS == 0 else Grain.HOUR
    good, total = attained(ledger, keys, name, begin, end, grain)
    return good, total, (end - begin) * len(keys) if total else 0


def _outcomes(
    ledger: Ledger, plan: Plan, block: Block, keys: Sequence[WorkloadKey], kpis: KpiPlan, now: int
) -> dict[str, Counted]:
    """What became of the cases that began in the block's hours. The cases of a query are requests: those of an arm's
    own targets, where it has any.
    """
    first, last = hours_of(ledger, plan, block)
    targets = () if plan.design is Design.SWITCHBACK else plan.source(block.arm).targets
    found = {}
    for (arm, name), sources in kpis.sources.items():
        counted = outcomes_of(ledger, sources, first, last, LEAST_MEASURED) if arm is block.arm else None
        if counted is None:
            continue
        if targets and not kpis.known[name].minutes and all(source.query for source in sources):
            requests = spent(ledger, keys, targets, first, last, now)[1]
            counted = replace(counted, cases=max(counted.outcomes, requests))
        found[name] = counted
    return found


def _unusable(plan: Plan, found: Measured, kpis: KpiPlan, measured_ms: int, unpriced: Sequence[str], now: int) -> str:
    begin, end = found.block.counted_from(plan), found.block.end
    if _too_old(begin, end, now):
        return "the ledger no longer has rows as short as this block"
    if plan.metric is Metric.KPI:
        why = lacking(kpis.known[plan.kpi], found.kpis.get(plan.kpi))
        return f"KPI {plan.kpi} {why}" if why else ""
    if plan.metric is Metric.MISSED_REQUESTS:
        return "" if plan.objective in found.objectives else "the objective was not measured"
    if unpriced:
        return f"prices are missing: {', '.join(sorted(set(unpriced)))}"
    if measured_ms < LEAST_MEASURED * (end - begin):
        return "requests were not measured for most of it"
    divisor = found.tokens if plan.metric is Metric.COST_PER_MILLION_TOKENS else found.requests
    if divisor <= 0 or found.requests < FEWEST_REQUESTS:
        return "there were no requests"
    return "" if found.dollars > 0 else "it cost nothing"


def _too_old(begin: int, end: int, now: int) -> bool:
    """Whether rows that would be needed at its edges were dropped."""
    if begin < now - KEPT_MS[Grain.HOUR]:
        return bool((end - begin) % DAY_MS)
    return begin < now - KEPT_MS[Grain.PERIOD] and bool(begin % HOUR_MS or end % HOUR_MS)
