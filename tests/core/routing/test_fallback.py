from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from core.cases import LAW, START, fallback, overflowing, route
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.memory import FallbackMemory
from flyball.core.names import FallbackState
from flyball.core.observation import RouteState
from flyball.core.routing.fallback import (
    PROBE_PATIENCE_SECONDS,
    FallbackInputs,
    blocked,
    decisions,
    foreign,
    primary_down,
    step,
)
from flyball.core.routing.overflow import Bounds
from flyball.core.spec import Fallback

DECLARED = fallback(trigger_for_seconds=30.0, min_hold_seconds=120.0, return_hold_seconds=60.0, max_overflow=0.5)
UP, DOWN = route(), route(primary_ready_endpoints=0)

CALM: dict[str, Any] = {"trigger": "", "need": 0.0}
SHORT: dict[str, Any] = {"trigger": "the GPUs are saturated", "need": 0.32}
BLIND: dict[str, Any] = {"trigger": "the GPUs are saturated", "need": None, "sure": False}
GONE: dict[str, Any] = {"trigger": "the primary backend has no ready endpoint", "need": None}


def at(seconds: float, seen: dict[str, Any], **more: Any) -> FallbackInputs:
    return FallbackInputs(START + seconds, **{**seen, **more})


def play(
    *script: tuple[float, dict[str, Any], str],
    declared: Fallback = DECLARED,
    routes: tuple[RouteState, ...] = (UP,),
    memory: FallbackMemory | None = None,
) -> FallbackMemory:
    """Steps of (seconds since the start, what is seen, the state and the percent that overflows then)."""
    memory = memory or FallbackMemory()
    for seconds, seen, expected in script:
        routes = seen.get("routes", routes)
        inputs = at(seconds, {name: value for name, value in seen.items() if name != "routes"})
        memory = step(declared, routes, inputs, memory)
        assert f"{memory.state} {round(100 * memory.moved)}" == expected, f"after {seconds} s"
    return memory


def test_as_much_moves_as_what_serves_cannot_carry_once_a_trigger_has_lasted() -> None:
    """32% are not carried: 35% on the grid. A trigger that pauses begins anew."""
    play((0, SHORT, "Primary 0"), (25, CALM, "Primary 0"), (30, SHORT, "Primary 0"), (59, SHORT, "Primary 0"))
    memory = play(
        (0, CALM, "Primary 0"), (15, SHORT, "Primary 0"), (30, SHORT, "Primary 0"), (45, SHORT, "Shedding 35")
    )
    assert (memory.since, memory.cause) == (START + 45, "the GPUs are saturated")


def test_more_moves_as_the_need_grows_and_never_more_than_may() -> None:
    more, most = {**SHORT, "need": 0.41}, {**SHORT, "need": 0.9}
    less = {**SHORT, "need": 0.1}
    play(
        (0, SHORT, "Primary 0"), (30, SHORT, "Shedding 35"), (45, less, "Shedding 35"), (60, more, "Shedding 45"),
        (75, most, "Shedding 50"), (90, most, "Shedding 50"),
    )  # fmt: skip


def test_without_knowing_how_much_is_needed_a_step_follows_when_the_last_has_shown_its_effect() -> None:
    play(
        (0, BLIND, "Primary 0"), (30, BLIND, "Shedding 25"), (45, BLIND, "Shedding 25"), (90, BLIND, "Shedding 50"),
        (150, BLIND, "Shedding 50"),
    )  # fmt: skip


def test_users_outrank_the_model_that_says_enough_has_moved() -> None:
    suffers = {**SHORT, "burning": True}
    play(
        (0, suffers, "Primary 0"),
        (30, suffers, "Shedding 35"),
        (75, suffers, "Shedding 35"),
        (90, suffers, "Shedding 50"),
    )


def test_declared_steps_are_taken_one_at_a_time_up_to_the_one_that_is_enough() -> None:
    declared = replace(DECLARED, steps=(0.1, 0.2, 0.4))
    seen = {**SHORT, "need": 0.3}
    play(
        (0, seen, "Primary 0"), (30, seen, "Shedding 10"), (45, seen, "Shedding 10"), (60, seen, "Shedding 20"),
        (90, seen, "Shedding 40"), (300, seen, "Shedding 40"), declared=declared,
    )  # fmt: skip


def test_traffic_returns_step_by_step_each_held_and_never_below_the_need() -> None:
    some = {"trigger": "", "need": 0.08}
    memory = play(
        (0, SHORT, "Primary 0"), (30, SHORT, "Shedding 35"), (45, some, "Shedding 35"),
        (149, some, "Shedding 35"),  # relief has lasted, the least time at the fallback has not
        (150, some, "Returning 25"), (165, some, "Returning 25"), (224, some, "Returning 25"),
        (225, some, "Returning 10"), (400, some, "Returning 10"),
        (415, CALM, "Returning 10"), (475, CALM, "Primary 0"),
    )  # fmt: skip
    assert decisions((UP,), memory)[0].weights is None


def test_relief_that_pauses_begins_anew() -> None:
    play(
        (0, SHORT, "Primary 0"), (30, SHORT, "Shedding 35"), (140, CALM, "Shedding 35"), (155, SHORT, "Shedding 35"),
        (170, CALM, "Shedding 35"), (229, CALM, "Shedding 35"), (230, CALM, "Returning 25"),
    )  # fmt: skip


def test_telemetry_that_cannot_say_changes_nothing() -> None:
    unknown = {"trigger": "", "need": None}
    play(
        (0, SHORT, "Primary 0"), (30, SHORT, "Shedding 35"), *((t, unknown, "Shedding 35") for t in range(60, 3600, 60))
    )


def test_a_return_that_does_not_last_doubles_the_hold_of_the_next() -> None:
    memory = overflowing(0.25, state=FallbackState.RETURNING)
    memory = play((15, SHORT, "Returning 25"), (45, SHORT, "Shedding 35"), memory=memory)
    assert memory.relapses == 1
    play(
        (60, CALM, "Shedding 35"), (165, CALM, "Shedding 35"), (180, CALM, "Returning 25"), memory=memory
    )  # 60 + 2 × 60
    again = play(
        (30, SHORT, "Primary 0"), (60, SHORT, "Shedding 35"), memory=FallbackMemory(since=START, returned_at=START)
    )
    assert again.relapses == 1
    later = play(
        (700, SHORT, "Primary 0"),
        (730, SHORT, "Shedding 35"),
        memory=FallbackMemory(since=START, returned_at=START, relapses=3),
    )
    assert later.relapses == 0


def test_a_primary_that_served_nothing_is_probed_before_it_gets_traffic_back() -> None:
    back = {**CALM, "need": None, "routes": (UP,)}
    well = {**CALM, "routes": (UP,)}
    memory = play(
        (0, GONE, "Primary 0"), (30, GONE, "Fallback 100"), (60, back, "Fallback 100"), (149, back, "Fallback 100"),
        (150, back, "Probing 95"), (209, back, "Probing 95"), (210, well, "Returning 50"),
        (225, well, "Returning 50"), (285, well, "Returning 25"), (300, well, "Returning 25"), (360, well, "Primary 0"),
        routes=(DOWN,),
    )  # fmt: skip
    assert memory.returned_at == START + 360


def test_a_probe_that_nobody_answered_proves_nothing_for_a_while() -> None:
    probing = overflowing(0.95, state=FallbackState.PROBING)
    silent = {**CALM, "answered": False}
    play((60, silent, "Probing 95"), (PROBE_PATIENCE_SECONDS, silent, "Returning 50"), memory=probing)


def test_a_probe_that_fails_moves_everything_back_and_waits_longer() -> None:
    probing = overflowing(0.95, state=FallbackState.PROBING)
    burning = {**SHORT, "burning": True}
    memory = play((30, burning, "Fallback 100"), (150, CALM, "Fallback 100"), (270, CALM, "Probing 95"), memory=probing)
    assert memory.relapses == 1


def test_a_primary_that_vanishes_gets_nothing_at_once() -> None:
    play((15, {**GONE, "routes": (DOWN,)}, "Fallback 100"), memory=overflowing(0.35))


def test_everything_moves_where_the_primary_is_about_to_go() -> None:
    leaving = {"trigger": "nobody has asked for it", "need": 0.0, "whole": True}
    memory = play((0, leaving, "Primary 0"), (30, leaving, "Fallback 100"))
    assert decisions((UP,), memory)[0].weights == (0, 100)


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
    after = step(DECLARED, (found,), at(15, SHORT), overflowing())
    assert not after.active
    assert decisions((found,), after)[0].weights is None


def test_no_route_is_no_way_out() -> None:
    assert blocked(DECLARED, ()) == "no route was found"


def test_a_route_that_is_blocked_leaves_the_others_to_overflow() -> None:
    two = replace(fallback("a", "b"), max_overflow=0.5, trigger_for_seconds=0.0)
    states = (route("a", fallback_ready_endpoints=0), route("b"))
    memory = step(two, states, at(0, SHORT), FallbackMemory())
    assert [d.weights for d in decisions(states, memory)] == [None, (30, 70)]  # 35% of all is 70% of b's half
    assert memory.moved == pytest.approx(0.35)


def test_a_foreign_hand_is_named_even_behind_another_problem() -> None:
    two = fallback("a", "b")
    odd = route("b", primary_weight=7, fallback_weight=3, applied_weights=(50, 50))
    text = foreign(two, (route("a", problem="gone"), odd))
    assert text.startswith("HTTPRoute b: another manager set its weights to 7:3, Flyball had set 50:50")
    assert foreign(DECLARED, (route(applied_weights=(1, 0)),)) == ""


def test_recommend_and_paused_give_everything_back_at_once() -> None:
    after = step(DECLARED, (UP,), at(15, SHORT, acting=False), overflowing())
    assert decisions((UP,), after)[0].weights is None


def test_a_restart_that_lost_the_memory_goes_on_from_the_applied_weights() -> None:
    found = route(primary_weight=50, fallback_weight=50, applied_weights=(50, 50))
    after = step(DECLARED, (found,), at(0, CALM), FallbackMemory())
    assert (after.state, after.share, after.moved_over(START, 60.0)) == ("Shedding", 0.5, 0.5)
    whole = route(primary_weight=0, fallback_weight=100, applied_weights=(0, 100))
    after = step(DECLARED, (whole,), at(0, CALM), FallbackMemory())
    assert (after.state, after.share) == ("Fallback", 1.0), "what served nothing is probed after a restart, too"


def test_a_return_whose_restoration_failed_is_no_restart() -> None:
    found = route(primary_weight=50, fallback_weight=50, applied_weights=(50, 50))
    after = step(DECLARED, (found,), at(15, CALM), FallbackMemory(since=START))
    assert decisions((found,), after)[0].weights is None


def test_a_primary_without_endpoints_gets_nothing_and_the_others_keep_their_part() -> None:
    down, up = route("a", primary_ready_endpoints=0), route("b")
    two = fallback("a", "b", max_overflow=0.8)
    memory = step(two, (down, up), at(15, {**GONE, "need": 0.75}), overflowing(0.8, parts=(0.8, 0.8)))
    assert [d.weights for d in decisions((down, up), memory)] == [(0, 100), (40, 60)]
    assert primary_down((up, down))
    assert not primary_down((up,))


def test_one_of_several_primaries_that_served_nothing_is_tried_with_a_little_first() -> None:
    down, up, other = route("a", primary_ready_endpoints=0), route("a"), route("b")
    two = fallback("a", "b", trigger_for_seconds=0.0, min_hold_seconds=30.0, return_hold_seconds=60.0)
    memory, seen = FallbackMemory(), []
    for seconds in range(0, 300, 15):
        first = down if seconds < 60 else up
        inputs = at(seconds, GONE if first is down else {**CALM, "trigger": "short" if seconds < 90 else ""})
        memory = step(two, (first, other), inputs, memory)
        seen.append(decisions((first, other), memory)[0].weights)
    assert seen[:4] == [(0, 100)] * 4
    assert seen[4:8] == [(5, 95)] * 4, "tried for as long as a step of a return is held"
    assert seen[8] not in [(0, 100), (5, 95)]
    assert seen[-1] is None, "its own weights in the end"


def test_some_traffic_stays_on_a_primary_that_serves() -> None:
    everything = replace(DECLARED, max_overflow=1.0)
    memory = step(everything, (UP,), at(15, {**SHORT, "need": 1.0}), overflowing(0.5))
    assert decisions((UP,), memory)[0].weights == (5, 95)


def test_what_a_backend_has_no_room_for_is_not_meant_to_move_either() -> None:
    """A bound of $3.60/h at $0.01 and 1 request/s: 10% of it. The way back begins there."""
    declared = replace(DECLARED, max_cost_per_hour=3.6, trigger_for_seconds=0.0)
    bounds = Bounds(1.0, {"chat-hosted": 0.01})  # type: ignore[dict-item]
    memory = step(declared, (UP,), at(0, SHORT, bounds=bounds), FallbackMemory())
    assert (memory.moved, memory.level) == (pytest.approx(0.1), pytest.approx(0.1))


def test_what_was_measured_before_the_move_is_known_by_its_time() -> None:
    memory = play((0, SHORT, "Primary 0"), (30, SHORT, "Shedding 35"), (45, SHORT, "Shedding 35"))
    assert (memory.moved_before, memory.moved_at, memory.moved) == (0.0, START + 30, pytest.approx(0.35))


states = st.builds(
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
    st.builds(
        FallbackInputs,
        at=st.floats(1, 400),
        trigger=st.sampled_from(["", "short"]),
        need=st.none() | st.floats(0, 1),
        acting=st.sampled_from([True, True, True, False]),
        sure=st.booleans(),
        burning=st.booleans(),
        answered=st.booleans(),
        whole=st.sampled_from([False, False, False, True]),
        bounds=st.builds(Bounds, st.none() | st.floats(0, 50), st.just({"a-hosted": 0.01, "b-hosted": None})),
    ),
    st.lists(states, min_size=2, max_size=2),
)


@LAW
@given(
    st.lists(ticks, max_size=12),
    st.floats(0, 1),
    st.sampled_from([(), (0.1, 0.4, 0.9)]),
    st.sampled_from([None, 5.0]),
    st.sampled_from([(0, 0), (0, 1)]),
)
def test_weights_never_go_where_nobody_serves_nor_where_somebody_else_writes(
    script: Sequence[tuple[FallbackInputs, list[RouteState]]],
    most: float,
    steps: tuple[float, ...],
    dollars: Any,
    orders: tuple[int, int],
) -> None:
    declared = replace(
        fallback("a", "b"), max_overflow=most, trigger_for_seconds=0.0, steps=steps, max_cost_per_hour=dollars
    )
    routes = tuple(replace(route_, order=order) for route_, order in zip(declared.routes, orders, strict=True))
    declared, memory, now = replace(declared, routes=routes), FallbackMemory(), START
    for inputs, seen in script:
        now += inputs.at
        before = memory
        memory = step(declared, tuple(seen), replace(inputs, at=now), before)
        assert 0.0 <= memory.moved <= 1.0
        for found, decision in zip(seen, decisions(tuple(seen), memory), strict=True):
            if decision.weights is None:
                continue
            primary, moved = decision.weights
            assert inputs.acting
            assert primary + moved == 100
            assert found.fallback_ready_endpoints > 0
            assert primary == 0 or found.primary_ready_endpoints > 0
            assert found.applied_weights in (None, (found.primary_weight, found.fallback_weight))
        if not inputs.trigger and not inputs.whole and inputs.need is None and before.state is FallbackState.SHEDDING:
            assert memory.level <= before.level or memory.state is FallbackState.FALLBACK
