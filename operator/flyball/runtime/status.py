"""A decision as the status that people read."""

from collections.abc import Sequence
from datetime import UTC, datetime

from flyball.api.parse import parse_status
from flyball.api.v1alpha1 import WorkloadSLOStatus
from flyball.core.decision import (
    Condition,
    CostReport,
    Decision,
    ObjectiveReport,
    RoiReport,
    SegmentsReport,
    StageReport,
)
from flyball.core.money.currency import money
from flyball.core.names import ConditionType, Period, RouteKind
from flyball.core.observation import Observation
from flyball.core.service.latency import ACTIVE_SESSIONS
from flyball.core.service.sources import SignalQuality, SignalSource
from flyball.core.spec import Invalid, Objective, WorkloadSpec
from flyball.core.told.conditions import KnownCondition, merge
from flyball.core.units import format_duration, format_money, format_ratio
from flyball.runtime import efficiency_status
from flyball.runtime.news import Status

_ROUTE_FIELDS = {
    RouteKind.HTTP: "httpRoute",
    RouteKind.GRPC: "grpcRoute",
    RouteKind.AI_GATEWAY: "aiGatewayRoute",
}


def rfc3339(at: float) -> str:
    """A time in seconds since the epoch as Kubernetes writes it, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str | None) -> float | None:
    """Seconds since the epoch, or None for what is no time."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def render(spec: WorkloadSpec, observation: Observation, decision: Decision, known: Sequence[KnownCondition]) -> Status:
    """The whole status for server-side apply."""
    conditions = merge(known, decision.conditions, decision.at, spec.generation)
    status: Status = {
        "observedGeneration": spec.generation,
        "mode": str(spec.mode),
        "summary": _summary(spec, decision),
        "conditions": [condition_to_wire(condition) for condition in conditions],
        "objectives": [_objective(o, r) for o, r in zip(spec.objectives, decision.objectives, strict=True)],
        "stages": [_stage(report) for report in decision.stages],
        "segments": [_segments(report) for report in decision.segments],
        "signals": [_signal(spec, source) for source in observation.signals.sources],
        "targets": _targets(spec, observation, decision),
        "gpu": _gpu(decision),
        **efficiency_status.render(decision.efficiency),
        "cost": _cost(spec, decision),
        "roi": [_roi(spec, report) for report in decision.roi],
        "fallback": _fallback(spec, observation, decision),
        "lastDecision": {"id": decision.id, "time": rfc3339(decision.at), "summary": decision.summary[:1024]},
    }
    return {key: value for key, value in status.items() if value not in (None, [], {})}


def render_invalid(invalid: Invalid, at: float, known: Sequence[KnownCondition], before: Status) -> Status:
    """The status of a spec that cannot be acted on: what is wrong, and of the last status what a restart needs."""
    text = str(invalid)[:1024]
    found = (
        Condition(ConditionType.READY, False, "InvalidSpec", text),
        Condition(ConditionType.SCALING_ACTIVE, False, "InvalidSpec", "the spec is invalid: nothing is changed"),
    )
    merged = merge(known, found, at, invalid.generation)
    return {
        "observedGeneration": invalid.generation,
        "summary": {"reason": text[:256]},
        "conditions": [condition_to_wire(condition) for condition in merged],
        **{part: before[part] for part in ("cost", "fallback") if before.get(part)},
    }


def known_conditions(status: WorkloadSLOStatus) -> tuple[KnownCondition, ...]:
    """The conditions of a status that was read back; those of other writers are left out."""
    types = {str(member) for member in ConditionType}
    return tuple(
        KnownCondition(
            ConditionType(c.type),
            c.status,
            c.reason,
            c.message,
            parse_time(c.last_transition_time) or 0.0,
            c.observed_generation or 0,
        )
        for c in status.conditions
        if c.type in types
    )


def conditions_of(written: Status) -> tuple[KnownCondition, ...]:
    """The conditions of a status as rendered."""
    return known_conditions(parse_status({"status": written}))


def condition_to_wire(condition: KnownCondition) -> Status:
    """A condition as Kubernetes writes it."""
    return {
        "type": str(condition.type),
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message[:1024],
        "lastTransitionTime": rfc3339(condition.since),
        "observedGeneration": condition.observed_generation,
    }


def _summary(spec: WorkloadSpec, decision: Decision) -> Status:
    met = sum(report.state in ("Met", "Burning") for report in decision.objectives)
    judged = [report for report in decision.objectives if report.state in ("Met", "Burning", "Breached")]
    left = [report.budget_left for report in decision.objectives if report.budget_left is not None]
    current, desired = (sum(getattr(v, field) for v in decision.variants) for field in ("current", "desired"))
    summary = {
        "slo": f"{met}/{len(decision.objectives)} met" if judged else "no data",
        "budget": format_ratio(min(left), 0) if left else None,
        "cost": _cost_column(spec, decision.cost),
        "replicas": f"{current}→{desired}" if current != desired else str(current),
        "roi": _roi_column(decision.roi),
        "fallback": _fallback_column(decision),
        "reason": decision.summary[:256],
    }
    return {key: value for key, value in summary.items() if value is not None}


def _cost_column(spec: WorkloadSpec, cost: CostReport) -> str:
    if cost.per_hour is None:
        return "no price"
    ceiling = spec.ceiling(Period.HOUR)
    limit = f" of {money(ceiling.amount, ceiling.currency)}" if ceiling else ""
    return f"{money(cost.per_hour, spec.currency)}/h{limit}"


def _roi_column(reports: Sequence[RoiReport]) -> str | None:
    if not reports:
        return None
    order = ("Breached", "AtRisk", "PriceMissing", "Unproven", "Insufficient", "Met")
    worst = min(reports, key=lambda report: order.index(report.state))
    return f"{worst.state} {worst.value:.3g}" if worst.value is not None else worst.state


def _fallback_column(decision: Decision) -> str | None:
    if decision.fallback is None:
        return None
    state, share = decision.fallback.state, decision.fallback.share
    return f"{state} {format_ratio(share, 0)}" if share else state


def _objective(objective: Objective, report: ObjectiveReport) -> Status:
    status = {
        "name": report.name,
        "indicator": str(objective.indicator),
        "threshold": format_duration(objective.threshold_seconds) if objective.threshold_seconds else None,
        "target": format_ratio(objective.target, 2).replace(".00%", "%"),
        "window": format_duration(objective.window_seconds),
        "state": report.state,
        "attained": None if report.attained is None else format_ratio(report.attained, 2),
        "p50": _latency(report.p50),
        "p95": _latency(report.p95),
        "p99": _latency(report.p99),
        "burnRateShort": None if report.burn_short is None else f"{report.burn_short:.2f}",
        "burnRateLong": None if report.burn_long is None else f"{report.burn_long:.2f}",
        "budgetLeft": None if report.budget_left is None else format_ratio(report.budget_left, 1),
        "slowBecauseOf": report.because or None,
    }
    return {key: value for key, value in status.items() if value is not None}


def _stage(report: StageReport) -> Status:
    status = {
        "name": report.name,
        "p50": _at_least(report.p50, report.least),
        "p95": _at_least(report.p95, report.least),
        "p99": _at_least(report.p99, report.least),
        "shareOfP95": None if report.share is None else format_ratio(report.share, 0),
    }
    return {key: value for key, value in status.items() if value is not None}


def _segments(report: SegmentsReport) -> Status:
    segments = [
        {
            "name": segment.name,
            "sessions" if report.measured == ACTIVE_SESSIONS else "requests": round(segment.requests),
            "p95": _latency(segment.p95),
            "attained": None if segment.attained is None else format_ratio(segment.attained, 1),
        }
        for segment in report.segments
    ]
    status = {
        "measured": report.measured,
        "count": report.count,
        "worst": report.worst or None,
        "largest": [{key: value for key, value in segment.items() if value is not None} for segment in segments],
    }
    return {key: value for key, value in status.items() if value is not None}


def _at_least(seconds: float, least: float) -> str | None:
    """A latency; one that is only known to be no more than `least`, as that."""
    return f"under {_latency(least)}" if seconds <= least else _latency(seconds)


def _latency(seconds: float | None) -> str | None:
    if seconds is None or not seconds < float("inf"):
        return None
    return format_duration(float(f"{seconds:.3g}"))


def _targets(spec: WorkloadSpec, observation: Observation, decision: Decision) -> list[Status]:
    targets = []
    for variant, decided in zip(spec.variants, decision.variants, strict=True):
        state = observation.state.variant(variant.name)
        price = variant.price_per_gpu_hour
        status = {
            "name": variant.name,
            "current": decided.current,
            "desired": decided.desired,
            "ready": decided.ready,
            "reason": "; ".join(cause.text for cause in decided.causes)[:512] or None,
            "limitedBy": decided.limited_by or None,
            "accelerator": variant.accelerator or state.accelerator,
            "pricePerGpuHour": str(price) if price is not None else None,
            "priceSource": variant.price_source or None,
            **_spot(decision, variant.name),
        }
        targets.append({key: value for key, value in status.items() if value is not None})
    return targets


AGE_STEPS = (300.0, 900.0, 3600.0)
"""Beyond staleAfter, ages are told in these steps (seconds): what ages by the second would be written every tick."""
LONGEST_SOURCE = 512
"""Characters of a source that are told: why a query gave nothing ends with what to do."""


UNKNOWN_AGE = "unknown"
"""The age of what is there, but of which nothing tells how old it is: most queries of users."""


def _signal(spec: WorkloadSpec, source: SignalSource) -> Status:
    status = {
        "name": source.signal,
        "source": source.text[:LONGEST_SOURCE],
        "quality": str(source.quality),
        "age": None if source.quality is SignalQuality.MISSING else _age(spec, source.age_seconds),
    }
    return {key: value for key, value in status.items() if value is not None}


def _age(spec: WorkloadSpec, seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN_AGE
    limit = spec.telemetry.stale_after_seconds
    steps = (limit, *(step for step in AGE_STEPS if step > limit))
    within = next((step for step in steps if seconds <= step), None)
    return f"<{format_duration(within)}" if within is not None else f">{format_duration(steps[-1])}"


def _spot(decision: Decision, name: str) -> Status:
    found = next((report for report in decision.spot if report.name == name), None)
    return {} if found is None else {"spotRisk": format_ratio(found.risk), "reclaims": found.reclaims}


def _gpu(decision: Decision) -> Status:
    gpu = decision.gpu
    status = {
        "verdict": str(gpu.verdict),
        "utilization": None if gpu.utilization is None else format_ratio(gpu.utilization, 0),
        "queue": None if gpu.waiting is None else f"{gpu.waiting:.1f}",
        "running": None if gpu.running is None else f"{gpu.running:.1f}",
        "kneeRunning": None if gpu.knee_batch is None else f"{gpu.knee_batch:.1f}",
        "kvCacheUsage": None if gpu.kv_cache_usage is None else format_ratio(gpu.kv_cache_usage, 0),
        "tokensPerSecond": None if gpu.tokens is None else f"{gpu.tokens:.0f}",
        "kneeTokensPerSecond": None if gpu.knee_tokens is None else f"{gpu.knee_tokens:.0f}",
    }
    return {key: value for key, value in status.items() if value is not None}


def _cost(spec: WorkloadSpec, decision: Decision) -> Status:
    cost = decision.cost
    status = {
        "currency": spec.currency,
        "perHour": None if cost.per_hour is None else format_money(cost.per_hour, 4),
        "monthToDate": f"{cost.month_to_date:.6f}",
        "dayToDate": f"{cost.day_to_date:.6f}",
        "asOf": rfc3339(decision.at),
        "monthForecast": None if cost.month_forecast is None else format_money(cost.month_forecast, 2),
        "monthLow": None if cost.month_low is None else format_money(cost.month_low, 2),
        "monthHigh": None if cost.month_high is None else format_money(cost.month_high, 2),
        "forecastRecord": cost.month_record or None,
        "ceilingsSpared": format_money(cost.spared, 2) if cost.spared else None,
        "ceilingsMissed": f"{cost.missed:.0f}" if cost.spared else None,
        "perRequest": None if cost.per_request is None else f"{cost.per_request:.6f}",
        "perMillionTokens": None if cost.per_million_tokens is None else f"{cost.per_million_tokens:.4f}",
    }
    return {key: value for key, value in status.items() if value is not None}


def _roi(spec: WorkloadSpec, report: RoiReport) -> Status:
    target = next(t for t in spec.roi_targets if t.name == report.name)
    status = {
        "name": report.name,
        "metric": str(target.metric),
        "value": _figure(report.value),
        "low": _figure(report.low),
        "high": _figure(report.high),
        "target": _figure(float(report.target)) if target.relative else str(report.target),
        "state": report.state,
        "why": report.why[:512] or None,
        "cause": f"{report.cause_code}: {report.cause}"[:512] if report.cause else None,
        "advice": report.advice[:512] or None,
    }
    return {key: value for key, value in status.items() if value is not None}


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _fallback(spec: WorkloadSpec, observation: Observation, decision: Decision) -> Status | None:
    if decision.fallback is None:
        return None
    report = decision.fallback
    originals = [
        {
            _ROUTE_FIELDS[route.kind]: route.route,
            **({"ruleName": route.rule_name} if route.rule_name else {}),
            "primary": seen.original_weights[0],
            "fallback": seen.original_weights[1],
        }
        for route, seen in zip(spec.fallback.routes if spec.fallback else (), observation.state.routes, strict=False)
        if seen.original_weights is not None
    ]
    status = {
        "state": report.state,
        "weight": format_ratio(report.share, 0),
        "since": rfc3339(report.since) if report.since else None,
        "reason": report.cause or None,
        "originalWeights": originals or None,
    }
    return {key: value for key, value in status.items() if value is not None}
