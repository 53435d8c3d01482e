"""The decision: `decide(spec, observation, memory) -> (Decision, memory)`, pure and total.

The laws, in the order in which they win: never above a maximum; never down on bad or partial data; never down while
the GPUs are saturated; a ceiling clamps where the user gave it precedence; demand and objectives raise; needs are
remembered for as long as a replica takes to come back before one goes.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from decimal import Decimal

from flyball.core import cost, fallback, roi, slo
from flyball.core.decision import Cause, Decision, FallbackReport, ObjectiveReport, RoiReport, VariantDecision
from flyball.core.demand import Situation, assess
from flyball.core.memory import Memory
from flyball.core.names import Enforcement, GpuVerdict, Mode, Period, Precedence
from flyball.core.observation import Observation, VariantState
from flyball.core.report import Findings, conclude
from flyball.core.sizing import (
    VariantPlan,
    carried,
    clamp_to_ceiling,
    hold_seconds,
    remember_need,
    spread,
    startup_seconds,
)
from flyball.core.spec import WorkloadSpec

# Burn-rate feedback: each look at a burning objective staffs for 15% more, up to 1.6 times what the model asks for, and
# each quiet one gives 5% back. Above that the model is not too lean but wrong, and the fit must move.
TRIM_UP, TRIM_DOWN, TRIM_MOST = 1.15, 0.95, 1.6
# The share of the fleet (one replica at least) that a burning objective asks for beyond what is serving.
BURN_STEP = 0.25
# A replica goes only if the rest would carry this much more than the demand: without it noise at the edge flaps.
DOWN_MARGIN = 1.1
# A waiting queue is drained within this time at the latest, however long a replica takes to start.
LONGEST_DRAIN_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Sizing:
    """Replicas per variant with what held them, and whether more was needed than was allowed."""

    variants: tuple[VariantDecision, ...]
    wanted: int
    allowed: int
    ceiling_bound: bool
    carries_all: bool


def decide(spec: WorkloadSpec, observation: Observation, memory: Memory) -> tuple[Decision, Memory]:
    """One workload's decision at `observation.at`, and what to remember of it. Raises nothing."""
    at = observation.at
    memory = replace(memory, generation=spec.generation, started_at=memory.started_at or at)
    states = tuple(observation.state.variant(v.name) for v in spec.variants)
    situation, memory = assess(spec, observation, memory)
    objectives = tuple(
        slo.report(o, observation.signals.objective(o.name), memory.state(f"objective/{o.name}"))
        for o in spec.objectives
    )
    memory = _trimmed(objectives, situation, states, observation, memory)
    sizing, memory = _size(spec, observation, situation, objectives, states, memory)
    memory = _fall_back(spec, observation, situation, objectives, sizing, memory)
    longest = max([t.window_seconds for t in spec.roi_targets], default=0.0)
    per_hour = cost.hourly(spec.variants, states)
    moved = (situation.demand or 0.0) * memory.fallback.share if memory.fallback.active else 0.0
    rate = cost.overflow_rate(spec.fallback, at, per_hour or Decimal(0), moved)
    memory = replace(memory, spend=cost.spend(memory.spend, rate, max(3600.0, longest)))
    findings = Findings(
        spec=spec,
        observation=observation,
        states=states,
        situation=situation,
        objectives=objectives,
        variants=sizing.variants,
        wanted=sizing.wanted,
        allowed=sizing.allowed,
        ceiling_bound=sizing.ceiling_bound,
        per_hour=per_hour,
        roi=_roi(spec, observation, memory),
        fallback=_fallback_report(spec, memory),
        blocked=fallback.blocked(spec.fallback, observation.state.routes) if spec.fallback else "",
        conflict=any(fallback.conflict(route) for route in observation.state.routes),
    )
    conditions, events, cost_report, summary, states_now = conclude(findings, memory)
    decision = Decision(
        id=decision_id(spec, at),
        key=spec.key,
        at=at,
        mode=spec.mode,
        variants=sizing.variants,
        routes=fallback.decisions(observation.state.routes, memory.fallback) if spec.fallback else (),
        conditions=conditions,
        events=events,
        objectives=objectives,
        gpu=situation.gpu,
        cost=cost_report,
        roi=findings.roi,
        fallback=findings.fallback,
        summary=summary,
        arrivals_per_second=situation.demand,
        capacity_per_replica=next((c.requests_per_second for c in situation.capacities if c), None),
    )
    return decision, replace(memory, states=states_now)


def decision_id(spec: WorkloadSpec, at: float) -> str:
    """The same for the same object, generation and time: a record can be found from its log line and back."""
    return hashlib.sha256(f"{spec.uid}/{spec.generation}/{at:.3f}".encode()).hexdigest()[:12]


def _trimmed(
    objectives: tuple[ObjectiveReport, ...],
    situation: Situation,
    states: tuple[VariantState, ...],
    observation: Observation,
    memory: Memory,
) -> Memory:
    """The headroom trim after this look at the burn rates.

    Anti-windup: it grows only when what was asked for is serving, had a window to show its effect, and could help.
    """
    window = observation.signals.window_seconds
    if situation.trust.problem or observation.at - memory.trimmed_at < window:
        return memory
    if any(o.state in (slo.BREACHED, slo.BURNING) for o in objectives):
        settled = all(observation.at - memory.variant(s.name).ready_changed_at >= window for s in states)
        arrived = all(s.starting == 0 and s.unschedulable == 0 and s.ready >= s.replicas for s in states)
        if not (settled and arrived and _gpus_would_help(situation)):
            return memory
        trim = min(TRIM_MOST, memory.trim * TRIM_UP)
    else:
        trim = max(1.0, memory.trim * TRIM_DOWN)
    return replace(memory, trim=trim, trimmed_at=observation.at)


def _gpus_would_help(situation: Situation) -> bool:
    infeasible = any(c.infeasible for c in situation.capacities if c)
    verdicts = (GpuVerdict.SATURATED, GpuVerdict.EFFICIENT, GpuVerdict.UNKNOWN)
    return situation.gpu.verdict in verdicts and not (infeasible and situation.gpu.verdict is not GpuVerdict.SATURATED)


def _size(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    states: tuple[VariantState, ...],
    memory: Memory,
) -> tuple[Sizing, Memory]:
    plans = tuple(VariantPlan(*parts) for parts in zip(spec.variants, states, situation.capacities, strict=True))
    needs, causes = _needs(spec, observation, situation, objectives, plans, memory)
    ceiling = spec.ceiling(Period.HOUR)
    clamping = ceiling is not None and ceiling.enforcement is not Enforcement.ALERT
    yielding = clamping and spec.precedence is Precedence.SLO and any(o.state == slo.BREACHED for o in objectives)
    bounded = {p.variant.name: min(p.variant.max_replicas, needs[p.variant.name]) for p in plans}
    clamped = clamp_to_ceiling(bounded, plans, ceiling.amount) if ceiling and clamping and not yielding else bounded
    decisions, memories = [], []
    for plan in plans:
        decision, remembered = _settle(spec, observation, situation, plan, needs, clamped, causes, memory)
        decisions.append(decision)
        memories.append(remembered)
    desired = {d.name: d.desired for d in decisions}
    ready = {s.name: s.ready for s in states}
    sizing = Sizing(
        variants=tuple(decisions),
        wanted=sum(needs.values()),
        allowed=sum(min(clamped[name], needs[name]) for name in needs),
        ceiling_bound=any(clamped[name] < bounded[name] for name in needs),
        carries_all=situation.demand is not None
        and carried(plans, {n: min(ready[n], desired[n]) for n in desired}) >= situation.demand * memory.trim,
    )
    memory = replace(memory, variants=tuple(replace(memory.variant(m[0]), needs=m[1]) for m in memories))
    return sizing, memory


def _needs(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    plans: tuple[VariantPlan, ...],
    memory: Memory,
) -> tuple[dict[str, int], list[Cause]]:
    """Replicas per variant that the demand and the objectives ask for, before any bound, with the reasons."""
    held = {p.variant.name: max(p.state.replicas, p.variant.min_replicas) for p in plans}
    if situation.trust.problem:
        return held, [
            Cause("TelemetryHold", f"telemetry cannot be trusted, so nothing is removed: {situation.trust.problem}")
        ]
    if situation.gpu.verdict is GpuVerdict.STARVED:
        return held, [Cause("Starved", _starved_text(situation))]
    causes: list[Cause] = []
    needs = held
    if situation.demand is not None and any(c for c in situation.capacities):
        startup = max(startup_seconds(p.variant, p.state) for p in plans)
        drain = situation.waiting / min(LONGEST_DRAIN_SECONDS, max(startup, 30.0))
        staffed = (situation.demand + drain) * memory.trim * (1.0 + spec.scaling.headroom)
        needs = spread(staffed, plans)
        fewer = spread(staffed * DOWN_MARGIN, plans)
        needs = {
            p.variant.name: needs[p.variant.name]
            if needs[p.variant.name] >= p.state.replicas
            else min(p.state.replicas, fewer[p.variant.name])
            for p in plans
        }
        causes.append(_demand_cause(situation, plans, staffed, drain, memory.trim))
    burning = [o.name for o in objectives if o.state in (slo.BREACHED, slo.BURNING)]
    if burning:
        window = observation.signals.window_seconds
        settled = all(observation.at - memory.variant(p.variant.name).ready_changed_at >= window for p in plans)
        needs, cause = _burn_step(burning, situation, plans, needs, settled)
        causes.append(cause)
    if situation.gpu.verdict is GpuVerdict.SATURATED or situation.trust.partial:
        needs = {p.variant.name: max(needs[p.variant.name], p.state.replicas) for p in plans}
        text = situation.trust.partial or f"GPUs are saturated ({_gpu_text(situation)}), so none is removed"
        causes.append(Cause("PartialTelemetry" if situation.trust.partial else "Saturated", text))
    if situation.gpu.verdict is GpuVerdict.IDLE and not burning:
        causes.append(Cause("Idle", f"GPUs are idle ({_gpu_text(situation)})"))
    return needs, causes


def _burn_step(
    burning: list[str],
    situation: Situation,
    plans: tuple[VariantPlan, ...],
    needs: dict[str, int],
    settled: bool,
) -> tuple[dict[str, int], Cause]:
    """One step up for burning objectives, unless GPUs would not help or the last step has not shown its effect yet."""
    names = " and ".join(burning)
    if not _gpus_would_help(situation):
        infeasible = next((c.infeasible for c in situation.capacities if c and c.infeasible), "")
        why = (
            f"no replica count can meet {infeasible}" if infeasible else f"the GPUs are {situation.gpu.verdict.lower()}"
        )
        return needs, Cause("GPUsWouldNotHelp", f"{names} burns its error budget, but {why} ({_gpu_text(situation)})")
    floors = {p.variant.name: max(needs[p.variant.name], p.state.replicas) for p in plans}
    coming = sum(max(0, p.state.replicas - p.state.ready) for p in plans)
    text = f"{names} burns its error budget ({_gpu_text(situation)})"
    if coming or not settled:
        waiting_for = f"{coming} replicas on their way" if coming else "the last change to show its effect"
        return floors, Cause("SLOBurning", f"{text}; waiting for {waiting_for}")
    cheapest = min(plans, key=lambda plan: plan.dollars_per_request_rate)
    name, replicas = cheapest.variant.name, cheapest.state.replicas
    step = max(1, math.ceil(BURN_STEP * replicas))
    return {**floors, name: max(floors[name], replicas + step)}, Cause("SLOBurning", f"{text}; {step} more than now")


def _settle(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    plan: VariantPlan,
    needs: dict[str, int],
    clamped: dict[str, int],
    causes: list[Cause],
    memory: Memory,
) -> tuple[VariantDecision, tuple[str, tuple[tuple[float, int], ...]]]:
    """One variant's count after stabilization, steps and bounds, and the needs to remember."""
    name, variant, state = plan.variant.name, plan.variant, plan.state
    behaviour, at = spec.scaling, observation.at
    reasons = list(causes)
    if not state.exists or not state.scalable or state.contender or observation.state.problem:
        return VariantDecision(name, state.replicas, state.replicas, state.ready, tuple(reasons), "target"), (name, ())
    if state.replicas == 0 and variant.min_replicas == 0:
        off = Cause("ScaledToZero", "the target was scaled to zero, and scale from zero is not acted on yet")
        return VariantDecision(name, 0, 0, 0, (off,), "zero"), (name, ())
    need = needs[name]
    startup = startup_seconds(variant, state)
    hold = hold_seconds(behaviour.down_stabilization_seconds, startup, situation.gpu.verdict is GpuVerdict.IDLE)
    known = memory.variant(name).needs or ((at - 1e-3, state.replicas),)
    remembered = remember_need(known, at, need, hold)
    highest = max(n for _, n in remembered)
    target, limited = min(clamped[name], need), ""
    if target < state.replicas and need < state.replicas and highest > need:
        target = min(state.replicas, max(target, highest))
        reasons.append(
            Cause("Stabilizing", f"{highest} replicas were needed within the last {hold:.0f} s; waiting it out")
        )
    if behaviour.up_max_step is not None and target > state.replicas + behaviour.up_max_step:
        target, limited = state.replicas + behaviour.up_max_step, "scaling.up.maxStep"
    if behaviour.down_max_step is not None and target < state.replicas - behaviour.down_max_step:
        target, limited = state.replicas - behaviour.down_max_step, "scaling.down.maxStep"
    if situation.trust.problem or situation.trust.partial:
        target = max(target, state.replicas)
    if clamped[name] < min(need, variant.max_replicas) and target <= clamped[name]:
        limited = "cost.ceilings[Hour]"
    if target < variant.min_replicas:
        target, limited = variant.min_replicas, "minReplicas"
    if target > variant.max_replicas or (need > variant.max_replicas and target == variant.max_replicas):
        target, limited = variant.max_replicas, "maxReplicas"
    return VariantDecision(name, state.replicas, target, state.ready, tuple(reasons), limited), (name, remembered)


def _fall_back(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    sizing: Sizing,
    memory: Memory,
) -> Memory:
    if spec.fallback is None:
        return memory
    routes = observation.state.routes
    inputs = fallback.FallbackInputs(
        at=observation.at,
        trigger=_trigger(spec, observation, situation, objectives, sizing),
        relieved=sizing.carries_all and not fallback.primary_down(routes),
        acting=spec.mode is Mode.AUTO,
    )
    return replace(memory, fallback=fallback.step(spec.fallback, routes, inputs, memory.fallback))


def _trigger(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    sizing: Sizing,
) -> str:
    """Why traffic should overflow, in a sentence; empty where it need not. Bad telemetry moves no traffic."""
    declared = spec.fallback
    if declared is None or observation.state.problem:
        return ""
    if fallback.primary_down(observation.state.routes):
        return "the primary backend has no ready endpoint"
    if situation.trust.problem:
        return ""
    short = sizing.wanted - sizing.allowed
    lacking = sum(observation.state.variant(v.name).unschedulable for v in spec.variants)
    if declared.on_ceiling and sizing.ceiling_bound and short > 0:
        return f"the hourly ceiling allows {sizing.allowed} of the {sizing.wanted} replicas needed"
    if declared.on_capacity and situation.gpu.verdict is GpuVerdict.SATURATED and (short > 0 or lacking):
        why = (
            f"{lacking} pods find no GPU"
            if lacking
            else f"maxReplicas allow {sizing.allowed} of {sizing.wanted} needed"
        )
        return f"the GPUs are saturated and {why}"
    breached = [o.name for o in objectives if o.state == slo.BREACHED]
    if declared.on_objectives and breached:
        return f"{' and '.join(breached)} is breached"
    return ""


def _fallback_report(spec: WorkloadSpec, memory: Memory) -> FallbackReport | None:
    if spec.fallback is None:
        return None
    state = memory.fallback
    return FallbackReport(
        "Fallback" if state.active else "Primary", state.share if state.active else 0.0, state.since, state.cause
    )


def _roi(spec: WorkloadSpec, observation: Observation, memory: Memory) -> tuple[RoiReport, ...]:
    completions = dict(observation.signals.completions)
    covered = observation.at - (memory.started_at if memory.started_at is not None else observation.at)
    found = (
        roi.judge(
            target,
            spec.value_per_request,
            completions.get(target.window_seconds),
            memory.spend,
            observation.at,
            memory.state(f"roi/{target.name}"),
            covered,
        )
        for target in spec.roi_targets
    )
    return tuple(report for report in found if report is not None)


def _demand_cause(
    situation: Situation, plans: tuple[VariantPlan, ...], staffed: float, drain: float, trim: float
) -> Cause:
    capacity = next(c for c in situation.capacities if c)
    text = f"{situation.demand or 0.0:.2f} requests/s arrive"
    if drain > 0:
        text += f" and {situation.waiting:.0f} wait"
    text += f"; staffed for {staffed:.2f}; one replica carries {capacity.requests_per_second:.2f}"
    text += f" (bound by {capacity.bound})"
    numbers = (
        ("arrivals_per_second", situation.demand or 0.0),
        ("waiting", situation.waiting),
        ("staffed_per_second", staffed),
        ("capacity_per_replica", capacity.requests_per_second),
        ("trim", trim),
        ("ready", float(sum(p.state.ready for p in plans))),
    )
    return Cause("Demand", text, numbers)


def _starved_text(situation: Situation) -> str:
    return (
        f"requests wait while the GPUs do not work ({_gpu_text(situation)}): something else is short (CPU, network, "
        "tokenizer, a hung engine), and another GPU would not help"
    )


def _gpu_text(situation: Situation) -> str:
    gpu = situation.gpu
    parts = []
    if gpu.utilization is not None:
        parts.append(f"{gpu.utilization:.0%} busy")
    if gpu.waiting is not None:
        parts.append(f"{gpu.waiting:.1f} waiting per replica")
    if gpu.kv_cache_usage is not None:
        parts.append(f"KV cache {gpu.kv_cache_usage:.0%}")
    return ", ".join(parts) or "GPU metrics unknown"
