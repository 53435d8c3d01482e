"""The planner's one-step predictors."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.policies.dynamo_predictors import PREDICTORS, Constant, Kalman, Predictor


def fed(predictor: Predictor, values: list[float]) -> float | None:
    for value in values:
        predictor.add(value)
    return predictor.predict()


@pytest.mark.parametrize("kind", PREDICTORS.values())
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([0, 0], None, id="leading zeros are skipped"),
        pytest.param([0, 4, 7], 7, id="fewer than five: the last"),
        pytest.param([5] * 9, 5, id="all the same"),
        pytest.param([3, math.nan], 0, id="no number counts as zero"),
    ],
)
def test_common_rules(kind, values: list[float], expected: float | None) -> None:
    assert fed(kind(), values) == expected


def test_constant_repeats_and_kalman_follows_a_trend() -> None:
    ramp = [10.0 * step for step in range(1, 41)]
    assert fed(Constant(), ramp) == 400
    assert fed(Kalman(), ramp) == pytest.approx(410, abs=1)


def test_kalman_smooths_noise() -> None:
    noisy = [100 + 20 * (-1) ** step for step in range(60)]
    assert fed(Kalman(), noisy) == pytest.approx(100, abs=15)


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_predictions_are_finite_and_not_negative(values: list[float]) -> None:
    for kind in PREDICTORS.values():
        predicted = fed(kind(), values)
        assert predicted is None or 0 <= predicted < math.inf
