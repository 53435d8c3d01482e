"""The decision core for a fleet: processor time per tick on one core, against the floor of copying every observation.

Of the workloads 95% have one variant and 5% three. Their load is steady, but what a minute's window shows of it varies
as counts do, so that some plans are made anew with every tick and most are not.
"""

from __future__ import annotations

import copy
import random
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

# Ticks until forecasts have come due, and those that are measured after them.
WORKLOADS, WARM_TICKS, TICKS = 2_000, 10, 3
TICK_SECONDS, WINDOW_SECONDS = 15.0, 60.0
# What a fleet with some room misses.
GOOD = 0.998
# One workload in so many has three variants.
EVERY = 20


def measure(**_: float) -> dict[str, str]:
    """Seconds for one tick's decisions, per workload and as a ratio of the floor; memory kept per workload."""
    specs = [_spec(index) for index in range(WORKLOADS)]
    memories = [Memory() for _ in specs]
    decided, copied, made = [], [], 0
    for tick in range(WARM_TICKS + TICKS):
        observations = [_observation(spec, tick, index) for index, spec in enumerate(specs)]
        began = time.process_time()
        results = [decide(*inputs) for inputs in zip(specs, observations, memories, strict=True)]
        took = time.process_time() - began
        before, memories = memories, [memory for _, memory in results]
        if tick < WARM_TICKS:
            continue
        decided.append(took)
        made += sum(now.plan is not then.plan for now, then in zip(memories, before, strict=True))
        began = time.process_time()
        for observation in observations:
            copy.deepcopy(observation)
        copied.append(time.process_time() - began)
    tracemalloc.start()
    snapshot = copy.deepcopy(memories)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    seconds, floor = statistics.median(decided), statistics.median(copied)
    return {
        f"decide, {WORKLOADS} workloads, processor time": f"{seconds:.2f} s ({seconds / WORKLOADS * 1e6:.0f} µs each)",
        "floor: copying the same observations": f"{floor:.2f} s",
        "ratio to the floor": f"{seconds / floor:.2f}",
        "plans made anew, of all": f"{made / (TICKS * WORKLOADS):.0%}",
        "memory kept per workload": f"{kept / len(snapshot) / 1024:.1f} KiB",
    }


def _spec(index: int) -> WorkloadSpec:
    prior = EnginePrior(0.0064, 0.0, 5e-8, 2e-5, 451_000, 256)
    names = ("gpu",) if index % EVERY else ("gpu", "large", "spare")
    return WorkloadSpec(
        key=WorkloadKey("fleet", f"model-{index}"),
        uid=str(index),
        generation=1,
        workload_type="Assistant",
        mode=Mode.AUTO,
        precedence=Precedence.SLO,
        priority=0,
        variants=tuple(
            Variant(
                name,
                TargetRef("apps/v1", "Deployment", f"model-{index}-{name}"),
                1,
                50,
                "H100",
                1,
                Decimal("3.20") + place,
                "bench",
                60.0,
                prior,
            )
            for place, name in enumerate(names)
        ),
        objectives=(
            Objective("ttft", Indicator.TIME_TO_FIRST_TOKEN, 1.0, 0.95, 3600.0),
            Objective("itl", Indicator.INTER_TOKEN_LATENCY, 0.1, 0.95, 3600.0),
        ),
    )


def _observation(spec: WorkloadSpec, tick: int, index: int) -> Observation:
    chance = random.Random(f"{index}/{tick}")
    mean, replicas = 2.0 + index % 40, 2 + index % 9
    seen = max(0.1, chance.gauss(mean, (mean / WINDOW_SECONDS) ** 0.5))
    shares = tuple(WindowShare(w, seen * w * GOOD, seen * w) for w in (WINDOW_SECONDS, 300.0, 3600.0))
    objectives = tuple(ObjectiveReading(o.name, SignalState.OK, shares) for o in spec.objectives)
    signals, states = [], []
    for variant in spec.variants:
        rate = seen / len(spec.variants)
        batch = rate * 4 * chance.uniform(0.9, 1.1)
        signals.append(
            VariantSignals(
                variant.name, ok(batch), ok(0.0), ok(rate), ok(rate * 1154), ok(rate * 211), ok(1154.0), ok(211.0),
                ok(0.02 * chance.uniform(0.95, 1.05)), ok(0.4), ok(0.9), ok(0.1), ok(float(replicas)), ok(batch),
            )
        )  # fmt: skip
        states.append(VariantState(variant.name, replicas=replicas, ready=replicas, gpus_per_replica=1))
    completions = ((3600.0, mean * 3600),)
    at = 1e9 + TICK_SECONDS * tick
    return Observation(
        spec.key, at, WorkloadSignals(objectives, tuple(signals), completions), WorkloadState(tuple(states))
    )
