"""Fallback, the simple version: on with a trigger that lasts, off with a relief that lasts, and a hold in between.

Some traffic always stays on the primary (while it has ready endpoints), so that what is measured there can say when to
return; and no weight is ever put on a backend without ready endpoints.
"""

from dataclasses import dataclass, replace

from flyball.core.decision import RouteDecision
from flyball.core.memory import FallbackMemory
from flyball.core.observation import RouteState
from flyball.core.spec import Fallback

# The share that stays on the primary while it can serve at all: without traffic nothing could be measured there.
PROBE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class FallbackInputs:
    """What the machine reacts to: the trigger's sentence (empty: none), and whether the primary could carry everything.

    `acting` is false in Recommend and Paused, where routes are given back. `whole` says that all of the traffic is to
    move although the primary still serves, since it is about to be scaled to zero.
    """

    at: float
    trigger: str
    relieved: bool
    acting: bool
    whole: bool = False


def step(
    fallback: Fallback, routes: tuple[RouteState, ...], inputs: FallbackInputs, memory: FallbackMemory
) -> FallbackMemory:
    """The machine's next state."""
    now = _next(fallback, routes, inputs, _adopt(routes, inputs.at, memory))
    if now.moved == memory.moved:
        return replace(now, moved_before=memory.moved_before, moved_at=memory.moved_at)
    return replace(now, moved_before=memory.moved, moved_at=inputs.at)


def _next(
    fallback: Fallback, routes: tuple[RouteState, ...], inputs: FallbackInputs, memory: FallbackMemory
) -> FallbackMemory:
    at = inputs.at
    if not inputs.acting or blocked(fallback, routes):
        return FallbackMemory(since=at) if memory.active else replace(memory, triggered_since=None)
    share = max(_share(fallback, route, inputs.whole) for route in routes)
    if not memory.active:
        since = _first(memory.triggered_since, at) if inputs.trigger else None
        if since is not None and at - since >= fallback.trigger_for_seconds:
            return FallbackMemory(active=True, share=share, since=at, cause=inputs.trigger, whole=inputs.whole)
        return replace(memory, triggered_since=since, relieved_since=None)
    relieved_since = _first(memory.relieved_since, at) if inputs.relieved and not inputs.trigger else None
    held = at - memory.since >= fallback.min_hold_seconds
    if held and relieved_since is not None and at - relieved_since >= fallback.return_hold_seconds:
        return FallbackMemory(since=at)
    return replace(memory, share=share, relieved_since=relieved_since, whole=inputs.whole)


def blocked(fallback: Fallback, routes: tuple[RouteState, ...]) -> str:
    """Why traffic may not move now, in a sentence; empty where it may."""
    for route in routes:
        if route.problem:
            return f"HTTPRoute {route.route}: {route.problem}"
        if conflict(route):
            return foreign((route,))
        if route.fallback_ready_endpoints == 0:
            backend = next((r.fallback for r in fallback.routes if r.route == route.route), "fallback")
            return f"backend {backend} has no ready endpoints, so no weight is put on it"
    return "" if routes else "no route was found"


def conflict(route: RouteState) -> bool:
    """Whether somebody else moved the weights since Flyball last wrote them."""
    return route.applied_weights is not None and route.applied_weights != (route.primary_weight, route.fallback_weight)


def foreign(routes: tuple[RouteState, ...]) -> str:
    """Who else moved which weights, in a sentence; empty where nobody did."""
    return "; ".join(
        f"HTTPRoute {route.route}: another manager set its weights to {route.primary_weight}:{route.fallback_weight}, "
        f"Flyball had set {route.applied_weights[0]}:{route.applied_weights[1]}; hands off until they agree"
        for route in routes
        if route.applied_weights is not None and conflict(route)
    )


def decisions(fallback: Fallback, routes: tuple[RouteState, ...], memory: FallbackMemory) -> tuple[RouteDecision, ...]:
    """The weights for every route: while active the share that its own primary cannot carry, else the user's own."""
    return tuple(
        RouteDecision(route.route, _weights(_share(fallback, route, memory.whole)) if memory.active else None)
        for route in routes
    )


def carries_all(routes: tuple[RouteState, ...]) -> bool:
    """Whether the fallback serves all traffic of every route now, by the weights in force."""
    return bool(routes) and all(
        not route.problem and route.primary_weight == 0 and route.fallback_weight > 0 and route.fallback_ready_endpoints
        for route in routes
    )


def primary_down(routes: tuple[RouteState, ...]) -> bool:
    """Whether some route's primary backend has no ready endpoint at all."""
    return any(_down(route) for route in routes)


def _down(route: RouteState) -> bool:
    return route.primary_ready_endpoints == 0 and not route.problem


def _share(fallback: Fallback, route: RouteState, whole: bool) -> float:
    return 1.0 if whole or _down(route) else min(fallback.max_overflow, 1.0 - PROBE_SHARE)


def _weights(share: float) -> tuple[int, int]:
    return 100 - round(share * 100), round(share * 100)


def _first(since: float | None, at: float) -> float:
    return at if since is None else since


def _adopt(routes: tuple[RouteState, ...], at: float, memory: FallbackMemory) -> FallbackMemory:
    """After a restart that lost the memory, weights that Flyball applied are its own: go on from there.

    Only then: weights that are still there after a return are a restoration that has to be tried again.
    """
    if memory.active or memory.since > 0:
        return memory
    for route in routes:
        if route.applied_weights is not None and not conflict(route):
            total = sum(route.applied_weights)
            share = route.applied_weights[1] / total if total else 0.0
            return FallbackMemory(active=True, share=share, since=at, cause="found active after a restart")
    return memory
