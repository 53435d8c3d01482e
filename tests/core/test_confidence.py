import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.confidence import count_bounds, share_bounds


@pytest.mark.parametrize(
    ("bad", "total", "z", "low", "high"),
    [
        pytest.param(10, 100, 1.96, 0.0552, 0.1744, id="Wilson's interval of 10 in 100, as in textbooks"),
        pytest.param(0, 20, 1.6449, 0.0, 0.1192, id="none in 20: up to z²/(n + z²) = 2.7057/22.7057"),
        pytest.param(20, 20, 1.6449, 0.8808, 1.0, id="all of 20: the mirror of none"),
        pytest.param(0, 0, 1.6449, 0.0, 1.0, id="no events say nothing"),
    ],
)
def test_bounds_of_a_share(bad: float, total: float, z: float, low: float, high: float) -> None:
    assert share_bounds(bad, total, z) == pytest.approx((low, high), abs=1e-4)


@LAW
@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_share_lies_within_its_bounds(good: float, bad: float) -> None:
    low, high = share_bounds(bad, good + bad)
    assert 0 <= low <= high <= 1
    if good + bad > 1e-3:
        assert low - 1e-9 <= bad / (good + bad) <= high + 1e-9


@LAW
@given(st.floats(0, 1), st.integers(1, 1000), st.integers(2, 100))
def test_more_events_narrow_the_bounds(share: float, total: int, factor: int) -> None:
    few, many = share_bounds(share * total, total), share_bounds(share * total * factor, total * factor)
    assert many[1] - many[0] <= few[1] - few[0] + 1e-9


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        pytest.param(0, 0.0, 3.689, id="none: −ln 0.025"),
        pytest.param(3, 0.619, 8.767, id="three, from tables of the Poisson distribution"),
        pytest.param(10, 4.795, 18.390, id="ten"),
        pytest.param(100, 81.364, 121.627, id="a hundred"),
    ],
)
def test_bounds_of_a_count_are_close_to_the_exact_ones(count: float, low: float, high: float) -> None:
    assert count_bounds(count) == pytest.approx((low, high), rel=0.03)


@LAW
@given(st.floats(0, 1e9))
def test_the_count_lies_within_its_bounds(count: float) -> None:
    low, high = count_bounds(count)
    assert 0 <= low <= count < high
