"""When a change is worth making: a large gain at once, a small one when it has lasted, chance never."""

from dataclasses import replace

import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.economics import DWELL_SECONDS, Choice, Stakes, cheapest, costs_of
from flyball.core.fleet.misses import prior
from flyball.core.fleet.patience import LONGEST_TICK_SECONDS, ripe
from flyball.core.memory import Foregone

WINDOW_SECONDS, TICK_SECONDS = 60.0, 15.0


def choice(current: int, startup_seconds: float = 120.0, name: str = "gpu", price: float = 2.0) -> Choice:
    return Choice(name, price, 1.0, 0, 400, current, startup_seconds)


def stakes(demand: float) -> Stakes:
    """A rate that is known for sure, and a miss that costs four times what serving does."""
    return Stakes((demand,), (1.0,), prior(10.0), 4.0)


def ticks_until_ripe(one: Choice, at: Stakes, most: int = 400) -> int:
    """How many ticks it takes to go where it is cheapest."""
    counts, known = cheapest([one], at), Foregone()
    for tick in range(most):
        worth, known = ripe([one], at, counts, tick * TICK_SECONDS, WINDOW_SECONDS, known)
        if worth:
            return tick
    return most


@pytest.mark.parametrize(
    ("current", "demand", "startup_seconds", "at_once"),
    [
        pytest.param(20, 5.0, 120.0, True, id="three quarters are idle"),
        pytest.param(20, 30.0, 120.0, True, id="half as many again are missing"),
        pytest.param(2, 1.0e-9, 30.0, True, id="two are idle"),
        pytest.param(1, 4.0, 300.0, True, id="one of five is there"),
        pytest.param(20, 14.5, 120.0, False, id="three of twenty are idle"),
        pytest.param(20, 16.0, 120.0, False, id="one of twenty is idle"),
        pytest.param(200, 165.0, 120.0, False, id="a few of two hundred are idle"),
    ],
)
def test_a_large_gain_acts_at_once(current: int, demand: float, startup_seconds: float, at_once: bool) -> None:
    one, at = choice(current, startup_seconds), stakes(demand)
    assert cheapest([one], at)["gpu"] != current
    assert (ticks_until_ripe(one, at) == 0) is at_once


def test_a_small_gain_acts_when_what_was_lost_and_what_is_to_win_come_to_the_price() -> None:
    """By hand: of twenty three are idle, so $6 an hour are to win for 120 + 240 s, less what more misses cost and less
    a third of it, for they may have to start again; and half a window of the fleet is $40 an hour × 30 s.
    """
    one, at, counts = choice(20), stakes(14.5), {"gpu": 17}
    staying, changing = costs_of([one], at, {"gpu": 20}, counts)
    gain = staying - changing - 3 * 2.0 * 120.0 / 360.0
    assert 1.5 < gain < 4.0
    known, waited = Foregone(), 0
    while True:
        worth, known = ripe([one], at, counts, waited * TICK_SECONDS, WINDOW_SECONDS, known)
        if worth:
            break
        waited += 1
    assert (waited - 1) * TICK_SECONDS < 40.0 * 30.0 / gain - (120.0 + DWELL_SECONDS) <= waited * TICK_SECONDS


def test_what_turns_around_begins_anew() -> None:
    """One up, one down, for ever: nothing moves."""
    one, known = choice(20), Foregone()
    for tick in range(400):
        counts, at = ({"gpu": 21}, stakes(18.0)) if tick % 8 < 4 else ({"gpu": 19}, stakes(16.0))
        worth, known = ripe([one], at, counts, tick * TICK_SECONDS, WINDOW_SECONDS, known)
        assert not worth


def test_a_change_that_gains_nothing_is_never_made_and_ends_the_waiting() -> None:
    known = Foregone(0.0, more=True, amount=1e9)
    assert ripe([choice(20)], stakes(14.5), {"gpu": 40}, 15.0, WINDOW_SECONDS, known) == (False, Foregone())


def test_a_gap_is_no_waiting() -> None:
    one, at, counts = choice(200), stakes(165.0), cheapest([choice(200)], stakes(165.0))
    _, known = ripe([one], at, counts, 0.0, WINDOW_SECONDS, Foregone())
    _, soon = ripe([one], at, counts, LONGEST_TICK_SECONDS, WINDOW_SECONDS, known)
    _, late = ripe([one], at, counts, 86_400.0, WINDOW_SECONDS, known)
    assert 0 < soon.amount == late.amount


def test_from_nothing_the_first_comes_at_once() -> None:
    assert ticks_until_ripe(choice(0), stakes(0.2)) == 0


@LAW
@given(
    current=st.integers(1, 200),
    demand=st.floats(0.1, 200.0),
    startup=st.sampled_from([0.0, 30.0, 120.0, 420.0]),
    window=st.sampled_from([30.0, 60.0, 300.0]),
)
def test_waiting_never_loses_more_than_half_a_window_of_the_fleet(
    current: int, demand: float, startup: float, window: float
) -> None:
    one, at, known = choice(current, startup), stakes(demand), Foregone()
    counts = cheapest([one], at)
    for tick in range(200):
        worth, known = ripe([one], at, counts, tick * TICK_SECONDS, window, known)
        assert 0 <= known.amount < window / 2 * one.price * current
        if worth:
            break


@LAW
@given(current=st.integers(0, 100), demand=st.floats(0.1, 100.0), unit=st.floats(0.01, 100.0))
def test_it_is_the_same_in_any_currency(current: int, demand: float, unit: float) -> None:
    one, at = choice(current), stakes(demand)
    assert ticks_until_ripe(one, at, 50) == ticks_until_ripe(replace(one, price=2.0 * unit), at, 50)
