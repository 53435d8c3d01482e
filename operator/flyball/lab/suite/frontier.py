"""Cost at equal attainment: what one policy costs against another where both are as good.

A policy's points are (margin, cost) along its main knob; the margin is the least of share − target over the objectives.
Its frontier are the points that no other one of its own dominates; between them costs are interpolated, beyond them
nothing is said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One setting of a policy: the margin it had, and what it cost."""

    margin: float
    cost: float


class Unmatched(StrEnum):
    """Why two policies cannot be compared at equal attainment."""

    NOT_REACHED_BY_THEM = "notReachedByThem"
    """Every setting of ours attains more than each of theirs."""
    NOT_REACHED_BY_US = "notReachedByUs"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Our cost ÷ theirs, at the margin where they were compared."""

    ratio: float
    margin: float


def frontier(points: Iterable[Point]) -> list[Point]:
    """The points that are not dominated, by growing margin and so by growing cost."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.margin, point.cost)):
        if not kept or point.cost < kept[-1].cost:
            kept.append(point)
    return kept[::-1]


def cost_at(efficient: Sequence[Point], margin: float) -> float:
    """The cost at a margin within the frontier."""
    return float(np.interp(margin, [point.margin for point in efficient], [point.cost for point in efficient]))


def compare(ours: Iterable[Point], theirs: Iterable[Point], at: float) -> Comparison | Unmatched:
    """Compare two policies at the margin nearest to `at` that both frontiers reach. Each needs a point or more."""
    our, their = frontier(ours), frontier(theirs)
    low = max(our[0].margin, their[0].margin)
    high = min(our[-1].margin, their[-1].margin)
    if low > high:
        return Unmatched.NOT_REACHED_BY_THEM if our[0].margin > their[-1].margin else Unmatched.NOT_REACHED_BY_US
    margin = min(max(at, low), high)
    return Comparison(cost_at(our, margin) / cost_at(their, margin), margin)
