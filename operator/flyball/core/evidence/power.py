"""How likely an experiment is to reach a verdict, by playing it many times before it starts.

What scatters is the difference between two neighbouring blocks of the same arm: either such differences as they were,
drawn at random with a random sign (as the coin would), or normal ones of a given standard deviation.
"""

import math
from collections.abc import Sequence

import numpy as np

from flyball.core.evidence.experiment import Design, Direction, Plan, end_of
from flyball.core.evidence.experiment_verdict import bound_of
from flyball.core.evidence.sequential import log_evidence
from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Power:
    """Shares of the experiments that were played. `pairs` is the median number of pairs until a verdict, None where
    most never reach one; `most_pairs` is how many fit in.
    """

    effect: float
    supported: float
    refuted: float
    pairs: float | None
    most_pairs: int


def power(plan: Plan, effect: float, noise: Sequence[float] | float, runs: int = 400, seed: int = 1) -> Power:
    """The power where the treatment changes the metric by `effect` (-0.25: a quarter less, or 25 points).

    `noise` are differences of logarithms (or of shares) between neighbouring blocks, or their standard deviation.
    """
    dice = np.random.default_rng(seed)
    most, least = _pairs(plan)
    supported = refuted = 0
    ended: list[float] = []
    for _ in range(runs):
        differences = (effect if plan.points else math.log1p(effect)) + _draw(dice, noise, most)
        for_it, against_it = _looks(plan, differences, least)
        supported += for_it < against_it
        refuted += against_it < for_it
        ended.append(min(for_it, against_it))
    middle = float(np.median(ended))
    return Power(effect, supported / runs, refuted / runs, middle if math.isfinite(middle) else None, most)


def _pairs(plan: Plan) -> tuple[int, int]:
    """How many pairs fit in, and how many are there at least when a verdict may come."""
    pair = plan.block_ms * (2 if plan.design is Design.SWITCHBACK else 1)
    if plan.design is Design.BEFORE_AFTER:
        return max(1, min(plan.before[1] - plan.before[0], plan.after[1] - plan.after[0]) // pair), plan.min_pairs
    return max(1, (end_of(plan, 0)) // pair), max(plan.min_pairs, math.ceil(plan.min_ms / pair))


def _draw(dice: np.random.Generator, noise: Sequence[float] | float, pairs: int) -> np.ndarray:
    if isinstance(noise, float):
        return dice.normal(0.0, noise, pairs)
    drawn: np.ndarray = dice.choice(np.asarray(noise, float), pairs) * dice.choice([-1.0, 1.0], pairs)
    return drawn


def _looks(plan: Plan, differences: np.ndarray, least: int) -> tuple[float, float]:
    """After how many pairs the claim is supported, and refuted: infinite where never."""
    bound, limit = bound_of(plan), math.log(2 / plan.alpha)
    above = _first(log_evidence(differences.tolist(), bound) >= limit, least)
    below = _first(log_evidence((-differences).tolist(), -bound) >= limit, least)
    return (below, above) if plan.direction is Direction.DECREASE else (above, below)


def _first(passed: np.ndarray, least: int) -> float:
    """The first look at which the bound was passed at any time before, and there are enough pairs."""
    where = np.flatnonzero(passed)
    if not len(where) or len(passed) < least:
        return math.inf
    return float(max(where[0] + 1, least))
