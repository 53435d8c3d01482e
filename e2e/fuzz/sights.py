"""What a tick may see of a workload: anything that the ports may hand in, sane and not."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from flyball.core.observation import (
    ABSENT,
    ObjectiveReading,
    Observation,
    Percentiles,
    PodSpan,
    Reading,
    RouteState,
    SignalState,
    VariantSignals,
    VariantState,
    WindowShare,
    WorkloadSignals,
    WorkloadState,
)

if TYPE_CHECKING:
    from random import Random

    from flyball.core.spec import WorkloadSpec

GARBAGE = (math.nan, math.inf, -math.inf, -1.0, 1e300, 1e18, 1e12, 5e-324, -0.0)
_SIGNALS = [each.name for each in fields(VariantSignals) if each.default == ABSENT]
_STATES = tuple(SignalState)


def observation(spec: WorkloadSpec, at: float, dice: Random) -> Observation:
    """One sight. Half of them are of a healthy system, with garbage in them as often as it happens."""
    wild = 0.15 if dice.random() < 0.5 else 0.01
    return Observation(spec.key, at, _signals(spec, dice, wild), state(spec, dice, wild))


def state(spec: WorkloadSpec, dice: Random, wild: float) -> WorkloadState:
    """What the cluster says; `wild` is how often a part of it is odd."""
    variants = tuple(
        _variant(each.name, each.max_replicas, dice, wild) for each in spec.variants if dice.random() >= wild
    )
    routes = tuple(_route(each.route, dice, wild) for each in (spec.fallback.routes if spec.fallback else ()))
    return WorkloadState(variants, routes, "the API server is down" if dice.random() < wild / 4 else "")


def _variant(name: str, most: int, dice: Random, wild: float) -> VariantState:
    replicas = dice.randint(0, min(most, 30) + 2)
    ready = dice.randint(0, replicas)
    starting = dice.randint(0, replicas - ready)
    spans = tuple(PodSpan(f"{name}-{n}", 1.7e9 - 60 * n, 1.7e9 if n < ready else None) for n in range(min(replicas, 4)))
    return VariantState(
        name,
        exists=dice.random() >= wild,
        scalable=dice.random() >= wild,
        replicas=replicas,
        ready=ready,
        starting=starting,
        unschedulable=replicas - ready - starting,
        accelerator=dice.choice((None, "NVIDIA-L4")),
        gpus_per_replica=dice.choice((None, 0, 1, 8)),
        contender="HPA/x" if dice.random() < wild else None,
        startup_seconds=dice.choice(((), (40.0,), (200.0, 90.0, 0.0))),
        pods=spans,
    )


def _route(name: str, dice: Random, wild: float) -> RouteState:
    def pair() -> tuple[int, int]:
        return dice.choice(
            ((1, 0), (100, 0), (50, 50), (0, 1), (0, 0), (dice.randint(0, 10**6), dice.randint(0, 10**6)))
        )

    primary, fallback = pair()
    return RouteState(
        name,
        primary,
        fallback,
        original_weights=dice.choice((None, pair())),
        applied_weights=dice.choice((None, (primary, fallback), pair())),
        primary_ready_endpoints=dice.randint(0, 3),
        fallback_ready_endpoints=dice.randint(0, 2),
        problem="no such rule" if dice.random() < wild else "",
    )


def _number(dice: Random, wild: float, most: float) -> float:
    return dice.choice(GARBAGE) if dice.random() < wild else dice.uniform(0, most)


def _reading(dice: Random, wild: float, most: float) -> Reading:
    if dice.random() < wild:
        return Reading(_number(dice, 0.3, most), dice.choice(_STATES), dice.uniform(0, 1e4))
    return (
        ABSENT if dice.random() < wild else Reading(_number(dice, wild / 4, most), SignalState.OK, dice.uniform(0, 30))
    )


def _percentiles(dice: Random, wild: float) -> Percentiles:
    p50, p95, p99 = (_number(dice, wild, 10.0) for _ in range(3))
    return Percentiles(p50, p95, p99)


def _signals(spec: WorkloadSpec, dice: Random, wild: float) -> WorkloadSignals:
    most = dice.choice((1.0, 40.0, 2000.0))
    variants = tuple(
        VariantSignals(each.name, **{name: _reading(dice, wild, 1.0 if "ge" in name else most) for name in _SIGNALS})
        for each in spec.variants
        if dice.random() >= wild
    )
    windows = (60.0, 300.0, 3600.0, 86400.0)

    def shares() -> tuple[WindowShare, ...]:
        total = _number(dice, wild, 5000.0)
        return tuple(WindowShare(w, total * dice.random(), total) for w in dice.sample(windows, dice.randint(0, 3)))

    objectives = tuple(
        ObjectiveReading(
            each.name,
            dice.choice(_STATES) if dice.random() < wild else SignalState.OK,
            shares(),
            None if dice.random() < 0.3 else _percentiles(dice, wild),
        )
        for each in spec.objectives
        if dice.random() >= wild
    )
    counts = tuple((window, _number(dice, wild, 1e5)) for window in windows)
    return WorkloadSignals(
        objectives,
        variants,
        counts,
        tuple((window, count * 500) for window, count in counts),
        wanted=_reading(dice, wild, 1.0),
        problem="Prometheus is down" if dice.random() < wild / 4 else "",
    )
