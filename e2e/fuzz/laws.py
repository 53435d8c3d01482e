"""What must hold of every decision, whatever was seen: the laws of tests/core/test_decide.py, on other inputs."""

from __future__ import annotations

import json

from flyball.api.parse import unknown_fields
from flyball.api.v1alpha1 import WorkloadSLO, WorkloadSLOStatus
from flyball.core.decide import decide
from flyball.core.decision import Decision
from flyball.core.memory import Memory
from flyball.core.names import ConditionType, Mode
from flyball.core.observation import Observation, VariantState
from flyball.core.spec import Variant, WorkloadSpec
from flyball.runtime import status
from flyball.runtime.news import figures

SEEN_WELL = ("Fresh", "NothingReady")
"""Reasons of the condition TelemetryHealthy with which replicas may be removed."""


def decided(spec: WorkloadSpec, seen: Observation, memory: Memory) -> tuple[Decision, Memory]:
    """The decision, after every law was seen to hold. Raises AssertionError, or whatever should not be raised."""
    decision, after = decide(spec, seen, memory)
    assert decide(spec, seen, memory) == (decision, after), "deciding twice is not deciding once"
    for declared, found in zip(spec.variants, decision.variants, strict=True):
        state = seen.state.variant(declared.name)
        if state.manageable and not seen.state.problem and not _left_alone(spec, state, declared):
            climbs = found.desired > state.replicas and found.limited_by == "scaling.up.maxStep"  # to the minimum
            assert found.desired >= declared.min_replicas or climbs, f"{found.desired} is too few"
            assert found.desired <= declared.max_replicas, f"{found.desired} is too many"
        else:
            assert found.desired == state.replicas, "what is not ours was changed"
        if not seen_well(decision):
            assert found.desired >= min(state.replicas, declared.max_replicas), "removed on bad data"
    _routes(spec, seen, decision)
    assert decision.cost.month_to_date.is_finite()
    _status(spec, seen, decision)
    return decision, after


def seen_well(decision: Decision) -> bool:
    """Whether the decision took the telemetry for good."""
    return next(c.reason for c in decision.conditions if c.type is ConditionType.TELEMETRY_HEALTHY) in SEEN_WELL


def _left_alone(spec: WorkloadSpec, state: VariantState, declared: Variant) -> bool:
    """Whether people scaled the workload's only target to zero: then it stays there."""
    only = len(spec.variants) == 1 and spec.scaling.to_zero is None
    return only and state.replicas == declared.min_replicas == 0


def _routes(spec: WorkloadSpec, seen: Observation, decision: Decision) -> None:
    states = {(route.route, index): route for index, route in enumerate(seen.state.routes)}
    for index, found in enumerate(decision.routes):
        state = states.get((found.route, index))
        if found.weights is None or state is None:
            continue
        assert spec.mode is Mode.AUTO, "weights were moved in a mode that does not act"
        assert all(weight >= 0 for weight in found.weights), "a negative weight"
        assert any(found.weights), "a route without any weight"
        assert not found.weights[1] or state.fallback_ready_endpoints > 0, "traffic was sent where nobody serves"


def _status(spec: WorkloadSpec, seen: Observation, decision: Decision) -> None:
    rendered = status.render(spec, seen, decision, ())
    json.dumps(rendered, allow_nan=False)
    WorkloadSLOStatus.model_validate(rendered, by_alias=True, by_name=False)
    assert not unknown_fields(WorkloadSLO, {"status": dict(rendered)})
    figures(spec, seen, decision)
