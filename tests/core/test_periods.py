"""Days and months in UTC: where they begin and end, leap days and years' ends among them."""

from datetime import UTC, datetime

import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.names import Period
from flyball.core.periods import CALENDAR, begin, end, label


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("period", "at", "first", "last", "name"),
    [
        pytest.param(Period.MONTH, utc(2026, 11, 25, 18), utc(2026, 11, 1), utc(2026, 12, 1), "2026-11", id="30 days"),
        pytest.param(
            Period.MONTH, utc(2026, 12, 31, 23), utc(2026, 12, 1), utc(2027, 1, 1), "2026-12", id="a year's end"
        ),
        pytest.param(Period.MONTH, utc(2028, 2, 1), utc(2028, 2, 1), utc(2028, 3, 1), "2028-02", id="a leap February"),
        pytest.param(Period.MONTH, utc(2026, 2, 28, 23, 59), utc(2026, 2, 1), utc(2026, 3, 1), "2026-02", id="28 days"),
        pytest.param(Period.DAY, utc(2028, 2, 29), utc(2028, 2, 29), utc(2028, 3, 1), "2028-02-29", id="a leap day"),
        pytest.param(Period.DAY, utc(2026, 3, 29, 2), utc(2026, 3, 29), utc(2026, 3, 30), "2026-03-29", id="any day"),
    ],
)
def test_periods(period: Period, at: float, first: float, last: float, name: str) -> None:
    assert (begin(period, at), end(period, at), label(period, at)) == (first, last, name)


@LAW
@given(st.sampled_from(CALENDAR), st.floats(0, 4e9))
def test_every_time_is_in_one_period_and_the_next_begins_where_it_ends(period: Period, at: float) -> None:
    assert begin(period, at) <= at < end(period, at)
    assert begin(period, end(period, at)) == end(period, at)
    assert label(period, begin(period, at)) == label(period, at) != label(period, end(period, at))
