"""How much of each route's traffic overflows, to which backend, and what that costs.

A level is a share of all the workload's traffic, a part the share of one route's own. Routes of a lower order give
first; those of one order give alike. What a fallback can take, and what overflow may cost, bound both, except where
the primary has no ready endpoint: there is nothing else that could answer.

The share that replicas cannot carry, of which new requests are all that can be moved:

    needed = (arrivals + waiting / seconds to drain it - carried) / arrivals
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from flyball.core.fleet.capacity import RequestShape
from flyball.core.money import prices
from flyball.core.observation import RouteState
from flyball.core.spec import Fallback, FallbackRoute, Prices
from flyball.core.values import dataclass

# Parts move on this grid, so that the noise of arrivals writes nothing.
GRID = 0.05
# A bound that follows arrivals is left where it is while it uses this share of what it may.
NEAR = 0.8

Flows = tuple[tuple[str, float], ...]
"""Fallback backends and the share of all traffic that each serves."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds overflow now: requests/s that arrive in all (None: unknown), and dollars per request by backend."""

    demand: float | None = None
    costs: Mapping[str, Decimal | None] | None = None


NO_BOUNDS = Bounds()


def needed(demand: float | None, waiting: float, drain_seconds: float, carried: float | None) -> float | None:
    """The share of what arrives that what serves cannot carry, 0 to 1; None where nobody knows what arrives.

    Where nobody knows what is carried, nothing is known to be missing: users' experience decides.
    """
    if demand is None:
        return None
    if demand == 0 or carried is None:
        return 0.0
    return min(1.0, max(0.0, demand + waiting / drain_seconds - carried) / demand)


def traffic(fallback: Fallback) -> tuple[float, ...]:
    """The share of all traffic that comes through each route: as declared, and the rest in equal parts."""
    silent = sum(route.traffic_share is None for route in fallback.routes)
    rest = max(0.0, 1.0 - sum(route.traffic_share or 0.0 for route in fallback.routes))
    shares = [rest / silent if route.traffic_share is None else route.traffic_share for route in fallback.routes]
    total = sum(shares)
    return tuple(share / total if total > 0 else 1.0 / len(shares) for share in shares)


def refusal(route: FallbackRoute, state: RouteState) -> str:
    """Why traffic of that route may not move now, in a sentence; empty where it may."""
    if state.problem:
        return f"{route}: {state.problem}"
    if conflict(state):
        return foreign(route, state)
    if state.fallback_ready_endpoints == 0:
        return f"backend {route.fallback} has no ready endpoints, so no weight is put on it"
    return ""


def part(weights: tuple[int, int]) -> float:
    """The share of a route's traffic that these weights send to its fallback."""
    return weights[1] / sum(weights) if sum(weights) else 0.0


def conflict(state: RouteState) -> bool:
    """Whether somebody else moved the weights since Flyball last wrote them."""
    now = (state.primary_weight, state.fallback_weight)
    return state.applied_weights is not None and (state.applied_weights != now or bool(state.foreign))


def foreign(route: FallbackRoute, state: RouteState) -> str:
    """Who else moved the weights, in a sentence; empty where nobody did."""
    if state.applied_weights is None or not conflict(state):
        return ""
    what = state.foreign or f"weights to {state.primary_weight}:{state.fallback_weight}"
    return (
        f"{route}: another manager set its {what}, "
        f"Flyball had set {state.applied_weights[0]}:{state.applied_weights[1]}; hands off until they agree"
    )


def down(state: RouteState) -> bool:
    """Whether the route's primary backend has no ready endpoint at all."""
    return state.primary_ready_endpoints == 0 and not state.problem


def parts(
    fallback: Fallback, states: Sequence[RouteState], level: float, bounds: Bounds, before: Sequence[float]
) -> tuple[float, ...]:
    """The share of each route's own traffic that overflows at that level; `before` are those of the last look."""
    shares, found = traffic(fallback), [0.0] * len(fallback.routes)
    free: list[int] = []
    for index, (route, state) in enumerate(zip(fallback.routes, states, strict=True)):
        if not refusal(route, state):
            if down(state):
                found[index] = 1.0
            else:
                free.append(index)
    left = max(0.0, level - sum(share * part for share, part in zip(shares, found, strict=True)))
    room = _Room(fallback, shares, bounds)
    for order in sorted({fallback.routes[index].order for index in free}):
        group = [index for index in free if fallback.routes[index].order == order]
        total = sum(shares[index] for index in group)
        part = min(1.0, left / total) if total > 0 else 0.0
        most = room.most(group)
        if part > most:
            part = _within(most, max((before[index] for index in group), default=0.0) if before else 0.0)
        room.take(group, part)
        left = max(0.0, left - part * total)
        for index in group:
            found[index] = max(part, own_part(states[index])) if part > 0 else 0.0
    return tuple(found)


def own_part(state: RouteState) -> float:
    """The share of a route's traffic that its user's own weights send to the fallback."""
    weights = state.original_weights or (state.primary_weight, state.fallback_weight)
    return weights[1] / sum(weights) if sum(weights) > 0 else 0.0


def reached(fallback: Fallback, found: Sequence[float]) -> tuple[float, ...]:
    """For each route the level at which that part of its own traffic overflows, where nothing bounds it."""
    shares, orders = traffic(fallback), [route.order for route in fallback.routes]
    return tuple(
        sum(share for share, other in zip(shares, orders, strict=True) if other < order)
        + part * sum(share for share, other in zip(shares, orders, strict=True) if other == order)
        for part, order in zip(found, orders, strict=True)
    )


class _Room:
    """What backends can still take, and what may still be spent, while routes are given their parts."""

    def __init__(self, fallback: Fallback, shares: Sequence[float], bounds: Bounds) -> None:
        self._routes = fallback.routes
        self._rates = [share * (bounds.demand or 0.0) for share in shares]
        self._costs = bounds.costs or {}
        self._takes = {backend.name: backend.max_requests_per_second for backend in fallback.backends}
        most = fallback.max_cost_per_hour
        self._dollars = None if most is None else float(most) / 3600

    def most(self, group: Sequence[int]) -> float:
        """The largest part of these routes' traffic that there is room for."""
        limits = [math.inf]
        for backend in {self._routes[index].fallback for index in group}:
            takes, rate = self._takes.get(backend), self._rate(group, backend)
            if takes is not None and rate > 0:
                limits.append(takes / rate)
        dollars = self._spend(group)
        if self._dollars is not None and dollars > 0:
            limits.append(self._dollars / dollars)
        return min(limits)

    def take(self, group: Sequence[int], part: float) -> None:
        """Take that part of their traffic into account."""
        for backend in {self._routes[index].fallback for index in group}:
            takes = self._takes.get(backend)
            if takes is not None:
                self._takes[backend] = max(0.0, takes - part * self._rate(group, backend))
        if self._dollars is not None:
            self._dollars = max(0.0, self._dollars - part * self._spend(group))

    def _rate(self, group: Sequence[int], backend: str) -> float:
        return sum(self._rates[index] for index in group if self._routes[index].fallback == backend)

    def _spend(self, group: Sequence[int]) -> float:
        """Dollars per second of all these routes' traffic."""
        return sum(self._rates[index] * float(self._costs.get(self._routes[index].fallback) or 0) for index in group)


def _within(most: float, before: float) -> float:
    """A part within a bound that moves with arrivals: what it was while it is near it, else a step of the grid."""
    if NEAR * most <= before <= most:
        return before
    grid = GRID if most >= GRID else 0.01
    return math.floor(most / grid + 1e-9) * grid


def flows(fallback: Fallback, found: Sequence[float]) -> Flows:
    """Which backend serves which share of all traffic where those parts of the routes' own overflow."""
    sums: dict[str, float] = {}
    for route, share, part in zip(fallback.routes, traffic(fallback), found, strict=False):
        if part > 0:
            sums[route.fallback] = sums.get(route.fallback, 0.0) + share * part
    return tuple(sums.items())


def first_flows(fallback: Fallback) -> Flows:
    """Who would serve the first requests that overflow."""
    first = min(route.order for route in fallback.routes)
    return flows(fallback, [float(route.order == first) for route in fallback.routes])


def mean_cost(fallback: Fallback, of: Prices, shape: RequestShape | None, flowing: Flows) -> Decimal | None:
    """Dollars of a mean request of those that overflow, labour included; None where a price is not known."""
    total = sum(share for _, share in flowing)
    found = [(prices.overflow_cost(fallback, of, shape, backend), share) for backend, share in flowing]
    if total <= 0 or any(cost is None for cost, _ in found):
        return None
    return sum(((cost or Decimal(0)) * Decimal(str(share / total)) for cost, share in found), Decimal(0))


def costs(fallback: Fallback, of: Prices, shape: RequestShape | None) -> dict[str, Decimal | None]:
    """Dollars of a mean request on each fallback backend, labour included."""
    return {route.fallback: prices.overflow_cost(fallback, of, shape, route.fallback) for route in fallback.routes}
