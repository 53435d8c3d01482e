import numpy as np
import pytest

from flyball.lab.suite.traffic_kind import TrafficKind, traffic_kind

HOUR, DAY = 3600.0, 86_400.0


def arrivals(rates: np.ndarray, seconds: float) -> np.ndarray:
    """Evenly spread arrivals: so many in each window of so many seconds."""
    return np.concatenate([i * seconds + seconds * (np.arange(n) + 0.5) / n for i, n in enumerate(rates) if n])


def kind(rates: np.ndarray, seconds: float, window: float) -> TrafficKind:
    t_seconds = arrivals(rates, seconds)
    return traffic_kind(t_seconds, np.ones(len(t_seconds)), len(rates) * seconds, window)


def test_constant_traffic_is_smooth_and_has_no_pattern() -> None:
    found = kind(np.full(60, 100), 120.0, 120.0)
    assert found == TrafficKind(pytest.approx(0.0, abs=1e-12), None)
    assert (found.words, found.bursty, found.daily) == ("smooth", False, False)


def test_alternating_windows_vary_by_their_swing() -> None:
    # Windows of 50 and 150 around a centred mean near 100: the deviation is half of the mean.
    found = kind(np.tile([50, 150], 60), 120.0, 120.0)
    assert found.variation == pytest.approx(0.5, rel=0.05)
    assert found.words == "bursty"


def test_a_slow_swing_is_smooth_and_daily() -> None:
    hours = np.arange(4 * 24)
    found = kind(np.rint(1000 * (1 + 0.6 * np.cos(2 * np.pi * hours / 24))).astype(int), HOUR, 120.0)
    assert found.variation < 0.1
    assert found.daily_correlation == pytest.approx(1.0, abs=0.01)
    assert found.words == "smooth, daily pattern"


def test_a_pattern_of_thirty_hours_is_not_daily() -> None:
    hours = np.arange(6 * 24)
    found = kind(np.rint(1000 * (1 + 0.6 * np.cos(2 * np.pi * hours / 30))).astype(int), HOUR, 120.0)
    assert not found.daily


def test_work_counts_and_not_requests() -> None:
    t_seconds = arrivals(np.full(60, 100), 120.0)
    work = np.where((t_seconds // 120) % 2 == 0, 1.0, 3.0)
    assert traffic_kind(t_seconds, work, 7200.0, 120.0).variation == pytest.approx(0.5, rel=0.05)


def test_work_without_any_change_between_days_has_no_correlation() -> None:
    assert kind(np.full(72, 50), HOUR, 120.0).daily_correlation == 0.0
