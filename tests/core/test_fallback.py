from dataclasses import replace

import pytest
from core.cases import LAW, START, fallback, route
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fallback import FallbackInputs, blocked, decisions, foreign, primary_down, step
from flyball.core.memory import FallbackMemory
from flyball.core.observation import RouteState
from flyball.core.spec import Fallback

DECLARED = fallback(trigger_for_seconds=30.0, min_hold_seconds=120.0, return_hold_seconds=60.0, max_overflow=0.5)
CALM, NEED, GONE = ("", True), ("the ceiling binds", False), ("", False)


def play(*script: tuple[float, tuple[str, bool], str], routes: tuple[RouteState, ...] = (route(),)) -> FallbackMemory:
    """Steps of (seconds since the start, (trigger, relieved), state expected then)."""
    memory = FallbackMemory()
    for seconds, (trigger, relieved), expected in script:
        memory = step(DECLARED, routes, FallbackInputs(START + seconds, trigger, relieved, True), memory)
        assert ("on" if memory.active else "off") == expected, f"after {seconds} s"
    return memory


def test_a_trigger_that_lasts_moves_traffic() -> None:
    memory = play((0, CALM, "off"), (15, NEED, "off"), (30, NEED, "off"), (45, NEED, "on"))
    assert (memory.share, memory.since, memory.cause) == (0.5, START + 45, "the ceiling binds")


def test_a_trigger_that_pauses_begins_anew() -> None:
    play((0, NEED, "off"), (15, NEED, "off"), (25, CALM, "off"), (30, NEED, "off"), (59, NEED, "off"), (60, NEED, "on"))


def test_it_stays_for_the_hold_and_then_until_relief_has_lasted() -> None:
    play(
        (0, NEED, "off"),
        (30, NEED, "on"),
        (45, CALM, "on"),  # relief begins, and has lasted 60 s at 105; but the hold is until 150
        (149, CALM, "on"),
        (150, CALM, "off"),
    )


def test_relief_that_pauses_begins_anew() -> None:
    play(
        (0, NEED, "off"),
        (30, NEED, "on"),
        (140, CALM, "on"),
        (155, GONE, "on"),  # no trigger, but the primary could not carry everything
        (170, CALM, "on"),
        (229, CALM, "on"),
        (230, CALM, "off"),
    )


def test_a_trigger_during_relief_keeps_it() -> None:
    play((0, NEED, "off"), (30, NEED, "on"), (140, CALM, "on"), (199, ("again", True), "on"), (260, CALM, "on"))


def test_after_the_return_a_new_trigger_must_last_again() -> None:
    memory = play((0, NEED, "off"), (30, NEED, "on"), (90, CALM, "on"), (150, CALM, "off"), (165, NEED, "off"))
    assert memory.triggered_since == START + 165


@pytest.mark.parametrize(
    ("found", "why"),
    [
        pytest.param(route(problem="rule main is ambiguous"), "rule main is ambiguous", id="a route that is unclear"),
        pytest.param(route(fallback_ready_endpoints=0), "chat-hosted has no ready endpoints", id="nobody to serve it"),
        pytest.param(
            route(primary_weight=80, fallback_weight=20, applied_weights=(50, 50)), "80:20", id="a foreign hand"
        ),
    ],
)
def test_what_blocks_gives_everything_back(found: RouteState, why: str) -> None:
    assert why in blocked(DECLARED, (found,))
    active = FallbackMemory(active=True, share=0.5, since=START)
    after = step(DECLARED, (found,), FallbackInputs(START + 15, *NEED, True), active)
    assert not after.active
    assert decisions(DECLARED, (found,), after)[0].weights is None


def test_no_route_is_no_way_out() -> None:
    assert blocked(DECLARED, ()) == "no route was found"


def test_a_foreign_hand_is_named_even_behind_another_problem() -> None:
    odd = route("b", primary_weight=7, fallback_weight=3, applied_weights=(50, 50))
    assert "another manager set its weights to 7:3, Flyball had set 50:50" in foreign((route(problem="gone"), odd))
    assert foreign((route(applied_weights=(1, 0)),)) == ""


def test_recommend_and_paused_give_everything_back_at_once() -> None:
    active = FallbackMemory(active=True, share=0.5, since=START)
    after = step(DECLARED, (route(),), FallbackInputs(START + 15, *NEED, acting=False), active)
    assert decisions(DECLARED, (route(),), after)[0].weights is None


def test_a_restart_that_lost_the_memory_goes_on_from_the_applied_weights() -> None:
    found = route(primary_weight=50, fallback_weight=50, applied_weights=(50, 50))
    after = step(DECLARED, (found,), FallbackInputs(START, *CALM, True), FallbackMemory())
    assert (after.active, after.share) == (True, 0.5)


def test_a_return_whose_restoration_failed_is_no_restart() -> None:
    found = route(primary_weight=50, fallback_weight=50, applied_weights=(50, 50))
    returned = FallbackMemory(since=START)
    after = step(DECLARED, (found,), FallbackInputs(START + 15, *CALM, True), returned)
    assert decisions(DECLARED, (found,), after)[0].weights is None


def test_a_primary_without_endpoints_gets_nothing_and_the_others_keep_their_share() -> None:
    down, up = route("a", primary_ready_endpoints=0), route("b")
    active = FallbackMemory(active=True, share=0.5, since=START)
    assert [d.weights for d in decisions(DECLARED, (down, up), active)] == [(0, 100), (50, 50)]
    assert primary_down((up, down))
    assert not primary_down((up,))


def test_some_traffic_stays_on_a_primary_that_serves() -> None:
    everything = replace(DECLARED, max_overflow=1.0)
    active = FallbackMemory(active=True, share=0.95, since=START)
    assert decisions(everything, (route(),), active)[0].weights == (5, 95)


def test_what_was_measured_before_the_move_is_known_by_its_time() -> None:
    memory = play((0, NEED, "off"), (30, NEED, "on"), (45, NEED, "on"))
    assert (memory.moved_before, memory.moved_at, memory.moved) == (0.0, START + 30, 0.5)


routes = st.builds(
    RouteState,
    route=st.sampled_from(["a", "b"]),
    primary_weight=st.integers(0, 100),
    fallback_weight=st.integers(0, 100),
    applied_weights=st.none() | st.tuples(st.integers(0, 100), st.integers(0, 100)),
    primary_ready_endpoints=st.integers(0, 2),
    fallback_ready_endpoints=st.integers(0, 2),
    problem=st.sampled_from(["", "", "", "gone"]),
)
ticks = st.tuples(
    st.floats(1, 200), st.sampled_from(["", "short"]), st.booleans(), st.booleans(), st.lists(routes, max_size=2)
)


@LAW
@given(st.lists(ticks, max_size=12), st.floats(0, 1))
def test_weights_never_go_where_nobody_serves_and_never_leave_a_primary_that_does(
    script: list[tuple[float, str, bool, bool, list[RouteState]]], overflow: float
) -> None:
    declared: Fallback = replace(DECLARED, max_overflow=overflow, trigger_for_seconds=0.0)
    memory, at = FallbackMemory(), START
    for seconds, trigger, relieved, acting, found in script:
        at += seconds
        memory = step(declared, tuple(found), FallbackInputs(at, trigger, relieved, acting), memory)
        for state, decision in zip(found, decisions(declared, tuple(found), memory), strict=True):
            if decision.weights is None:
                continue
            primary, moved = decision.weights
            assert acting
            assert primary + moved == 100
            assert state.fallback_ready_endpoints > 0
            assert primary >= 5 or state.primary_ready_endpoints == 0
