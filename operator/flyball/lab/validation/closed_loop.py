"""A benchmark's closed loop, played through the fleet simulator.

One replica behind a gateway's queue, whose batch has as many places as there are clients: a request leaves the queue
when another ends, which is when that client would have sent it. So the k-th request is sent at the (k − clients)-th
end, whatever held it after that. Where the KV cache is short it waits before the request overhead, instead of after it.

Requests of equal length keep the phase in which their clients began. Two beginnings bound what a benchmark may do:
*out of step*, each at a random time within a request's duration, as clients that have run for long; and *in step*, all
at once and counted from the first request on, as a benchmark without warm-up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.trace import Seconds, Trace
from flyball.lab.validation.rows import Load

_ROUNDS_IN_STEP = 10
"""Requests of each client; ten is what AIPerf's and vLLM's examples send."""
_ROUNDS_OUT_OF_STEP = 6
_UNCOUNTED_ROUNDS = 2
"""In which phases settle; the last round is not counted either, since clients fall silent in it."""
_DRAWS = 4
"""Of the clients' phases, that are averaged."""


@dataclass(frozen=True, slots=True)
class Means:
    """Over the requests of a run, milliseconds; NaN when a request is larger than the KV cache."""

    ttft_ms: float
    tpot_ms: float

    def decoding_share(self, output_tokens: int) -> float:
        """The share of a request's time in which it decodes."""
        decoding = (output_tokens - 1) * self.tpot_ms
        return decoding / (self.ttft_ms + decoding)


def out_of_step(engine: EngineParameters, load: Load, draws: int = _DRAWS) -> Means:
    """Clients in random phases, once these have settled; the mean of several draws of the phases."""
    duration = _first_guess_seconds(engine, load)
    runs = []
    for seed in range(draws):
        begins = np.sort(np.random.default_rng(seed).random(load.concurrency)) * duration
        runs.append(_play(engine, load, begins, _ROUNDS_OUT_OF_STEP, slice(_UNCOUNTED_ROUNDS, -1)))
    return _mean(runs)


def in_step(engine: EngineParameters, load: Load) -> Means:
    """All clients at once, every request counted."""
    return _play(engine, load, np.zeros(load.concurrency), _ROUNDS_IN_STEP, slice(None))


def _play(engine: EngineParameters, load: Load, begins: Seconds, rounds: int, counted: slice) -> Means:
    clients = load.concurrency
    if clients > engine.max_batch:
        raise ValueError(f"{clients} clients are more than the batch's {engine.max_batch} places; give fewer")
    count = clients * rounds
    trace = Trace(
        name="closed loop",
        t_seconds=np.concatenate((begins, np.full(count - clients, begins[-1]))),
        input_tokens=np.full(count, load.prompt_tokens),
        output_tokens=np.full(count, load.output_tokens),
        span_seconds=float(begins[-1]),
    )
    places = replace(engine, max_batch=clients)
    simulation = Simulation(
        trace, [FleetVariant("one", places, 0.0, Decimal(0))], FleetOptions(gateway_queue=True), [1], 1
    )
    simulation.advance(math.inf)
    outcome = simulation.outcome()
    ends = np.sort(outcome.finished_at)[: count - clients]
    sent = np.concatenate((begins, np.maximum(ends, begins[-1])))
    by_round = (rounds, clients)
    ttft = (outcome.first_token_at - sent).reshape(by_round)[counted]
    decoding = (outcome.finished_at - outcome.first_token_at).reshape(by_round)[counted]
    return Means(float(ttft.mean()) * 1000, float(decoding.mean()) * 1000 / (load.output_tokens - 1))


def _first_guess_seconds(engine: EngineParameters, load: Load) -> float:
    """How long a request takes when all clients decode; phases need no better."""
    context = load.concurrency * (load.prompt_tokens + load.output_tokens // 2)
    prefill = load.concurrency * load.prompt_tokens // load.output_tokens
    return load.output_tokens * engine.iteration_seconds(load.concurrency, context, prefill)


def _mean(runs: Sequence[Means]) -> Means:
    return Means(float(np.mean([run.ttft_ms for run in runs])), float(np.mean([run.tpot_ms for run in runs])))
