"""Sequential tests: exact against every way in which the coins could have fallen, and against scipy where it knows."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from flyball.core.evidence.sequential import (
    coin_is_loaded,
    interval,
    log_evidence,
    mean_surely_above,
    surely_above,
    surely_below,
)

SIZES = st.lists(st.floats(0.001, 5.0), min_size=1, max_size=7)
DIFFERENCES = st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=30)


@given(SIZES)
@settings(max_examples=12, deadline=None)
def test_the_evidence_has_mean_one_over_all_coins(sizes: list[float]) -> None:
    flips = itertools.product((-1, 1), repeat=len(sizes))
    found = [math.exp(log_evidence([s * x for s, x in zip(signs, sizes, strict=True)])[-1]) for signs in flips]
    assert np.mean(found) == pytest.approx(1.0)


@given(SIZES, st.sampled_from([0.05, 0.2, 0.5]))
@settings(max_examples=12, deadline=None)
def test_whoever_stops_at_the_best_look_is_wrong_no_more_often_than_alpha(sizes: list[float], alpha: float) -> None:
    flips = list(itertools.product((-1, 1), repeat=len(sizes)))
    wrong = sum(surely_above([s * x for s, x in zip(signs, sizes, strict=True)], 0.0, alpha) for signs in flips)
    assert wrong / len(flips) <= alpha


@given(DIFFERENCES, st.floats(-2.0, 2.0))
@settings(max_examples=25, deadline=None)
def test_the_interval_holds_exactly_the_effects_not_ruled_out(differences: list[float], effect: float) -> None:
    low, high = interval(differences, 0.1)
    if low + 1e-9 < effect < high - 1e-9:
        assert not surely_above(differences, effect, 0.05)
        assert not surely_below(differences, effect, 0.05)
    elif effect < low - 1e-9:
        assert surely_above(differences, effect, 0.05)
    elif effect > high + 1e-9:
        assert surely_below(differences, effect, 0.05)


@given(DIFFERENCES, st.floats(-3.0, 3.0))
@settings(max_examples=25, deadline=None)
def test_the_interval_only_shrinks_and_never_depends_on_the_direction(differences: list[float], more: float) -> None:
    low, high = interval(differences, 0.1)
    lower, higher = interval([*differences, more], 0.1)
    assert lower >= low - 1e-9
    assert higher <= high + 1e-9
    mirrored = interval([-each for each in differences], 0.1)
    assert mirrored == (-high, -low)


def test_few_pairs_rule_nothing_out_and_many_say_the_effect() -> None:
    assert interval([], 0.05) == (-math.inf, math.inf)
    assert interval([-0.2] * 3, 0.05) == (-math.inf, math.inf)
    low, high = interval([-0.2 + 0.1 * (-1) ** n for n in range(100)], 0.05)
    assert -0.25 < low < -0.2 < high < -0.15


def test_one_outlier_does_not_decide() -> None:
    assert not surely_above([0.01, -0.01] * 10 + [40.0], 0.0, 0.05)


@pytest.mark.parametrize(
    ("heads", "throws", "loaded"),
    [
        pytest.param(0, 0, False, id="nothing thrown"),
        pytest.param(5, 5, False, id="few"),
        pytest.param(15, 15, True, id="always heads"),
        pytest.param(0, 15, True, id="always tails"),
        pytest.param(52, 100, False, id="about even"),
        pytest.param(75, 100, True, id="three of four"),
    ],
)
def test_coins(heads: int, throws: int, loaded: bool) -> None:
    assert coin_is_loaded(heads, throws, 0.001) is loaded
    ratio = integrate.quad(lambda p: stats.binom.pmf(heads, throws, p), 0, 1)[0] / stats.binom.pmf(heads, throws, 0.5)
    assert bool(ratio >= 1000) is loaded


@pytest.mark.parametrize(
    ("values", "above"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([0.02] * 200, False, id="below"),
        pytest.param([0.05] * 200, False, id="at"),
        pytest.param([0.2] * 20, True, id="far above"),
        pytest.param([0.0] * 30 + [1.0], False, id="one bad block"),
    ],
)
def test_a_mean_is_above_beyond_doubt(values: list[float], above: bool) -> None:
    assert mean_surely_above(values, 0.05, 0.05) is above


def test_a_mean_that_is_not_above_is_said_to_be_no_more_often_than_alpha() -> None:
    dice = np.random.default_rng(7)
    wrong = sum(mean_surely_above(dice.beta(0.5, 9.5, 100).tolist(), 0.05, 0.05) for _ in range(400))
    assert wrong / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
