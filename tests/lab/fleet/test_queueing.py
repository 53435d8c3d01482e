"""One replica made into queues whose mean times are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from lab.fleet.worlds import ENGINE, simulation, variant

from flyball.lab.fleet.model import FleetOptions, Routing
from flyball.lab.trace import Trace

COUNT = 300_000


def poisson(rate: float, prompts: np.ndarray, outputs: np.ndarray, seed: int) -> Trace:
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, len(prompts)))
    return Trace("poisson", arrivals, prompts, outputs, float(arrivals[-1]))


def one_at_a_time(per_token_ms: float):
    """A server that takes `per_token_ms` for each prompt token of a request with one token of output."""
    return replace(
        ENGINE, base_ms=1e-6, per_sequence_ms=0, per_context_token_ms=0, per_prefill_token_ms=per_token_ms,
        request_overhead_ms=0, kv_tokens=1_000_000, max_batch=1, max_batched_tokens=1_000_000,
    )  # fmt: skip


def mean_response(trace: Trace, engine, replicas: int = 1, options: FleetOptions = FleetOptions()) -> float:  # noqa: B008
    sim = simulation(trace, variant(engine=engine), initial=(replicas,), options=options)
    sim.advance(trace.span_seconds + 1e5)
    response = sim.outcome().finished_at - trace.t_seconds
    assert np.isfinite(response).all()
    return float(response.mean())


@pytest.mark.parametrize("utilization", [0.3, 0.6, 0.8])
def test_equal_prompts_one_at_a_time_are_an_md1_queue(utilization: float) -> None:
    """Pollaczek-Khinchine: the mean wait is ρ S / (2 (1 − ρ))."""
    trace = poisson(utilization, np.full(COUNT, 1000), np.ones(COUNT, int), seed=1)
    expected = 1 + utilization / (2 * (1 - utilization))
    assert mean_response(trace, one_at_a_time(1.0)) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("utilization", [0.3, 0.6, 0.8])
def test_exponential_prompts_one_at_a_time_are_an_mm1_queue(utilization: float) -> None:
    prompts = np.ceil(np.random.default_rng(2).exponential(1000, COUNT)).astype(int)
    trace = poisson(utilization, prompts, np.ones(COUNT, int), seed=3)
    assert mean_response(trace, one_at_a_time(1.0)) == pytest.approx(1 / (1 - utilization), rel=0.05)


def test_a_gateway_queue_before_two_replicas_is_an_mm2_queue() -> None:
    """M/M/2: the mean response is S / (1 − ρ²)."""
    prompts = np.ceil(np.random.default_rng(4).exponential(1000, COUNT)).astype(int)
    trace = poisson(1.4, prompts, np.ones(COUNT, int), seed=5)
    options = FleetOptions(gateway_queue=True)
    assert mean_response(trace, one_at_a_time(1.0), 2, options) == pytest.approx(1 / (1 - 0.7**2), rel=0.05)


def test_random_routing_to_two_replicas_is_two_mm1_queues() -> None:
    prompts = np.ceil(np.random.default_rng(6).exponential(1000, COUNT)).astype(int)
    trace = poisson(1.2, prompts, np.ones(COUNT, int), seed=7)
    options = FleetOptions(routing=Routing.RANDOM)
    assert mean_response(trace, one_at_a_time(1.0), 2, options) == pytest.approx(1 / (1 - 0.6), rel=0.05)


@pytest.mark.parametrize("spread", ["equal", "exponential", "heavy"])
@pytest.mark.parametrize("utilization", [0.4, 0.7])
def test_decoding_that_costs_per_sequence_is_processor_sharing(utilization: float, spread: str) -> None:
    """M/G/1-PS: the mean response is S / (1 − ρ) whatever the distribution of sizes. Iterations of a token for each
    sequence, with time in proportion to their number, share the processor; 200 tokens are fine enough.
    """
    count = COUNT // 15
    draw = np.random.default_rng(8)
    outputs = {
        "equal": np.full(count, 201),
        "exponential": 1 + np.ceil(draw.exponential(200, count)).astype(int),
        "heavy": 1 + np.where(draw.random(count) < 0.9, 100, 1100),
    }[spread]
    engine = replace(
        ENGINE, base_ms=1e-6, per_sequence_ms=1.0, per_context_token_ms=0, per_prefill_token_ms=0,
        request_overhead_ms=0, kv_tokens=10_000_000, max_batch=2000, max_batched_tokens=10_000,
    )  # fmt: skip
    service = float((outputs - 1).mean()) / 1000
    trace = poisson(utilization / service, np.ones(count, int), outputs, seed=9)
    tolerance = 0.1 if spread == "heavy" else 0.06
    assert mean_response(trace, engine) == pytest.approx(service / (1 - utilization), rel=tolerance)
