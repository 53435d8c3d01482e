"""Which part of a miss the engine can explain, and which stage of the request is to blame for the rest.

A GPU shortens only what a request spends in the engine, and of that only what the engine would not take for a lone
request: R = (1 - r) E, where E is the time in the engine and r a lone request's share of it. W - R is what the request
takes with all the GPUs in the world. For any x

    P(W - R > T)  >=  P(W > T + x) - P(R > x)

since W - R <= T and R <= x give W <= T + x. The largest right side over all x is the share of requests that surely
misses the threshold T whatever the number of GPUs: no assumption on how stages hang together is made. Where a request
calls the engine k times, R <= k x is broken by at most k P(R > x) of them. Only the rest of the misses speaks for more
GPUs:

- No GPU is added for a miss that stages outside of the engine explain alone: the rest is within the error budget then.
- No miss that the engine makes is hidden: where other stages take no time, W = E, and none is sure without the engine.
- Where the engine's part or a lone request's share of it is unknown, every miss speaks for more GPUs, as it did before.
"""

import math
from collections.abc import Sequence

from flyball.core.decision import ObjectiveReport, StageReport
from flyball.core.memory import Memory
from flyball.core.names import Indicator
from flyball.core.observation import ObjectiveReading, Observation, WorkloadSignals
from flyball.core.service import slo
from flyball.core.service.latency import Distribution, StageReading, WholeReading
from flyball.core.spec import Objective, WorkloadSpec
from flyball.core.units import format_duration
from flyball.core.values import replace

# Fewer waiting requests per replica than this are what the last scheduler steps left: then no queue is in E.
CLEAR_QUEUE_PER_REPLICA = 0.5
# So many more calls of the engine than requests are those of the window's edges, and of two scrapes at other times.
CALLS_TOLERANCE = 0.25
# The engine's own stages that an indicator has no part of. A pace is of one stage, and nothing is to be told.
_NOT_IN = {
    Indicator.TIME_TO_FIRST_TOKEN: frozenset({"Decode"}),
    Indicator.QUEUE_TIME: frozenset({"Prefill", "FirstToken", "Decode"}),
    Indicator.END_TO_END: frozenset[str](),
}


def unavoidable(threshold: float, whole: Distribution, engine: Distribution, lone_share: float) -> float:
    """The share of requests above the threshold (seconds) however many GPUs there are. `lone_share` is r, 0 to 1."""
    removable = 1.0 - lone_share
    calls = max(1, math.ceil(engine.total / whole.total - CALLS_TOLERANCE)) if whole.total > 0 else 1
    found = whole.share_above(threshold) if removable <= 0 else 0.0
    for edge in engine.edges:
        if math.isfinite(edge):
            sure = whole.share_above(threshold + calls * removable * edge) - calls * engine.share_above(edge)
            found = max(found, sure)
    return found


def lone_share(signals: WorkloadSignals, replicas: int, memory: Memory) -> float:
    """What a lone request takes in the engine, as a share of what requests take there now (0 to 1).

    By the time per output token, measured and fitted; 0, the share that hides nothing, where requests wait or where the
    fit has not been checked yet.
    """
    waiting = sum(variant.waiting.otherwise(math.inf) for variant in signals.variants)
    if memory.shape is None or replicas <= 0 or waiting >= CLEAR_QUEUE_PER_REPLICA * replicas:
        return 0.0
    shares = []
    for variant in signals.variants:
        fit, measured = memory.variant(variant.name).fit, variant.seconds_per_output_token
        if not measured.ok:
            continue
        if fit is None or not fit.confident or measured.value <= 0:
            return 0.0
        shares.append(float(memory.shape.regressors(0.0) @ fit.terms) / measured.value)
    return min(1.0, min(shares, default=0.0))


def surely_missed(spec: WorkloadSpec, observation: Observation, memory: Memory) -> dict[str, float]:
    """For each objective that is measured from outside of the engine, the share of its requests that no GPU would save.

    All misses of a stage that the engine has no part in are such.
    """
    signals = observation.signals
    ready = sum(state.ready for state in observation.state.variants)
    lone = lone_share(signals, ready, memory)
    outside = {stage.name for stage in spec.telemetry.stages if not stage.engine}
    found = {}
    for objective in spec.objectives:
        reading = signals.whole(objective.name)
        if objective.indicator is Indicator.STAGE and objective.stage in outside:
            newest = _newest(signals.objective(objective.name))
            found[objective.name] = newest if newest is not None else 0.0
        elif reading is not None and reading.engine is not None and objective.threshold_seconds is not None:
            found[objective.name] = unavoidable(objective.threshold_seconds, reading.whole, reading.engine, lone)
    return found


def of_the_engine(
    spec: WorkloadSpec, observation: Observation, sure: dict[str, float]
) -> tuple[WorkloadSpec, Observation]:
    """What sizing learns from: the objectives in which the engine has a part, without the misses that no GPU saves."""
    if not sure:
        return spec, observation
    outside = {stage.name for stage in spec.telemetry.stages if not stage.engine}
    kept = tuple(o for o in spec.objectives if o.indicator is not Indicator.STAGE or o.stage not in outside)
    signals = observation.signals
    readings = tuple(_without(reading, sure.get(reading.name, 0.0)) for reading in signals.objectives)
    return replace(spec, objectives=kept), replace(observation, signals=replace(signals, objectives=readings))


def _without(reading: ObjectiveReading, sure: float) -> ObjectiveReading:
    if not reading.shares or sure <= 0:
        return reading
    newest = reading.shares[0]
    saved = replace(newest, good=min(newest.total, newest.good + sure * newest.total))
    return replace(reading, shares=(saved, *reading.shares[1:]))


def _newest(reading: ObjectiveReading) -> float | None:
    return reading.shares[0].bad_share if reading.shares and reading.shares[0].usable else None


def blamed(
    spec: WorkloadSpec,
    observation: Observation,
    reports: tuple[ObjectiveReport, ...],
    sure: dict[str, float],
) -> tuple[ObjectiveReport, ...]:
    """The reports with the stage to blame for what burns, and whether GPUs are out of the question."""
    pairs = zip(spec.objectives, reports, strict=True)
    return tuple(_blamed(spec, observation.signals, objective, report, sure) for objective, report in pairs)


def _blamed(
    spec: WorkloadSpec,
    signals: WorkloadSignals,
    objective: Objective,
    report: ObjectiveReport,
    sure: dict[str, float],
) -> ObjectiveReport:
    missed = _newest(signals.objective(objective.name))
    if report.state not in (slo.BURNING, slo.BREACHED) or missed is None:
        return report
    if objective.name not in sure:
        slowest = _slowest(_inside(objective, signals))
        return replace(report, because=slowest.name if slowest else "")
    elsewhere = missed > objective.budget and missed - sure[objective.name] <= objective.budget
    if objective.indicator is Indicator.STAGE:
        return replace(report, because=objective.stage or "", elsewhere=elsewhere)
    engine = {stage.name for stage in spec.telemetry.stages if stage.engine}
    declared = [stage for stage in signals.stages if not stage.measured_by_engine]
    declared = [stage for stage in declared if not (elsewhere and stage.name in engine)]
    inside = [] if elsewhere else _inside(objective, signals)
    slowest = _slowest(declared if engine else [*declared, *inside])
    if slowest is None or slowest.name in engine:
        slowest = _slowest(inside) or slowest
    return replace(report, because=slowest.name if slowest else "", elsewhere=elsewhere)


def _inside(objective: Objective, signals: WorkloadSignals) -> list[StageReading]:
    """The engine's own stages that the objective counts."""
    if objective.indicator not in _NOT_IN:
        return []
    return [
        stage for stage in signals.stages if stage.measured_by_engine and stage.name not in _NOT_IN[objective.indicator]
    ]


def _slowest(stages: Sequence[StageReading]) -> StageReading | None:
    """The one with the highest p95, of those whose p95 is told apart from nothing."""
    known = [stage for stage in stages if stage.requests > 0 and stage.p95 > stage.least]
    return max(known, key=lambda stage: stage.p95, default=None)


def because(report: ObjectiveReport, signals: WorkloadSignals) -> str:
    """Why an objective is missed, as far as stages tell, with their p95; empty where they tell nothing."""
    if not report.because and not report.elsewhere:
        return ""
    stage = next((each for each in signals.stages if each.name == report.because), None)
    whole = signals.whole(report.name)
    seen = f" (p95 {_seconds(stage.p95)}" if stage is not None else ""
    if stage is not None:
        all_of_it = whole.p95 if whole is not None else report.p95 if stage.measured_by_engine else None
        seen += f" of {_seconds(all_of_it)})" if all_of_it is not None and math.isfinite(all_of_it) else ")"
    cause = f"{report.because}{seen}" if report.because else "time that no stage accounts for"
    return f"slow because of {cause}" + (": more GPUs will not help" if report.elsewhere else "")


def told(spec: WorkloadSpec, signals: WorkloadSignals) -> tuple[StageReport, ...]:
    """The stages for people: those that are declared, in their order, then the engine's own."""
    whole = _whole(spec.objectives, signals)
    return tuple(_told(stage, whole) for stage in signals.stages if stage.requests > 0)


def _told(stage: StageReading, whole: WholeReading | None) -> StageReport:
    """Of the whole request where users feel it; the engine's own stages else of the engine's time for it."""
    p95 = whole.p95 if whole is not None else stage.whole_p95
    share = stage.p95 / p95 if p95 > 0 and stage.p95 > stage.least else None
    return StageReport(stage.name, stage.p50, stage.p95, stage.p99, share, stage.least)


def _whole(objectives: Sequence[Objective], signals: WorkloadSignals) -> WholeReading | None:
    """The whole request as the first objective of EndToEnd counts it."""
    named = [o.name for o in objectives if o.indicator is Indicator.END_TO_END]
    return next((found for name in named if (found := signals.whole(name)) is not None), None)


def _seconds(seconds: float) -> str:
    return format_duration(float(f"{seconds:.2g}"))
