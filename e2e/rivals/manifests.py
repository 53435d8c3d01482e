"""What users write for each rival, to and from the restated rival's options.

A HorizontalPodAutoscaler's and a ScaledObject's spec leave out what equals the default, so that the rival's own code
fills it in. Targets and readings are in thousandths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flyball.lab.policies.hpa import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    Behavior,
    HpaSpec,
    RateLimit,
    ScalingRules,
    Select,
    Unit,
)
from flyball.lab.policies.hpa_metrics import ExternalAverage, ExternalValue, Metric, PodsMetric, UtilizationMetric
from flyball.lab.policies.keda import Activation
from flyball.lab.policies.kpa import KpaOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json = Any
Series = dict[str, Json]

CPU_REQUEST = 2000
"""What each pod of a series requests, thousandths of a core."""

_ANNOTATION = "autoscaling.knative.dev/"
_SCALED_OBJECT = {
    "pollingInterval": "polling_seconds",
    "cooldownPeriod": "cooldown_seconds",
    "initialCooldownPeriod": "initial_cooldown_seconds",
}
_TOLERANCE = HpaSpec(1, 1).tolerance


def manifest_of(spec: HpaSpec, metrics: Sequence[Metric]) -> dict[str, Json]:
    """The spec, but for its target."""
    manifest: dict[str, Json] = {"minReplicas": spec.min_replicas, "maxReplicas": spec.max_replicas}
    manifest["metrics"] = [_metric_manifest(index, metric) for index, metric in enumerate(metrics)]
    if spec.behavior is not None:
        manifest["behavior"] = {
            direction: _written(rules, default)
            for direction, rules, default in (
                ("scaleUp", spec.behavior.up, DEFAULT_UP),
                ("scaleDown", spec.behavior.down, DEFAULT_DOWN),
            )
            if rules != default
        }
    return manifest


def flags_of(spec: HpaSpec) -> dict[str, Json]:
    """The controller manager's flags, where they are not its defaults."""
    return {} if spec.tolerance == _TOLERANCE else {"tolerance": spec.tolerance}


def spec_of(manifest: Mapping[str, Json], flags: Mapping[str, Json]) -> HpaSpec:
    """The restated autoscaler's spec."""
    behavior = manifest.get("behavior")
    restated = None
    if behavior is not None:
        restated = Behavior(_read(behavior.get("scaleUp"), DEFAULT_UP), _read(behavior.get("scaleDown"), DEFAULT_DOWN))
    tolerance = flags.get("tolerance", _TOLERANCE)
    return HpaSpec(manifest["minReplicas"], manifest["maxReplicas"], restated, tolerance)


def metric_of(manifest: Mapping[str, Json], reading: Json) -> Metric:
    """One metric with what a step reads of it."""
    if manifest["type"] == "External":
        target = manifest["external"]["target"]
        if target["type"] == "Value":
            return ExternalValue(_thousandths(target["value"]), reading)
        return ExternalAverage(_thousandths(target["averageValue"]), reading)
    samples, missing, unready = reading
    if manifest["type"] == "Resource":
        percent = manifest["resource"]["target"]["averageUtilization"]
        return UtilizationMetric(percent, tuple(samples), CPU_REQUEST, missing, unready)
    return PodsMetric(_thousandths(manifest["pods"]["target"]["averageValue"]), tuple(samples), missing, unready)


def reading_of(metric: Metric) -> Json:
    """What a step holds of a metric."""
    if isinstance(metric, (ExternalAverage, ExternalValue)):
        return metric.value
    return [list(metric.samples), metric.missing, metric.unready]


def annotations_of(options: KpaOptions) -> dict[str, str]:
    """What a revision's user writes. The utilization is in the target already."""
    return {
        _ANNOTATION + "target": repr(options.target),
        _ANNOTATION + "target-utilization-percentage": "100",
        _ANNOTATION + "window": f"{options.stable_seconds:g}s",
        _ANNOTATION + "panic-window-percentage": repr(options.panic_share * 100),
        _ANNOTATION + "panic-threshold-percentage": repr(options.panic_threshold * 100),
        _ANNOTATION + "scale-down-delay": f"{options.scale_down_delay_seconds:g}s",
    }


def options_of(annotations: Mapping[str, str]) -> KpaOptions:
    """The restated scaler's options."""
    values = {name.removeprefix(_ANNOTATION): value.removesuffix("s") for name, value in annotations.items()}
    return KpaOptions(
        target=float(values["target"]),
        stable_seconds=float(values["window"]),
        panic_share=float(values["panic-window-percentage"]) / 100,
        panic_threshold=float(values["panic-threshold-percentage"]) / 100,
        scale_down_delay_seconds=float(values["scale-down-delay"]),
    )


def scaled_object_of(activation: Activation) -> dict[str, Json]:
    """A ScaledObject's spec, but for its target and trigger."""
    defaults = Activation(activation.min_replicas)
    written = {
        name: round(getattr(activation, field))
        for name, field in _SCALED_OBJECT.items()
        if getattr(activation, field) != getattr(defaults, field)
    }
    return {"minReplicaCount": activation.min_replicas, **written}


def activation_of(spec: Mapping[str, Json], threshold: float) -> Activation:
    """The restated executor's rules."""
    written = {field: float(spec[name]) for name, field in _SCALED_OBJECT.items() if name in spec}
    return Activation(spec["minReplicaCount"], threshold=threshold, **written)


def _metric_manifest(index: int, metric: Metric) -> dict[str, Json]:
    named = {"metric": {"name": f"metric-{index}"}}
    target: dict[str, Json]
    match metric:
        case UtilizationMetric():
            target = {"type": "Utilization", "averageUtilization": metric.target_percent}
            return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
        case ExternalValue():
            target = {"type": "Value", "value": f"{metric.target}m"}
            return {"type": "External", "external": {**named, "target": target}}
        case ExternalAverage():
            target = {"type": "AverageValue", "averageValue": f"{metric.target}m"}
            return {"type": "External", "external": {**named, "target": target}}
        case PodsMetric():
            target = {"type": "AverageValue", "averageValue": f"{metric.target}m"}
            return {"type": "Pods", "pods": {**named, "target": target}}


def _written(rules: ScalingRules, default: ScalingRules) -> dict[str, Json]:
    written: dict[str, Json] = {}
    if rules.stabilization_seconds != default.stabilization_seconds:
        written["stabilizationWindowSeconds"] = round(rules.stabilization_seconds)
    if rules.select is not default.select:
        written["selectPolicy"] = rules.select.value
    if rules.limits != default.limits:
        written["policies"] = [
            {"type": limit.unit.value, "value": limit.value, "periodSeconds": round(limit.period_seconds)}
            for limit in rules.limits
        ]
    if rules.tolerance is not None:
        written["tolerance"] = f"{round(rules.tolerance * 1000)}m"
    return written


def _read(written: Mapping[str, Json] | None, default: ScalingRules) -> ScalingRules:
    written = written or {}
    tolerance = written.get("tolerance")
    return ScalingRules(
        limits=tuple(
            RateLimit(Unit(limit["type"]), limit["value"], float(limit["periodSeconds"]))
            for limit in written["policies"]
        )
        if "policies" in written
        else default.limits,
        stabilization_seconds=float(written.get("stabilizationWindowSeconds", default.stabilization_seconds)),
        select=Select(written.get("selectPolicy", default.select)),
        tolerance=None if tolerance is None else _thousandths(tolerance) / 1000,
    )


def _thousandths(quantity: str) -> int:
    return int(quantity.removesuffix("m"))
