"""What users see beside sizes and money: how requests end, what they are made of, and what caches save.

Nothing here changes a size. The counts are the engine's own where a profile has them, and the user's queries.
"""

from collections.abc import Collection, Sequence
from decimal import Decimal

from flyball.core.decision import ObjectiveReport
from flyball.core.fleet.capacity import CapacityFit, ReplicaLimits, RequestShape, replica_capacity
from flyball.core.memory import Memory
from flyball.core.money.cost import SECONDS_PER_HOUR, replica_price
from flyball.core.names import COUNTED_INDICATORS, Indicator
from flyball.core.observation import Observation, VariantState
from flyball.core.service import reliability, reuse, tokens
from flyball.core.service.efficiency_report import Efficiency
from flyball.core.service.reuse import Worth
from flyball.core.spec import Unit, WorkloadSpec
from flyball.core.traffic.demand import Situation, limits_of
from flyball.core.values import dataclass, replace

WINDOW_SECONDS = 3600.0
"""Over which the user's own counts are told."""


def steering(spec: WorkloadSpec) -> WorkloadSpec:
    """The spec with the objectives that size anything: how requests end tells nothing of how many GPUs are needed."""
    kept = tuple(o for o in spec.objectives if o.indicator not in COUNTED_INDICATORS)
    return spec if len(kept) == len(spec.objectives) else replace(spec, objectives=kept)


def among(
    spec: WorkloadSpec, reports: tuple[ObjectiveReport, ...], indicators: Collection[Indicator]
) -> tuple[ObjectiveReport, ...]:
    """The reports of objectives with these indicators."""
    return tuple(r for o, r in zip(spec.objectives, reports, strict=True) if o.indicator in indicators)


def look(
    spec: WorkloadSpec,
    observation: Observation,
    situation: Situation,
    states: Sequence[VariantState],
    memory: Memory,
) -> Efficiency:
    """The reports as of this observation."""
    own = observation.signals.own
    finished = observation.signals.completed(WINDOW_SECONDS)
    return Efficiency(
        reliability.report(own.events, WINDOW_SECONDS, _about("requestEvents", own.problems)),
        tokens.report(memory.shape, own.templates, finished, _about("tokens", own.problems)),
        reuse.report(spec.telemetry.own.caches, own.caches, _worth(spec, situation, states, memory)),
    )


def _about(field: str, problems: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for text in problems if text.startswith(f"telemetry.{field}"))


def _worth(spec: WorkloadSpec, situation: Situation, states: Sequence[VariantState], memory: Memory) -> Worth:
    """By the target that serves and is cheapest per request: what caches leave is served there last."""
    serving = [
        (price / Decimal(repr(capacity.requests_per_second)), price, variant, capacity)
        for variant, state, capacity in zip(spec.variants, states, situation.capacities, strict=True)
        if state.ready and capacity is not None and (price := replica_price(variant, state)) is not None
    ]
    components: dict[str, Decimal] = {}
    for component in spec.prices.components:
        if component.unit is Unit.REQUEST:
            components[component.kind] = components.get(component.kind, Decimal(0)) + component.price
    if not serving:
        return Worth(situation.demand, memory.shape, None, None, False, components)
    _, price, variant, capacity = min(serving, key=lambda each: each[0])
    fit = memory.variant(variant.name).fit
    return Worth(
        situation.demand,
        memory.shape,
        price / SECONDS_PER_HOUR,
        _Carries(fit, limits_of(spec)) if fit is not None else None,
        capacity.confident,
        components,
    )


@dataclass(frozen=True, slots=True)
class _Carries:
    """The requests/s that one replica carries of a shape."""

    fit: CapacityFit
    limits: ReplicaLimits

    def __call__(self, shape: RequestShape) -> float:
        return replica_capacity(self.fit, shape, self.limits).requests_per_second
