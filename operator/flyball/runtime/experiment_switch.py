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
    wanted = weights(seen, plan, block, now)
    if wanted == present:
        if wanted == _all_to(block.arm):
            state.arrived(block, block.start if first else now)
        return ""
    treated = block.arm is Arm.TREATMENT
    if not (seen.fallback_ready_endpoints if treated else seen.primary_ready_endpoints):
        backend = route.fallback if treated else route.primary
        return state.failed(block, f"no pod behind Service {backend} is ready; traffic stays where it is")
    try:
        await cluster.hold_finalizer(plan.key, True)
        await cluster.set_weights(plan.key, route, seen, *wanted)
    except Conflict:
        return ""  # the next look tells what is there now
    except PortError as error:
        return state.failed(block, str(error))
    if wanted == _all_to(block.arm):
        state.arrived(block, now)
    return ""


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
