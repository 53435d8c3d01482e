"""How much load a small fleet just carries within the objectives: a load test of Poisson traffic in the simulator.

Token counts are drawn from a trace, so the figure is for that trace's mix. The same draws serve every rate, and only
the clock runs faster, so that a higher rate is a harder test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flyball.lab.bounds.need import request_work, servable
from flyball.lab.bounds.plan import Plan, allowed_late, meets, run
from flyball.lab.bounds.program import Infeasible
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.outcome import Outcome
from flyball.lab.play import Game
from flyball.lab.policies.model import Objective
from flyball.lab.trace import Trace

REQUESTS_PER_REPLICA = 8_000
_RUN_IN = 0.2
"""The share of the requests that come before the fleet has settled, and do not count."""
_PRECISION = 0.01
_HALVINGS = 24


@dataclass(frozen=True, slots=True)
class Capacity:
    """What `replicas` just carry together: requests/s, and the mean number of requests in flight then."""

    replicas: int
    requests_per_second: float
    in_flight: float

    @property
    def requests_per_second_per_replica(self) -> float:
        return self.requests_per_second / self.replicas

    @property
    def in_flight_per_replica(self) -> float:
        return self.in_flight / self.replicas


def capacity(
    trace: Trace,
    variant: FleetVariant,
    objectives: Sequence[Objective],
    options: FleetOptions = FleetOptions(),  # noqa: B008 - frozen
    replicas: int = 1,
    seed: int = 0,
    requests_per_replica: int = REQUESTS_PER_REPLICA,
) -> Capacity:
    """The highest rate, within 1%, at which so many replicas meet the objectives.

    Every replica is as declared: none is slow or reclaimed. Raises Infeasible where not even a lone request does.
    """
    steady = replace(variant, min_replicas=replicas, max_replicas=replicas, slow_share=0.0, reclaim_mean_seconds=None)
    drawn = _draw(trace, steady, seed, requests_per_replica * replicas)
    # Of what a fleet could ever serve, none serves more.
    highest = replicas / max(float(request_work(drawn, steady.engine, objectives).total.mean()), 1e-9)
    options = replace(options, gpus=None)
    low, high = 0.0, highest
    best: Capacity | None = None
    for _ in range(_HALVINGS):
        rate = high / 2 if best is None else math.sqrt(low * high)
        found = _try(drawn, rate, steady, objectives, options, seed)
        if found is None:
            high = rate
        else:
            best, low = found, rate
        if best is not None and high / low < 1 + _PRECISION:
            return best
    raise Infeasible("not even a lone request meets the objectives: loosen them, or take a faster engine")


def _draw(trace: Trace, variant: FleetVariant, seed: int, requests: int) -> Trace:
    """Requests of the trace in random order, one a second on the average."""
    draws = np.random.default_rng(seed)
    fitting = np.flatnonzero(servable(trace, [variant.engine]))
    if not len(fitting):
        raise Infeasible(f"no request fits the KV cache of {variant.name}: take an engine with more kvTokens")
    rows = draws.choice(fitting, requests)
    times = np.cumsum(draws.exponential(1.0, requests))
    return Trace(
        name=trace.name,
        t_seconds=times,
        input_tokens=trace.input_tokens[rows],
        output_tokens=trace.output_tokens[rows],
        span_seconds=float(times[-1]),
        cached_tokens=None if trace.cached_tokens is None else trace.cached_tokens[rows],
    )


def _try(
    drawn: Trace,
    rate: float,
    variant: FleetVariant,
    objectives: Sequence[Objective],
    options: FleetOptions,
    seed: int,
) -> Capacity | None:
    """Load the fleet at that rate; None when it misses an objective."""
    trace = replace(drawn, t_seconds=drawn.t_seconds / rate, span_seconds=drawn.span_seconds / rate)
    warmup_seconds = float(trace.t_seconds[math.floor(len(trace) * _RUN_IN)])
    replicas = variant.min_replicas
    game = Game(trace, (variant,), options, (replicas,), seed)
    plan = Plan(trace.span_seconds, np.array([[replicas]], np.int64))
    verdict, outcome = run(game, plan, objectives, warmup_seconds, allowed_late(len(trace), objectives))
    if not meets([verdict], objectives):
        return None
    return Capacity(replicas, rate, _in_flight(outcome, warmup_seconds))


def _in_flight(outcome: Outcome, start: float) -> float:
    """Little's law: the time that the requests from `start` on spent in the fleet, in each second."""
    counted = outcome.arrived_at >= start
    spent = outcome.finished_at[counted] - outcome.arrived_at[counted]
    return float(np.nansum(spent) / (outcome.arrived_at[-1] - start))
