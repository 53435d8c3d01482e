from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from flyball.ledger.calendar import Calendar
from flyball.ledger.errors import LedgerError
from flyball.ledger.schema import Grain


def at(zone: str, text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "moment", "begin", "hours"),
    [
        pytest.param("UTC", "2028-02-29T13:00", "2028-02-29T00:00", 24, id="a leap day"),
        pytest.param("Europe/Berlin", "2026-10-25T12:00", "2026-10-25T00:00", 25, id="clocks go back"),
        pytest.param("Europe/Berlin", "2026-03-29T12:00", "2026-03-29T00:00", 23, id="clocks go forward"),
        pytest.param("Asia/Kolkata", "2026-11-25T00:00", "2026-11-25T00:00", 24, id="half an hour off"),
        pytest.param("Asia/Beirut", "2026-03-29T12:00", "2026-03-29T01:00", 23, id="a day without a midnight"),
    ],
)
def test_a_day_is_as_long_as_its_clocks_say(zone: str, moment: str, begin: str, hours: int) -> None:
    calendar, inside = Calendar.of(zone), at(zone, moment)
    start, end = calendar.floor(inside, Grain.DAY), calendar.ceil(inside + 1, Grain.DAY)
    assert (start, end - start) == (at(zone, begin), hours * 3_600_000)
    assert (calendar.ceil(start, Grain.DAY), calendar.floor(start, Grain.DAY)) == (start, start)
    assert calendar.floor(end - 1, Grain.DAY) == start


def test_months_begin_with_their_first_day() -> None:
    calendar, begin, end = (
        Calendar.of("Europe/Berlin"),
        at("Europe/Berlin", "2028-02-01T00:00"),
        at("Europe/Berlin", "2028-03-01T00:00"),
    )
    assert calendar.floor(at("Europe/Berlin", "2028-02-29T23:59"), Grain.MONTH) == begin
    assert calendar.ceil(begin + 1, Grain.MONTH) == end
    assert (calendar.ceil(begin, Grain.MONTH), calendar.floor(end, Grain.MONTH)) == (begin, end)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Asia/Kathmandu"])
def test_hours_begin_with_the_zone_s_own(zone: str) -> None:
    calendar = Calendar.of(zone)
    assert calendar.floor(at(zone, "2026-11-25T07:59:59"), Grain.HOUR) == at(zone, "2026-11-25T07:00")
    assert calendar.ceil(at(zone, "2026-11-25T07:00:01"), Grain.HOUR) == at(zone, "2026-11-25T08:00")
    assert calendar.ceil(at(zone, "2026-11-25T07:00"), Grain.HOUR) == at(zone, "2026-11-25T07:00")


@pytest.mark.parametrize(
    ("moment", "first_day", "begin", "end"),
    [
        pytest.param("2026-12-31T23:59", 1, "2026-12-01T00:00", "2027-01-01T00:00", id="a year's end"),
        pytest.param("2028-02-29T00:00", 1, "2028-02-01T00:00", "2028-03-01T00:00", id="a leap day"),
        pytest.param(
            "2026-03-14T12:00", 15, "2026-02-15T00:00", "2026-03-15T00:00", id="before the day it begins with"
        ),
        pytest.param("2026-03-15T00:00", 15, "2026-03-15T00:00", "2026-04-15T00:00", id="on that day"),
        pytest.param("2027-01-05T00:00", 28, "2026-12-28T00:00", "2027-01-28T00:00", id="over a year's end"),
    ],
)
def test_a_month_begins_with_the_day_that_is_asked_for(moment: str, first_day: int, begin: str, end: str) -> None:
    zone = "Europe/Berlin"
    assert Calendar.of(zone).month(at(zone, moment), first_day) == (at(zone, begin), at(zone, end))


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd"])
def test_no_zone_is_named_with_the_fix(name: str) -> None:
    with pytest.raises(LedgerError, match="write for example UTC or Europe/Berlin"):
        Calendar.of(name)
