from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.suite.frontier import Comparison, Point, Unmatched, compare, cost_at, frontier

MARGINS = st.integers(-500, 50).map(lambda thousandths: thousandths / 1000)
POINTS = st.lists(st.builds(Point, MARGINS, st.floats(1, 100)), min_size=1, max_size=12)


def points(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(*pair) for pair in pairs]


def test_dominated_points_are_left_out() -> None:
    made = points((0.01, 12), (-0.02, 10), (0.0, 13), (0.01, 14), (0.03, 20), (-0.05, 11))
    assert frontier(made) == points((-0.02, 10), (0.01, 12), (0.03, 20))


@pytest.mark.parametrize(
    ("ours", "theirs", "at", "expected"),
    [
        pytest.param([(0.0, 8), (0.02, 12)], [(0.0, 10), (0.02, 20)], 0.01, (10 / 15, 0.01), id="interpolated"),
        pytest.param([(0.0, 8), (0.02, 12)], [(-0.01, 10), (0.01, 20)], 0.03, (10 / 20, 0.01), id="nearest below"),
        pytest.param([(0.0, 8), (0.02, 12)], [(-0.01, 10), (0.01, 20)], -0.05, (8 / 15, 0.0), id="nearest above"),
        pytest.param([(0.01, 9)], [(0.0, 10), (0.02, 20)], 0.01, (9 / 15, 0.01), id="one point within a frontier"),
        pytest.param([(0.02, 9)], [(0.0, 3), (0.01, 4)], 0.0, Unmatched.NOT_REACHED_BY_THEM, id="only we reach it"),
        pytest.param([(0.0, 9)], [(0.01, 3), (0.02, 4)], 0.0, Unmatched.NOT_REACHED_BY_US, id="only they reach it"),
    ],
)
def test_policies_are_compared_where_both_are_as_good(
    ours: list[tuple[float, float]],
    theirs: list[tuple[float, float]],
    at: float,
    expected: tuple[float, float] | Unmatched,
) -> None:
    found = compare(points(*ours), points(*theirs), at)
    if isinstance(expected, Unmatched):
        assert found is expected
    else:
        assert isinstance(found, Comparison)
        assert (found.ratio, found.margin) == pytest.approx(expected)


@given(POINTS)
def test_a_frontier_costs_more_the_more_it_attains_and_passes_through_its_points(made: list[Point]) -> None:
    efficient = frontier(made)
    assert all(a.margin < b.margin and a.cost < b.cost for a, b in pairwise(efficient))
    assert all(cost_at(efficient, point.margin) == pytest.approx(point.cost) for point in efficient)
    for point in made:
        assert any(kept.margin >= point.margin and kept.cost <= point.cost for kept in efficient)


@given(POINTS, POINTS, MARGINS)
def test_comparing_the_other_way_round_gives_the_inverse(ours: list[Point], theirs: list[Point], at: float) -> None:
    one, other = compare(ours, theirs, at), compare(theirs, ours, at)
    if isinstance(one, Comparison):
        assert isinstance(other, Comparison)
        assert one.ratio * other.ratio == pytest.approx(1.0)
    else:
        assert {one, other} == set(Unmatched)


@given(POINTS, st.floats(1.01, 5), MARGINS)
def test_the_same_frontier_at_a_price_costs_that_price(made: list[Point], price: float, at: float) -> None:
    dearer = [Point(point.margin, point.cost * price) for point in made]
    found = compare(dearer, made, at)
    assert isinstance(found, Comparison)
    assert found.ratio == pytest.approx(price)
