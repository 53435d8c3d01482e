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

    `acting` is false in Recommend and Paused, where routes are given back.
    """

    at: float
    trigger: str
    relieved: bool
    acting: bool


def step(
    fallback: Fallback, routes: tuple[RouteState, ...], inputs: FallbackInputs, memory: FallbackMemory
) -> FallbackMemory:
    """The machine's next state."""
    memory = _adopt(routes, inputs.at, memory)
    if not inputs.acting or blocked(fallback, routes):
        return FallbackMemory(since=inputs.at) if memory.active else replace(memory, triggered_since=None)
    share = _share(fallback, routes)
    if not memory.active:
        since = (memory.triggered_since or inputs.at) if inputs.trigger else None
        if since is not None and inputs.at - since >= fallback.trigger_for_seconds:
            return FallbackMemory(active=True, share=share, since=inputs.at, cause=inputs.trigger)
        return replace(memory, triggered_since=since, relieved_since=None)
    relieved_since = (memory.relieved_since or inputs.at) if inputs.relieved and not inputs.trigger else None
    held = inputs.at - memory.since >= fallback.min_hold_seconds
    if held and relieved_since is not None and inputs.at - relieved_since >= fallback.return_hold_seconds:
        return FallbackMemory(since=inputs.at)
    return replace(memory, share=share, relieved_since=relieved_since)


def blocked(fallback: Fallback, routes: tuple[RouteState, ...]) -> str:
    """Why traffic may not move now, in a sentence; empty where it may."""
    for route in routes:
        if route.problem:
            return f"HTTPRoute {route.route}: {route.problem}"
        if conflict(route):
            return (
                f"HTTPRoute {route.route}: another manager set its weights to {route.primary_weight}:"
                f"{route.fallback_weight}, Flyball had set {_pair(route.applied_weights)}; hands off until they agree"
            )
        if route.fallback_ready_endpoints == 0:
            backend = next((r.fallback for r in fallback.routes if r.route == route.route), "fallback")
            return f"backend {backend} has no ready endpoints, so no weight is put on it"
    return "" if routes else "no route was found"


def conflict(route: RouteState) -> bool:
    """Whether somebody else moved the weights since Flyball last wrote them."""
    return route.applied_weights is not None and route.applied_weights != (route.primary_weight, route.fallback_weight)


def decisions(routes: tuple[RouteState, ...], memory: FallbackMemory) -> tuple[RouteDecision, ...]:
    """The weights for every route: the overflow share while active, else the user's own."""
    weights = (100 - round(memory.share * 100), round(memory.share * 100)) if memory.active else None
    return tuple(RouteDecision(route.route, weights) for route in routes)


def primary_down(routes: tuple[RouteState, ...]) -> bool:
    """Whether some route's primary backend has no ready endpoint at all."""
    return any(route.primary_ready_endpoints == 0 and not route.problem for route in routes)


def _share(fallback: Fallback, routes: tuple[RouteState, ...]) -> float:
    return 1.0 if primary_down(routes) else min(fallback.max_overflow, 1.0 - PROBE_SHARE)


def _adopt(routes: tuple[RouteState, ...], at: float, memory: FallbackMemory) -> FallbackMemory:
    """After a restart that lost the memory, weights that Flyball applied are its own: go on from there."""
    if memory.active:
        return memory
    for route in routes:
        if route.applied_weights is not None and not conflict(route):
            total = sum(route.applied_weights)
            share = route.applied_weights[1] / total if total else 0.0
            return FallbackMemory(active=True, share=share, since=at, cause="found active after a restart")
    return memory


def _pair(weights: tuple[int, int] | None) -> str:
    return f"{weights[0]}:{weights[1]}" if weights else "none"
