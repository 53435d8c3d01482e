"""What a change in each of many blocks of time does, measured in one run, and which of the changes to keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flyball.lab.bounds.plan import cost_until, late_requests
from flyball.lab.fleet.outcome import Outcome
from flyball.lab.play import Game
from flyball.lab.policies.model import Objective

Values = npt.NDArray[np.float64]
Choices = npt.NDArray[np.int64]

_STEPS = 60


@dataclass(frozen=True, slots=True)
class Tally:
    """For each stretch of time: what was paid in it, and how many of the requests that came in it were late; a row of
    `late` for each objective.
    """

    cost: Values
    late: Values


def tally(
    game: Game,
    outcome: Outcome,
    objectives: Sequence[Objective],
    warmup_seconds: float,
    edges: Values,
    ahead_seconds: float,
) -> Tally:
    """By stretches between `edges`, the last of them open. What is paid is counted `ahead_seconds` earlier: replicas
    that are to serve in a stretch start before it.
    """
    end = float(game.trace.t_seconds[-1])
    closed = np.append(edges, np.inf)
    cost = np.diff(cost_until(outcome, np.clip(closed - ahead_seconds, warmup_seconds, end)))
    stretch = np.searchsorted(edges, game.trace.t_seconds, side="right") - 1
    late = late_requests(game, outcome, objectives, warmup_seconds)
    counted = [np.bincount(stretch[late[o.indicator] & (stretch >= 0)], minlength=len(edges)) for o in objectives]
    return Tally(cost, np.array(counted, np.float64))


def chosen(options: Sequence[Tally], spare: Mapping[str, float], objectives: Sequence[Objective]) -> Choices | None:
    """For each stretch the option to take: together they cost least, and make no more requests late than there are
    `spare` over the first option, which changes nothing. None when that saves nothing.

    By a price on late requests, the lowest that keeps within what is spare; then what that left over is spent on single
    stretches, where it saves most first.
    """
    cost = np.array([option.cost - options[0].cost for option in options])
    late = np.array([option.late - options[0].late for option in options])
    limits = np.array([spare[objective.indicator] for objective in objectives])
    weights = 1.0 / np.maximum(limits, 1.0)

    def at(price: float) -> Choices:
        # Of equals the first, which changes nothing.
        priced = cost + price * np.tensordot(late, weights, axes=(1, 0))
        return np.asarray(np.argmin(priced, axis=0), np.int64)

    def within(choice: Choices) -> bool:
        taken = late[choice, :, np.arange(len(choice))].sum(axis=0)
        return bool(np.all(taken <= limits))

    low, high = 0.0, 1e6 * float(np.abs(cost).max(initial=0.0))
    choice = at(low)
    if not within(choice):
        choice = np.zeros(cost.shape[1], np.int64)
        for _ in range(_STEPS):
            middle = np.sqrt(max(low, high * 1e-12) * high)
            candidate = at(middle)
            if within(candidate):
                high, choice = middle, candidate
            else:
                low = middle
    choice = _spent(choice, cost, late, limits)
    return choice if cost[choice, np.arange(len(choice))].sum() < 0 else None


def _spent(choice: Choices, cost: Values, late: Values, limits: Values) -> Choices:
    """The choice with cheaper options wherever the limits on late requests still allow one."""
    stretches = np.arange(len(choice))
    taken = late[choice, :, stretches].sum(axis=0)
    saved = cost[choice, stretches] - cost
    better = choice.copy()
    for place in np.argsort(-saved, axis=None, kind="stable"):
        option, stretch = divmod(int(place), len(choice))
        if saved[option, stretch] <= 0:
            break
        more = late[option, :, stretch] - late[choice[stretch], :, stretch]
        if better[stretch] == choice[stretch] and np.all(taken + more <= limits):
            better[stretch] = option
            taken = taken + more
    return better
