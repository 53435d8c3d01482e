"""The smallest fleet that is never scaled and meets the objectives: what buying for the peak takes."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from flyball.lab.bounds.need import request_work
from flyball.lab.bounds.plan import Plan, allowed_late, meets, run
from flyball.lab.bounds.program import Infeasible
from flyball.lab.play import Game
from flyball.lab.policies.model import Objective
from flyball.lab.policies.static import Static


def static_peak(
    games: Sequence[Game],
    objectives: Sequence[Objective],
    warmup_seconds: float,
    progress: Callable[[str], None] | None = None,
) -> int:
    """The fewest constant replicas of the first variant that meet the objectives, pooled over the games (seeds).

    Other variants keep their initial replicas. By bisection: more replicas are taken never to be worse. Raises
    Infeasible where not even the first variant's upper bound is enough.
    """
    variant = games[0].variants[0]
    least, most = variant.min_replicas, variant.max_replicas

    def enough(replicas: int) -> bool:
        found = holds(games, replicas, objectives, warmup_seconds)
        if progress is not None:
            progress(f"static-peak: {replicas} replicas {'meet' if found else 'miss'} the objectives")
        return found

    guess = max(_mean_need(game, objectives) for game in games)
    fewest = min(max(least, math.ceil(guess)), most)
    too_few = least - 1
    while not enough(fewest):
        if fewest == most:
            raise Infeasible(
                f"not even {most} constant replicas meet the objectives: raise maxReplicas, or loosen the objectives"
            )
        too_few, fewest = fewest, min(math.ceil(fewest * 1.25) + 1, most)
    while fewest - too_few > 1:
        middle = (too_few + fewest) // 2
        too_few, fewest = (too_few, middle) if enough(middle) else (middle, fewest)
    return fewest


def holds(games: Sequence[Game], replicas: int, objectives: Sequence[Objective], warmup_seconds: float) -> bool:
    """Whether so many constant replicas of the first variant meet the objectives."""
    verdicts = []
    bearable = allowed_late(sum(len(game.trace) for game in games), objectives)
    for game in games:
        plan = Plan(Static.period_seconds, np.array([[replicas], *([count] for count in game.initial[1:])], np.int64))
        verdict, _ = run(game, plan, objectives, warmup_seconds, bearable)
        verdicts.append(verdict)
        if verdict.lost:
            break
    return meets(verdicts, objectives)


def _mean_need(game: Game, objectives: Sequence[Objective]) -> float:
    """The mean work of a second, in replicas."""
    work = request_work(game.trace, game.variants[0].engine, objectives).total
    return float(work.sum()) / max(game.trace.span_seconds, 1.0)
