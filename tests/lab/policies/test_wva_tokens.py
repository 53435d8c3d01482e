"""Demand and capacity in tokens, worked by hand."""

from dataclasses import replace

import pytest
from lab.policies.views import ENGINE, counts, replica, sample, view

from flyball.lab.policies.wva_tokens import (
    Lengths,
    TokenAnalyzer,
    TokenOptions,
    derived_capacity,
    place,
    required_and_spare,
)


def test_derived_capacity() -> None:
    # 1000 * 100 / 400 = 250 sequences, cut to a batch of 64; each holds 300 + 50.
    assert derived_capacity(ENGINE, Lengths(300, 100)) == 64 * 350
    # 1000 * 10 / 400 = 25 of 395 tokens.
    assert derived_capacity(ENGINE, Lengths(390, 10)) == 25 * 395


@pytest.mark.parametrize(
    ("demand", "ready", "coming", "expected"),
    [
        pytest.param(850, 1000, 0, (0, 0), id="full to the upper threshold"),
        pytest.param(1700, 1000, 0, (1000, 0), id="lacking"),
        pytest.param(1700, 1000, 600, (400, 0), id="pending replicas count as supply"),
        pytest.param(350, 1000, 0, (0, 500), id="spare beyond the lower boundary"),
        pytest.param(350, 1000, 900, (0, 500), id="which pending ones are not"),
    ],
)
def test_required_and_spare(demand: float, ready: float, coming: float, expected: tuple[float, float]) -> None:
    assert required_and_spare(TokenOptions(), demand, ready, coming) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("required", "spare", "current", "costs", "expected"),
    [
        pytest.param(250, 0, [1, 1], [1, 3], [4, 1], id="the cheapest per token takes all: 1/100 against 3/200"),
        pytest.param(250, 0, [1, 1], [2, 3], [1, 3], id="3/200 is less than 2/100"),
        pytest.param(0, 450, [3, 3], [1, 3], [3, 1], id="the dearest goes first, in whole replicas"),
        pytest.param(0, 900, [3, 3], [1, 3], [1, 0], id="then the cheapest, which keeps one alone"),
        pytest.param(0, 0, [3, 3], [1, 3], [3, 3], id="nothing"),
    ],
)
def test_placement(required: float, spare: float, current: list[int], costs: list[float], expected: list[int]) -> None:
    assert place(required, spare, current, [100.0, 200.0], costs) == expected


def finished(requests: float, **now: float):
    """A minute in which requests of 300 prompt and 100 output tokens finished."""
    counters = {
        "finished": requests,
        "finished_prompt_tokens": 300 * requests,
        "finished_output_tokens": 100 * requests,
    }
    return sample(0.0, replica(0)), sample(60.0, replica(0, **counters, **now))


def test_plan_sizes_in_one_step_by_what_is_held_and_queued() -> None:
    analyzer = TokenAnalyzer(TokenOptions(), [ENGINE], [1.0])
    # 9000 held and 4 queued of 300: 10,200 tokens. Capacity 80% of 10,000. (10200 / 0.85 - 8000) / 8000 = 0.5.
    assert analyzer.plan(view(60.0, counts(1), *finished(10, kv_usage=0.9, waiting=4))) == [2]


def test_what_was_held_with_a_long_queue_is_remembered() -> None:
    analyzer = TokenAnalyzer(TokenOptions(), [ENGINE], [1.0])
    # 4000 held with 10 queued: 4000 is all it can hold. Demand 7000, required 8235 - 4000.
    assert analyzer.plan(view(60.0, counts(1), *finished(10, kv_usage=0.4, waiting=10))) == [3]
    # Without a queue the remembered 4000 still counts: 4000 / 0.85 - 4000 is less than one more, 2 of 4000 remain.
    assert analyzer.plan(view(60.0, counts(1, pending=1), *finished(10, kv_usage=0.6))) == [2]
    assert analyzer.plan(view(60.0, counts(1), *finished(10, kv_usage=0.6))) == [2]


def test_derived_capacity_counts_until_it_was_seen() -> None:
    small = replace(ENGINE, max_batched_tokens=40)
    # 40 * 100 / 400 = 10 sequences of 350 tokens: 3500, not the 8000 of the cache.
    analyzer = TokenAnalyzer(TokenOptions(), [small], [1.0])
    assert analyzer.plan(view(60.0, counts(1), *finished(10, kv_usage=0.6))) == [3]
