"""The restated autoscaler against what Kubernetes 1.35.0's own code decided.

`hpa_recorded.jsonl` holds random series, a line each: bounds, behavior, and for each reconciliation the metric and the
replicas that followed. They were recorded by calling the functions of pkg/controller/podautoscaler (stabilization,
rate limits, rules without behavior, stored events, plain and external per-pod metrics) with a set clock. A step without
a metric is one whose metric failed. "external" is [target, value, status replicas beyond the spec's], "pods" is
[target, samples, missing, unready], in thousandths.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from flyball.lab.policies.hpa import Behavior, HpaSpec, HpaState, RateLimit, ScalingRules, Select, Unit, recommend
from flyball.lab.policies.hpa_metrics import ExternalAverage, Metric, PodsMetric, Scale

RECORDED = [
    json.loads(line) for line in (Path(__file__).parent / "hpa_recorded.jsonl").read_text(encoding="utf-8").splitlines()
]


def rules(recorded: Mapping, tolerance: float) -> ScalingRules:
    limits = tuple(RateLimit(Unit(unit), value, float(period)) for unit, value, period in recorded["limits"])
    return ScalingRules(limits, float(recorded["window"]), Select(recorded["select"]), tolerance)


def spec_of(series: Mapping) -> HpaSpec:
    behavior, tolerance = series["behavior"], series["tolerance"]
    if behavior is not None:
        behavior = Behavior(rules(behavior["up"], tolerance["up"]), rules(behavior["down"], tolerance["down"]))
    return HpaSpec(*series["bounds"], behavior, tolerance["up"])


def observed(step: Mapping, replicas: int) -> tuple[Metric, Scale]:
    if "pods" in step:
        target, samples, missing, unready = step["pods"]
        return PodsMetric(target, tuple(samples), missing, unready), Scale(replicas, replicas, replicas)
    target, value, beyond = step.get("external", (1, None, 0))
    return ExternalAverage(target, value), Scale(replicas, max(0, replicas + beyond), replicas)


@pytest.mark.parametrize("series", RECORDED, ids=range(len(RECORDED)))
def test_decides_as_kubernetes_did(series: Mapping) -> None:
    spec, state, replicas, counts = spec_of(series), HpaState(), series["start"], []
    for step in series["steps"]:
        metric, scale = observed(step, replicas)
        state, replicas = recommend(spec, state, scale, [metric], float(step["at"]))
        counts.append(replicas)
    assert counts == [step["replicas"] for step in series["steps"]]


def test_the_record_holds_both_branches_and_many_changes() -> None:
    assert {series["behavior"] is None for series in RECORDED} == {True, False}
    changes = sum(
        before["replicas"] != after["replicas"]
        for series in RECORDED
        for before, after in zip(series["steps"], series["steps"][1:], strict=False)
    )
    assert changes > 100
