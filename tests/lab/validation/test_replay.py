"""A trace against model servers, and through the simulator."""

import math

import numpy as np
import pytest
from lab.fleet.worlds import random_trace, trace_of

from flyball.lab.engine import Engine, Request
from flyball.lab.presets import EnginePreset, preset
from flyball.lab.validation.replay import Latencies, every, serve, simulate

H100 = preset("h100_8b")


def served_by_the_plain_engine(engine: EnginePreset, rows: list[tuple[float, int, int]]) -> list[tuple[float, float]]:
    """Times to first and to last token of requests at one replica, iteration by iteration."""
    plain: Engine[int] = Engine(engine.parameters)
    waiting, now, times = list(enumerate(rows)), 0.0, {}
    while waiting or plain.outstanding:
        iteration = plain.next_iteration(now)
        ends_at = iteration.ends_at if iteration is not None else now
        while waiting and waiting[0][1][0] <= ends_at:
            index, (at, prompt, output) = waiting.pop(0)
            plain.submit(Request(prompt, output), at, index)
        if iteration is not None:
            now = ends_at
            for done in plain.complete(iteration, now).finished:
                times[done.owner] = (done.first_token_at - done.arrived_at, now - done.arrived_at)
        else:
            now = min(plain.next_ready_at or math.inf, waiting[0][1][0] if waiting else math.inf)
    return [times[index] for index in range(len(rows))]


@pytest.mark.parametrize("replicas", [1, 3])
def test_the_simulator_gives_each_replica_its_turn(replicas: int) -> None:
    trace = random_trace(1, count=90, span=4.0, prompt=3000)
    found = simulate(trace, H100, replicas)
    for replica in range(replicas):
        part = every(trace, replicas, replica)
        rows = list(zip(part.t_seconds, part.input_tokens.tolist(), part.output_tokens.tolist(), strict=True))
        first, last = np.transpose(served_by_the_plain_engine(H100, rows))
        assert found.first_token[replica::replicas] == pytest.approx(first)
        assert found.end_to_end[replica::replicas] == pytest.approx(last)


def test_parts_of_a_trace_keep_their_times() -> None:
    trace = trace_of((0.0, 10, 1), (1.0, 20, 2), (2.0, 30, 3), (5.0, 40, 4))
    part = every(trace, 3, 0)
    assert part.t_seconds.tolist() == [0.0, 5.0]
    assert part.input_tokens.tolist() == [10, 40]
    assert part.span_seconds == 5.0
    assert part.cached_tokens is None


async def test_model_servers_answer_every_request_in_its_place() -> None:
    trace = trace_of(*((0.02 * index, 50 + index, 1 if index in (2, 5) else 3) for index in range(8)))
    found = await serve(trace, H100, replicas=2)
    assert found.failed == 0
    # Answers of one token have no time per output token: so requests went back to where they were in the trace.
    assert np.flatnonzero(np.isnan(found.latencies.per_output_token)).tolist() == [2, 5]
    floor = simulate(trace, H100, replicas=8)
    for measured, least in zip(_columns(found.latencies), _columns(floor), strict=True):
        assert not (measured < least - 1e-3).any()


def _columns(latencies: Latencies) -> tuple[np.ndarray, ...]:
    return latencies.first_token, latencies.end_to_end


async def test_more_replicas_than_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="2 requests for 3 replicas"):
        await serve(trace_of((0.0, 1, 1), (1.0, 1, 1)), H100, replicas=3)
