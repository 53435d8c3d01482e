"""Capacity tests: against queueing theory, by their laws, and where there is no capacity."""

import math
from dataclasses import replace

import numpy as np
import pytest
from lab.bounds.worlds import CHAT, TINY, trace_of, variant

from flyball.lab.bounds.capacity_test import capacity
from flyball.lab.bounds.program import Infeasible
from flyball.lab.generate import open_trace
from flyball.lab.policies.model import Objective

TRACE = open_trace("generate:conversation?rate=3&duration=20m")
LOOSE = (Objective("TimeToFirstToken", 3.0, 0.95), Objective("InterTokenLatency", 0.2, 0.95))


def test_one_request_at_a_time_is_an_m_d_1_queue() -> None:
    """Prompts of 190 tokens and one iteration take 100 ms each; in M/D/1 the wait exceeds 0.4 s for 5% at ρ = 0.667
    (F(t) by Erlang's formula, Kleinrock I, 5.7: below).
    """
    engine = replace(TINY, base_ms=5, max_batch=1, kv_tokens=2000, max_batched_tokens=2000)
    found = capacity(
        trace_of([(0.0, 190, 1)]), variant(engine), (Objective("TimeToFirstToken", 0.5, 0.95),), seed=1,
        requests_per_replica=40_000,
    )  # fmt: skip

    def share_within(load: float, wait: float) -> float:
        terms = range(math.floor(wait) + 1)
        return (1 - load) * sum(
            (load * (k - wait)) ** k / math.factorial(k) * math.exp(-load * (k - wait)) for k in terms
        )

    # The load at which a wait of four services is kept by 95%.
    loads = np.linspace(0.3, 0.95, 651)
    expected = loads[np.argmax([share_within(load, 4.0) < 0.95 for load in loads])] / 0.1
    assert found.requests_per_second == pytest.approx(expected, rel=0.03)
    # Pollaczek and Khinchine.
    load = found.requests_per_second * 0.1
    assert found.in_flight == pytest.approx(load + load**2 / (2 * (1 - load)), rel=0.05)


def test_replicas_pool_their_capacity() -> None:
    one, four = (capacity(TRACE, variant(), LOOSE, replicas=count, requests_per_replica=2000) for count in (1, 4))
    assert four.requests_per_second_per_replica > 1.05 * one.requests_per_second_per_replica
    assert four.in_flight_per_replica == four.in_flight / 4


def test_tighter_objectives_carry_less() -> None:
    tight = (Objective("TimeToFirstToken", 2.5, 0.97), LOOSE[1])
    assert (
        capacity(TRACE, variant(), tight, requests_per_replica=2000).requests_per_second
        < capacity(TRACE, variant(), LOOSE, requests_per_replica=2000).requests_per_second
    )


def test_the_same_test_gives_the_same_figure_for_any_life_of_replicas() -> None:
    frail = replace(variant(), reclaim_mean_seconds=10.0, slow_share=0.5, slow_prefill_factor=3.0)
    assert capacity(TRACE, frail, LOOSE, requests_per_replica=1000) == capacity(
        TRACE, variant(), LOOSE, requests_per_replica=1000
    )


def test_objectives_that_a_lone_request_breaks_leave_no_capacity() -> None:
    with pytest.raises(Infeasible, match="not even a lone request meets the objectives"):
        capacity(TRACE, variant(), (Objective("TimeToFirstToken", 0.05, 0.95),), requests_per_replica=500)


def test_requests_that_never_fit_leave_no_capacity() -> None:
    with pytest.raises(Infeasible, match="no request fits the KV cache of test"):
        capacity(trace_of([(0.0, 200, 1)]), variant(TINY), CHAT)
