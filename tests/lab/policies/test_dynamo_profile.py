"""The planner's perfect profile, by hand and against the engine itself."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.policies.views import ENGINE

from flyball.lab.engine import Engine, Request
from flyball.lab.policies.dynamo_profile import Profile, Sla, Traffic, WorkerLoad

ANY = Sla(math.inf, math.inf)
PLAIN = replace(ENGINE, per_sequence_ms=0.0, per_context_token_ms=0.0, per_prefill_token_ms=0.0, kv_tokens=10**6)


@pytest.mark.parametrize(
    ("engine", "traffic", "sla", "expected"),
    [
        pytest.param(PLAIN, Traffic(10, 100, 10, 0), ANY, 64, id="64 sequences of 100 iterations of 10 ms"),
        pytest.param(
            replace(PLAIN, kv_tokens=600), Traffic(10, 100, 10, 0), ANY, 10, id="a cache of ten sequences of 60 tokens"
        ),
        pytest.param(
            replace(PLAIN, per_sequence_ms=0.1),
            Traffic(10, 100, 10, 0),
            Sla(math.inf, 0.0125),
            20,
            id="iterations of 12.5 ms: a fifth of the time for work of 10 ms a request",
        ),
        pytest.param(
            replace(PLAIN, per_prefill_token_ms=0.1),
            Traffic(500, 2, 400, 0),
            Sla(math.inf, 0.0125),
            5,
            id="cached tokens are no work: a fifth for 40 ms a request",
        ),
        pytest.param(
            PLAIN,
            Traffic(10, 99, 10, 0),
            Sla(0.014, 1),
            1.0,
            id="a prompt of 10 ms waits for half an iteration of 10: out of reach too",
        ),
        pytest.param(PLAIN, Traffic(10, 99, 10, 0), Sla(0.001, 0.001), 1.0, id="out of reach: one at a time, 1 s each"),
    ],
)
def test_best_rate(engine, traffic: Traffic, sla: Sla, expected: float) -> None:
    assert Profile(engine).best_rate(traffic, sla) == pytest.approx(expected, rel=1e-4)


@given(st.integers(10, 3000), st.integers(2, 300), st.floats(0.05, 5.0), st.floats(0.011, 0.2), st.floats(1.05, 3.0))
def test_a_looser_sla_never_lowers_the_rate(
    prompt: int, output: int, first: float, token: float, factor: float
) -> None:
    profile, traffic = Profile(ENGINE), Traffic(prompt, output, prompt, 0)
    loose = profile.best_rate(traffic, Sla(first * factor, token * factor))
    tight = profile.best_rate(traffic, Sla(first, token))
    alone = 1 / (ENGINE.base_ms / 1000 * (output + 1) + profile._work_seconds(traffic))
    # Below what any rate keeps, the point of one request at a time stands in, and may lie above a kept rate.
    assert loose >= tight * (1 - 1e-6) or tight == pytest.approx(alone)


def test_estimates() -> None:
    profile = Profile(ENGINE)
    load = WorkerLoad(decoding=10, kv_tokens=5000, queued_tokens=1500)
    # An iteration of 10 + 1 + 0.5 ms; two chunks of 1000 for 1500 + 300 tokens, 0.05 ms each.
    assert profile.first_token(load, Traffic(400, 100, 300, 0)) == pytest.approx((2 * 11.5 + 90) / 1000)
    # 2000 prompt tokens a second take a tenth of the time.
    assert profile.token_time(load, 2000) == pytest.approx(0.0115 / 0.9)


def test_the_engine_bears_the_profiled_rate() -> None:
    """At 90% of the best rate, evenly spaced arrivals keep the time per token; at 130% they do not."""
    prompt, output = 400, 60
    traffic, sla = Traffic(prompt, output, prompt, 0), Sla(math.inf, 0.03)
    best = Profile(ENGINE).best_rate(traffic, sla)
    assert per_token(0.9 * best, prompt, output) < 0.03 < per_token(1.3 * best, prompt, output)


def per_token(rate: float, prompt: int, output: int) -> float:
    """The mean time per output token of the later half of 600 requests."""
    engine, now, arrived = Engine(ENGINE), 0.0, 0
    sequences = []
    while arrived < 600 or engine.outstanding:
        while arrived < 600 and arrived / rate <= now:
            sequences.append(engine.submit(Request(prompt, output), arrived / rate, arrived))
            arrived += 1
        iteration = engine.next_iteration(now)
        if iteration is None:
            now = arrived / rate
            continue
        engine.complete(iteration, iteration.ends_at)
        now = iteration.ends_at
    later = sequences[300:]
    return sum((each.last_token_at - each.arrived_at) / output for each in later) / len(later)
