"""A benchmark's closed loop, against arithmetic by hand and against the plain engine with clients of its own."""

import math

import numpy as np
import pytest

from flyball.lab.engine import Engine, EngineParameters, Request
from flyball.lab.validation.closed_loop import Means, in_step, out_of_step
from flyball.lab.validation.rows import Load


def engine_of(kv_tokens: int = 1 << 20, max_batch: int = 256) -> EngineParameters:
    return EngineParameters(
        base_ms=10,
        per_sequence_ms=0.5,
        per_context_token_ms=0.001,
        per_prefill_token_ms=0.02,
        request_overhead_ms=4,
        kv_tokens=kv_tokens,
        max_batch=max_batch,
        max_batched_tokens=1024,
    )


@pytest.mark.parametrize("play", [in_step, out_of_step])
def test_a_lone_client(play: object) -> None:
    """Overhead, then one iteration of prefill; then nine iterations with contexts of 201 to 209 tokens."""
    means = play(engine_of(), Load(1, 200, 10))  # type: ignore[operator]
    assert means.ttft_ms == pytest.approx(4 + 10 + 0.02 * 200)
    assert means.tpot_ms == pytest.approx(10 + 0.5 + 0.001 * 205)


def test_two_clients_in_step_share_every_iteration() -> None:
    means = in_step(engine_of(), Load(2, 200, 10))
    assert means.ttft_ms == pytest.approx(4 + 10 + 0.02 * 400)
    assert means.tpot_ms == pytest.approx(10 + 2 * (0.5 + 0.001 * 205))


def in_step_by_hand(engine: EngineParameters, load: Load, rounds: int) -> Means:
    """The plain engine, and clients that ask again at the moment of their last token."""
    plain: Engine[float] = Engine(engine)
    request = Request(load.prompt_tokens, load.output_tokens)
    for _ in range(load.concurrency):
        plain.submit(request, 0.0, 0.0)
    left, now = load.concurrency * (rounds - 1), 0.0
    first, decoding = [], []
    while plain.outstanding:
        iteration = plain.next_iteration(now)
        if iteration is None:
            now = plain.next_ready_at or math.inf
            continue
        now = iteration.ends_at
        for done in plain.complete(iteration, now).finished:
            first.append(done.first_token_at - done.owner)
            decoding.append(now - done.first_token_at)
            if left:
                left -= 1
                plain.submit(request, now, now)
    return Means(float(np.mean(first)) * 1000, float(np.mean(decoding)) * 1000 / (load.output_tokens - 1))


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(Load(5, 300, 20), id="prompts that share iterations"),
        pytest.param(Load(12, 700, 40), id="prompts in chunks"),
        pytest.param(Load(9, 100, 2), id="one token after the first"),
    ],
)
def test_clients_in_step_are_what_the_plain_engine_serves(load: Load) -> None:
    means, by_hand = in_step(engine_of(), load), in_step_by_hand(engine_of(), load, rounds=10)
    assert means.ttft_ms == pytest.approx(by_hand.ttft_ms)
    assert means.tpot_ms == pytest.approx(by_hand.tpot_ms)


def test_clients_out_of_step_wait_less_and_disturb_each_other_more() -> None:
    load = Load(16, 500, 60)
    together, apart = in_step(engine_of(), load), out_of_step(engine_of(), load)
    assert apart.ttft_ms < together.ttft_ms
    assert apart.tpot_ms > together.tpot_ms


def test_more_clients_than_places_are_refused() -> None:
    with pytest.raises(ValueError, match="9 clients are more than the batch's 4 places"):
        in_step(engine_of(max_batch=4), Load(9, 100, 7))


def test_a_short_cache_makes_requests_wait_in_turn() -> None:
    """Room for four of twelve: each waits for two others, at the least."""
    load, short = Load(12, 300, 40), engine_of(kv_tokens=4 * 352)
    means = out_of_step(short, load)
    alone = out_of_step(engine_of(), Load(4, 300, 40))
    assert means.tpot_ms == pytest.approx(alone.tpot_ms, rel=0.1)
    assert means.ttft_ms > 2 * 39 * alone.tpot_ms


def test_requests_larger_than_the_cache_have_no_times() -> None:
    means = out_of_step(engine_of(kv_tokens=256), Load(2, 300, 40))
    assert math.isnan(means.ttft_ms)
    assert math.isnan(means.tpot_ms)


def test_the_share_of_a_request_in_which_it_decodes() -> None:
    assert Means(100.0, 10.0).decoding_share(31) == pytest.approx(300 / 400)
