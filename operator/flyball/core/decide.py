"""The decision: `decide(spec, observation, memory) -> (Decision, memory)`, pure and total.

The laws, in the order in which they win: to zero and back as `core.fleet.zero` says; never above a maximum; never
down on bad or partial data; a cost ceiling clamps where cost has precedence, and elsewhere only stops growth; never
down while the GPUs are saturated; demand and objectives raise; needs are remembered for as long as a replica takes to
come back before one goes.
"""

import hashlib
from decimal import Decimal

from flyball.core.decision import Decision, FallbackReport, ObjectiveReport, RoiReport, SpotReport
from flyball.core.fleet import zero
from flyball.core.fleet.case import case_of
from flyball.core.fleet.staffing import Sizing, size
from flyball.core.fleet.zero import Zero
from flyball.core.memory import Memory
from flyball.core.money import cost, pacing
from flyball.core.money.pacing import Budgets
from flyball.core.money.toll import account as account_of_toll
from flyball.core.names import FALLBACK_MENDS, TIMED_INDICATORS, Mode
from flyball.core.observation import Observation, VariantState
from flyball.core.routing import fallback, overflow
from flyball.core.routing.triggers import measured, trigger
from flyball.core.service import efficiency, segments, slo, stages
from flyball.core.spec import RoiTarget, WorkloadSpec
from flyball.core.told.findings import Findings
from flyball.core.told.report import conclude
from flyball.core.traffic.demand import Situation, assess
from flyball.core.value import roi
from flyball.core.value.baseline import fingerprint
from flyball.core.value.returns import explained, judge_booked
from flyball.core.values import replace


def decide(spec: WorkloadSpec, observation: Observation, memory: Memory) -> tuple[Decision, Memory]:
    """One workload's decision at `observation.at`, and what to remember of it. Raises nothing."""
    at = observation.at
    started_at = at if memory.started_at is None else memory.started_at
    if (memory.generation, memory.started_at) != (spec.generation, started_at):
        memory = replace(memory, generation=spec.generation, started_at=started_at)
    states = tuple(observation.state.variant(v.name) for v in spec.variants)
    sure = stages.surely_missed(spec, observation, memory)
    situation, memory = assess(*stages.of_the_engine(efficiency.steering(spec), observation, sure), memory)
    measured_now = tuple(
        slo.report(o, observation.signals.objective(o.name), memory.state(f"objective/{o.name}"))
        for o in spec.objectives
    )
    objectives = stages.blamed(spec, observation, measured_now, sure)
    to_zero, memory = zero.step(spec, observation, situation, memory)
    steering = efficiency.among(spec, objectives, TIMED_INDICATORS)
    case = case_of(spec, observation, situation, steering, states)
    budgets, memory = pacing.look(spec, observation, case.plans, situation.curve, memory)
    sizing, memory = size(replace(case, paces=budgets.paces) if budgets.paces else case, to_zero, memory)
    memory = replace(memory, toll=account_of_toll(memory.toll, at, sizing.toll))
    memory = pacing.learn(case.plans, situation, float(sizing.wanted_per_hour), at, memory)
    mended = efficiency.among(spec, objectives, FALLBACK_MENDS)
    memory = _fall_back(spec, observation, situation, mended, sizing, to_zero, memory)
    memory = _account(spec, observation, situation, states, memory)
    findings = _findings(spec, observation, situation, objectives, states, sizing, to_zero, budgets, memory)
    told = conclude(findings, memory)
    decision = Decision(
        id=decision_id(spec, at),
        key=spec.key,
        at=at,
        mode=spec.mode,
        variants=sizing.variants,
        routes=fallback.decisions(observation.state.routes, memory.fallback) if spec.fallback else (),
        conditions=told.conditions,
        events=told.events,
        objectives=objectives,
        gpu=situation.gpu,
        cost=told.cost,
        roi=findings.roi,
        fallback=findings.fallback,
        summary=told.summary,
        arrivals_per_second=situation.demand,
        capacity_per_replica=next((c.requests_per_second for c in situation.capacities if c), None),
        spot=tuple(
            SpotReport(variant.name, risk, memory.variant(variant.name).reclaims)
            for variant, risk in zip(spec.variants, situation.risks, strict=False)
            if variant.spot
        ),
        stages=stages.told(spec, observation.signals),
        segments=segments.told(spec, observation.signals, memory),
        efficiency=efficiency.look(spec, observation, situation, states, memory),
    )
    return decision, replace(memory, states=told.states)


def decision_id(spec: WorkloadSpec, at: float) -> str:
    """The same for the same object, generation and time: a record can be found from its log line and back."""
    return hashlib.sha256(f"{spec.uid}/{spec.generation}/{at:.3f}".encode()).hexdigest()[:12]


def _findings(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    states: tuple[VariantState, ...],
    sizing: Sizing,
    to_zero: Zero,
    budgets: Budgets,
    memory: Memory,
) -> Findings:
    routes = observation.state.routes if spec.fallback else ()
    per_hour = cost.hourly(spec.variants, states)
    return Findings(
        spec=spec,
        observation=observation,
        states=states,
        situation=situation,
        objectives=objectives,
        variants=sizing.variants,
        short=sizing.lasting,
        per_hour=per_hour,
        roi=_roi(spec, observation, per_hour is not None, memory),
        fallback=_fallback_report(spec, memory),
        blocked=fallback.blocked(spec.fallback, routes) if spec.fallback else "",
        foreign=fallback.foreign(spec.fallback, routes) if spec.fallback else "",
        zero=to_zero,
        budgets=budgets,
    )


def _account(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    states: tuple[VariantState, ...],
    memory: Memory,
) -> Memory:
    """The memory with the money spent until now, and the rate from now on."""
    longest = max([3600.0, *(target.window_seconds for target in spec.roi_targets)])
    per_hour = cost.hourly(spec.variants, states) or Decimal(0)
    moved = overflow.flows(spec.fallback, memory.fallback.parts) if spec.fallback else ()
    rate = cost.spend_rate(spec, observation.at, per_hour, situation.demand or 0.0, moved, memory.shape)
    return replace(memory, spend=cost.spend(memory.spend, rate, longest))


def _fall_back(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    objectives: tuple[ObjectiveReport, ...],
    sizing: Sizing,
    to_zero: Zero,
    memory: Memory,
) -> Memory:
    if spec.fallback is None:
        return memory
    inputs = fallback.FallbackInputs(
        at=observation.at,
        trigger=to_zero.leaving or trigger(spec, observation, situation, objectives, sizing),
        need=None if situation.trust.problem else sizing.missing,
        acting=spec.mode is Mode.AUTO,
        sure=measured(situation, sizing),
        burning=any(report.burns_now for report in objectives),
        answered=any(signals.completions_per_second.otherwise(0.0) > 0 for signals in observation.signals.variants),
        whole=bool(to_zero.leaving),
        settle_seconds=observation.signals.window_seconds,
        bounds=overflow.Bounds(situation.demand, overflow.costs(spec.fallback, spec.prices, memory.shape)),
    )
    return replace(memory, fallback=fallback.step(spec.fallback, observation.state.routes, inputs, memory.fallback))


def _fallback_report(spec: WorkloadSpec, memory: Memory) -> FallbackReport | None:
    if spec.fallback is None:
        return None
    state = memory.fallback
    return FallbackReport(
        state.state, state.moved, state.since, state.cause, overflow.flows(spec.fallback, state.parts)
    )


def _roi(spec: WorkloadSpec, observation: Observation, priced: bool, memory: Memory) -> tuple[RoiReport, ...]:
    at = observation.at
    covered = at - (at if memory.started_at is None else memory.started_at)
    definitions = fingerprint(spec) if any(target.relative for target in spec.roi_targets) else ""

    def report(target: RoiTarget) -> RoiReport | None:
        before = memory.state(f"roi/{target.name}")
        if target.by_ledger:
            return judge_booked(target, observation.books, definitions, before)
        completed = observation.signals.completed(target.window_seconds)
        found = roi.judge(target, spec.value_per_request, completed, memory.spend, at, before, covered, priced)
        return found and explained(target, found, observation.books)

    return tuple(found for target in spec.roi_targets if (found := report(target)) is not None)
