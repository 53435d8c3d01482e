"""The decision core for a fleet: seconds per tick on one core, against the floor of copying every observation."""

from __future__ import annotations

import copy
import statistics
import time
import tracemalloc
from decimal import Decimal

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.core.names import Indicator, Mode, Precedence, WorkloadKey
from flyball.core.observation import (
    ObjectiveReading,
    Observation,
    SignalState,
    VariantSignals,
    VariantState,
    WindowShare,
    WorkloadSignals,
    WorkloadState,
    ok,
)
from flyball.core.spec import EnginePrior, Objective, TargetRef, Variant, WorkloadSpec

WORKLOADS, TICKS = 1000, 7


def measure(**_: float) -> dict[str, str]:
    """Seconds for one tick's decisions, per workload and as a ratio of the floor; memory kept per workload."""
    specs = [_spec(index) for index in range(WORKLOADS)]
    memories = [Memory() for _ in specs]
    decided, copied = [], []
    for tick in range(TICKS):
        observations = [_observation(spec, 1e9 + 15.0 * tick, index) for index, spec in enumerate(specs)]
        began = time.perf_counter()
        results = [decide(*inputs) for inputs in zip(specs, observations, memories, strict=True)]
        decided.append(time.perf_counter() - began)
        began = time.perf_counter()
        for observation in observations:
            copy.deepcopy(observation)
        copied.append(time.perf_counter() - began)
        memories = [memory for _, memory in results]
    tracemalloc.start()
    snapshot = copy.deepcopy(memories)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    seconds, floor = statistics.median(decided), statistics.median(copied)
    return {
        f"decide, {WORKLOADS} workloads, one core": f"{seconds:.2f} s ({seconds / WORKLOADS * 1e6:.0f} µs each)",
        "floor: copying the same observations": f"{floor:.2f} s",
        "ratio to the floor": f"{seconds / floor:.2f}",
        "memory kept per workload": f"{kept / len(snapshot) / 1024:.1f} KiB",
    }


def _spec(index: int) -> WorkloadSpec:
    prior = EnginePrior(0.0064, 0.0, 5e-8, 2e-5, 451_000, 256)
    target = TargetRef("apps/v1", "Deployment", f"model-{index}")
    return WorkloadSpec(
        key=WorkloadKey("fleet", f"model-{index}"),
        uid=str(index),
        generation=1,
        workload_type="Assistant",
        mode=Mode.AUTO,
        precedence=Precedence.SLO,
        priority=0,
        variants=(Variant("gpu", target, 1, 50, "H100", 1, Decimal("3.20"), "bench", 60.0, prior),),
        objectives=(
            Objective("ttft", Indicator.TIME_TO_FIRST_TOKEN, 1.0, 0.95, 3600.0),
            Objective("itl", Indicator.INTER_TOKEN_LATENCY, 0.1, 0.95, 3600.0),
        ),
    )


def _observation(spec: WorkloadSpec, at: float, index: int) -> Observation:
    rate, replicas = 2.0 + index % 40, 2 + index % 9
    signals = VariantSignals(
        "gpu", ok(rate * 4), ok(float(index % 3)), ok(rate), ok(rate * 1154), ok(rate * 211), ok(1154.0), ok(211.0),
        ok(0.02), ok(0.4), ok(0.9), ok(0.1), ok(float(replicas)),
    )  # fmt: skip
    shares = tuple(WindowShare(w, rate * w * 0.97, rate * w) for w in (60.0, 300.0, 3600.0))
    objectives = tuple(ObjectiveReading(o.name, SignalState.OK, shares) for o in spec.objectives)
    state = VariantState("gpu", replicas=replicas, ready=replicas, gpus_per_replica=1)
    return Observation(
        spec.key, at, WorkloadSignals(objectives, (signals,), ((3600.0, rate * 3600),)), WorkloadState((state,))
    )
