"""The fallback's state machine: when how much traffic overflows, and how it comes back.

    Primary → Shedding n% → Returning → Primary        part of the traffic, as much as replicas cannot carry
    Primary → Fallback → Probing → Returning → Primary  all of it, where the primary has no ready endpoint or is to go

A trigger moves traffic once it has lasted. As much moves as what serves cannot carry; where that is not known, or users
still suffer, one step more whenever the last had the time to show its effect. Traffic returns one step at a time, each
held, never below what is needed. A primary that served nothing is probed with a little traffic first. A return that
does not last doubles the hold of the next.

The laws: no weight on a backend without ready endpoints; no part of a route that somebody else moves, or that cannot be
moved; bad telemetry changes nothing; and some traffic always stays on a primary that serves, so that what is measured
there can say when to return.
"""

from collections.abc import Sequence

from flyball.core.decision import RouteDecision
from flyball.core.memory import FallbackMemory
from flyball.core.names import FallbackState
from flyball.core.observation import RouteState
from flyball.core.routing import overflow
from flyball.core.routing.overflow import GRID, NO_BOUNDS, Bounds
from flyball.core.spec import Fallback
from flyball.core.values import dataclass, replace

# The share that stays on the primary while it can serve at all, and that is tried first on one that could not.
PROBE_SHARE = 0.05
# Where no steps are declared: those of a return, and of moving without knowing how much is needed.
LADDER = (0.25, 0.5)
# A probe that nobody came to proves nothing; after this long the next step is taken all the same.
PROBE_PATIENCE_SECONDS = 300.0
# A return has lasted when nothing had to move again for this long.
RELAPSE_SECONDS = 600.0
MOST_DOUBLINGS = 3


@dataclass(frozen=True, slots=True)
class FallbackInputs:
    """What the machine reacts to.

    `trigger` is the trigger's sentence (empty: none), `need` the share of the traffic that what serves cannot carry
    (None: telemetry cannot say) and `sure` that this was measured. `burning` says that users suffer now, `answered`
    that the primary has answered somebody lately. `acting` is false in Recommend and Paused, where routes are given
    back. `whole` says that all of the traffic is to move although the primary still serves, since it is about to be
    scaled to zero. A step has shown its effect after `settle_seconds`.
    """

    at: float
    trigger: str
    need: float | None
    acting: bool = True
    sure: bool = True
    burning: bool = False
    answered: bool = True
    whole: bool = False
    settle_seconds: float = 60.0
    bounds: Bounds = NO_BOUNDS


def step(
    fallback: Fallback, routes: tuple[RouteState, ...], inputs: FallbackInputs, memory: FallbackMemory
) -> FallbackMemory:
    """The machine's next state."""
    if len(routes) != len(fallback.routes):
        return replace(memory, triggered_since=None, relieved_since=None)
    memory = _adopt(fallback, routes, inputs.at, memory)
    now = _next(fallback, routes, inputs, memory)
    if now.active:
        parts = overflow.parts(fallback, routes, now.level, inputs.bounds, memory.parts)
        parts = _tried_first(fallback, routes, parts, inputs.at, memory)
        share = sum(share for _, share in overflow.flows(fallback, parts))
        # What has no room is not meant to move either: else the way back would begin with steps that change nothing.
        now = replace(now, parts=parts, share=share, level=min(now.level, share))
    moved = now.moved != memory.moved
    return replace(
        now,
        stepped_at=inputs.at if moved else memory.stepped_at,
        moved_before=memory.moved_over(inputs.at, inputs.settle_seconds) if moved else memory.moved_before,
        moved_at=inputs.at if moved else memory.moved_at,
    )


def _tried_first(
    fallback: Fallback, routes: tuple[RouteState, ...], parts: tuple[float, ...], at: float, memory: FallbackMemory
) -> tuple[float, ...]:
    """The parts, but for a route all of whose traffic was away while others' was not: it too is tried with a little.

    That holds whatever bounds overflow: what was away because nothing served is no more to pay for by being tried.
    """
    if memory.state not in (FallbackState.SHEDDING, FallbackState.RETURNING) or len(memory.parts) != len(parts):
        return parts
    most = 1.0 - PROBE_SHARE
    tried = at - memory.stepped_at >= _hold(fallback.return_hold_seconds, memory)
    return tuple(
        most
        if part < most - 1e-9
        and (before > most + 1e-9 or (before > most - 1e-9 and not tried))
        and not overflow.refusal(route, state)
        else part
        for part, before, route, state in zip(parts, memory.parts, fallback.routes, routes, strict=True)
    )


def _next(
    fallback: Fallback, routes: tuple[RouteState, ...], inputs: FallbackInputs, memory: FallbackMemory
) -> FallbackMemory:
    usable = [state for route, state in zip(fallback.routes, routes, strict=True) if not overflow.refusal(route, state)]
    if not inputs.acting or not usable:
        return _returned(memory, inputs.at) if memory.active else replace(memory, triggered_since=None)
    memory = _watched(fallback, inputs, memory)
    forced = inputs.whole or all(map(overflow.down, usable))
    if not memory.active:
        lasted = _lasted(memory.triggered_since, inputs.at, fallback.trigger_for_seconds)
        return _leave(fallback, inputs, memory, forced) if lasted else memory
    # What was to go and stays has served all along: it needs no probe.
    called_off = memory.whole and not forced
    memory = replace(memory, whole=inputs.whole)
    if called_off and memory.state is FallbackState.FALLBACK:
        return _moved(memory, FallbackState.RETURNING, _ladder(fallback)[-1], inputs)
    if forced and memory.state is not FallbackState.FALLBACK:
        return _moved(memory, FallbackState.FALLBACK, 1.0, inputs)
    if forced:
        return memory
    match memory.state:
        case FallbackState.SHEDDING:
            return _shedding(fallback, inputs, memory)
        case FallbackState.FALLBACK:
            held = inputs.at - memory.since >= _hold(fallback.min_hold_seconds, memory)
            return _moved(memory, FallbackState.PROBING, 1.0 - PROBE_SHARE, inputs) if held else memory
        case FallbackState.PROBING:
            return _probing(fallback, inputs, memory)
        case _:
            return _returning(fallback, inputs, memory)


def _watched(fallback: Fallback, inputs: FallbackInputs, memory: FallbackMemory) -> FallbackMemory:
    """Since when a trigger, and relief from it, are seen without a break."""
    relief = not inputs.trigger and inputs.need is not None and _lower(fallback, memory.level, inputs.need) is not None
    return replace(
        memory,
        triggered_since=_first(memory.triggered_since, inputs.at) if inputs.trigger else None,
        relieved_since=_first(memory.relieved_since, inputs.at) if relief and memory.active else None,
    )


def _leave(fallback: Fallback, inputs: FallbackInputs, memory: FallbackMemory, forced: bool) -> FallbackMemory:
    """Traffic begins to overflow."""
    relapsed = memory.returned_at > 0 and inputs.at - memory.returned_at < RELAPSE_SECONDS
    memory = replace(memory, whole=inputs.whole, relapses=memory.relapses + 1 if relapsed else 0)
    if forced:
        return _moved(memory, FallbackState.FALLBACK, 1.0, inputs)
    return _moved(memory, FallbackState.SHEDDING, _more(fallback, inputs, 0.0, further=True), inputs)


def _shedding(fallback: Fallback, inputs: FallbackInputs, memory: FallbackMemory) -> FallbackMemory:
    """Part of the traffic overflows: more of it, or the first step back."""
    at, last = inputs.at, memory.stepped_at
    if inputs.trigger:
        settled = at - last >= inputs.settle_seconds
        level = _more(fallback, inputs, memory.level, further=settled and (inputs.burning or not inputs.sure))
        paced = not fallback.steps or at - last >= fallback.trigger_for_seconds
        return _moved(memory, FallbackState.SHEDDING, level, inputs) if level > memory.level and paced else memory
    relieved = _lasted(memory.relieved_since, at, _hold(fallback.return_hold_seconds, memory))
    held = at - max(last, memory.since) >= fallback.min_hold_seconds
    return _down(fallback, inputs, memory) if relieved and held else memory


def _probing(fallback: Fallback, inputs: FallbackInputs, memory: FallbackMemory) -> FallbackMemory:
    """A little traffic is back on a primary that served nothing."""
    if inputs.burning:
        return _moved(_relapsed(memory), FallbackState.FALLBACK, 1.0, inputs)
    tried = inputs.at - memory.since
    proven = inputs.answered or tried >= PROBE_PATIENCE_SECONDS
    if tried < _hold(fallback.return_hold_seconds, memory) or not proven:
        return memory
    return _down(fallback, inputs, memory)


def _returning(fallback: Fallback, inputs: FallbackInputs, memory: FallbackMemory) -> FallbackMemory:
    """Traffic comes back step by step."""
    at = inputs.at
    if inputs.trigger and (inputs.burning or _lasted(memory.triggered_since, at, fallback.trigger_for_seconds)):
        level = max(memory.level, _more(fallback, inputs, memory.level, further=inputs.burning))
        return _moved(_relapsed(memory), FallbackState.SHEDDING, level, inputs)
    hold = _hold(fallback.return_hold_seconds, memory)
    held = at - memory.stepped_at >= hold and _lasted(memory.relieved_since, at, hold)
    return _down(fallback, inputs, memory) if held else memory


def _down(fallback: Fallback, inputs: FallbackInputs, memory: FallbackMemory) -> FallbackMemory:
    """One step back, if the primary is known to carry what that leaves it."""
    level = None if inputs.need is None else _lower(fallback, memory.level, inputs.need)
    if level is None:
        return memory
    return _moved(memory, FallbackState.RETURNING, level, inputs) if level > 0 else _returned(memory, inputs.at)


def _lower(fallback: Fallback, level: float, need: float) -> float | None:
    """The next level down that still moves what is needed; None where this one does no more than that."""
    below = max((rung for rung in _ladder(fallback) if rung < level - 1e-9), default=0.0)
    lower = max(below, _rounded(need))
    return lower if lower < level - 1e-9 else None


def _more(fallback: Fallback, inputs: FallbackInputs, level: float, *, further: bool) -> float:
    """The level that the need asks for; where that is no more than this one and it has to go further, the next rung."""
    ladder = _ladder(fallback)
    need = _rounded(inputs.need) if inputs.need is not None and inputs.sure else 0.0
    next_rung = next((rung for rung in ladder if rung > level + 1e-9), ladder[-1])
    if need > level and fallback.steps:
        return next_rung
    if need > level:
        return min(need, ladder[-1])
    return next_rung if further else level


def _ladder(fallback: Fallback) -> tuple[float, ...]:
    """The levels by which traffic moves, ascending; the last is the most that may leave a primary that serves."""
    most = min(fallback.max_overflow, 1.0 - PROBE_SHARE)
    return (*(rung for rung in fallback.steps or LADDER if rung < most), most)


def _rounded(need: float) -> float:
    """The need on the grid, upwards."""
    steps = int(need / GRID)
    return min(1.0, GRID * (steps if need - steps * GRID < 1e-9 else steps + 1))


def _moved(memory: FallbackMemory, state: FallbackState, level: float, inputs: FallbackInputs) -> FallbackMemory:
    """At that level, in that state. Why traffic overflows is said anew only where the state changes."""
    memory = replace(memory, level=level, relieved_since=None)
    if state is memory.state:
        return memory
    return replace(memory, state=state, since=inputs.at, cause=inputs.trigger or memory.cause)


def _returned(memory: FallbackMemory, at: float) -> FallbackMemory:
    return FallbackMemory(
        since=at,
        returned_at=at,
        relapses=memory.relapses,
        moved_before=memory.moved_before,
        moved_at=memory.moved_at,
    )


def _relapsed(memory: FallbackMemory) -> FallbackMemory:
    return replace(memory, relapses=memory.relapses + 1)


def _hold(seconds: float, memory: FallbackMemory) -> float:
    return seconds * 2.0 ** min(memory.relapses, MOST_DOUBLINGS)


def _first(since: float | None, at: float) -> float:
    return at if since is None else since


def _lasted(since: float | None, at: float, seconds: float) -> bool:
    return since is not None and at - since >= seconds


def _adopt(fallback: Fallback, routes: tuple[RouteState, ...], at: float, memory: FallbackMemory) -> FallbackMemory:
    """After a restart that lost the memory, weights that Flyball applied are its own: go on from there.

    Only then: weights that are still there after a return are a restoration that has to be tried again.
    """
    if memory.active or memory.since > 0:
        return memory
    found = tuple(_applied(state) for state in routes)
    if not any(found):
        return memory
    share = sum(share for _, share in overflow.flows(fallback, found))
    return FallbackMemory(
        FallbackState.FALLBACK if share >= 1.0 else FallbackState.SHEDDING,
        level=share,
        share=share,
        parts=found,
        since=at,
        stepped_at=at,
        cause="found active after a restart",
        moved_before=share,
        moved_at=at,
    )


def _applied(state: RouteState) -> float:
    """The share of a route's traffic that weights which Flyball wrote send to the fallback."""
    if state.applied_weights is None or overflow.conflict(state):
        return 0.0
    total = sum(state.applied_weights)
    return state.applied_weights[1] / total if total else 0.0


def blocked(fallback: Fallback, routes: tuple[RouteState, ...]) -> str:
    """Why traffic of some route may not move now, in sentences; empty where that of all may."""
    if not routes:
        return "no route was found"
    found = (overflow.refusal(route, state) for route, state in zip(fallback.routes, routes, strict=False))
    return "; ".join(dict.fromkeys(text for text in found if text))


def foreign(fallback: Fallback, routes: tuple[RouteState, ...]) -> str:
    """Who else moved which weights, in a sentence; empty where nobody did."""
    found = (overflow.foreign(route, state) for route, state in zip(fallback.routes, routes, strict=False))
    return "; ".join(text for text in found if text)


def decisions(routes: tuple[RouteState, ...], memory: FallbackMemory) -> tuple[RouteDecision, ...]:
    """The weights for every route: while traffic of it overflows the part that does, else the user's own."""
    parts = memory.parts if memory.active and len(memory.parts) == len(routes) else (0.0,) * len(routes)
    return tuple(
        RouteDecision(route.route, weights(part) if part > 0 else None)
        for route, part in zip(routes, parts, strict=True)
    )


def weights(part: float) -> tuple[int, int]:
    """The two weights that send that part to the fallback: to the percent, and never nothing."""
    moved = max(1, round(part * 100))
    return 100 - moved, moved


def carries_all(routes: Sequence[RouteState]) -> bool:
    """Whether the fallback serves all traffic of every route now, by the weights in force."""
    return bool(routes) and all(
        not route.problem and route.primary_weight == 0 and route.fallback_weight > 0 and route.fallback_ready_endpoints
        for route in routes
    )


def primary_down(routes: Sequence[RouteState]) -> bool:
    """Whether some route's primary backend has no ready endpoint at all."""
    return any(map(overflow.down, routes))
