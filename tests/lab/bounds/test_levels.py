"""From demand to levels and orders, by hand; periods of five seconds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.bounds.worlds import CHAT, TINY, trace_of, variant

from flyball.lab.bounds.levels import Ladder, levels_for, work_rate
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.play import Game

TRACE = trace_of([(0.0, 20, 1), (99.0, 20, 1)])


def game(*variants: FleetVariant) -> Game:
    return Game(TRACE, variants, FleetOptions(), (1,) * len(variants), 0)


def ladder(*variants: FleetVariant) -> Ladder:
    return Ladder.of(game(*variants), CHAT)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param([1, 1, 1, 1, 1, 3, 1, 1], [1, 1, 1, 3, 3, 3, 1, 1], id="ordered two periods ahead"),
        pytest.param([3, 1, 1, 3, 1, 1, 1, 1], [3, 3, 3, 3, 1, 1, 1, 1], id="through a gap as long as a start"),
        pytest.param([3, 1, 1, 1, 3, 1, 1, 1], [3, 1, 3, 3, 3, 1, 1, 1], id="a longer gap is one"),
        pytest.param([4, 1, 2, 1, 1, 3, 1, 1], [4, 2, 2, 3, 3, 3, 1, 1], id="level by level"),
        pytest.param([0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0, 0, 0], id="from zero"),
    ],
)
def test_a_start_of_ten_seconds_is_ordered_ahead(levels: list[int], expected: list[int]) -> None:
    plan = ladder(variant(TINY, startup_seconds=10.0, min_replicas=0)).plan(np.array(levels))
    assert plan.replicas.tolist() == [expected]


def replicas_of_levels(levels: list[int], lead: int) -> list[int]:
    """Replica k is there in the periods of level k, before each as long as a start takes, and so through short gaps."""
    asked = [0] * len(levels)
    for level in range(1, max(levels, default=0) + 1):
        runs = {period - ahead for period, wanted in enumerate(levels) if wanted >= level for ahead in range(lead + 1)}
        asked = [count + (period in runs) for period, count in enumerate(asked)]
    return asked


@given(levels=st.lists(st.integers(0, 5), min_size=1, max_size=30), lead=st.integers(0, 6))
def test_the_orders_are_those_of_each_level(levels: list[int], lead: int) -> None:
    plan = ladder(variant(TINY, startup_seconds=5.0 * lead, min_replicas=0)).plan(np.array(levels))
    assert plan.replicas.tolist() == [replicas_of_levels(levels, lead)]


CHEAP = variant(TINY, price="1", startup_seconds=0.0, min_replicas=0, max_replicas=3)
# Twice as fast, at three times the price.
FAST = variant(
    replace(TINY, base_ms=5, per_sequence_ms=0.5, per_context_token_ms=0.05, per_prefill_token_ms=0.25),
    price="3", startup_seconds=0.0, min_replicas=0, max_replicas=4,
)  # fmt: skip


@pytest.mark.parametrize(
    ("least", "level", "expected"),
    [
        pytest.param((0, 0), 0, [0, 0], id="nothing"),
        pytest.param((0, 0), 3, [3, 0], id="the cheapest alone"),
        pytest.param((0, 0), 4, [3, 1], id="one of the fast spills over"),
        pytest.param((0, 0), 6, [3, 2], id="half of it is not enough"),
        pytest.param((0, 1), 2, [0, 1], id="what runs anyway is enough"),
        pytest.param((0, 1), 3, [1, 1], id="and carries its part"),
        pytest.param((1, 0), 0, [1, 0], id="never below the least"),
        pytest.param((0, 0), 99, [3, 4], id="never above the most"),
    ],
)
def test_what_the_cheapest_cannot_hold_spills(least: tuple[int, int], level: int, expected: list[int]) -> None:
    cheap, fast = (replace(one, min_replicas=count) for one, count in zip((CHEAP, FAST), least, strict=True))
    assert ladder(cheap, fast).plan(np.array([level])).replicas[:, 0].tolist() == expected
    assert ladder(fast, cheap).plan(np.array([level])).replicas[:, 0].tolist() == expected[::-1]
    assert ladder(cheap, fast).most == 3 + 2 * 4


def test_work_comes_with_a_request_and_while_its_tokens_are_decoded() -> None:
    """Decoding 400 tokens in full batches of 30 ms (10 + 4 × 1 + 160 × 0.1) takes 12 s: three periods."""
    trace = trace_of([(5.0, 20, 401), (30.0, 20, 1)])
    one = game(replace(CHEAP, engine=replace(TINY, kv_tokens=160)))
    rate = work_rate(replace(one, trace=trace), CHAT, 0) * 5.0
    # 420 tokens do not fit 160.
    assert rate.tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 0.010])
    roomy = replace(CHEAP, engine=replace(TINY, kv_tokens=480))
    rate = work_rate(Game(trace, (roomy,), FleetOptions(), (1,), 0), (), 0) * 5.0
    assert rate[0] == rate[6] - 0.010 == pytest.approx(0)
    # 62 ms a token: 24.8 s, from 5 s to 29.8 s.
    assert rate[2:6] == pytest.approx([rate[2]] * 4)
    assert rate[1] == pytest.approx(rate[2] + 0.010)


@pytest.mark.parametrize(
    ("utilization", "window", "expected"),
    [
        pytest.param(1.0, 5.0, [1, 1, 3, 2, 1], id="whole replicas"),
        pytest.param(0.5, 5.0, [1, 1, 4, 3, 1], id="half loaded, within the most"),
        pytest.param(1.0, 15.0, [1, 2, 2, 2, 1], id="the mean of three periods"),
    ],
)
def test_levels_follow_the_demand(utilization: float, window: float, expected: list[int]) -> None:
    bounds = ladder(variant(TINY, max_replicas=4))
    levels = levels_for(np.array([0.0, 0.5, 3.0, 1.5, 0.0]), utilization, window, bounds)
    assert levels.tolist() == expected


def test_starts_that_vary_are_ordered_earlier() -> None:
    assert ladder(variant(startup_seconds=100.0, startup_jitter=0.2)).lead_seconds() == pytest.approx(120.0)
