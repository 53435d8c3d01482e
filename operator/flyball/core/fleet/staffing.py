"""From a situation to replicas per variant: what is needed, what steadiness and ceilings leave of it, and why.

Needs come first, unbounded; then they are steadied over their holds, bounded by the maximum and by cost ceilings, and
last comes what must not happen to what runs: no step above the user's, nothing removed on bad data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from flyball.core.decision import Cause, ObjectiveReport, VariantDecision
from flyball.core.fleet.economics import Stakes
from flyball.core.fleet.experience import LOW_LOAD
from flyball.core.fleet.patience import ripe
from flyball.core.fleet.sizing import (
    Needs,
    VariantPlan,
    carried_by,
    cheapest_mix,
    choices_among,
    hold_seconds,
    remember_need,
    startup_seconds,
    steadied,
)
from flyball.core.fleet.zero import Zero
from flyball.core.memory import Foregone, Memory
from flyball.core.money import ceilings
from flyball.core.money.pacing import Pace
from flyball.core.money.toll import Toll, toll
from flyball.core.names import GpuVerdict, Period, Precedence
from flyball.core.observation import Observation, VariantState
from flyball.core.routing import overflow
from flyball.core.service import slo
from flyball.core.service.stages import because
from flyball.core.spec import Variant, WorkloadSpec
from flyball.core.told.causes import demand_cause, gpu_text, spot_cause, starved_text
from flyball.core.traffic.demand import Situation
from flyball.core.units import conjoin, counted

# The share of the fleet (one replica at least) that a breached objective asks for where the model asks for nothing.
BURN_STEP = 0.25
# A waiting queue is drained within this time at the latest, however long a replica takes to start, and within the
# shortest at the earliest: what a shorter one would ask for is idle as soon as it is there.
SHORTEST_DRAIN_SECONDS, LONGEST_DRAIN_SECONDS = 30.0, 300.0


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


@dataclass(frozen=True, slots=True)
class Case:
    """All that sizing looks at in one tick."""

    spec: WorkloadSpec
    observation: Observation
    situation: Situation
    objectives: tuple[ObjectiveReport, ...]
    plans: tuple[VariantPlan, ...]
    paces: tuple[Pace, ...] = ()

    @property
    def burning(self) -> list[str]:
        """The objectives that spend their budget too fast, as announced, and that replicas can do something for."""
        return [o.name for o in self.objectives if o.state in (slo.BREACHED, slo.BURNING) and not o.elsewhere]

    @property
    def breached(self) -> bool:
        """Whether one of them is missed over more than the shortest window."""
        return any(o.state == slo.BREACHED and not o.elsewhere for o in self.objectives)

    @property
    def burns_now(self) -> bool:
        """Whether one of them does so beyond doubt in the shortest window."""
        return any(o.burns_now and not o.elsewhere for o in self.objectives)

    def settled(self, memory: Memory) -> bool:
        """Whether the last change of ready replicas had the time to show its effect.

        That is a telemetry window while requests wait; without a queue two, since what burns then may be the queue that
        the change has drained and the window still remembers.
        """
        windows = 1.0 if self.situation.waiting > 0 else 2.0
        changed = max((memory.variant(plan.variant.name).ready_changed_at for plan in self.plans), default=0.0)
        return self.observation.at - changed >= windows * self.observation.signals.window_seconds


def _spare(variant: Variant, spec: WorkloadSpec, states: tuple[VariantState, ...]) -> bool:
    """Whether a variant that Flyball scales, other than this one, always keeps a replica."""
    others = zip(spec.variants, states, strict=True)
    return any(v.min_replicas > 0 and s.manageable for v, s in others if v.name != variant.name)


def case_of(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    states: tuple[VariantState, ...],
) -> Case:
    """What sizing looks at."""
    wakes = spec.scaling.to_zero is not None
    risks = situation.risks or (0.0,) * len(states)
    plans = tuple(
        VariantPlan(variant, state, capacity, wakes, risk, _spare(variant, spec, states))
        for variant, state, capacity, risk in zip(spec.variants, states, situation.capacities, risks, strict=True)
    )
    return Case(spec, observation, situation, objectives, plans)


def size(case: Case, zero: Zero, memory: Memory) -> tuple[Sizing, Memory]:
    """The replicas of every variant, and the memory with the needs that led to them."""
    if zero.counts is not None and zero.cause is not None:
        return _by_zero(case, zero.counts, zero.cause, memory)
    needs, causes, stakes = _needs(case, memory)
    remembered = {p.variant.name: _remembered(case, p, needs[p.variant.name], memory) for p in case.plans}
    steady = {p.variant.name: _steady(case, p, remembered[p.variant.name]) for p in case.plans}
    holds = {p.variant.name: _hold_cause(case, p, needs, steady) for p in case.plans}
    memory, steady, patience = _patient(case, stakes, steady, memory)
    causes += patience
    allowed, lasting = _allowed(case, steady)
    _, now = _allowed(case, needs)
    paid = _toll(case, steady, allowed) if lasting.by_ceiling else None
    causes += [*_of_ceilings(case, lasting), *([_of_toll(paid)] if paid else [])]
    variants = tuple(
        _settle(case, plan, [*causes, *holds[plan.variant.name]], steady, (allowed, lasting.by_ceiling))
        for plan in case.plans
    )
    serving = {v.name: min(v.ready, v.desired) for v in variants}
    demand, waiting = case.situation.demand, case.situation.waiting
    known_capacity = any(capacity is not None for capacity in case.situation.capacities)
    carried = carried_by(case.plans, serving, case.situation.curve) if known_capacity else None
    carries_all = demand is not None and carried is not None and carried >= demand
    missing = overflow.needed(demand, waiting, _drain_seconds(case), carried)
    known = tuple(replace(memory.variant(name), needs=entries) for name, entries in remembered.items())
    wanted = ceilings.per_hour(case.plans, _within_maxima(case, steady))
    return Sizing(variants, now, lasting, carries_all, wanted, missing, paid), replace(memory, variants=known)


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


def _needs(case: Case, memory: Memory) -> tuple[dict[str, int], list[Cause], Stakes | None]:
    """Replicas per variant that the demand and the objectives ask for, before any bound, with the reasons; and the
    stakes where nothing but the plan asks for them.
    """
    situation, plans = case.situation, case.plans
    held = {
        p.variant.name: p.state.replicas if p.fixed else max(p.state.replicas, p.variant.min_replicas) for p in plans
    }
    if situation.trust.problem:
        text = f"telemetry cannot be trusted, so nothing is removed: {situation.trust.problem}"
        return held, [Cause("TelemetryHold", text)], None
    if situation.gpu.verdict is GpuVerdict.STARVED:
        return held, [Cause("Starved", starved_text(situation))], None
    stakes = _stakes(case)
    needs, causes = (held, []) if stakes is None else _demanded(case, stakes)
    causes += [
        Cause("SlowElsewhere", f"{o.name} is {text}")
        for o in case.objectives
        if o.elsewhere and (text := because(o, case.observation.signals))
    ]
    if case.burning:
        needs, cause = _burn_step(case, needs, case.settled(memory))
        causes.append(cause)
    if situation.gpu.verdict is GpuVerdict.SATURATED:
        needs = _floored(plans, needs)
        causes.append(Cause("Saturated", f"GPUs are saturated ({gpu_text(situation)}), so none is removed"))
    if situation.trust.partial:
        needs = _floored(plans, needs)
        causes.append(Cause("PartialTelemetry", f"nothing is removed: {situation.trust.partial}"))
    if situation.gpu.verdict is GpuVerdict.IDLE and not case.burning:
        causes.append(Cause("Idle", f"GPUs are idle ({gpu_text(situation)})"))
    overruled = case.burning or situation.trust.partial or situation.gpu.verdict is GpuVerdict.SATURATED
    return needs, causes, None if overruled else stakes


def _stakes(case: Case) -> Stakes | None:
    """What may arrive and what a miss costs; None where that, or what a replica carries, is unknown."""
    situation = case.situation
    if situation.outlook is None or not any(situation.capacities):
        return None
    insured = situation.outlook.quantile(case.spec.scaling.max_insurance)
    drain, kept = _drain(case), 1.0 + case.spec.scaling.headroom
    rates = tuple((min(rate, insured) + drain) * kept for rate in situation.outlook.rates)
    return Stakes(rates, situation.outlook.masses, situation.curve, situation.price)


def _demanded(case: Case, stakes: Stakes) -> tuple[dict[str, int], list[Cause]]:
    """What the outlook asks for."""
    situation, plans = case.situation, case.plans
    needs = cheapest_mix(plans, stakes)
    ready = {p.variant.name: min(p.state.ready, needs[p.variant.name]) for p in plans}
    if len(plans) > 1 and carried_by(plans, ready, situation.curve) < (situation.demand or 0.0):
        needs = _floored(plans, needs)  # one variant makes room for another only once that one serves
    insured = situation.outlook.quantile(case.spec.scaling.max_insurance) if situation.outlook else 0.0
    cause = demand_cause(situation, insured, _drain(case))
    return needs, [cause, *map(spot_cause, (plan for plan in plans if plan.risk))]


def _drain(case: Case) -> float:
    """Requests per second that are carried beside the arrivals, to drain the queue."""
    return case.situation.waiting / _drain_seconds(case)


def _patient(
    case: Case, stakes: Stakes | None, steady: dict[str, int], memory: Memory
) -> tuple[Memory, dict[str, int], list[Cause]]:
    """The steadied counts, or those that run where the change is not worth making yet; and the reason then."""
    running = {p.variant.name: p.state.replicas for p in case.plans}
    raised = any(not p.fixed and p.state.replicas < p.variant.min_replicas for p in case.plans)
    choices, stakes = choices_among(case.plans, stakes) if stakes and steady != running else ([], None)
    if stakes is None or not choices or raised:
        return replace(memory, foregone=Foregone()), steady, []
    window = case.observation.signals.window_seconds
    worth, foregone = ripe(choices, stakes, steady, case.observation.at, window, memory.foregone)
    memory = replace(memory, foregone=foregone)
    if worth:
        return memory, steady, []
    return memory, running, [Cause("NotWorthAChange", "what another count would gain is not worth a change yet")]


def _drain_seconds(case: Case) -> float:
    """Within what time a waiting queue is to be drained."""
    startup = max(startup_seconds(p.variant, p.state) for p in case.plans)
    return min(LONGEST_DRAIN_SECONDS, max(startup, SHORTEST_DRAIN_SECONDS))


def _floored(plans: Sequence[VariantPlan], needs: dict[str, int]) -> dict[str, int]:
    return {p.variant.name: max(needs[p.variant.name], p.state.replicas) for p in plans}


def _burn_step(case: Case, needs: dict[str, int], settled: bool) -> tuple[dict[str, int], Cause]:
    """What burning objectives ask for beside the demand: nothing goes; and where the outlook asks for no more although
    they are breached, users outrank the model: one step up, unless GPUs would not help or the last step has not shown
    its effect yet.
    """
    situation, plans = case.situation, case.plans
    several = len(case.burning) > 1
    text = f"{conjoin(case.burning)} {'burn their error budgets' if several else 'burns its error budget'}"
    seen = gpu_text(situation)
    if not _gpus_would_help(situation):
        infeasible = next((c.infeasible for c in situation.capacities if c and c.infeasible), "")
        idle = "the GPUs are idle" if situation.gpu.verdict is GpuVerdict.IDLE else "the GPUs have headroom"
        why = f"no number of replicas can meet {infeasible}" if infeasible else idle
        return needs, Cause("GPUsWouldNotHelp", f"{text}, but {why} ({seen})")
    if situation.gpu.verdict is not GpuVerdict.SATURATED and _lightly_loaded(case):
        return needs, Cause("GPUsWouldNotHelp", f"{text}, but replicas carry less than half of what they can ({seen})")
    floors = _floored(plans, needs)
    if any(floors[p.variant.name] > p.state.replicas for p in plans):
        return floors, Cause("SLOBurning", f"{text} ({seen}); more are asked for")
    coming = sum(max(0, p.state.replicas - p.state.ready) for p in plans)
    free = [p for p in plans if not p.fixed and p.state.replicas < p.variant.max_replicas]
    if coming or not settled:
        awaited = f"{counted(coming, 'replica')} on the way" if coming else "the last change to show its effect"
        return floors, Cause("SLOBurning", f"{text} ({seen}); waiting for {awaited}")
    if not (case.breached and case.burns_now) or not free:
        why = "every target is at its maximum" if not free else "not for long enough to outrank the model"
        return floors, Cause("SLOBurning", f"{text} ({seen}); {why}")
    cheapest = min(free, key=lambda plan: plan.dollars_per_request_rate)
    name, replicas = cheapest.variant.name, cheapest.state.replicas
    step = max(1, math.ceil(BURN_STEP * replicas))
    return {**floors, name: replicas + step}, Cause("SLOBurning", f"{text} ({seen}); {step} more than now")


def _remembered(case: Case, plan: VariantPlan, need: int, memory: Memory) -> Needs:
    """The variant's needs within its holds. What ran before the first look was needed then, for all that is known."""
    if plan.fixed or case.observation.state.problem:
        return ()
    at = case.observation.at
    known = memory.variant(plan.variant.name).needs or ((at - 1e-3, plan.state.replicas),)
    return remember_need(known, at, need, max(_down_hold(case, plan), case.spec.scaling.up_stabilization_seconds))


def _steady(case: Case, plan: VariantPlan, needs: Needs) -> int:
    if not needs:
        return plan.state.replicas
    up_hold = case.spec.scaling.up_stabilization_seconds
    steady = steadied(needs, plan.state.replicas, _down_hold(case, plan), up_hold)
    # Before a forecast has come due once, nothing is known of how fast this load rises again.
    return steady if case.situation.foreseen else max(steady, plan.state.replicas)


def _hold_cause(case: Case, plan: VariantPlan, needs: dict[str, int], steady: dict[str, int]) -> list[Cause]:
    """Why replicas that are not needed now stay."""
    name = plan.variant.name
    if plan.fixed or case.observation.state.problem or not needs[name] < steady[name] <= plan.state.replicas:
        return []
    were = "was" if steady[name] == 1 else "were"
    text = f"{counted(steady[name], 'replica')} {were} needed within the last {_down_hold(case, plan):.0f} s; "
    return [Cause("Stabilizing", f"{text}waiting it out")]


def _down_hold(case: Case, plan: VariantPlan) -> float:
    startup = startup_seconds(plan.variant, plan.state)
    idle = case.situation.gpu.verdict is GpuVerdict.IDLE
    return hold_seconds(case.spec.scaling.down_stabilization_seconds, startup, idle)


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
    return toll(case.plans, _within_maxima(case, counts), allowed, case.situation.demand, case.situation.curve)


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


def _lightly_loaded(case: Case) -> bool:
    """Whether the load is so far below what the ready replicas carry that more of them would change nothing."""
    ready = {plan.variant.name: plan.state.ready for plan in case.plans}
    carried = carried_by(case.plans, ready, case.situation.curve)
    return case.situation.demand is not None and case.situation.demand < LOW_LOAD * carried


def _gpus_would_help(situation: Situation) -> bool:
    infeasible = any(c.infeasible for c in situation.capacities if c)
    verdicts = (GpuVerdict.SATURATED, GpuVerdict.EFFICIENT, GpuVerdict.UNKNOWN)
    return situation.gpu.verdict in verdicts and not (infeasible and situation.gpu.verdict is not GpuVerdict.SATURATED)
