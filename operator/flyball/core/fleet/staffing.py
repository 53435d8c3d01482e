"""From a situation to replicas per variant: what is needed, what steadiness and ceilings leave of it, and why.

Needs come first, unbounded (`core.fleet.needs`); then they are steadied over their holds (`core.fleet.holds`), bounded
by the maximum and by cost ceilings, and last comes what must not happen to what runs: no step above the user's, nothing
removed on bad data.
"""

from collections.abc import Mapping
from decimal import Decimal

from flyball.core.decision import Cause, VariantDecision
from flyball.core.fleet.case import Case, drain_seconds
from flyball.core.fleet.holds import hold_cause, patient, remembered, steady
from flyball.core.fleet.needs import asked
from flyball.core.fleet.sizing import VariantPlan, carried_by
from flyball.core.fleet.zero import Zero
from flyball.core.memory import Memory
from flyball.core.money import ceilings
from flyball.core.money.toll import Toll, toll
from flyball.core.names import Period, Precedence
from flyball.core.routing import overflow
from flyball.core.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Shortage:
    """Replicas wanted and allowed over all variants, and the period of the cost ceiling that keeps it from being more.

    `waived` says why a ceiling that could hold some back does not; empty where none is waived.
    """

    wanted: int
    allowed: int
    by_ceiling: Period | None
    waived: str = ""


@dataclass(frozen=True, slots=True)
class Sizing:
    """Replicas per variant with what held them; what is short at this moment, and what is once steadied.

    `carries_all` says that what serves now carries the whole demand, and `missing` is the share of it that it does not,
    with the queue drained (None: unknown). `wanted_per_hour` is what is wanted within the maxima, before any ceiling,
    in dollars per hour, and `toll` what the ceiling that binds costs.
    """

    variants: tuple[VariantDecision, ...]
    now: Shortage
    lasting: Shortage
    carries_all: bool
    wanted_per_hour: Decimal = Decimal(0)
    missing: float | None = None
    toll: Toll | None = None


def size(case: Case, zero: Zero, memory: Memory) -> tuple[Sizing, Memory]:
    """The replicas of every variant, and the memory with the needs that led to them."""
    if zero.counts is not None and zero.cause is not None:
        return _by_zero(case, zero.counts, zero.cause, memory)
    wanted = asked(case, memory)
    needs, causes = wanted.counts, wanted.causes
    held = {p.variant.name: remembered(case, p, needs[p.variant.name], memory) for p in case.plans}
    steadied = {p.variant.name: steady(case, p, held[p.variant.name]) for p in case.plans}
    holds = {p.variant.name: hold_cause(case, p, needs, steadied) for p in case.plans}
    memory, steadied, patience = patient(case, wanted.stakes, steadied, memory)
    causes += patience
    allowed, lasting = _allowed(case, steadied)
    now = lasting if needs == steadied else _allowed(case, needs)[1]
    paid = _toll(case, steadied, allowed) if lasting.by_ceiling else None
    causes += [*_of_ceilings(case, lasting), *([_of_toll(paid)] if paid else [])]
    variants = tuple(
        _settle(case, plan, [*causes, *holds[plan.variant.name]], steadied, (allowed, lasting.by_ceiling))
        for plan in case.plans
    )
    serving = {v.name: min(v.ready, v.desired) for v in variants}
    demand, waiting = case.situation.demand, case.situation.waiting
    known_capacity = any(capacity is not None for capacity in case.situation.capacities)
    carried = carried_by(case.plans, serving, case.situation.curve) if known_capacity else None
    carries_all = demand is not None and carried is not None and carried >= demand
    missing = overflow.needed(demand, waiting, drain_seconds(case), carried)
    known = tuple(replace(memory.variant(name), needs=entries) for name, entries in held.items())
    per_hour = ceilings.per_hour(case.plans, _within_maxima(case, steadied))
    sizing = Sizing(variants, now, lasting, carries_all, per_hour, missing, paid)
    return sizing, replace(memory, variants=known, plan=wanted.plan)


def _by_zero(case: Case, counts: Mapping[str, int], cause: Cause, memory: Memory) -> tuple[Sizing, Memory]:
    """The replicas where scaling to or from zero decides them. No hold delays either: it has its own."""
    held = {p.variant.name: counts[p.variant.name] if p.state.manageable else p.state.replicas for p in case.plans}
    allowed, short = _allowed(case, held)
    variants = []
    for plan in case.plans:
        name, current = plan.variant.name, plan.state.replicas
        desired, limited = _stepped(case, current, allowed[name])
        limited = limited or (f"cost.ceilings[{short.by_ceiling}]" if allowed[name] < held[name] else "")
        variants.append(VariantDecision(name, current, desired, plan.state.ready, (cause,), limited))
    known = tuple(replace(memory.variant(p.variant.name), needs=()) for p in case.plans)
    return Sizing(tuple(variants), short, short, carries_all=False), replace(memory, variants=known)


def _allowed(case: Case, counts: dict[str, int]) -> tuple[dict[str, int], Shortage]:
    """The counts within maxima and cost ceilings, and what is missing then.

    A ceiling that yields to objectives (precedence SLO) stops growth until one is breached, and takes nothing away that
    is needed: else meeting the objective would be what breaks it again.
    """
    bounded = _within_maxima(case, counts)
    cut = ceilings.within(case.spec, case.paces, case.plans, bounded, case.situation.demand, case.situation.curve)
    allowed = cut.counts
    if cut.period is not None and case.spec.precedence is Precedence.SLO:
        running = {p.variant.name: p.state.replicas for p in case.plans}
        allowed = bounded if case.breached else {n: max(allowed[n], min(bounded[n], running[n])) for n in bounded}
    by_ceiling = cut.period if allowed != bounded else None
    return allowed, Shortage(sum(counts.values()), sum(allowed.values()), by_ceiling, cut.waived)


def _within_maxima(case: Case, counts: Mapping[str, int]) -> dict[str, int]:
    return {
        p.variant.name: counts[p.variant.name] if p.fixed else min(p.variant.max_replicas, counts[p.variant.name])
        for p in case.plans
    }


def _toll(case: Case, counts: dict[str, int], allowed: dict[str, int]) -> Toll | None:
    """What the ceiling that holds replicas back spares, and costs."""
    demand, curve = case.situation.demand, case.situation.curve
    return toll(case.plans, _within_maxima(case, counts), allowed, demand, curve, case.spec.currency)


def _of_toll(paid: Toll) -> Cause:
    return Cause("CeilingToll", paid.text, (("spared_per_hour", float(paid.spared)), ("missed_per_hour", paid.missed)))


def _of_ceilings(case: Case, short: Shortage) -> list[Cause]:
    """What paced ceilings have to do with the counts, in sentences."""
    paced = next((pace for pace in case.paces if pace.ceiling.period is short.by_ceiling), None)
    causes = [Cause("CeilingPaced", paced.text, paced.numbers)] if paced else []
    return [*causes, *([Cause("CeilingWaived", short.waived)] if short.waived else [])]


def _settle(
    case: Case,
    plan: VariantPlan,
    causes: list[Cause],
    steady: dict[str, int],
    within: tuple[dict[str, int], Period | None],
) -> VariantDecision:
    """One variant's count within steps and bounds, and the bound that held it.

    `within` are the counts that ceilings allow, and the period of the one that cut them.
    """
    (allowed, by_ceiling), name = within, plan.variant.name
    current, ready = plan.state.replicas, plan.state.ready
    if plan.fixed or case.observation.state.problem:
        off = plan.state.exists and plan.state.scalable and not plan.state.contender and not current
        text = "the target was scaled to zero by hand; scale it to 1, or declare scaling.scaleToZero to have it woken"
        zero = Cause("ScaledToZero", text)
        return VariantDecision(
            name, current, current, ready, (zero,) if off else tuple(causes), "zero" if off else "target"
        )
    target, limited = _stepped(case, current, allowed[name])
    if not limited and allowed[name] < min(steady[name], plan.variant.max_replicas):
        limited = f"cost.ceilings[{by_ceiling}]"
    if (case.situation.trust.problem or case.situation.trust.partial) and target < current:
        target, limited = current, ""
    if target < plan.variant.min_replicas:
        target, limited = plan.variant.min_replicas, "minReplicas"
    if target > plan.variant.max_replicas or (steady[name] > plan.variant.max_replicas == target):
        target, limited = plan.variant.max_replicas, "maxReplicas"
    return VariantDecision(name, current, target, ready, tuple(causes), limited)


def _stepped(case: Case, current: int, target: int) -> tuple[int, str]:
    """The target within the user's largest steps, and the field that cut it."""
    up, down = case.spec.scaling.up_max_step, case.spec.scaling.down_max_step
    if up is not None and target > current + up:
        return current + up, "scaling.up.maxStep"
    if down is not None and target < current - down:
        return current - down, "scaling.down.maxStep"
    return target, ""
