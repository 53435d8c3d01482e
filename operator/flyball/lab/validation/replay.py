"""One trace, twice: against model servers as processes on loopback, in real time, and through the simulator.

Both share lab/engine.py's arithmetic, so that agreement proves the rest: queueing, batching and routing in the event
loop's compiled code, and what lies between an engine and a client's clock.

Requests go to replicas in turn, the k-th to replica k mod n, as the simulator's round robin does: each server gets its
part of the trace from a load runner of its own, and all runners begin at once.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

import numpy as np

from flyball.lab.fleet.model import FleetOptions, FleetVariant, Routing
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.load.runner import LoadOptions, LoadPlan, LoadResult, Progress, run_load
from flyball.lab.modelserver.process import model_server
from flyball.lab.presets import EnginePreset
from flyball.lab.trace import Seconds, Trace


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of each request of the trace, seconds; NaN where it has none.

    `per_output_token` is the mean after the first token, which answers of one token do not have.
    """

    first_token: Seconds
    per_output_token: Seconds
    end_to_end: Seconds


@dataclass(frozen=True, slots=True)
class Served:
    """What clients saw, how many requests failed, how late requests left (99th percentile), and how late the latest
    iteration of any server was; seconds.
    """

    latencies: Latencies
    failed: int
    send_lag_seconds: float
    server_lag_seconds: float


async def serve(
    trace: Trace,
    engine: EnginePreset,
    replicas: int,
    on_progress: Callable[[Progress], None] | None = None,
    progress_every_seconds: float = 10.0,
) -> Served:
    """Play the trace against so many model servers, for as long as it lasts; progress is the first one's.

    Raises ValueError for a trace with fewer requests than replicas, and OSError when a server does not start.
    """
    if len(trace) < replicas:
        raise ValueError(f"{len(trace)} requests for {replicas} replicas; give a longer trace")
    async with contextlib.AsyncExitStack() as stack:
        starting = [stack.enter_async_context(model_server("--preset", engine.name)) for _ in range(replicas)]
        servers = await asyncio.gather(*starting)
        runs = [
            run_load(
                LoadPlan(every(trace, replicas, index), server.url),
                LoadOptions(timeout_seconds=math.ceil(trace.span_seconds) + 600.0, seed=1 + index),
                on_progress if index == 0 else None,
                progress_every_seconds=progress_every_seconds,
            )
            for index, server in enumerate(servers)
        ]
        results = await asyncio.gather(*runs)
        lags = [await server.peak_lag_seconds() for server in servers]
    return _served(trace, results, max(lags))


def simulate(trace: Trace, engine: EnginePreset, replicas: int) -> Latencies:
    """Play the trace through the simulator until its last request is done."""
    variant = FleetVariant(engine.name, engine.parameters, 0.0, Decimal(0))
    simulation = Simulation(trace, [variant], FleetOptions(routing=Routing.ROUND_ROBIN), [replicas], seed=1)
    simulation.advance(math.inf)
    outcome = simulation.outcome()
    decoding = outcome.finished_at - outcome.first_token_at
    gaps = np.where(trace.output_tokens > 1, trace.output_tokens - 1, math.nan)
    return Latencies(
        first_token=outcome.first_token_at - outcome.arrived_at,
        per_output_token=decoding / gaps,
        end_to_end=outcome.finished_at - outcome.arrived_at,
    )


def every(trace: Trace, step: int, first: int) -> Trace:
    """Every `step`-th request of the trace from `first` on, at its own time."""
    arrays: dict[str, Any] = {
        field.name: value[first::step]
        for field in fields(trace)
        if isinstance(value := getattr(trace, field.name), np.ndarray)
    }
    return replace(trace, **arrays)


def _served(trace: Trace, results: list[LoadResult], server_lag_seconds: float) -> Served:
    first_token, per_output_token, end_to_end = np.full((3, len(trace)), math.nan)
    lags, failed = [], 0
    for replica, result in enumerate(results):
        for record in result.records:
            if record.send_lag_seconds is not None:
                lags.append(record.send_lag_seconds)
            if not record.succeeded or record.ttft_seconds is None or record.e2e_seconds is None:
                failed += 1
                continue
            request = replica + record.index * len(results)
            first_token[request] = record.ttft_seconds
            end_to_end[request] = record.e2e_seconds
            if record.itl_mean_seconds is not None:
                per_output_token[request] = record.itl_mean_seconds
    latencies = Latencies(first_token, per_output_token, end_to_end)
    return Served(latencies, failed, float(np.percentile(lags, 99)), server_lag_seconds)
