"""From the model of an ROIExperiment to the core's view of it, and its fingerprint."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime

from flyball.api.v1alpha1 import ROIExperimentSpec
from flyball.api.v1alpha1.roiexperiment import ExperimentArm
from flyball.core.evidence.experiment import KpiGuard, Plan, Source
from flyball.core.names import WorkloadKey
from flyball.core.spec import FallbackRoute
from flyball.core.units import parse_change, parse_ratio

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def to_plan(key: WorkloadKey, uid: str, spec: ROIExperimentSpec) -> Plan:
    """The core's view of an experiment."""
    claim, route = spec.hypothesis, spec.route
    by, points = parse_change(claim.by)
    plan = Plan(
        key=key,
        uid=uid,
        metric=claim.metric,
        direction=claim.direction,
        by=by,
        baseline=_source(spec.baseline),
        treatment=_source(spec.treatment),
        design=spec.design,
        objective=claim.objective or "",
        kpi=claim.kpi or "",
        points=points,
        guards=tuple(guard.objective for guard in spec.guards),
        kpi_guards=tuple(KpiGuard(guard.kpi, parse_ratio(guard.worse_by)) for guard in spec.kpi_guards),
        route=FallbackRoute(route.http_route, route.baseline, route.treatment, route.rule) if route else None,
        block_ms=spec.block_minutes * MINUTE_MS,
        washout_ms=spec.washout_minutes * MINUTE_MS,
        min_pairs=spec.min_pairs,
        min_ms=spec.min_days * DAY_MS,
        max_ms=spec.max_days * DAY_MS,
        alpha=round(1.0 - parse_ratio(spec.confidence), 4),
        start=_at(spec.start),
        before=(_at(spec.baseline.begin) or 0, _at(spec.baseline.end) or 0),
        after=(_at(spec.treatment.begin) or 0, _at(spec.treatment.end) or 0),
    )
    return replace(plan, settle_ms=spec.settle_hours * HOUR_MS) if plan.by_outcomes else plan


def registered(spec: ROIExperimentSpec) -> str:
    """The spec as canonical JSON, with its defaults: what is registered, and hashed. What only speaks of KPIs is left
    out where there are none, as it was before there were any.
    """
    wire = spec.to_wire()
    if spec.hypothesis.kpi is None and not spec.kpi_guards:
        del wire["kpiGuards"], wire["settleHours"]
    return json.dumps(wire, sort_keys=True, separators=(",", ":"))


def fingerprint(spec: ROIExperimentSpec) -> str:
    """SHA-256 of what is registered."""
    return hashlib.sha256(registered(spec).encode()).hexdigest()


def _source(arm: ExperimentArm) -> Source:
    labels = tuple(sorted(arm.selector.match_labels.items())) if arm.selector else ()
    return Source(arm.workloads or (), labels, arm.targets, arm.kpi or "")


def _at(text: str | None) -> int | None:
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
