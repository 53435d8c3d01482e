"""How far a month may be off: the range holds nine times of ten, however days differ, and past ones are scored."""

from decimal import Decimal

import numpy as np
import pytest

from flyball.core.money.budgets import FEWEST_DAYS, PastForecast, TrackRecord, month_range, score, spread


@pytest.mark.parametrize(
    ("noise", "wander"),
    [
        pytest.param(0.2, 0.0, id="days that differ by chance"),
        pytest.param(0.05, 0.05, id="a level that wanders"),
        pytest.param(0.2, 0.03, id="both"),
    ],
)
@pytest.mark.parametrize("left", [25, 10, 2])
@pytest.mark.parametrize("known", [21, 59])
def test_the_range_holds_about_nine_times_of_ten(noise: float, wander: float, left: int, known: int) -> None:
    random = np.random.default_rng(7)
    held = widths = 0.0
    runs = 300
    for _ in range(runs):
        level = np.exp(np.cumsum(random.normal(0, wander, known + left)))
        days = 100 * level * np.exp(random.normal(0, noise, known + left))
        found = spread(list(days[:known]), left)
        assert found is not None
        ratio = days[known:].mean() / days[known - 7 : known].mean()
        held += found[0] <= ratio <= found[1]
        widths += found[1] / found[0]
    assert held / runs >= 0.80
    assert widths / runs < 4.0


def test_weekends_are_no_uncertainty_over_whole_weeks() -> None:
    weeks = [100.0, 100, 100, 100, 100, 20, 20] * 8
    low, high = spread(weeks, 14) or (0.0, 0.0)
    assert (low, high) == pytest.approx((1.0, 1.0), abs=1e-6)


@pytest.mark.parametrize(
    "days",
    [
        pytest.param([10.0] * (FEWEST_DAYS - 1), id="too few"),
        pytest.param([0.0] * 30, id="nothing spent"),
        pytest.param([10.0] * 20 + [float("nan")], id="not a number"),
    ],
)
def test_days_that_tell_nothing_give_no_range(days: list[float]) -> None:
    assert spread(days, 10) is None


def test_days_at_zero_among_others_give_a_wide_range_and_no_nonsense() -> None:
    low, high = spread([0.0, 100.0] * 15, 10) or (0.0, 0.0)
    assert 0 < low < 1 < high < 10


def test_what_is_spent_is_certain() -> None:
    assert month_range(Decimal(60), Decimal(100), (0.5, 2.0)) == (80, 140)
    assert month_range(Decimal(60), Decimal(100), None) == (None, None)
    assert month_range(Decimal(60), Decimal(60), (0.5, 2.0)) == (60, 60)


def test_past_forecasts_are_scored() -> None:
    month = [PastForecast(100, 80, 120, 110), PastForecast(90, 85, 95, 110), PastForecast(105, 100, 120, 110)]
    found = score([month, [PastForecast(50, 40, 60, 0.0)]])
    assert found == TrackRecord(1, 3, 2, pytest.approx(10 / 110))
    assert found.text == "2 of 3 ranges held over 1 past month; forecasts missed by 9.1% (median)"
    assert score([]) is None
