"""Four weeks by the hour: what is asked for next, and what is known then."""

import math

import pytest

from flyball.core.advice.outlook import HourOfLoad
from flyball.core.names import WorkloadKey
from flyball.runtime.hours import KEPT_HOURS, LoadByHour, Part

CHAT, BATCH = WorkloadKey("team", "chat"), WorkloadKey("team", "batch")
MIDNIGHT = 20_454 * 24  # hours since the epoch
NOON = 3600.0 * (MIDNIGHT + 12) + 300


def answer(part: Part, rate: float = 1.0) -> dict[WorkloadKey, list[HourOfLoad]]:
    """Every hour of a part with its own number added to the rate."""
    hours = [
        HourOfLoad(3600.0 * (hour + 1), rate + hour - MIDNIGHT, 9.0, 100.0) for hour in range(part.begin, part.end)
    ]
    return dict.fromkeys(part.keys, hours)


def filled(at: float = NOON, *keys: WorkloadKey) -> LoadByHour:
    load = LoadByHour()
    load.keep(keys or (CHAT,))
    while part := load.next_part(at):
        load.take(part, answer(part))
    return load


def test_the_newest_day_comes_first_and_four_weeks_are_28_questions() -> None:
    load, asked = LoadByHour(), []
    load.keep((CHAT, BATCH))
    while part := load.next_part(NOON):
        asked.append((part.begin - MIDNIGHT, part.end - MIDNIGHT))
        assert part.keys == {CHAT, BATCH}, "one question for all that lack the hours"
        load.take(part, answer(part))
    assert asked[:3] == [(0, 12), (-24, 0), (-48, -24)]
    assert len(asked) == 28
    assert len(load.hours(CHAT, NOON) or ()) >= KEPT_HOURS - 24


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param(0, None, id="nothing is new"),
        pytest.param(3600, (12, 13), id="an hour"),
        pytest.param(3 * 3600, (12, 15), id="three hours, as after an outage"),
        pytest.param(13 * 3600, (24, 25), id="the new day first"),
    ],
)
def test_then_only_what_is_new_is_asked_for(later: float, expected: tuple[int, int] | None) -> None:
    part = filled().next_part(NOON + later)
    assert (part and (part.begin - MIDNIGHT, part.end - MIDNIGHT)) == expected


def test_an_hour_is_not_asked_for_before_its_last_samples_are_stored() -> None:
    load = filled()
    assert load.next_part(3600.0 * (MIDNIGHT + 13) + 119) is None
    assert load.next_part(3600.0 * (MIDNIGHT + 13) + 120) is not None


def test_a_workload_that_comes_later_is_read_back_alone() -> None:
    load = filled()
    load.keep((CHAT, BATCH))
    part = load.next_part(NOON)
    assert part is not None
    assert (part.begin - MIDNIGHT, part.end - MIDNIGHT, part.keys) == (0, 12, {BATCH})


def test_hours_are_in_order_and_old_ones_go() -> None:
    load = filled()
    late = NOON + 40 * 86400
    hours = load.hours(CHAT, NOON)
    assert hours is not None
    assert [hour.rate for hour in hours[-3:]] == [10.0, 11.0, 12.0]
    assert [hour.end for hour in hours] == [hours[0].end + 3600 * n for n in range(len(hours))]
    while part := load.next_part(late):
        load.take(part, {CHAT: []})
    later = load.hours(CHAT, late)
    assert later is not None
    assert all(math.isnan(hour.rate) for hour in later)


def test_nothing_known_is_one_unknown_hour_and_what_cannot_be_asked_for_is_none() -> None:
    load = LoadByHour()
    load.keep((CHAT, BATCH))
    while part := load.next_part(NOON):
        load.take(part, {CHAT: []})
    hours = load.hours(CHAT, NOON)
    assert hours is not None
    assert [math.isnan(hour.rate) for hour in hours] == [True]
    assert load.hours(BATCH, NOON) is None
