"""A plan: replica counts fixed beforehand, played as a policy or straight in the simulator, and what it attained."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flyball.lab.fleet.outcome import Outcome
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.play import Game
from flyball.lab.policies.model import Objective, View
from flyball.lab.score import Flags, counts, good

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

_CHECKS = 16
"""How often a run is looked at to see whether it is lost."""
_TAIL_SECONDS = 3600.0
"""How long a run may go on after the last arrival, as in `play`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Replicas asked for: a row for each variant; column k holds from k × `period_seconds` on, the last one for good.

    What holds at 0 are the initial replicas: nothing is asked for before one period is over.
    """

    period_seconds: float
    replicas: Counts

    def at(self, now: float) -> dict[int, int]:
        """Replicas asked for at `now`, by variant."""
        column = min(round(now / self.period_seconds), self.replicas.shape[1] - 1)
        return {variant: int(row[column]) for variant, row in enumerate(self.replicas)}


class PlanPolicy:
    """Plays a plan. It sees nothing, and needs nothing to see."""

    collector_seconds: float | None = None

    def __init__(self, name: str, plan: Plan) -> None:
        self.name = name
        self._plan = plan

    @property
    def period_seconds(self) -> float:
        return self._plan.period_seconds

    def decide(self, view: View) -> Mapping[int, int]:
        return self._plan.at(view.now)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run attained of the requests that count: how many, and how many of them were late, by indicator.

    `cost` is what was paid between the end of the warm-up and the last arrival, in dollars (in GPU-hours where nothing
    has a price). `lost` runs were broken off as soon as they could not meet the objectives any more: of them no more is
    known.
    """

    requests: int
    late: Mapping[str, int]
    cost: float
    lost: bool = False


def allowed_late(requests: int, objectives: Sequence[Objective]) -> dict[str, int]:
    """How many of the requests may be late, by indicator."""
    # A target such as 0.95 is not exact in binary; it is met by a share of just that.
    return {o.indicator: math.floor(requests * (1 - o.target) + 1e-9 * requests) for o in objectives}


def meets(verdicts: Sequence[Verdict], objectives: Sequence[Objective]) -> bool:
    """Whether the runs, pooled, meet every objective."""
    allowed = allowed_late(sum(verdict.requests for verdict in verdicts), objectives)
    late = {name: sum(verdict.late[name] for verdict in verdicts) for name in allowed}
    return not any(verdict.lost for verdict in verdicts) and all(late[name] <= allowed[name] for name in allowed)


def run(
    game: Game,
    plan: Plan,
    objectives: Sequence[Objective],
    warmup_seconds: float,
    bearable: Mapping[str, int] | None = None,
) -> tuple[Verdict, Outcome]:
    """Play a plan. With `bearable`, a run is broken off once more requests than that are late for an indicator."""
    simulation = Simulation(game.trace, game.variants, game.options, game.initial, game.seed)
    end = float(game.trace.t_seconds[-1])
    changed = 1 + np.flatnonzero(np.diff(plan.replicas, axis=1).any(axis=0))
    # The first column is asked for with the second: at 0 there are the initial replicas.
    moments = {max(int(column), 1) * plan.period_seconds for column in (1, *changed)}
    checks = {end * part / _CHECKS for part in range(1, _CHECKS)} if bearable is not None else set()
    for moment in sorted(moments | checks | {end}):
        if moment > end + _TAIL_SECONDS:
            break
        simulation.advance(moment)
        if moment in moments:
            _ask(simulation, game, plan.at(moment))
        if bearable is not None and moment in checks:
            so_far = _verdict(game, _hopeful(simulation.outcome()), objectives, warmup_seconds)
            if any(so_far.late[name] > most for name, most in bearable.items()):
                return replace(so_far, lost=True), simulation.outcome()
    while simulation.in_flight and simulation.now < end + _TAIL_SECONDS:
        simulation.advance(simulation.now + _TAIL_SECONDS / _CHECKS)
    outcome = simulation.outcome()
    return _verdict(game, outcome, objectives, warmup_seconds), outcome


def late_requests(
    game: Game, outcome: Outcome, objectives: Sequence[Objective], warmup_seconds: float
) -> dict[str, Flags]:
    """Which of the requests that count were late, by indicator."""
    counted = counts(game.trace, outcome, warmup_seconds)
    found = good(game.trace, outcome, objectives)
    return {objective.indicator: counted & ~found[objective.indicator] for objective in objectives}


def cost_until(outcome: Outcome, times: Values) -> Values:
    """What was paid from the beginning until each time: dollars, or GPU-hours where nothing has a price."""
    priced = any(variant.price_per_gpu_hour for variant in outcome.variants)
    total = np.zeros(len(times))
    for paid, variant in zip(outcome.paid, outcome.variants, strict=True):
        edges = np.append(paid.times, outcome.until)
        seconds = np.concatenate(([0.0], np.cumsum(np.diff(edges) * paid.replicas)))
        price = float(variant.price_per_gpu_hour) if priced else 1.0
        total += np.interp(times, edges, seconds) * variant.gpus_per_replica * price / 3600
    return total


def _verdict(game: Game, outcome: Outcome, objectives: Sequence[Objective], warmup_seconds: float) -> Verdict:
    late = late_requests(game, outcome, objectives, warmup_seconds)
    start_and_end = np.array([warmup_seconds, game.trace.t_seconds[-1]])
    return Verdict(
        requests=int(np.count_nonzero(counts(game.trace, outcome, warmup_seconds))),
        late={name: int(np.count_nonzero(flags)) for name, flags in late.items()},
        cost=float(np.diff(cost_until(outcome, start_and_end))[0]),
    )


def _hopeful(outcome: Outcome) -> Outcome:
    """As if everything that is still to happen happened now."""
    return replace(
        outcome,
        first_token_at=np.where(np.isnan(outcome.first_token_at), outcome.until, outcome.first_token_at),
        finished_at=np.where(np.isnan(outcome.finished_at), outcome.until, outcome.finished_at),
    )


def _ask(simulation: Simulation, game: Game, wanted: Mapping[int, int]) -> None:
    for index, replicas in wanted.items():
        variant = game.variants[index]
        simulation.ask(index, min(max(replicas, variant.min_replicas), variant.max_replicas))
