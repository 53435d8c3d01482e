"""What the demand and the objectives ask for, before any bound; and why."""

import math

from flyball.core.decision import Cause
from flyball.core.fleet.case import Case, drain_seconds, floored
from flyball.core.fleet.economics import Stakes
from flyball.core.fleet.experience import LOW_LOAD
from flyball.core.fleet.sizing import carried_by, cheapest_mix
from flyball.core.memory import Memory, Plan
from flyball.core.names import GpuVerdict
from flyball.core.service.stages import because
from flyball.core.told.causes import demand_cause, gpu_text, spot_cause, starved_text
from flyball.core.traffic.demand import Situation
from flyball.core.units import conjoin, counted
from flyball.core.values import dataclass

# The share of the fleet (one replica at least) that a breached objective asks for where the model asks for nothing.
BURN_STEP = 0.25


@dataclass(frozen=True, slots=True)
class Asked:
    """Replicas per variant, with the reasons; `plan` is the newest, None where none was ever made.

    `stakes` are what the plan alone asks for by; None where something else asks as well, or nothing is known.
    """

    counts: dict[str, int]
    causes: list[Cause]
    stakes: Stakes | None
    plan: Plan | None


def asked(case: Case, memory: Memory) -> Asked:
    """What the demand and the objectives ask for."""
    situation, plans = case.situation, case.plans
    held = {
        p.variant.name: p.state.replicas if p.fixed else max(p.state.replicas, p.variant.min_replicas) for p in plans
    }
    if situation.trust.problem:
        text = f"telemetry cannot be trusted, so nothing is removed: {situation.trust.problem}"
        return Asked(held, [Cause("TelemetryHold", text)], None, memory.plan)
    if situation.gpu.verdict is GpuVerdict.STARVED:
        return Asked(held, [Cause("Starved", starved_text(situation))], None, memory.plan)
    drain = situation.waiting / drain_seconds(case)  # requests/s carried beside the arrivals, to drain the queue
    stakes = _stakes(case, drain)
    needs, plan = held, memory.plan
    causes: list[Cause] = []
    if stakes is not None:
        needs, causes, plan = _demanded(case, stakes, drain, plan)
    causes += [
        Cause("SlowElsewhere", f"{o.name} is {text}")
        for o in case.objectives
        if o.elsewhere and (text := because(o, case.observation.signals))
    ]
    if case.burning:
        needs, cause = _burn_step(case, needs, case.settled(memory))
        causes.append(cause)
    if situation.gpu.verdict is GpuVerdict.SATURATED:
        needs = floored(plans, needs)
        causes.append(Cause("Saturated", f"GPUs are saturated ({gpu_text(situation)}), so none is removed"))
    if situation.trust.partial:
        needs = floored(plans, needs)
        causes.append(Cause("PartialTelemetry", f"nothing is removed: {situation.trust.partial}"))
    if situation.gpu.verdict is GpuVerdict.IDLE and not case.burning:
        causes.append(Cause("Idle", f"GPUs are idle ({gpu_text(situation)})"))
    overruled = case.burning or situation.trust.partial or situation.gpu.verdict is GpuVerdict.SATURATED
    return Asked(needs, causes, None if overruled else stakes, plan)


def _stakes(case: Case, drain: float) -> Stakes | None:
    """What may arrive and what a miss costs; None where that, or what a replica carries, is unknown."""
    situation = case.situation
    if situation.outlook is None or not any(situation.capacities):
        return None
    insured = situation.outlook.quantile(case.spec.scaling.max_insurance)
    headroom = 1.0 + case.spec.scaling.headroom
    rates = tuple((min(rate, insured) + drain) * headroom for rate in situation.outlook.rates)
    return Stakes(rates, situation.outlook.masses, situation.curve, situation.price)


def _demanded(case: Case, stakes: Stakes, drain: float, kept: Plan | None) -> tuple[dict[str, int], list[Cause], Plan]:
    """What the outlook asks for."""
    situation, plans = case.situation, case.plans
    needs, plan = cheapest_mix(plans, stakes, kept)
    ready = {p.variant.name: min(p.state.ready, needs[p.variant.name]) for p in plans}
    if len(plans) > 1 and carried_by(plans, ready, situation.curve) < (situation.demand or 0.0):
        needs = floored(plans, needs)  # one variant makes room for another only once that one serves
    insured = situation.outlook.quantile(case.spec.scaling.max_insurance) if situation.outlook else 0.0
    cause = demand_cause(situation, insured, drain)
    return needs, [cause, *map(spot_cause, (each for each in plans if each.risk))], plan


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
    floors = floored(plans, needs)
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


def _lightly_loaded(case: Case) -> bool:
    """Whether the load is so far below what the ready replicas carry that more of them would change nothing."""
    ready = {plan.variant.name: plan.state.ready for plan in case.plans}
    carried = carried_by(case.plans, ready, case.situation.curve)
    return case.situation.demand is not None and case.situation.demand < LOW_LOAD * carried


def _gpus_would_help(situation: Situation) -> bool:
    infeasible = any(c.infeasible for c in situation.capacities if c)
    verdicts = (GpuVerdict.SATURATED, GpuVerdict.EFFICIENT, GpuVerdict.UNKNOWN)
    return situation.gpu.verdict in verdicts and not (infeasible and situation.gpu.verdict is not GpuVerdict.SATURATED)
