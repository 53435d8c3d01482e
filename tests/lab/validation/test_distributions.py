"""Distances between two samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.validation.distributions import compare

SAMPLES = st.lists(st.floats(0.001, 100), min_size=1, max_size=50).map(np.array)


def test_distances_by_hand() -> None:
    found = compare(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 3.0, 4.0, 9.0]))
    assert found.measured.p50 == 2.5
    assert found.simulated.mean == 4.5
    assert found.kolmogorov_smirnov == 0.25
    assert found.wasserstein_seconds == pytest.approx(2.0)
    assert found.typical_difference_seconds == 1.0


def test_requests_without_the_latency_are_left_out() -> None:
    found = compare(np.array([1.0, math.nan, 3.0]), np.array([1.0, 2.0, math.nan]))
    assert found.count == 1
    assert found.wasserstein_seconds == 0.0


def test_samples_of_other_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="1 and 2 requests are not the same ones"):
        compare(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="no request has this latency in both"):
        compare(np.array([1.0, math.nan]), np.array([math.nan, 2.0]))


@given(values=SAMPLES, shift=st.floats(0, 10))
def test_a_shift_is_the_wasserstein_distance(values: np.ndarray, shift: float) -> None:
    found = compare(values, values + shift)
    assert found.wasserstein_seconds == pytest.approx(shift, abs=1e-9)
    assert 0 <= found.kolmogorov_smirnov <= 1


@given(values=SAMPLES, seed=st.integers(0, 99))
def test_order_matters_to_differences_only(values: np.ndarray, seed: int) -> None:
    mixed = np.random.default_rng(seed).permutation(values)
    found = compare(values, mixed)
    assert found.kolmogorov_smirnov == 0.0
    assert found.wasserstein_seconds == pytest.approx(0.0, abs=1e-12)
