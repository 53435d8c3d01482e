"""The deadline form of a pace: hand-worked cases, and what no reading may do to it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.telemetry.pace import RecentAnswers, latest_mean


@pytest.mark.parametrize(
    ("promised", "wait", "tokens", "pace", "expected"),
    [
        # (2 / 0.5 - 1) × (100 - 60 ms) = 120 ms; a tenth of 200 tokens: 1.5 s / 20 = 75 ms more for the shortest
        pytest.param(2.0, 0.5, 200.0, 0.060, 0.100 + 1.5 / 20.0, id="the shortest answers bound it"),
        pytest.param(2.0, 0.5, 28.0, 0.060, 0.100 + 0.120, id="short answers: three interruptions"),
        pytest.param(2.0, 0.5, 28.0, 0.090, 0.100 + 0.030, id="the slower all tokens are, the less is forgiven"),
        pytest.param(2.0, 0.5, 28.0, 0.120, 0.100, id="where all are too slow, nothing is"),
        pytest.param(2.0, 2.5, 28.0, 0.060, 0.100, id="a late first token leaves nothing"),
        pytest.param(2.0, math.nan, 28.0, 0.060, 0.100, id="no first token was seen"),
        pytest.param(2.0, 0.0, 28.0, 0.060, 0.100, id="a wait of nothing cannot be"),
        pytest.param(80.0, 0.01, 2.0, 0.010, 5.0, id="never beyond the largest edge"),
    ],
)
def test_means_that_are_in_time(promised: float, wait: float, tokens: float, pace: float, expected: float) -> None:
    found = latest_mean(0.100, promised, wait, RecentAnswers(tokens * 1.0, pace), 5.0)
    assert found == pytest.approx(expected, rel=0.01)


positive = st.floats(1e-6, 1e6)


@given(positive, positive, st.floats(), positive, positive)
def test_it_is_never_stricter_than_the_threshold_nor_beyond_the_edges(
    threshold: float, promised: float, wait: float, tokens: float, pace: float
) -> None:
    found = latest_mean(threshold, promised, wait, RecentAnswers(tokens, pace), 2 * threshold)
    assert threshold <= found <= 2 * threshold
