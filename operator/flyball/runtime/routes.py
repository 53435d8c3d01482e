"""Moving a workload's traffic to its fallback and back, and being honest about what did not move.

The finalizer is held before the first weight is moved, and dropped only when no route of the workload is moved any
more, those among them that its spec no longer names.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from flyball.core.decision import Decision, Event, FallbackReport
from flyball.core.memory import FallbackMemory, Memory, SpendMemory
from flyball.core.money.currency import labelled
from flyball.core.money.prices import overflow_cost
from flyball.core.names import ConditionType, EventReason, FallbackState, Mode
from flyball.core.observation import Observation, RouteState
from flyball.core.ports import Cluster, Conflict, Missing, PortError, Rejected
from flyball.core.routing import overflow
from flyball.core.spec import FallbackRoute, WorkloadSpec
from flyball.core.told.report import overflowing
from flyball.core.units import format_ratio
from flyball.runtime.known import Known

# Weights are whole percents: shares that differ by less are the same.
_ROUNDING = 0.01


@dataclass(slots=True)
class Moves:
    """What became of one workload's routes.

    `parts` are the shares of each route's own traffic that Flyball's weights send to its fallback now, in the order of
    the spec. `unread` says that the cluster did not tell, `settled` that every route has its user's weights.
    """

    failures: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    parts: list[float] = field(default_factory=list)
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
        return Moves(unread=True, settled=False)
    for route, seen, decided in zip(routes, observation.state.routes, decision.routes, strict=True):
        part = 0.0
        if decided.weights is not None:
            part = await _shift(cluster, spec, route, seen, decided.weights, decision, known, moves)
        elif seen.problem:
            moves.settled = False
        elif seen.applied_weights is not None and overflow.conflict(seen) and spec.mode is Mode.AUTO:
            moves.settled = False  # somebody else's weights: hands off until they agree
        elif seen.applied_weights is not None:
            part = await _give_back(cluster, spec, route, seen, known, moves)
        moves.parts.append(part)
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
) -> float:
    """Send that part to the fallback; the part that is sent there by Flyball's weights then."""
    subject = f"{route.kind}/{route.route}/{route.rule_name or route.primary}"
    moves.settled = False
    if weights == (seen.primary_weight, seen.fallback_weight):
        known.blocked.discard(subject)
        return overflow.part(weights)
    try:
        await cluster.hold_finalizer(spec.key, True)
        await cluster.set_weights(spec.key, route, seen, *weights)
    except PortError as error:
        moves.failures.append(f"weights of {route.route}: {error}")
        if isinstance(error, Rejected | Missing) and subject not in known.blocked:
            known.blocked.add(subject)
            text = f"{route}: {error}"
            moves.events.append(Event(EventReason.FALLBACK_BLOCKED, text, "ShiftTraffic", warning=True))
        return overflow.part(seen.applied_weights or (1, 0))
    known.blocked.discard(subject)
    moves.events.append(_shifted(spec, route, overflow.part(weights), decision))
    return overflow.part(weights)


def _shifted(spec: WorkloadSpec, route: FallbackRoute, part: float, decision: Decision) -> Event:
    report = decision.fallback
    share = format_ratio(part, 0)
    if report is not None and report.state in (FallbackState.PROBING, FallbackState.RETURNING):
        what = "the rest tries the primary" if report.state is FallbackState.PROBING else "the rest is back"
        text = f"{share} of {route}'s traffic is still sent to {route.fallback}, {what}"
        return Event(EventReason.FALLBACK_RETURNING, text, "ShiftTraffic")
    cause = report.cause if report is not None else ""
    text = f"{share} of {route}'s traffic to {route.fallback}: {cause}{_price(spec, route, part, decision)}"
    return Event(EventReason.FALLBACK_ACTIVATED, text, "ShiftTraffic", warning=True)


async def _give_back(
    cluster: Cluster,
    spec: WorkloadSpec,
    route: FallbackRoute,
    seen: RouteState,
    known: Known,
    moves: Moves,
) -> float:
    """Give a route back; the part that Flyball's weights still send to the fallback where that fails."""
    try:
        await cluster.restore_weights(spec.key, route)
    except Conflict as error:
        moves.settled = False  # somebody else's weights stay
        moves.failures.append(f"restore {route.route}: {error}")
        return 0.0
    except PortError as error:
        moves.settled = False
        moves.failures.append(f"restore {route.route}: {error}")
        return overflow.part(seen.applied_weights or (1, 0))
    weights = seen.original_weights
    own = f" {weights[0]}:{weights[1]}" if weights else ""
    why = "the primary carries all traffic" if spec.mode is Mode.AUTO else f"mode is {spec.mode}"
    cause = known.memory.fallback.cause
    held = f" after {cause}" if cause else ""
    text = f"{route} has its own weights{own} back: {why}{held}"
    moves.events.append(Event(EventReason.FALLBACK_CLEARED, text, "ShiftTraffic"))
    return 0.0


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
        text = f"{route} has its own weights back: the spec no longer names it as a fallback"
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
        flows = overflow.flows(spec.fallback, before.fallback.parts)
        return _reported(decision, before.fallback, flows), replace(after, fallback=before.fallback)
    flows = overflow.flows(spec.fallback, moves.parts)
    share = sum(share for _, share in flows)
    if not after.fallback.active:
        return (_reported(decision, before.fallback, flows) if share else decision), after
    if abs(share - after.fallback.share) < _ROUNDING:
        return decision, after
    spend = _with_overflow(after.spend, share / after.fallback.share)
    if not share:
        return _reported(decision, before.fallback, ()), replace(after, fallback=before.fallback, spend=spend)
    now = replace(after.fallback, parts=tuple(moves.parts), share=share)
    return _reported(decision, now, flows), replace(after, fallback=now, spend=spend)


def _reported(decision: Decision, state: FallbackMemory, flows: overflow.Flows) -> Decision:
    """The decision with the fallback reported as it is: `flows` is what overflows in truth."""
    share = sum(share for _, share in flows)
    cause = state.cause or "its weights could not be given back yet"
    where = state.state if state.active else FallbackState.RETURNING
    report = FallbackReport(FallbackState.PRIMARY, 0.0, 0.0, "")
    conditions = tuple(c for c in decision.conditions if c.type is not ConditionType.FALLBACK_ACTIVE)
    if share:
        report = FallbackReport(where, share, state.since, cause, flows)
        conditions = (*conditions, overflowing(report))
    return replace(decision, fallback=report, conditions=conditions)


def _with_overflow(after: SpendMemory, ratio: float) -> SpendMemory:
    """The account with that much of the overflow that was reckoned with: the rest did not happen."""
    last = after.rates[-1]
    cost = last.overflow * Decimal(str(round(ratio, 6)))
    last = replace(last, overflow=cost, overflow_per_second=last.overflow_per_second * ratio)
    rates = after.rates[:-1]
    if not rates or replace(rates[-1], since=last.since) != last:
        rates = (*rates, last)
    return replace(after, rates=rates)


def _price(spec: WorkloadSpec, route: FallbackRoute, part: float, decision: Decision) -> str:
    """What a route's overflow costs, labour included, in words, where its price per request is declared."""
    declared, arrivals = spec.fallback, decision.arrivals_per_second
    if declared is None or arrivals is None:
        return ""
    price = overflow_cost(declared, spec.prices, None, route.fallback)
    moved = arrivals * part * overflow.traffic(declared)[declared.routes.index(route)]
    if not price:
        return ""
    each, hour = labelled(str(price), spec.currency), labelled(f"{float(price) * moved * 3600:.2f}", spec.currency)
    return f"; about {moved:.2f} requests/s at {each} each, {hour}/h"
