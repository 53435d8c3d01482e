"""Announced load: which workloads an event speaks of, when, and how many times the usual comes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.names import WorkloadKey
from flyball.core.traffic.demand_events import DemandEvent, DemandWindow, EventPhase, expected, multiplier

CHAT = WorkloadKey("team", "chat")
HOUR = 3600.0


def window(start: float = 100.0, end: float = 200.0, multiple: float = 3.0, ramp: float = 0.0) -> DemandWindow:
    return DemandWindow(start, end, multiple, ramp)


def event(**fields: object) -> DemandEvent:
    given_fields = {
        "namespace": "team",
        "name": "launch",
        "window": window(),
        "workloads": frozenset({"chat"}),
    } | fields
    return DemandEvent(**given_fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "at", "horizon", "multiple"),
    [
        pytest.param([], 0, HOUR, 1.0, id="nothing announced"),
        pytest.param([window()], 0, 50, 1.0, id="beyond the horizon"),
        pytest.param([window()], 0, 100, 3.0, id="begins at the horizon's end"),
        pytest.param([window()], 150, 0, 3.0, id="now"),
        pytest.param([window()], 199.9, 0, 3.0, id="until just before its end"),
        pytest.param([window()], 200, HOUR, 1.0, id="past"),
        pytest.param([window()], 0, HOUR, 3.0, id="over within the horizon"),
        pytest.param([window()], 150, -5, 3.0, id="a horizon of less than nothing is now"),
        pytest.param([window(), window(120, 300, 2.0)], 150, 0, 3.0, id="of two the highest, not the product"),
        pytest.param([window(), window(120, 300, 2.0)], 250, 0, 2.0, id="the lower one once the higher is past"),
        pytest.param([window(ramp=40)], 100, 0, 1.0, id="a ramp begins at the usual load"),
        pytest.param([window(ramp=40)], 120, 0, 2.0, id="half way up the ramp"),
        pytest.param([window(ramp=40)], 100, 20, 2.0, id="the top of the ramp within the horizon"),
        pytest.param([window(ramp=40)], 100, 70, 3.0, id="the level top within the horizon"),
        pytest.param([window(ramp=40)], 180, 0, 2.0, id="half way down"),
        pytest.param([window(ramp=40)], 180, 20, 2.0, id="going down, now is the highest"),
        pytest.param([window(ramp=500)], 150, 0, 3.0, id="a ramp that is too long reaches the top half way"),
        pytest.param([window(ramp=500)], 125, 0, 2.0, id="and climbs evenly until there"),
    ],
)
def test_the_multiple_in_force(found: list[DemandWindow], at: float, horizon: float, multiple: float) -> None:
    assert multiplier(found, at, horizon) == pytest.approx(multiple)


@pytest.mark.parametrize(
    ("declared", "labels", "concerned"),
    [
        pytest.param(event(), {}, True, id="by name"),
        pytest.param(event(workloads=frozenset({"search"})), {}, False, id="another name"),
        pytest.param(event(namespace="other"), {}, False, id="another namespace"),
        pytest.param(event(workloads=frozenset(), labels=(("a", "b"),)), {"a": "b", "c": "d"}, True, id="by label"),
        pytest.param(event(workloads=frozenset(), labels=(("a", "b"),)), {"a": "c"}, False, id="another value"),
        pytest.param(
            event(workloads=frozenset(), labels=(("a", "b"), ("c", "d"))), {"a": "b"}, False, id="one label of two"
        ),
        pytest.param(event(workloads=frozenset()), {"a": "b"}, False, id="an event that names nobody"),
    ],
)
def test_whom_an_event_concerns(declared: DemandEvent, labels: dict[str, str], concerned: bool) -> None:
    assert declared.concerns(CHAT, labels) is concerned
    assert expected([declared], CHAT, labels, 0) == ((window(),) if concerned else ())


def test_what_is_past_is_not_expected_and_the_earliest_comes_first() -> None:
    events = [event(window=window(300, 400)), event(window=window(0, 50)), event(window=window(100, 150))]
    assert expected(events, CHAT, {}, 60) == (window(100, 150), window(300, 400))


@pytest.mark.parametrize(
    ("at", "phase"),
    [
        (99.9, EventPhase.UPCOMING),
        (100, EventPhase.ACTIVE),
        (199.9, EventPhase.ACTIVE),
        (200, EventPhase.PAST),
    ],
)
def test_the_phase(at: float, phase: EventPhase) -> None:
    assert event().phase(at) is phase


times = st.floats(0, 1000)
windows = st.builds(
    lambda start, length, multiple, ramp: DemandWindow(start, start + length, multiple, ramp),
    times,
    st.floats(1, 500),
    st.floats(1, 100),
    st.floats(0, 400),
)


@given(st.lists(windows, max_size=4), times, st.floats(0, 800))
def test_it_never_falls_below_the_usual_nor_above_what_was_announced(
    found: list[DemandWindow], at: float, horizon: float
) -> None:
    got = multiplier(found, at, horizon)
    assert 1.0 <= got <= max([1.0, *(each.multiple for each in found)])


@given(windows, times, st.floats(0, 800))
def test_it_is_the_highest_of_all_moments(found: DemandWindow, at: float, horizon: float) -> None:
    moments = [at + horizon * part / 200 for part in range(201)]
    seen = max(multiplier([found], moment) for moment in moments)
    got = multiplier([found], at, horizon)
    steepest = (found.multiple - 1) / max(1e-9, min(found.ramp_seconds, (found.end - found.start) / 2))
    assert got >= seen - 1e-6
    if found.ramp_seconds > 1:
        assert got <= seen + steepest * horizon / 200 + 1e-6


@given(st.lists(windows, max_size=4), times, st.lists(st.floats(0, 800), min_size=2, max_size=4))
def test_looking_further_never_sees_less(found: list[DemandWindow], at: float, horizons: list[float]) -> None:
    seen = [multiplier(found, at, horizon) for horizon in sorted(horizons)]
    assert all(near <= far + 1e-9 for near, far in pairwise(seen))
