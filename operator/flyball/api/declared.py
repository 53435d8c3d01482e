"""What a spec declares that this version does not act on yet, said in a condition: nothing is ignored in silence.

Each entry leaves this list with the change that acts on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from flyball.api.v1alpha1 import WorkloadSLOSpec
from flyball.api.v1alpha1.latency import MEASURED_OUTSIDE
from flyball.api.v1alpha1.money import CeilingSpec, CostSpec, RoiTargetSpec, ValueSpec
from flyball.api.v1alpha1.objectives import ObjectiveSpec
from flyball.api.v1alpha1.scaling import ScalingSpec
from flyball.api.v1alpha1.telemetry import Telemetry
from flyball.api.v1alpha1.words import ForecastMethod, GatewayProfile
from flyball.core.names import COUNTED_INDICATORS, Enforcement, Indicator, Period, RoiMetric
from flyball.core.service.own_counts import TokenCount
from flyball.core.service.reliability import RequestEvent

PERIODS_HELD = frozenset({Period.HOUR, Period.DAY, Period.MONTH})
"""Periods whose ceilings hold replicas back; the others only alert."""


@dataclass(frozen=True, slots=True)
class NotActedOn:
    """A field that is declared, and what is done in its place."""

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"


def not_yet_acted_on(spec: WorkloadSLOSpec) -> tuple[NotActedOn, ...]:
    """Everything that the spec declares and this version does not act on, in the spec's order."""
    return tuple(_not_acted_on(spec))


def objective_acted_on(objective: ObjectiveSpec, telemetry: Telemetry | None) -> bool:
    """Whether the objective is measured and steered by."""
    return not _why_not_measured(objective, telemetry or Telemetry())


def roi_target_acted_on(target: RoiTargetSpec, value: ValueSpec | None) -> bool:
    """Whether the ROI target is evaluated, given what the spec says an answer is worth."""
    return not _why_not_evaluated(target, value)


def _not_acted_on(spec: WorkloadSLOSpec) -> Iterator[NotActedOn]:
    yield from _of_telemetry(spec.telemetry or Telemetry())
    yield from _of_objectives(spec)
    yield from _of_cost(spec.cost or CostSpec())
    yield from _of_roi(spec)
    yield from _of_scaling(spec.scaling or ScalingSpec())


def _of_objectives(spec: WorkloadSLOSpec) -> Iterator[NotActedOn]:
    reasons = [_why_not_measured(objective, spec.telemetry or Telemetry()) for objective in spec.objectives]
    for index, why in enumerate(reasons):
        if why:
            yield NotActedOn(f"spec.objectives[{index}]", why)
    if reasons and all(reasons):
        yield NotActedOn("spec.objectives", f"until then the default objectives of {spec.workload_type} apply")


def _of_roi(spec: WorkloadSLOSpec) -> Iterator[NotActedOn]:
    for index, target in enumerate(spec.roi_targets):
        why = _why_not_evaluated(target, spec.value)
        if why:
            yield NotActedOn(f"spec.roiTargets[{index}]", why)


def _why_not_evaluated(target: RoiTargetSpec, value: ValueSpec | None) -> str:
    value = value or ValueSpec()
    worth = value.per_request is not None or any(kpi.has_worth for kpi in value.kpis)
    if target.metric is RoiMetric.VALUE_COST_RATIO and not worth:
        return "no KPI says what an outcome is worth; set valuePerOutcome on one, or value.perRequest"
    return ""


def _why_not_measured(objective: ObjectiveSpec, telemetry: Telemetry) -> str:
    if objective.indicator in COUNTED_INDICATORS:
        return _why_not_counted(objective, telemetry)
    if not objective.segment:
        return ""
    split = {*(latency.indicator for latency in telemetry.latencies), *told_by_gateway(telemetry.gateway)}
    if objective.indicator is Indicator.STAGE:
        stage = next((each for each in telemetry.stages if each.name == objective.stage), None)
        return "a stage with a query of its own has no segments" if stage is None or stage.query is not None else ""
    if objective.indicator not in split:
        place = f"telemetry.latencies[{objective.indicator}]"
        return f"engines know no segments; set telemetry.gateway, or name the metric that has these labels in {place}"
    return ""


def told_by_gateway(gateway: GatewayProfile | None) -> frozenset[Indicator]:
    """The latencies that the gateway's profile has, by segment, too."""
    if gateway in (None, GatewayProfile.CUSTOM):
        return frozenset()
    without_queue = gateway in (GatewayProfile.ENVOY_AI_GATEWAY, GatewayProfile.OPEN_TELEMETRY)
    return frozenset(MEASURED_OUTSIDE) - ({Indicator.QUEUE_TIME} if without_queue else set())


_COUNTED_BY_USERS = {
    Indicator.TIMEOUTS: (RequestEvent.TIMEOUT, RequestEvent.RESPONSES),
    Indicator.RATE_LIMITS: (RequestEvent.RATE_LIMITED, RequestEvent.RESPONSES),
    Indicator.RETRIEVAL: (RequestEvent.RETRIEVAL_FAILED,),
    Indicator.RETRIES: (RequestEvent.RETRY,),
    Indicator.FALLBACKS: (RequestEvent.FALLBACK,),
}
"""What no engine counts, and the events of telemetry.requestEvents of which one must be there."""


def _why_not_counted(objective: ObjectiveSpec, telemetry: Telemetry) -> str:
    wanted = _COUNTED_BY_USERS.get(objective.indicator, ())
    if wanted and not any(each.event in wanted for each in telemetry.request_events):
        return f"no engine counts it; add a query to telemetry.requestEvents with event {' or '.join(wanted)}"
    return "how requests end is not split by segment yet" if objective.segment else ""


def _of_telemetry(telemetry: Telemetry) -> Iterator[NotActedOn]:
    counted = any(each.count is TokenCount.REQUESTS for each in telemetry.tokens)
    if telemetry.segment_by and not (telemetry.latencies or counted or told_by_gateway(telemetry.gateway)):
        text = (
            "engines know no segments; set telemetry.gateway, or name a metric with these labels in telemetry.latencies"
        )
        yield NotActedOn("spec.telemetry.segmentBy", text)


def _of_cost(cost: CostSpec) -> Iterator[NotActedOn]:
    for index, ceiling in enumerate(cost.ceilings):
        if not ceiling_held(ceiling):
            yield NotActedOn(
                f"spec.cost.ceilings[{index}].enforcement",
                f"a ceiling per {ceiling.period} only alerts; those per Hour, Day and Month hold replicas back",
            )


def ceiling_held(ceiling: CeilingSpec) -> bool:
    """Whether the ceiling does what its enforcement says."""
    return ceiling.enforcement is Enforcement.ALERT or ceiling.period in PERIODS_HELD


def _of_scaling(scaling: ScalingSpec) -> Iterator[NotActedOn]:
    if scaling.forecast is not None and scaling.forecast.method not in (None, ForecastMethod.AUTO):
        yield NotActedOn("spec.scaling.forecast.method", "the method is chosen by what predicts this workload best")
    if scaling.forecast is not None and scaling.forecast.horizon is not None:
        yield NotActedOn("spec.scaling.forecast.horizon", "the horizon is the measured start-up time and one tick")
    if scaling.disruption is not None:
        yield NotActedOn("spec.scaling.disruption", "removals are limited by scaling.down only")
