"""Any range is made up of few stretches of rows, added and taken off, in zones whose days differ in length."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.ledger.calendar import Calendar
from flyball.ledger.queries import fewest, starts_of
from flyball.ledger.schema import Grain

MINUTE = 60_000
ZONES = [Calendar.of(zone) for zone in ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns")]
FIRST = round(datetime.fromisoformat("2027-12-20T00:00Z").timestamp() * 1000)
moments = st.integers(0, 450 * 24 * 12).map(lambda number: FIRST + number * 5 * MINUTE)
"""Five minutes of fifteen months: a leap day, years' ends and changes of clocks are in them."""
MOST = {Grain.PERIOD: 2 * 6, Grain.HOUR: 2 * 13, Grain.DAY: 2 * 16, Grain.MONTH: 16}
"""Rows at both edges: half an hour of periods, half of the longest day, half of the longest month."""


@given(st.sampled_from(ZONES), st.lists(moments, min_size=2, max_size=2, unique=True), st.lists(moments, max_size=30))
def test_a_moment_counts_once_where_it_is_within_and_never_where_it_is_not(
    calendar: Calendar, edges: list[int], others: list[int]
) -> None:
    begin, end = sorted(edges)
    stretches = list(fewest(calendar, begin, end, Grain.MONTH))
    for moment in (begin - 1, begin, end - 1, end, *others):
        counted = sum(each.sign for each in stretches if each.start <= moment < each.end)
        assert counted == (begin <= moment < end)


@given(st.sampled_from(ZONES), st.lists(moments, min_size=2, max_size=2, unique=True))
def test_stretches_begin_and_end_with_their_grain_and_hold_few_rows(calendar: Calendar, edges: list[int]) -> None:
    rows = dict.fromkeys(Grain, 0)
    for each in fewest(calendar, *sorted(edges), Grain.MONTH):
        if each.grain is Grain.PERIOD:
            rows[each.grain] += (each.end - each.start) // (5 * MINUTE)
        else:
            assert calendar.floor(each.start, each.grain) == each.start
            assert calendar.floor(each.end, each.grain) == each.end
            rows[each.grain] += len(list(starts_of(calendar, each)))
    assert all(rows[grain] <= most for grain, most in MOST.items()), rows


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        pytest.param("2028-02-01", "2028-03-01", [(Grain.MONTH, 1)], id="a leap February"),
        pytest.param("2028-02-03", "2028-03-01", [(Grain.DAY, -1), (Grain.MONTH, 1)], id="most of a month"),
        pytest.param("2028-02-27", "2028-03-01", [(Grain.DAY, 1)], id="its last days"),
        pytest.param(
            "2028-02-29T01", "2028-02-29T23", [(Grain.HOUR, -1), (Grain.DAY, 1), (Grain.HOUR, -1)], id="a day"
        ),
        pytest.param("2028-02-29T01", "2028-02-29T01", [], id="nothing"),
    ],
)
def test_what_a_range_is_read_from(begin: str, end: str, expected: list[tuple[Grain, int]]) -> None:
    edges = (round(datetime.fromisoformat(f"{text}+00:00" if "T" in text else f"{text}T00:00+00:00").timestamp()) * 1000
             for text in (begin, end))  # fmt: skip
    assert [(each.grain, each.sign) for each in fewest(ZONES[0], *edges, Grain.MONTH)] == expected
