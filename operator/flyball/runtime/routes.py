"""Moving a workload's traffic to its fallback and back, and being honest about what did not move.

The finalizer is held before the first weight is moved, and dropped only when no route of the workload is moved any
more, those among them that its spec no longer names.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from flyball.core import fallback
from flyball.core.decision import Condition, Decision, Event, FallbackReport
from flyball.core.memory import FallbackMemory, Memory, SpendMemory
from flyball.core.names import ConditionType, EventReason, Mode
from flyball.core.observation import Observation, RouteState
from flyball.core.ports import Cluster, Conflict, Missing, PortError, Rejected
from flyball.core.spec import FallbackRoute, WorkloadSpec
from flyball.core.units import format_ratio
from flyball.runtime.known import Known


@dataclass(slots=True)
class Moves:
    """What became of one workload's routes.

    `share` is the largest share of a route's traffic that Flyball's weights send to the fallback now. `unread` says
    that the cluster did not tell, `settled` that every route has its user's weights.
    """

    failures: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    share: float = 0.0
    unread: bool = False
    settled: bool = True


async def move_routes(
    cluster: Cluster,
    spec: WorkloadSpec,
    observation: Observation,
    decision: Decision,
    known: Known,
    has_finalizer: bool,
) -> Moves:
    """Write the weights that were decided, where they differ. `known` is as it was before this tick, but its memory."""
    moves = Moves()
    routes = spec.fallback.routes if spec.fallback else ()
    if observation.state.problem and (len(observation.state.routes) != len(routes) or _unread(observation)):
        return Moves(share=known.memory.fallback.moved, unread=True, settled=False)
    for route, seen, decided in zip(routes, observation.state.routes, decision.routes, strict=True):
        if decided.weights is not None:
            await _shift(cluster, spec, route, seen, decided.weights, decision, known, moves)
        elif seen.problem:
            moves.settled = False
        elif seen.applied_weights is not None and fallback.conflict(seen) and spec.mode is Mode.AUTO:
            moves.settled = False  # somebody else's weights: hands off until they agree
        elif seen.applied_weights is not None:
            await _give_back(cluster, spec, route, seen, known, moves)
    await _give_back_dropped(cluster, spec, routes, known, moves)
    if has_finalizer and moves.settled:
        try:
            await cluster.restore_all(spec.key)
            await cluster.hold_finalizer(spec.key, False)
        except PortError as error:
            moves.failures.append(f"finalizer: {error}")
    return moves


def _unread(observation: Observation) -> bool:
    return any(route.problem for route in observation.state.routes)


async def _shift(
    cluster: Cluster,
    spec: WorkloadSpec,
    route: FallbackRoute,
    seen: RouteState,
    weights: tuple[int, int],
    decision: Decision,
    known: Known,
    moves: Moves,
) -> None:
    subject = f"HTTPRoute/{route.route}/{route.rule_name or route.primary}"
    moves.settled = False
    if weights == (seen.primary_weight, seen.fallback_weight):
        moves.share = max(moves.share, _share(weights))
        known.blocked.discard(subject)
        return
    try:
        await cluster.hold_finalizer(spec.key, True)
        await cluster.set_weights(spec.key, route, seen, *weights)
    except PortError as error:
        if seen.applied_weights is not None:
            moves.share = max(moves.share, _share(seen.applied_weights))
        moves.failures.append(f"weights of {route.route}: {error}")
        if isinstance(error, Rejected | Missing) and subject not in known.blocked:
            known.blocked.add(subject)
            text = f"HTTPRoute {route.route}: {error}"
            moves.events.append(Event(EventReason.FALLBACK_BLOCKED, text, "ShiftTraffic", warning=True))
        return
    moves.share = max(moves.share, _share(weights))
    known.blocked.discard(subject)
    report = decision.fallback
    share, cause = (format_ratio(report.share, 0), report.cause) if report is not None else ("", "")
    text = f"{share} of HTTPRoute {route.route}'s traffic to {route.fallback}: {cause}{_price(spec, decision)}"
    moves.events.append(Event(EventReason.FALLBACK_ACTIVATED, text, "ShiftTraffic", warning=True))


async def _give_back(
    cluster: Cluster,
    spec: WorkloadSpec,
    route: FallbackRoute,
    seen: RouteState,
    known: Known,
    moves: Moves,
) -> None:
    try:
        await cluster.restore_weights(spec.key, route)
    except Conflict as error:
        moves.settled = False  # somebody else's weights stay
        moves.failures.append(f"restore {route.route}: {error}")
        return
    except PortError as error:
        moves.settled = False
        moves.share = max(moves.share, _share(seen.applied_weights or (1, 0)))
        moves.failures.append(f"restore {route.route}: {error}")
        return
    weights = seen.original_weights
    own = f" {weights[0]}:{weights[1]}" if weights else ""
    why = "the primary carries all traffic" if spec.mode is Mode.AUTO else f"mode is {spec.mode}"
    cause = known.memory.fallback.cause
    held = f" after {cause}" if cause else ""
    text = f"HTTPRoute {route.route} has its own weights{own} back: {why}{held}"
    moves.events.append(Event(EventReason.FALLBACK_CLEARED, text, "ShiftTraffic"))


async def _give_back_dropped(
    cluster: Cluster, spec: WorkloadSpec, routes: tuple[FallbackRoute, ...], known: Known, moves: Moves
) -> None:
    """Give back the routes that the last spec named and this one does not."""
    before = known.spec.fallback.routes if known.spec and known.spec.fallback else ()
    if not known.memory.fallback.active:
        return
    for route in before:
        if route in routes:
            continue
        try:
            await cluster.restore_weights(spec.key, route)
        except PortError as error:
            moves.settled = False
            moves.failures.append(f"restore {route.route}: {error}")
            continue
        text = f"HTTPRoute {route.route} has its own weights back: the spec no longer names it as a fallback"
        moves.events.append(Event(EventReason.FALLBACK_CLEARED, text, "ShiftTraffic"))


def as_moved(
    spec: WorkloadSpec, decision: Decision, before: Memory, after: Memory, moves: Moves
) -> tuple[Decision, Memory]:
    """Decision and memory corrected by what did not move: the fallback is active only while traffic overflows.

    `before` is the memory of the last tick, `after` the one of this decision. What was not seen stays as it was; what
    could not be moved is decided again by the next tick; what could not be given back is shown until it is.
    """
    if spec.fallback is None:
        return decision, replace(after, fallback=FallbackMemory())
    if moves.unread and before.fallback.active:
        return _reported(decision, before.fallback.share, before.fallback), replace(after, fallback=before.fallback)
    if after.fallback.active and not moves.share:
        after = replace(after, fallback=before.fallback, spend=_without_overflow(after.spend))
        return _reported(decision, 0.0, before.fallback), after
    if moves.share and not after.fallback.active:
        return _reported(decision, moves.share, before.fallback), after
    return decision, after


def _reported(decision: Decision, share: float, state: FallbackMemory) -> Decision:
    cause = state.cause or "its weights could not be given back yet"
    report = FallbackReport("Fallback", share, state.since, cause) if share else FallbackReport("Primary", 0.0, 0.0, "")
    conditions = tuple(c for c in decision.conditions if c.type is not ConditionType.FALLBACK_ACTIVE)
    if share:
        text = f"{format_ratio(share, 0)} of traffic overflows: {cause}"
        conditions = (*conditions, Condition(ConditionType.FALLBACK_ACTIVE, True, "Overflowing", text))
    return replace(decision, fallback=report, conditions=conditions)


def _share(weights: tuple[int, int]) -> float:
    return weights[1] / sum(weights) if sum(weights) else 0.0


def _without_overflow(after: SpendMemory) -> SpendMemory:
    """The account without the overflow that was reckoned with and did not happen."""
    last = replace(after.rates[-1], overflow=Decimal(0), overflow_per_second=0.0)
    rates = after.rates[:-1]
    if not rates or replace(rates[-1], since=last.since) != last:
        rates = (*rates, last)
    return replace(after, rates=rates)


def _price(spec: WorkloadSpec, decision: Decision) -> str:
    """What the overflow costs, in words, where the fallback's price is declared."""
    declared, report, arrivals = spec.fallback, decision.fallback, decision.arrivals_per_second
    if declared is None or report is None or arrivals is None:
        return ""
    price = (declared.price_per_request or 0) + (declared.labor_cost_per_request or 0)
    moved = arrivals * report.share
    return f"; about {moved:.2f} requests/s at ${price} each, ${float(price) * moved * 3600:.2f}/h" if price else ""
