"""Which block is whose: whole, disjoint, half and half, and the same for whoever asks when."""

import pytest
from core.experiments import BEGIN, HOUR, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.evidence.experiment import (
    Arm,
    Design,
    Evidence,
    Source,
    begin_of,
    block_at,
    blocks_of,
    end_of,
    pairs_of,
    treated_first,
)

SWITCHED = plan()
BESIDE = plan(design=Design.SIDE_BY_SIDE)
PAST = plan(
    design=Design.BEFORE_AFTER, before=(BEGIN, BEGIN + 48 * HOUR), after=(BEGIN + 168 * HOUR, BEGIN + 200 * HOUR)
)


@given(st.integers(-HOUR, 30 * 24 * HOUR))
@settings(max_examples=50, deadline=None)
def test_every_moment_is_in_the_one_block_that_holds_it(passed: int) -> None:
    at = BEGIN + passed
    block = block_at(SWITCHED, BEGIN, at)
    if block is None:
        assert not BEGIN <= at < end_of(SWITCHED, BEGIN)
    else:
        assert block.start <= at < block.end
        assert block in blocks_of(SWITCHED, BEGIN, block.pair)


def test_a_pair_has_both_arms_and_coins_are_fair_and_each_experiment_s_own() -> None:
    for pair in range(50):
        first, second = blocks_of(SWITCHED, BEGIN, pair)
        assert {first.arm, second.arm} == set(Arm)
        assert (first.end, first.place, second.place) == (second.start, 0, 1)
    heads = [treated_first(SWITCHED, pair) for pair in range(1000)]
    assert 450 < sum(heads) < 550
    others = [treated_first(plan(uid="another"), pair) for pair in range(1000)]
    assert 450 < sum(a == b for a, b in zip(heads, others, strict=True)) < 550


@pytest.mark.parametrize(
    ("of", "now", "pairs"),
    [
        pytest.param(SWITCHED, BEGIN - 1, 0, id="not begun"),
        pytest.param(SWITCHED, BEGIN + 2 * HOUR - 1, 0, id="half a pair"),
        pytest.param(SWITCHED, BEGIN + 2 * HOUR, 1, id="a pair"),
        pytest.param(SWITCHED, BEGIN + 10_000 * HOUR, 336, id="four weeks of pairs at most"),
        pytest.param(BESIDE, BEGIN + 2 * HOUR, 2, id="side by side an hour is a pair"),
        pytest.param(PAST, BEGIN + 170 * HOUR, 2, id="hours of the treatment that are over"),
        pytest.param(PAST, BEGIN + 10_000 * HOUR, 32, id="as long as the shorter stretch"),
    ],
)
def test_pairs_that_have_ended(of: object, now: int, pairs: int) -> None:
    begin = begin_of(of, BEGIN)  # type: ignore[arg-type]
    assert pairs_of(of, begin, now) == pairs  # type: ignore[arg-type]


def test_blocks_begin_with_whole_ones_and_not_before_the_start() -> None:
    assert begin_of(SWITCHED, BEGIN + 1) == BEGIN + HOUR
    assert begin_of(plan(start=BEGIN + 90 * HOUR + 1), BEGIN) == BEGIN + 91 * HOUR
    assert begin_of(PAST, BEGIN + 500 * HOUR) == BEGIN


def test_before_and_after_are_the_same_hours_of_two_stretches() -> None:
    base, treated = blocks_of(PAST, BEGIN, 5)
    assert (base.arm, treated.arm) == (Arm.BASELINE, Arm.TREATMENT)
    assert treated.start - base.start == 168 * HOUR
    assert base.counted_from(PAST) == base.start


def test_only_a_switchback_is_randomized_and_washes_out() -> None:
    assert [each.evidence for each in (SWITCHED, BESIDE, PAST)] == [
        Evidence.RANDOMIZED, Evidence.OBSERVATIONAL, Evidence.OBSERVATIONAL,
    ]  # fmt: skip
    assert blocks_of(SWITCHED, BEGIN, 0)[0].counted_from(SWITCHED) == BEGIN + 600_000


@pytest.mark.parametrize(
    ("source", "concerned"),
    [
        pytest.param(Source(("chat",)), True, id="by name"),
        pytest.param(Source(("other",)), False, id="another name"),
        pytest.param(Source(labels=(("track", "new"),)), True, id="by label"),
        pytest.param(Source(labels=(("track", "old"),)), False, id="another label"),
        pytest.param(Source(), False, id="nobody"),
    ],
)
def test_whom_an_arm_is_made_of(source: Source, concerned: bool) -> None:
    assert source.concerns("chat", {"track": "new"}) is concerned
