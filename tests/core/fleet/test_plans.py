"""A plan is made anew on material change alone, and hardly dearer than the cheapest while it is kept."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.fleet.economics import Choice, Stakes, cheapest, costs_of
from flyball.core.fleet.misses import prior
from flyball.core.fleet.plans import planned, stands
from flyball.core.traffic.forecast import MASSES

CHOICE = Choice("gpu", price=2.0, rate=4.0, low=1, high=60, current=5, startup_seconds=120.0)
RATES = (14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0)
STAKES = Stakes(RATES, MASSES, prior(20.0), price=3.0)
KEPT = planned([CHOICE], STAKES, None)
COUNT = dict(KEPT.counts)["gpu"]

Move = Callable[[Choice, Stakes], tuple[Choice, Stakes]]


def grown(factor: float) -> Move:
    return lambda choice, stakes: (choice, replace(stakes, rates=tuple(rate * factor for rate in RATES)))


def turned(**changes: float | str) -> Move:
    return lambda choice, stakes: (replace(choice, **changes), stakes)  # type: ignore[arg-type]


def staked(**changes: float) -> Move:
    return lambda choice, stakes: (choice, replace(stakes, **changes))  # type: ignore[arg-type]


def test_a_plan_is_the_cheapest_count() -> None:
    assert dict(KEPT.counts) == cheapest([CHOICE], STAKES)
    assert COUNT > 3


@pytest.mark.parametrize(
    ("move", "kept"),
    [
        pytest.param(staked(), True, id="nothing moved"),
        pytest.param(grown(1.01), True, id="a percent more: a twentieth of a replica"),
        pytest.param(grown(1.03), False, id="three percent more: a seventh"),
        pytest.param(grown(0.97), False, id="three percent fewer"),
        pytest.param(turned(rate=4.04), True, id="a replica carries a percent more"),
        pytest.param(turned(rate=4.4), False, id="a tenth more"),
        pytest.param(turned(risk=0.1), False, id="a tenth of them is reclaimed"),
        pytest.param(staked(price=3.3), True, id="a miss costs a tenth more: half a percent of load"),
        pytest.param(staked(price=9.0), False, id="three times as much"),
        pytest.param(staked(curve=prior(2.5)), False, id="misses rise earlier"),  # type: ignore[arg-type]
        pytest.param(staked(fixed_rate=4.0), False, id="others carry as much as one"),
        pytest.param(staked(fixed_replicas=1), False, id="others are there"),
        pytest.param(turned(current=6), False, id="one more runs"),
        pytest.param(turned(price=2.1), False, id="another price"),
        pytest.param(turned(low=2), False, id="another minimum"),
        pytest.param(turned(high=50), False, id="another maximum"),
        pytest.param(turned(startup_seconds=60.0), False, id="another start-up"),
        pytest.param(turned(name="other"), False, id="another variant"),
    ],
)
def test_only_material_change_makes_it_anew(move: Move, kept: bool) -> None:
    choice, stakes = move(CHOICE, STAKES)
    assert stands(KEPT, [choice], stakes) is kept
    assert (planned([choice], stakes, KEPT) is KEPT) is kept


def test_another_number_of_variants_makes_it_anew() -> None:
    assert not stands(KEPT, [CHOICE, replace(CHOICE, name="other")], STAKES)
    assert not stands(KEPT, [], STAKES)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.5, 40.0), st.floats(0.0, 1.0), st.floats(-0.1, 0.1), st.floats(-0.5, 0.5))
def test_what_is_kept_costs_hardly_more_than_the_cheapest(
    rate: float, spread: float, more: float, dearer: float
) -> None:
    """Less than half a replica more, which is what rounding to whole ones errs by."""
    stakes = replace(STAKES, rates=tuple(rate * (1.0 + spread * (index - 3) / 4) for index in range(len(RATES))))
    moved = replace(stakes, rates=tuple(each * (1.0 + more) for each in stakes.rates), price=3.0 * (1.0 + dearer))
    kept, anew = planned([CHOICE], stakes, None), planned([CHOICE], moved, None)
    if stands(kept, [CHOICE], moved):
        before, cheapest_now = costs_of([CHOICE], moved, dict(kept.counts), dict(anew.counts))
        assert before - cheapest_now < CHOICE.price / 2
