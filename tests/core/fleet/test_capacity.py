import math
from dataclasses import replace

import pytest
from core.cases import ENGINE, LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.capacity import (
    TRUST_FACTOR,
    CapacityFit,
    ReplicaLimits,
    RequestShape,
    first_token_slack,
    learn,
    replica_capacity,
    start_fit,
)
from flyball.core.spec import EnginePrior

SHAPE = RequestShape(prefill_tokens=100.0, prompt_tokens=100.0, output_tokens=100.0)
FULL = EnginePrior(0.010, 1e-4, 2e-7, 5e-5, 200_000, 256)


@pytest.mark.parametrize(
    ("prior", "limits", "batch", "rate", "bound"),
    [
        pytest.param(ENGINE, ReplicaLimits(), 20, 5.0, "the engine's batch limit", id="20 / (100 × 40 ms) = 5"),
        pytest.param(
            ENGINE, ReplicaLimits(per_token=0.030), 10, 10 / 3, "InterTokenLatency", id="19 + 11 × 1 = 30 ms per token"
        ),
        pytest.param(
            ENGINE, ReplicaLimits(end_to_end=3.019), 10, 10 / 3, "EndToEnd", id="(3.019 − 0.019 s prefill)/100 = 30 ms"
        ),
        pytest.param(
            replace(ENGINE, kv_cache_tokens=2000),
            ReplicaLimits(),
            9,
            9 / 2.9,
            "the KV cache",
            id="0.9 × 2000 / 200 = 9",
        ),
        pytest.param(
            replace(ENGINE, kv_cache_tokens=10), ReplicaLimits(), 1, 1 / 2.1, "the KV cache", id="never less than one"
        ),
    ],
)
def test_what_one_replica_carries(
    prior: EnginePrior, limits: ReplicaLimits, batch: float, rate: float, bound: str
) -> None:
    found = replica_capacity(start_fit(prior), SHAPE, limits)
    assert (found.batch, found.requests_per_second) == pytest.approx((batch, rate))
    assert (found.bound, found.infeasible) == (bound, "")


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        pytest.param(ReplicaLimits(per_token=0.020), "InterTokenLatency", id="a lone request takes 21 ms per token"),
        pytest.param(ReplicaLimits(end_to_end=1.0), "EndToEnd", id="100 tokens at 21 ms take over 2 s"),
        pytest.param(ReplicaLimits(first_token=0.010), "TimeToFirstToken", id="the first iteration takes 19 ms"),
    ],
)
def test_a_limit_that_a_lone_request_breaks_is_named_and_left_out(limits: ReplicaLimits, text: str) -> None:
    found = replica_capacity(start_fit(ENGINE), SHAPE, limits)
    assert text in found.infeasible
    assert found.requests_per_second == pytest.approx(5.0)


def test_long_contexts_slow_a_replica_down() -> None:
    """At 2000 prompt tokens a sequence and 64 others hold 65 × 2050: 10 + 6.5 + 26.65 + 64 × 20 × 0.05 = 107.15 ms."""
    shape = RequestShape(2000.0, 2000.0, 100.0)
    prior = replace(FULL, max_sequences=64)
    found = replica_capacity(start_fit(prior), shape, ReplicaLimits())
    assert found.requests_per_second == pytest.approx(64 / (100 * 0.10715), rel=1e-3)


def test_cached_prompts_cost_no_prefill_but_hold_their_context() -> None:
    cold = replica_capacity(start_fit(FULL), RequestShape(1000.0, 1000.0, 100.0), ReplicaLimits(per_token=0.05))
    warm = replica_capacity(start_fit(FULL), RequestShape(0.0, 1000.0, 100.0), ReplicaLimits(per_token=0.05))
    assert warm.requests_per_second > 1.5 * cold.requests_per_second


def taught(prior: EnginePrior, truth: EnginePrior, windows: int) -> CapacityFit:
    terms = start_fit(truth).terms
    fit = start_fit(prior)
    for window in range(windows):
        batch = 4.0 + (window * 7) % 60
        shape = RequestShape(100.0 + 40 * (window % 5), 100.0 + 40 * (window % 5), 100.0 + 30 * (window % 3))
        fit = learn(fit, shape, batch, float(shape.regressors(batch) @ terms))
    return fit


def test_the_fit_finds_an_engine_that_is_slower_than_published() -> None:
    truth = EnginePrior(0.016, 2e-4, 3e-7, 9e-5, 200_000, 256)
    fit = taught(FULL, truth, 100)
    assert fit.confident
    for batch in (5.0, 30.0, 60.0):
        x = SHAPE.regressors(batch)
        assert float(x @ fit.terms) == pytest.approx(float(x @ start_fit(truth).terms), rel=0.03)


def test_one_wild_window_hardly_moves_a_taught_fit() -> None:
    fit = taught(FULL, FULL, 50)
    wild = learn(fit, SHAPE, 30.0, 100.0)
    x = SHAPE.regressors(30.0)
    assert float(x @ wild.terms) == pytest.approx(float(x @ fit.terms), rel=0.06)


@pytest.mark.parametrize(
    ("batch", "seconds"),
    [
        pytest.param(0.0, 0.03, id="nothing ran"),
        pytest.param(8.0, 0.0, id="no time passed"),
        pytest.param(8.0, math.nan, id="not a number"),
        pytest.param(8.0, math.inf, id="no end"),
    ],
)
def test_a_window_without_meaning_teaches_nothing(batch: float, seconds: float) -> None:
    fit = start_fit(FULL)
    assert learn(fit, SHAPE, batch, seconds) is fit


numbers = st.floats(1e-6, 1e12)


@LAW
@given(st.lists(st.tuples(st.floats(0, 1e12), numbers, numbers, numbers), max_size=30))
def test_no_metrics_make_a_fit_lose_its_bounds(windows: list[tuple[float, float, float, float]]) -> None:
    fit = start_fit(FULL)
    for batch, seconds, prompt, output in windows:
        fit = learn(fit, RequestShape(prompt, prompt, output), batch, seconds)
    for term, prior in zip(fit.terms, start_fit(FULL).terms, strict=True):
        assert prior / TRUST_FACTOR <= term <= max(prior * TRUST_FACTOR, 1e-3)
    assert 0 < replica_capacity(fit, SHAPE, ReplicaLimits()).requests_per_second < 1e6


@pytest.mark.parametrize(
    ("limits", "slack"),
    [
        pytest.param(ReplicaLimits(first_token=1.0), 1.0 / 0.015, id="100 tokens take 10 + 100 × 0.05 = 15 ms"),
        pytest.param(ReplicaLimits(per_token=0.05), math.inf, id="where no first token is promised, there is no end"),
    ],
)
def test_how_many_prefills_fit_into_the_first_tokens_threshold(limits: ReplicaLimits, slack: float) -> None:
    assert first_token_slack(start_fit(FULL), SHAPE, limits) == pytest.approx(slack)
