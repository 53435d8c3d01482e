"""From the models that users write to the core's view of them: defaults, units and prices resolved.

Total: a bad object becomes `Invalid`, with a path, a problem and a fix for each error; nothing raises.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flyball.api.declared import not_yet_acted_on, objective_acted_on
from flyball.api.defaults import DEFAULT_TARGET, DEFAULT_WINDOW, default_objectives
from flyball.api.latencies import latencies_of, stages_of
from flyball.api.own_counts import own_counts_of
from flyball.api.parse import parse_resource
from flyball.api.presets import ENGINE_PRIORS
from flyball.api.pricing import FoundPrice, PriceBooks, currency_of, gpu_price, prices_of, wrong_currency
from flyball.api.v1alpha1 import WorkloadSLO, WorkloadSLOSpec
from flyball.api.v1alpha1.fallback import FallbackBackendSpec, FallbackRouteSpec, FallbackSpec
from flyball.api.v1alpha1.objectives import ObjectiveSpec
from flyball.api.v1alpha1.scaling import ScaleToZero, ScalingSpec
from flyball.api.v1alpha1.targets import Target
from flyball.api.v1alpha1.telemetry import Telemetry
from flyball.api.v1alpha1.words import CapacityType, FallbackTrigger
from flyball.api.valuing import roi_targets_of, value_of
from flyball.core.names import COUNTED_INDICATORS, RouteKind, WorkloadKey
from flyball.core.spec import (
    Ceiling,
    EnginePrior,
    Fallback,
    FallbackBackend,
    FallbackRoute,
    Invalid,
    Objective,
    Scaling,
    TargetRef,
    TelemetrySource,
    ToZero,
    Variant,
    WorkloadSpec,
)
from flyball.core.units import parse_duration_seconds, parse_money, parse_ratio


def read_workload(
    raw: Mapping[str, Any],
    price_books: PriceBooks,
    accelerators: Mapping[str, str] | None = None,
    currency: str | None = None,
) -> WorkloadSpec | Invalid:
    """A WorkloadSLO as it comes from the API server, as the core sees it. `accelerators` and `currency` are as in
    `to_workload`."""
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    namespace, name, uid = (str(metadata.get(field, "")) for field in ("namespace", "name", "uid"))
    generation = metadata.get("generation")
    generation = generation if isinstance(generation, int) else 0
    parsed = parse_resource(WorkloadSLO, raw)
    if not isinstance(parsed, WorkloadSLO):
        return Invalid(WorkloadKey(namespace, name), uid, generation, parsed)
    declared = parsed.spec.cost.currency if parsed.spec.cost else None
    if error := wrong_currency("spec.cost.currency", declared, currency):
        return Invalid(WorkloadKey(namespace, name), uid, generation, (error,))
    return to_workload(namespace, name, uid, generation, parsed.spec, price_books, accelerators, currency)


def to_workload(
    namespace: str,
    name: str,
    uid: str,
    generation: int,
    spec: WorkloadSLOSpec,
    price_books: PriceBooks,
    accelerators: Mapping[str, str] | None = None,
    currency: str | None = None,
) -> WorkloadSpec:
    """The core's view of a valid spec.

    `accelerators` are those that the cluster was seen to give each variant, by the variant's name: they find the
    price where the spec does not name the accelerator. `currency` is the one that Flyball reckons in; None takes the
    spec's and its book's word for it.
    """
    book_name = spec.cost.price_book_ref.name if spec.cost and spec.cost.price_book_ref else None
    observed = accelerators or {}
    currency = currency or currency_of(spec, book_name, price_books)
    return WorkloadSpec(
        key=WorkloadKey(namespace, name),
        uid=uid,
        generation=generation,
        workload_type=spec.workload_type.value,
        mode=spec.mode,
        precedence=spec.precedence,
        priority=spec.priority or 0,
        variants=tuple(
            _variant(target, gpu_price(target, book_name, price_books, observed.get(target.effective_name), currency))
            for target in spec.targets
        ),
        objectives=_objectives(spec),
        telemetry=_telemetry(spec.telemetry),
        ceilings=tuple(
            Ceiling(ceiling.period, parse_money(ceiling.amount), ceiling.enforcement, currency=currency)
            for ceiling in (spec.cost.ceilings if spec.cost else ())
        ),
        value_per_request=_money(spec.value.per_request) if spec.value else None,
        value=value_of(spec.value, book_name, price_books, currency),
        roi_targets=roi_targets_of(spec),
        fallback=_fallback(spec.fallback),
        scaling=_scaling(spec.scaling),
        prices=prices_of(spec, book_name, price_books, currency),
        not_acted_on=tuple(str(note) for note in not_yet_acted_on(spec)),
        shadow=tuple(str(rival) for rival in spec.shadow),
        currency=currency,
    )


def _variant(target: Target, price: FoundPrice) -> Variant:
    reference = target.target_ref
    return Variant(
        name=target.effective_name,
        target=TargetRef(reference.api_version, reference.kind, reference.name),
        min_replicas=target.min_replicas,
        max_replicas=target.max_replicas,
        accelerator=target.accelerator,
        gpus_per_replica=target.gpus_per_replica,
        price_per_gpu_hour=price.dollars,
        price_source=price.source,
        startup_seconds=_seconds(target.startup_time),
        engine=_engine(target),
        spot=target.capacity_type is CapacityType.SPOT,
        spot_risk=_ratio(target.spot_risk) or 0.0,
        by_book=price.by_book,
        node_price=price.node_price,
    )


def _engine(target: Target) -> EnginePrior | None:
    if target.engine_preset is not None:
        return ENGINE_PRIORS[target.engine_preset]
    prior = target.engine_prior
    if prior is None:
        return None
    return EnginePrior(
        base_seconds=float(prior.base_ms) / 1000,
        per_sequence_seconds=float(prior.per_sequence_ms) / 1000,
        per_context_token_seconds=float(prior.per_context_token_ms) / 1000,
        per_prefill_token_seconds=float(prior.per_prefill_token_ms) / 1000,
        kv_cache_tokens=prior.kv_cache_tokens,
        max_sequences=prior.max_sequences,
    )


def _objectives(spec: WorkloadSLOSpec) -> tuple[Objective, ...]:
    """The declared objectives that can be measured, and the workload type's defaults where none is of a latency.

    A workload without any of these would be scaled to its minimum, which nobody asks for.
    """
    declared = tuple(_objective(each) for each in spec.objectives if objective_acted_on(each, spec.telemetry))
    if any(objective.indicator not in COUNTED_INDICATORS for objective in declared):
        return declared
    names = {objective.name for objective in declared}
    return (*declared, *(each for each in default_objectives(spec.workload_type) if each.name not in names))


def _objective(objective: ObjectiveSpec) -> Objective:
    return Objective(
        name=objective.name,
        indicator=objective.indicator,
        threshold_seconds=_seconds(objective.threshold),
        target=parse_ratio(objective.target or DEFAULT_TARGET),
        window_seconds=parse_duration_seconds(objective.window or DEFAULT_WINDOW),
        stage=objective.stage,
        segment=tuple(sorted(objective.segment.items())),
    )


def _telemetry(telemetry: Telemetry | None) -> TelemetrySource:
    if telemetry is None:
        return TelemetrySource()
    labels = telemetry.selector.match_labels if telemetry.selector else {}
    at_gateway = telemetry.gateway_selector.match_labels if telemetry.gateway_selector else labels
    return TelemetrySource(
        selector=tuple(sorted(labels.items())),
        gateway_selector=tuple(sorted(at_gateway.items())) if telemetry.gateway else (),
        overrides=tuple(sorted(telemetry.overrides.items())),
        latencies=latencies_of(telemetry),
        stages=stages_of(telemetry),
        segment_by=telemetry.segment_by,
        own=own_counts_of(telemetry),
        **_given(
            engine=telemetry.engine.value if telemetry.engine else None,
            gateway=telemetry.gateway.value if telemetry.gateway else None,
            stale_after_seconds=_seconds(telemetry.stale_after),
        ),
    )


def _fallback(fallback: FallbackSpec | None) -> Fallback | None:
    if fallback is None:
        return None
    triggers = frozenset(FallbackTrigger if fallback.triggers is None else fallback.triggers)
    return Fallback(
        routes=tuple(map(_fallback_route, fallback.routes)),
        on_objectives=FallbackTrigger.OBJECTIVES_BURNING in triggers,
        on_capacity=FallbackTrigger.CAPACITY_SHORT in triggers,
        on_ceiling=FallbackTrigger.CEILING_REACHED in triggers,
        price_per_request=_money(fallback.price_per_request),
        labor_cost_per_request=_money(fallback.labor_cost_per_request),
        backends=tuple(map(_fallback_backend, fallback.backends)),
        max_cost_per_hour=_money(fallback.max_cost_per_hour),
        steps=tuple(parse_ratio(step) for step in fallback.steps or ()),
        **_given(
            max_overflow=_ratio(fallback.max_overflow),
            trigger_for_seconds=_seconds(fallback.trigger_for),
            min_hold_seconds=_seconds(fallback.min_hold),
            return_hold_seconds=_seconds(fallback.return_hold),
        ),
    )


def _fallback_route(route: FallbackRouteSpec) -> FallbackRoute:
    kinds = {
        RouteKind.HTTP: route.http_route,
        RouteKind.GRPC: route.grpc_route,
        RouteKind.AI_GATEWAY: route.ai_gateway_route,
    }
    kind, name = next((kind, name) for kind, name in kinds.items() if name)
    return FallbackRoute(
        name,
        route.primary,
        route.fallback,
        route.rule_name,
        kind,
        route.order or 0,
        _ratio(route.traffic_share),
    )


def _fallback_backend(backend: FallbackBackendSpec) -> FallbackBackend:
    most = backend.max_requests_per_second
    return FallbackBackend(
        backend.name,
        backend.kind,
        _money(backend.price_per_request),
        _money(backend.labor_cost_per_request),
        None if most is None else float(most),
    )


def _scaling(scaling: ScalingSpec | None) -> Scaling:
    if scaling is None:
        return Scaling()
    up, down = scaling.up, scaling.down
    return Scaling(
        **_given(
            up_stabilization_seconds=_seconds(up.stabilization) if up else None,
            up_max_step=up.max_step if up else None,
            down_stabilization_seconds=_seconds(down.stabilization) if down else None,
            down_max_step=down.max_step if down else None,
            headroom=_ratio(scaling.headroom),
            max_insurance=_ratio(scaling.max_insurance),
            to_zero=_to_zero(scaling.scale_to_zero) if scaling.scale_to_zero else None,
        )
    )


def _to_zero(declared: ScaleToZero) -> ToZero:
    wake_up = declared.wake_up
    target = wake_up.fallback_target if wake_up else None
    return ToZero(
        idle_after_seconds=parse_duration_seconds(declared.idle_after),
        query=(wake_up.query if wake_up else None) or "",
        fallback_target=TargetRef(target.api_version, target.kind, target.name) if target else None,
        **_given(min_hold_seconds=_seconds(declared.min_hold)),
    )


def _given(**fields: Any) -> dict[str, Any]:
    """Only what is set, so that the core's own defaults stay the one place for the rest."""
    return {name: value for name, value in fields.items() if value is not None}


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else parse_duration_seconds(duration)


def _money(amount: str | None) -> Decimal | None:
    return None if amount is None else parse_money(amount)


def _ratio(percent: str | None) -> float | None:
    return None if percent is None else parse_ratio(percent)
