"""Small fleets and traces for the tests of the simulator."""

from decimal import Decimal
from typing import Any

import numpy as np

from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.trace import Trace

ENGINE = EngineParameters(
    base_ms=10,
    per_sequence_ms=0.1,
    per_context_token_ms=0.0001,
    per_prefill_token_ms=0.05,
    request_overhead_ms=1,
    kv_tokens=4000,
    max_batch=8,
    max_batched_tokens=512,
)


def trace_of(*rows: tuple[float, int, int]) -> Trace:
    """A trace from rows of arrival, prompt and output tokens."""
    times, prompts, outputs = (np.array(column) for column in zip(*rows, strict=True))
    return Trace("rows", times.astype(float), prompts, outputs, float(times[-1]))


def random_trace(seed: int, count: int = 300, span: float = 100.0, prompt: int = 300, output: int = 60) -> Trace:
    """Uniform arrivals, prompts and outputs of up to so many tokens."""
    draw = np.random.default_rng(seed)
    arrivals = np.sort(draw.uniform(0, span, count))
    return Trace("random", arrivals, draw.integers(1, prompt, count), draw.integers(1, output, count), span)


def variant(name: str = "gpu", **changes: Any) -> FleetVariant:
    fields = {"engine": ENGINE, "startup_seconds": 20.0, "price_per_gpu_hour": Decimal("3.60")} | changes
    return FleetVariant(name, **fields)


def simulation(
    trace: Trace,
    *variants: FleetVariant,
    initial: tuple[int, ...] = (1,),
    options: FleetOptions = FleetOptions(),  # noqa: B008 - frozen
    seed: int = 1,
) -> Simulation:
    return Simulation(trace, variants or (variant(),), options, initial, seed)
