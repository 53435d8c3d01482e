"""Specs, observations and cluster states for tests of the core, made with only what a case is about.

The engine is made for mental arithmetic: an iteration takes 19 ms and 1 ms more for a sequence and for each that it
runs beside on average, at most 20 of them, and requests have 100 prompt and 100 output tokens. A full replica thus
finishes 20 / (100 × 0.040 s) = 5 requests/s. A first token is promised within 0.5 s, 26 prefills: of n full replicas'
work 5% misses at a share of 0.95 × (1 − 1/25.3² − 2.4 / (26.3 × n^0.75)): 0.86 for one replica (4.3 requests/s), 0.90
for two (9.0), 0.91 for three (13.7).
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import settings

from flyball.core.decide import decide
from flyball.core.decision import Decision
from flyball.core.memory import FallbackMemory, Memory
from flyball.core.names import Enforcement, FallbackState, Indicator, Mode, Period, Precedence, WorkloadKey
from flyball.core.observation import (
    ObjectiveReading,
    Observation,
    Reading,
    RouteState,
    SignalState,
    VariantSignals,
    VariantState,
    WindowShare,
    WorkloadSignals,
    WorkloadState,
    ok,
)
from flyball.core.spec import (
    Ceiling,
    EnginePrior,
    Fallback,
    FallbackRoute,
    Objective,
    TargetRef,
    Variant,
    WorkloadSpec,
)

LAW = settings(max_examples=60)
"""For every property here."""

KEY = WorkloadKey("shop", "chat")
ENGINE = EnginePrior(0.019, 0.001, 0.0, 0.0, 1e9, 20)
FULL_REPLICA = 5.0
START = 1_800_000_000.0
TICK = 15.0


def variant(name: str = "gpu", low: int = 1, high: int = 10, price: str | None = "2", **fields: Any) -> Variant:
    dollars = None if price is None else Decimal(price)
    given = {"gpus_per_replica": 1, "startup_seconds": 30.0, "engine": ENGINE, **fields}
    return Variant(name, TargetRef("apps/v1", "Deployment", name), low, high, price_per_gpu_hour=dollars, **given)


def objective(name: str = "ttft", target: float = 0.95, **fields: Any) -> Objective:
    given = {"indicator": Indicator.TIME_TO_FIRST_TOKEN, "threshold_seconds": 0.5, "window_seconds": 3600.0, **fields}
    return Objective(name, target=target, **given)


def spec(*variants: Variant, **fields: Any) -> WorkloadSpec:
    given = {
        "mode": Mode.AUTO,
        "precedence": Precedence.SLO,
        "objectives": (objective(),),
        **fields,
    }
    return WorkloadSpec(KEY, "uid-1", 1, "Assistant", priority=0, variants=variants or (variant(),), **given)


def hourly(amount: str, enforcement: Enforcement = Enforcement.CLAMP) -> tuple[Ceiling, ...]:
    return (Ceiling(Period.HOUR, Decimal(amount), enforcement),)


def fallback(*routes: str, **fields: Any) -> Fallback:
    return Fallback(tuple(FallbackRoute(r, f"{r}-own", f"{r}-hosted") for r in routes or ("chat",)), **fields)


def signals(name: str = "gpu", rate: float = 2.0, **readings: float | Reading) -> VariantSignals:
    """A variant that finishes `rate` requests/s without a queue, on GPUs that are neither idle nor busy."""
    length = readings.get("output_tokens_per_request", 100.0)
    given: dict[str, Any] = {
        "running": 4.0,
        "waiting": 0.0,
        "completions_per_second": rate,
        "output_tokens_per_second": rate * (length.value if isinstance(length, Reading) else length),
        "prompt_tokens_per_request": 100.0,
        "output_tokens_per_request": 100.0,
        "kv_cache_usage": 0.4,
        "gpu_utilization": 0.6,
        **readings,
    }
    return VariantSignals(name, **{k: v if isinstance(v, Reading) else ok(v) for k, v in given.items()})


def running(replicas: int = 2, name: str = "gpu", **fields: Any) -> VariantState:
    return VariantState(name, **{"replicas": replicas, "ready": replicas, **fields})


def route(name: str = "chat", **fields: Any) -> RouteState:
    return RouteState(name, **{"primary_ready_endpoints": 2, "fallback_ready_endpoints": 1, **fields})


def overflowing(share: float = 0.5, **fields: Any) -> FallbackMemory:
    """The memory of a fallback that takes that share of the one route's traffic."""
    given = {"level": share, "share": share, "parts": (share,), "since": START, "stepped_at": START, **fields}
    return FallbackMemory(**{"state": FallbackState.SHEDDING, **given})


def shares(*bad_of_total: tuple[float, float], state: SignalState = SignalState.OK) -> ObjectiveReading:
    """The objective `ttft` with (bad, total) events over one minute, five minutes and an hour."""
    windows = zip((60.0, 300.0, 3600.0), bad_of_total, strict=False)
    return ObjectiveReading("ttft", state, tuple(WindowShare(w, total - bad, total) for w, (bad, total) in windows))


GOOD = shares((0, 120), (0, 600), (0, 7200))
BURNING = shares((60, 120), (10, 600), (10, 7200))
BREACHED = shares((60, 120), (120, 600), (120, 7200))


def observation(
    *,
    at: float = START,
    signal: VariantSignals | tuple[VariantSignals, ...] | None = None,
    state: VariantState | tuple[VariantState, ...] | None = None,
    routes: tuple[RouteState, ...] = (),
    objectives: ObjectiveReading | tuple[ObjectiveReading, ...] = GOOD,
    problem: str = "",
    cluster_problem: str = "",
    **fields: Any,
) -> Observation:
    found = signals() if signal is None else signal
    states = running() if state is None else state
    told = WorkloadSignals(
        objectives=objectives if isinstance(objectives, tuple) else (objectives,),
        variants=found if isinstance(found, tuple) else (found,),
        problem=problem,
        **fields,
    )
    seen = WorkloadState(states if isinstance(states, tuple) else (states,), routes, cluster_problem)
    return Observation(KEY, at, told, seen)


def decided(workload: WorkloadSpec, seen: Observation, memory: Memory | None = None) -> Decision:
    return decide(workload, seen, memory or settled_memory(workload, seen))[0]


def settled_memory(workload: WorkloadSpec, seen: Observation) -> Memory:
    """The memory of a workload whose replicas have been as they are for ten minutes, and needed for less."""
    _, memory = decide(workload, replace(seen, at=seen.at - 600.0), Memory())
    variants = tuple(replace(v, needs=((seen.at - 600.0, 0),)) for v in memory.variants)
    forecast = replace(memory.forecast, judged=1) if memory.forecast else None
    return replace(memory, variants=variants, states=(), fallback=FallbackMemory(), forecast=forecast)


def desired(decision: Decision) -> int:
    return sum(v.desired for v in decision.variants)


def codes(decision: Decision) -> set[str]:
    return {cause.code for v in decision.variants for cause in v.causes}


def texts(decision: Decision) -> str:
    return " | ".join(cause.text for v in decision.variants for cause in v.causes)


def reasons(decision: Decision) -> list[str]:
    return [str(event.reason) for event in decision.events]


def condition(decision: Decision, kind: str) -> tuple[bool | None, str]:
    found = next(c for c in decision.conditions if c.type == kind)
    return found.status, found.reason


GARBAGE = (float("nan"), float("inf"), float("-inf"), -1.0, 1e300)
