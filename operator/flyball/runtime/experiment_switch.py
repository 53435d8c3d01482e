"""Switching a route between the two arms of a switchback, in quarters over the washout, and noting whether it held."""

from dataclasses import dataclass, field, replace

from flyball.core.evidence.experiment import Arm, Block, Measured, Plan
from flyball.core.observation import RouteState
from flyball.core.ports import Conflict, ExperimentCluster, PortError
from flyball.core.spec import FallbackRoute

QUARTERS = 4
LATE_MS = 120_000
"""How long after the washout traffic may still be on its way before a block is lost."""


@dataclass(slots=True)
class Switch:
    """When all traffic was seen with the arm of a block, what stood in the way, and which blocks were spoilt later.

    `begun` says that this process looked before: at its first look the weights may have been right for long.
    """

    whole: dict[tuple[int, int], int] = field(default_factory=dict)
    problems: dict[tuple[int, int], str] = field(default_factory=dict)
    spoilt: set[tuple[int, int]] = field(default_factory=set)
    begun: bool = False

    def checked(self, plan: Plan, found: Measured) -> Measured:
        """What a block showed, unusable where traffic was not where it should have been."""
        if plan.route is None:
            return found
        place = (found.block.pair, found.block.place)
        since, problem = self.whole.get(place), self.problems.get(place, "")
        if since is None or since > found.block.counted_from(plan) + LATE_MS:
            return replace(found, unusable=problem or "traffic was not switched in time")
        return replace(found, unusable=problem) if place in self.spoilt else found

    def failed(self, block: Block, problem: str) -> str:
        """Note what stood in the way; the same text."""
        place = (block.pair, block.place)
        self.problems[place] = problem[:200]
        if place in self.whole:
            self.spoilt.add(place)
        return problem

    def arrived(self, block: Block, at: int) -> None:
        """Note that all traffic is where it should be."""
        self.whole.setdefault((block.pair, block.place), at)


async def switch(
    cluster: ExperimentCluster, state: Switch, plan: Plan, route: FallbackRoute, block: Block, now: int
) -> str:
    """Move the route's weights to where they should be now; why that cannot be done, empty where it can."""
    seen = await cluster.observe(plan.key, route)
    first, state.begun = not state.begun, True
    if seen.problem:
        return state.failed(block, seen.problem)
    present = (seen.primary_weight, seen.fallback_weight)
    if seen.applied_weights not in (None, present):
        text = f"somebody else changed the weights of HTTPRoute {route.route}; set them back, or delete the experiment"
        return state.failed(block, text)
    # A block that is lost is not begun anew: what comes back gets its traffic in the quarters of the next one.
    planned = present if (block.pair, block.place) in state.spoilt else weights(seen, plan, block, now)
    wanted, nobody = _where_somebody_serves(planned, seen, route)
    problem = state.failed(block, f"no pod behind Service {nobody} is ready; it gets no traffic") if nobody else ""
    if wanted == present:
        if wanted == _all_to(block.arm) and not problem:
            state.arrived(block, block.start if first else now)
        return problem
    try:
        await cluster.hold_finalizer(plan.key, True)
        await cluster.set_weights(plan.key, route, seen, *wanted)
    except Conflict:
        return ""  # the next look tells what is there now
    except PortError as error:
        return state.failed(block, str(error))
    if wanted == _all_to(block.arm) and not problem:
        state.arrived(block, now)
    return problem


def _where_somebody_serves(
    wanted: tuple[int, int], seen: RouteState, route: FallbackRoute
) -> tuple[tuple[int, int], str]:
    """The weights with all traffic on the other arm where one has no ready endpoint, and that one's backend.

    What has no traffic already stays as it is, and so does all where nobody serves: there is no better place.
    """
    present, ready = (
        (seen.primary_weight, seen.fallback_weight),
        (seen.primary_ready_endpoints, seen.fallback_ready_endpoints),
    )
    for arm, backend in enumerate((route.primary, route.fallback)):
        if wanted[arm] and not ready[arm]:
            moved = (0, 100) if arm == 0 else (100, 0)
            return (moved if present[arm] and ready[1 - arm] else present), backend
    return wanted, ""


def weights(seen: RouteState, plan: Plan, block: Block, now: int) -> tuple[int, int]:
    """The weights that the route should have now: never back, and all traffic by three quarters of the washout."""
    passed, whole = now - block.start, plan.washout_ms
    share = 100 if passed >= whole else (passed * QUARTERS // whole + 1) * 100 // QUARTERS
    total = seen.primary_weight + seen.fallback_weight
    current = seen.fallback_weight * 100 // total if total else 0
    treatment = max(current, share) if block.arm is Arm.TREATMENT else min(current, 100 - share)
    return 100 - treatment, treatment


def _all_to(arm: Arm) -> tuple[int, int]:
    return (0, 100) if arm is Arm.TREATMENT else (100, 0)
