"""The number of windows is bounded, and rounding says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.telemetry.windows import CATALOG, MOST_OTHERS, of_objective, plan

DAY = 86400.0


@pytest.mark.parametrize(
    ("declared", "asked"),
    [
        pytest.param(28 * DAY, 28 * DAY, id="of the catalog"),
        pytest.param(120.0, 120.0, id="another one, as it is"),
        pytest.param(10.0, 60.0, id="never shorter than the rate window"),
        pytest.param(365 * DAY, 30 * DAY, id="never longer than thirty days"),
    ],
)
def test_one_window(declared: float, asked: float) -> None:
    assert plan([declared], 60.0) == {declared: asked}


def test_further_odd_windows_are_rounded_to_the_nearest_of_the_catalog() -> None:
    kept = [100.0 + n for n in range(MOST_OTHERS)]
    asked = plan([*kept, 7000.0, 14 * DAY], 60.0)
    assert [asked[window] for window in kept] == kept
    assert (asked[7000.0], asked[14 * DAY]) == (3600.0, 28 * DAY)


@given(st.lists(st.floats(0.001, 1e9)))
def test_the_number_of_windows_is_bounded(declared: list[float]) -> None:
    asked = plan(declared, 60.0)
    assert set(asked) == set(declared)
    assert len(set(asked.values())) <= len(CATALOG) + MOST_OTHERS + 1


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param(28 * DAY, (60.0, 300.0, 3600.0, 28 * DAY), id="a long one"),
        pytest.param(600.0, (60.0, 300.0, 600.0), id="its own is always the last"),
        pytest.param(3600.0, (60.0, 300.0, 3600.0), id="none twice"),
        pytest.param(60.0, (60.0,), id="the rate window alone"),
    ],
)
def test_windows_of_an_objective(own: float, expected: tuple[float, ...]) -> None:
    assert of_objective(own, 60.0) == expected
