"""From decisions to what they ask of GPUPools, and from grants back to decisions: arbitration around `core.decide`."""

from collections.abc import Mapping, Sequence

from flyball.core.decision import Cause, Condition, Decision, VariantDecision
from flyball.core.money.cost import gpus_of
from flyball.core.names import ConditionType, Mode
from flyball.core.observation import Observation
from flyball.core.pools.gpu_pools import Ask, Grant
from flyball.core.spec import WorkloadSpec
from flyball.core.told.report import summary
from flyball.core.values import replace

GPUS_SHORT = "GPUsShort"
_LIMIT = "GPUPool "


def asks_of(
    spec: WorkloadSpec,
    observation: Observation,
    decision: Decision,
    accelerators: Mapping[str, str],
) -> tuple[Ask, ...]:
    """What a workload's targets ask of the pools. Those without GPUs ask for nothing.

    `accelerators` are those that targets were seen on, by variant. A target that Flyball may not scale now asks for
    what it has: nobody is granted what it holds. A workload that wants anything has a minimum of one replica, also
    where every target may be emptied (minReplicas 0): without any replica nobody would be served, nor heard.
    """
    last = _last_to_go(decision.variants) if not any(variant.min_replicas for variant in spec.variants) else ""
    asks = []
    for variant, decided in zip(spec.variants, decision.variants, strict=True):
        state = observation.state.variant(variant.name)
        gpus = gpus_of(variant, state)
        if not gpus:
            continue
        fixed = spec.mode is not Mode.AUTO or not (state.exists and state.scalable) or state.contender is not None
        asks.append(
            Ask(
                spec.key,
                variant.name,
                variant.accelerator or state.accelerator or accelerators.get(variant.name),
                gpus,
                variant.min_replicas or (1 if variant.name == last else 0),
                decided.current,
                decided.current if fixed else decided.desired,
                spec.priority,
                decision.arrivals_per_second,
                decision.capacity_per_replica,
                None if spec.value_per_request is None else float(spec.value_per_request),
                fixed,
            )
        )
    return tuple(asks)


def held(asks: Sequence[Ask]) -> tuple[Ask, ...]:
    """The asks of a workload of which nothing new is known: it has what it had, and that is nobody else's."""
    return tuple(replace(ask, desired=ask.current, fixed=True) for ask in asks)


def rationed(decision: Decision, grants: Sequence[Grant]) -> Decision:
    """The decision within what the pools grant its targets, with the reason in a sentence where that is less."""
    short = {grant.ask.target: grant for grant in grants if grant.short}
    if not short:
        return decision
    variants = tuple(_within(variant, short.get(variant.name)) for variant in decision.variants)
    texts = _texts(grants)
    return replace(
        decision,
        variants=variants,
        conditions=tuple(_capacity(condition, texts) for condition in decision.conditions),
        summary=summary(variants),
    )


def shortage(grants: Sequence[Grant]) -> str:
    """What the pools grant a workload's targets less than they asked for, in a sentence; empty where it is all.

    `grants` are those of all its targets.
    """
    return "; ".join(_texts(grants))


def limited_by_pool(limited_by: str | None) -> bool:
    """Whether the bound that held a target's count is a GPUPool."""
    return bool(limited_by) and str(limited_by).startswith(_LIMIT)


def _texts(grants: Sequence[Grant]) -> list[str]:
    several = len(grants) > 1
    return [f"{grant.ask.target}: {grant.text}" if several else grant.text for grant in grants if grant.short]


def _last_to_go(variants: Sequence[VariantDecision]) -> str:
    """The variant that keeps a replica where all could be emptied: one that runs before one that does not."""
    return max(variants, key=lambda variant: (min(variant.current, variant.desired), variant.desired)).name


def _within(variant: VariantDecision, grant: Grant | None) -> VariantDecision:
    if grant is None:
        return variant
    numbers = (("asked", float(variant.desired)), ("granted", float(grant.replicas)))
    return replace(
        variant,
        desired=grant.replicas,
        causes=(*variant.causes, Cause(GPUS_SHORT, grant.text, numbers)),
        limited_by=f"{_LIMIT}{grant.pool}",
    )


def _capacity(condition: Condition, texts: Sequence[str]) -> Condition:
    """CapacityAvailable says that GPUs are short, and after it what else is."""
    if condition.type is not ConditionType.CAPACITY_AVAILABLE:
        return condition
    texts = [*texts, *([] if condition.status else [condition.message])]
    return Condition(condition.type, False, GPUS_SHORT, "; ".join(texts))
