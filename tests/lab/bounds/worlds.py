"""Small traces and fleets that the tests of the bounds share."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetVariant
from flyball.lab.policies.model import Objective
from flyball.lab.presets import preset
from flyball.lab.trace import Trace

TINY = EngineParameters(
    base_ms=10,
    per_sequence_ms=1,
    per_context_token_ms=0.1,
    per_prefill_token_ms=0.5,
    request_overhead_ms=0,
    kv_tokens=160,
    max_batch=4,
    max_batched_tokens=64,
)

CHAT = (Objective("TimeToFirstToken", 1.0, 0.95), Objective("InterTokenLatency", 0.15, 0.95))


def trace_of(requests: Sequence[tuple[float, int, int]], span_seconds: float | None = None) -> Trace:
    """A trace of (seconds, input tokens, output tokens)."""
    times, inputs, outputs = zip(*requests, strict=True)
    return Trace(
        name="test",
        t_seconds=np.array(times, float),
        input_tokens=np.array(inputs, np.int64),
        output_tokens=np.array(outputs, np.int64),
        span_seconds=span_seconds if span_seconds is not None else float(times[-1]),
    )


def variant(
    engine: EngineParameters | None = None,
    *,
    startup_seconds: float = 60.0,
    price: str = "3.6",
    min_replicas: int = 1,
    max_replicas: int = 60,
    gpus_per_replica: int = 1,
    startup_jitter: float = 0.0,
) -> FleetVariant:
    return FleetVariant(
        "test",
        engine or preset("l4_8b").parameters,
        startup_seconds,
        Decimal(price),
        gpus_per_replica=gpus_per_replica,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        startup_jitter=startup_jitter,
    )
