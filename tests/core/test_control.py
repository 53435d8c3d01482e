"""The closed loop: does the fleet follow its load, without overshoot and without flapping? `fluid` is the model."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from core.cases import spec, variant
from core.fluid import Fleet, run

from flyball.core.fleet.misses import prior, replicas_for

MINUTES = 60.0


def steady(rate: float) -> Callable[[float], float]:
    return lambda _: rate


def noisy(rate: float) -> Callable[[float], float]:
    """±10%, another value for every tick, the same in every run."""
    return lambda second: rate * (1.0 + 0.1 * ((int(second) // 15 * 7919) % 21 - 10) / 10.0)


def needed(rate: float) -> int:
    """Replicas that carry that rate with hardly a miss, by the prior: a first token within 25 prefills."""
    return replicas_for(prior(25.0), rate, 5.0, 100)


def changes(counts: list[int]) -> int:
    return sum(before != after for before, after in pairwise(counts))


LOADS = pytest.mark.parametrize("calm", [1.0, 2.0, 2.5, 4.0, 6.0, 8.0])


@LOADS
def test_a_load_five_times_as_large_is_answered_within_two_ticks_and_settles(calm: float) -> None:
    fleet = Fleet(spec(variant(high=40)), needed(calm))
    before = run(fleet, steady(calm), 15 * MINUTES)[-1]
    counts = run(fleet, steady(5 * calm), 20 * MINUTES)
    assert counts[1] > before, "a higher count within two ticks"
    assert max(counts) <= 2 * needed(5 * calm), "no overshoot beyond twice what is needed"
    assert set(counts[-20:]) == {counts[-1]}, "settled for the last five minutes"
    assert needed(5 * calm) <= counts[-1] <= needed(5 * calm) + 1
    assert fleet.backlog <= 20 * fleet.replicas, "nothing waits"


@LOADS
def test_when_the_load_is_gone_so_are_its_replicas(calm: float) -> None:
    fleet = Fleet(spec(variant(high=40)), needed(5 * calm))
    run(fleet, steady(5 * calm), 10 * MINUTES)
    counts = run(fleet, steady(calm), 10 * MINUTES)
    assert counts == sorted(counts, reverse=True), "down without a way back"
    assert needed(calm) <= counts[-1] <= needed(calm) + 1


@pytest.mark.parametrize("rate", [5.0, 6.0, 6.7, 8.0, 9.5, 11.0, 12.0, 14.0, 15.4, 20.0])
def test_noise_of_ten_percent_does_not_flap(rate: float) -> None:
    """Among these rates are 9.5 and 14.0, just at what two and three replicas carry: there it is tried once in a while
    whether one fewer will do, at most three times an hour (144 changes a day), and taken back when users suffer.
    """
    fleet = Fleet(spec(variant(high=40)), needed(rate))
    run(fleet, steady(rate), 15 * MINUTES)
    counts = run(fleet, noisy(rate), 60 * MINUTES)
    assert changes(counts) <= 6
    assert needed(rate) - 1 <= min(counts)
    assert sum(count < needed(rate) for count in counts) <= 0.1 * len(counts) or min(counts) * 5.0 * 0.95 > rate
    assert max(counts) <= needed(1.1 * rate) + 1


def test_a_steady_load_changes_nothing() -> None:
    """Nine a second is what two replicas just carry: the third goes once an hour without a miss made them cheap."""
    fleet = Fleet(spec(variant(high=40)), 3)
    run(fleet, steady(9.0), 60 * MINUTES)
    assert changes(run(fleet, steady(9.0), 60 * MINUTES)) == 0


def test_a_slow_day_is_followed_up_and_down() -> None:
    """A ramp from 2 to 20 requests/s and back within two hours: never short for long, and down to where it began."""
    fleet = Fleet(spec(variant(high=40)), needed(2.0))
    up = run(fleet, lambda second: 2.0 + 18.0 * second / 3600.0, 60 * MINUTES)
    assert changes(up) <= 2 * needed(20.0), "hardly more than one change for each replica"
    assert fleet.backlog <= 20 * fleet.replicas
    down = run(fleet, lambda second: 20.0 - 18.0 * second / 3600.0, 60 * MINUTES)
    down += run(fleet, steady(2.0), 10 * MINUTES)
    assert needed(20.0) <= max(up[-1], down[0])
    assert down[-1] == needed(2.0)
    assert down == sorted(down, reverse=True)
