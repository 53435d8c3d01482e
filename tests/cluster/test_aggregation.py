"""Which Events are written, repeated and dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.cluster.aggregation import BURST, Aggregation, Create, Dropped, Repeat, event_name
from flyball.core.decision import Event
from flyball.core.names import EventReason

BREACHED = Event(EventReason.SLO_BREACHED, "94.1% of 95% within 800ms", "Evaluate", warning=True)


def numbered(number: int) -> Event:
    return Event(EventReason.SCALED_UP, f"from {number} to {number + 1} replicas", "Scale")


def test_the_same_again_is_a_repeat() -> None:
    aggregation = Aggregation()
    name = event_name("chat", "uid", BREACHED)
    plans = [aggregation.plan("chat", "uid", BREACHED, at) for at in (0.0, 10.0, 20.0)]
    assert plans == [Create(name), Repeat(name, 2), Repeat(name, 3)]


def test_another_text_or_workload_is_another_event() -> None:
    names = {
        event_name("chat", "uid", BREACHED),
        event_name("chat", "other", BREACHED),
        event_name("chat", "uid", numbered(1)),
    }
    assert len(names) == 3


def test_an_hour_later_it_is_a_first_one() -> None:
    aggregation = Aggregation()
    aggregation.plan("chat", "uid", BREACHED, 0.0)
    assert isinstance(aggregation.plan("chat", "uid", BREACHED, 3601.0), Create)


def test_a_flood_of_events_with_one_reason_is_cut_to_five_and_one_a_minute() -> None:
    aggregation = Aggregation()
    plans = [aggregation.plan("chat", "uid", numbered(second), float(second)) for second in range(600)]
    written = sum(isinstance(plan, Create) for plan in plans)
    assert written == 5 + 9
    assert aggregation.dropped == 600 - written


def test_a_flood_of_repeats_loses_no_count() -> None:
    aggregation = Aggregation()
    plans = [aggregation.plan("chat", "uid", BREACHED, float(second)) for second in range(101)]
    last = [plan for plan in plans if isinstance(plan, Repeat)][-1]
    assert isinstance(plans[-1], Dropped)
    assert last.count == 61  # at 60 s, with the first token that came back
    assert aggregation.dropped == 0


def test_one_workloads_flood_takes_nothing_from_another() -> None:
    aggregation = Aggregation()
    for number in range(100):
        aggregation.plan("chat", "uid", numbered(number), 0.0)
    assert isinstance(aggregation.plan("search", "other", BREACHED, 0.0), Create)


def test_a_failed_write_is_not_repeated_but_written() -> None:
    aggregation = Aggregation()
    name = event_name("chat", "uid", BREACHED)
    aggregation.plan("chat", "uid", BREACHED, 0.0)
    aggregation.failed(name, "uid", BREACHED)
    assert aggregation.plan("chat", "uid", BREACHED, 1.0) == Create(name)


def test_writes_that_fail_for_long_use_up_no_tokens() -> None:
    aggregation = Aggregation()
    for second in range(100):
        plan = aggregation.plan("chat", "uid", BREACHED, float(second))
        assert isinstance(plan, Create)
        aggregation.failed(plan.name, "uid", BREACHED)
    assert aggregation.dropped == 0


def test_takes_up_the_count_of_an_earlier_process() -> None:
    aggregation = Aggregation()
    name = event_name("chat", "uid", BREACHED)
    aggregation.plan("chat", "uid", BREACHED, 0.0)
    assert aggregation.exists(name, 4) == Repeat(name, 5)
    assert aggregation.plan("chat", "uid", BREACHED, 1.0) == Repeat(name, 6)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyball.cluster.aggregation.MAX_SERIES", 100)
    aggregation = Aggregation()
    for number in range(150):
        aggregation.plan("chat", str(number), BREACHED, 0.0)
    assert isinstance(aggregation.plan("chat", "149", BREACHED, 1.0), Repeat)
    assert isinstance(aggregation.plan("chat", "0", BREACHED, 1.0), Create)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 30), st.floats(0, 600)), max_size=200),
)
def test_writes_never_exceed_the_bucket(occurrences: list[tuple[str, int, float]]) -> None:
    aggregation = Aggregation()
    written = {"a": 0, "b": 0}
    at = 0.0
    for uid, number, pause in occurrences:
        at += pause
        written[uid] += not isinstance(aggregation.plan("chat", uid, numbered(number), at), Dropped)
    assert max(written.values()) <= BURST + at / 60 + 1


def test_names_are_valid_for_long_workloads() -> None:
    name = event_name("a" * 198 + ".-" + "b" * 50, "uid", BREACHED)
    assert len(name) <= 253
    assert ".-" not in name
    assert "-." not in name
