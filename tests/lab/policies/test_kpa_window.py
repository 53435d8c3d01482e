"""Knative's buckets, worked by hand."""

import pytest

from flyball.lab.policies.kpa_window import Window


@pytest.mark.parametrize(
    ("reports", "now", "mean"),
    [
        pytest.param([], 5.0, 0.0, id="nothing"),
        pytest.param([(0.0, 6.0)], 0.0, 6.0, id="the first counts in full"),
        pytest.param([(0.0, 6.0), (1.0, 2.0)], 1.9, 4.0, id="the mean since the first"),
        pytest.param([(0.2, 6.0), (0.8, 2.0)], 0.9, 8.0, id="of one second they add up"),
        pytest.param([(0.0, 6.0), (3.0, 2.0)], 3.0, 2.0, id="seconds between reports are zeros"),
        pytest.param([(0.0, 6.0), (1.0, 2.0)], 3.0, 4.0, id="seconds after the last do not count"),
        pytest.param([(float(at), float(at)) for at in range(9)], 8.0, 6.0, id="the window's length: 4 to 8"),
        pytest.param([(float(at), float(at)) for at in range(9)], 10.0, 7.0, id="and what is left of it: 6 to 8"),
        pytest.param([(0.0, 6.0)], 5.0, 0.0, id="silent for the window's length"),
        pytest.param([(0.0, 6.0), (5.0, 2.0)], 5.0, 2.0, id="it starts anew after that"),
        pytest.param([(0.0, 6.0), (4.0, 2.0)], 4.0, 1.6, id="and not before"),
        pytest.param([(0.0, 1.0), (1.0, 0.0), (2.0, 0.0)], 2.0, 0.333333, id="six digits"),
    ],
)
def test_mean_of_five_seconds(reports: list[tuple[float, float]], now: float, mean: float) -> None:
    window = Window(5)
    for at, value in reports:
        window.record(at, value)
    assert window.mean(now) == mean


def test_empty_after_more_than_its_length() -> None:
    window = Window(5)
    assert window.empty(0.0)
    window.record(0.0, 0.0)
    assert not window.empty(5.9)
    assert window.empty(6.0)
