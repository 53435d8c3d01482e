"""The cheapest counts, against every other count; the band in which nothing moves; and what a miss costs."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.economics import (
    AIM,
    DWELL_SECONDS,
    HIGHEST,
    LEAST_PRICE,
    LOWEST,
    START_PRICE,
    Choice,
    Stakes,
    cheapest,
    price_of_miss,
)
from flyball.core.fleet.misses import MissCurve, prior

PRICE = START_PRICE / 0.05
"""Of a miss, with 5% of them allowed and as many burned as aimed at: four times what serving costs."""


def choice(current: int = 4, low: int = 1, high: int = 60, **fields: object) -> Choice:
    given = {"name": "gpu", "price": 2.0, "rate": 1.0, "startup_seconds": 120.0, **fields}
    return Choice(low=low, high=high, current=current, **given)  # type: ignore[arg-type]


def stakes(demand: float = 4.0, price: float = PRICE, spread: float = 0.15, curve: MissCurve | None = None) -> Stakes:
    """Five rates around the demand, half of the probability at it."""
    rates = tuple(demand * (1 + spread * step) for step in (-2, -1, 0, 1, 2))
    return Stakes(rates, (0.05, 0.2, 0.5, 0.2, 0.05), curve or prior(10.0), price)


def cost(counts: Sequence[int], choices: Sequence[Choice], at: Stakes) -> float:
    """Dollars per hour as the module's docstring says: replicas, changes, misses, and what is not served at all."""
    paid = sum(
        c.price * (n + c.startup_seconds / (c.startup_seconds + DWELL_SECONDS) * max(0, n - c.current))
        for n, c in zip(counts, choices, strict=True)
    )
    carried = sum(n * c.rate for n, c in zip(counts, choices, strict=True)) + at.fixed_rate
    replicas = max(1, sum(counts) + at.fixed_replicas)
    missed = sum(
        mass * (rate * miss(at.curve, rate / max(carried, 1e-9), replicas) + max(0.0, rate - carried))
        for rate, mass in zip(at.rates, at.masses, strict=True)
    )
    size = max(1, sum(c.current for c in choices) + at.fixed_replicas)
    multiple = max(at.price, LEAST_PRICE / min(1.0, at.curve.load_at(0.05, size)))
    return paid + multiple * min(c.price / c.rate for c in choices) * missed


def miss(curve: MissCurve, load: float, replicas: int) -> float:
    """The share that misses: along the curve, and from full load (or where 5% miss) on e⁴⁰-fold in odds a load."""
    a, b, c = curve.terms
    small = c / replicas**0.75
    line = a + b * load + small
    beyond = math.log(1 / 19) + 40 * (load - max(0.95, (math.log(1 / 19) - a - small) / b))
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, max(line, beyond)))))


def least_cost(choices: Sequence[Choice], at: Stakes) -> float:
    every = itertools.product(*(range(c.low, c.high + 1) for c in choices))
    return min(cost(counts, choices, at) for counts in every)


def asked(*choices: Choice, at: Stakes) -> tuple[int, ...]:
    found = cheapest(choices, at)
    return tuple(found[c.name] for c in choices)


curves = st.sampled_from([prior(5.0), prior(10.0), prior()])
prices = st.floats(PRICE, 6 * PRICE)
startups = st.sampled_from([0.0, 30.0, 120.0, 300.0])
whatever = st.builds(stakes, st.floats(0.1, 30.0), prices, st.floats(0.05, 0.4), curves)


def choices_of(most: int, name: str = "gpu") -> st.SearchStrategy[Choice]:
    def bounded(low: int, more: int, current: int, price: float, rate: float, startup: float) -> Choice:
        return choice(
            min(current, low + more), low, low + more, name=name, price=price, rate=rate, startup_seconds=startup
        )

    counts = st.integers(0, most)
    return st.builds(
        bounded, st.integers(0, 3), counts, counts, st.sampled_from([0.5, 2.0, 9.0]), st.floats(0.3, 5.0), startups
    )


@LAW
@given(one=choices_of(60), at=whatever)
def test_no_other_count_is_cheaper(one: Choice, at: Stakes) -> None:
    assert cost(asked(one, at=at), [one], at) <= least_cost([one], at) * (1 + 1e-9)


@LAW
@given(one=choices_of(11, "a"), other=choices_of(11, "b"), at=whatever)
def test_no_other_pair_is_cheaper(one: Choice, other: Choice, at: Stakes) -> None:
    """Ranges that the grid covers one by one."""
    assert cost(asked(one, other, at=at), [one, other], at) <= least_cost([one, other], at) * (1 + 1e-9)


@LAW
@given(one=choices_of(6, "a"), two=choices_of(6, "b"), three=choices_of(6, "c"), at=whatever)
def test_no_other_three_are_cheaper(one: Choice, two: Choice, three: Choice, at: Stakes) -> None:
    several = [one, two, three]
    assert cost(asked(*several, at=at), several, at) <= least_cost(several, at) * (1 + 1e-9)


@pytest.mark.parametrize("demand", [20.0, 27.0, 33.0])
@pytest.mark.parametrize("prices", [(1.0, 1.1), (2.0, 1.0), (3.0, 2.0)])
def test_what_a_coarse_grid_finds_is_nearly_the_cheapest(demand: float, prices: tuple[float, float]) -> None:
    """Wider ranges are tried in strides first, then one by one: within a fiftieth of the least cost."""
    one = choice(7, high=40, name="a", price=prices[0], rate=1.0, startup_seconds=60.0)
    other = choice(11, high=40, name="b", price=prices[1], rate=0.7, startup_seconds=60.0)
    at = stakes(demand)
    assert cost(asked(one, other, at=at), [one, other], at) <= least_cost([one, other], at) * 1.02


@LAW
@given(one=choices_of(40), at=whatever, rate=st.floats(0.0, 20.0), replicas=st.integers(0, 10))
def test_what_others_carry_counts(one: Choice, at: Stakes, rate: float, replicas: int) -> None:
    at = replace(at, fixed_rate=rate, fixed_replicas=replicas)
    assert cost(asked(one, at=at), [one], at) <= least_cost([one], at) * (1 + 1e-9)


@LAW
@given(one=choices_of(60), at=whatever)
def test_from_the_best_count_nothing_moves(one: Choice, at: Stakes) -> None:
    (best,) = asked(one, at=at)
    assert asked(replace(one, current=best), at=at) == (best,)


@LAW
@given(one=choices_of(60), at=whatever, dearer=st.floats(1.0, 10.0))
def test_a_dearer_miss_never_asks_for_fewer(one: Choice, at: Stakes, dearer: float) -> None:
    assert asked(one, at=replace(at, price=at.price * dearer)) >= asked(one, at=at)


@LAW
@given(
    current=st.integers(1, 40),
    startup=startups,
    demand=st.floats(0.1, 20.0),
    more=st.floats(1.0, 3.0),
    price=prices,
    curve=curves,
)
def test_more_demand_never_asks_for_fewer(
    current: int, startup: float, demand: float, more: float, price: float, curve: MissCurve
) -> None:
    """As long as there are as many as it takes."""
    one = choice(current, high=400, startup_seconds=startup)
    less = asked(one, at=stakes(demand, price, curve=curve))
    assert asked(one, at=stakes(demand * more, price, curve=curve)) >= less


class TestBand:
    """Ten requests/s on replicas of one each."""

    @pytest.mark.parametrize(
        ("demand", "moves"), [(10.0, 0), (9.5, 0), (10.1, 0), (7.0, -1), (5.0, -1), (12.0, 1), (20.0, 1)]
    )
    def test_small_changes_of_demand_move_nothing(self, demand: float, moves: int) -> None:
        """From where it would be if changes cost nothing."""
        (settled,) = asked(choice(10, startup_seconds=0.0), at=stakes(10.0))
        (found,) = asked(choice(settled), at=stakes(demand))
        assert (found > settled) - (found < settled) == moves

    def test_a_start_that_takes_long_asks_for_fewer(self) -> None:
        """A start is paid for before it serves; that a replica goes costs nothing."""
        startups, at = (0.0, 120.0, 300.0), stakes(20.0)
        lows = [asked(choice(200, high=200, startup_seconds=startup), at=at) for startup in startups]
        highs = [asked(choice(1, high=200, startup_seconds=startup), at=at) for startup in startups]
        assert lows == [highs[0]] * 3, "what costs nothing to change knows no past"
        assert highs == sorted(highs, reverse=True)
        assert lows[2] > highs[2]


def test_the_last_replica_is_worth_its_price() -> None:
    """By hand, two rates known for sure, no start-up: with 4 requests/s and odds of e^(20 × (load - 0.95)) / 19, five
    replicas run at 0.8 and miss 0.26%, four at 1.0 and miss 28%. A miss at four times the cost of serving saves
    4 × 4 × 0.277 = 4.4 replicas by the fifth, and 4 × 4 × 0.0025 = 0.04 by the sixth.
    """
    at = replace(stakes(4.0, curve=prior()), rates=(4.0,), masses=(1.0,))
    assert miss(at.curve, 1.0, 4) == pytest.approx(0.28, abs=0.01)
    assert miss(at.curve, 0.8, 5) == pytest.approx(0.0026, abs=1e-4)
    assert asked(choice(1, startup_seconds=0.0), at=at) == (5,)


@pytest.mark.parametrize("startup_seconds", [30.0, 600.0, 7200.0])
def test_where_nothing_arrives_nothing_stays_however_long_a_start_takes(startup_seconds: float) -> None:
    at = replace(stakes(), rates=(0.0,), masses=(1.0,))
    assert asked(choice(5, startup_seconds=startup_seconds), at=at) == (1,)


def test_the_cheaper_of_two_serves() -> None:
    cheap, dear = choice(0, low=0, name="cheap", price=1.0), choice(0, low=0, name="dear", price=3.0)
    found = cheapest([dear, cheap], stakes(8.0))
    assert found["dear"] == 0
    assert found["cheap"] >= 8
    bounded = cheapest([dear, replace(cheap, high=4)], stakes(8.0))
    assert bounded["cheap"] == 4
    assert bounded["dear"] >= 4


@pytest.mark.parametrize(("low", "high"), [(1, 60), (3, 3), (20, 60), (0, 2)])
def test_counts_stay_within_their_bounds(low: int, high: int) -> None:
    (found,) = asked(choice(low, low=low, high=high), at=stakes(8.0))
    assert low <= found <= high


def test_nothing_to_choose() -> None:
    assert cheapest([], stakes()) == {}


@pytest.mark.parametrize(
    ("budget", "burned", "price"),
    [
        (0.05, AIM, 4.0),
        (0.05, 0.9, 4 * math.e),
        (0.05, 0.7, 4 / math.e),
        (0.05, 0.6, 4 / math.e**2),
        (0.01, AIM, 20.0),
        (0.001, AIM, 200.0),
        (0.05, AIM + HIGHEST, 4 * math.e**2),
        (0.05, 50.0, 4 * math.e**2),
        (0.05, 0.0, 4 / math.e**2),
        (0.05, AIM + LOWEST, 4 / math.e**2),
    ],
)
def test_a_miss_costs_by_how_much_of_the_budget_burned(budget: float, burned: float, price: float) -> None:
    """E-fold for each tenth of it, and bounded."""
    assert price_of_miss(budget, burned) == pytest.approx(price)
