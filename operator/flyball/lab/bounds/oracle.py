"""The best clairvoyant plan found: what a planner that knows every arrival would do. It is a plan, not the optimum.

First the demand, known and smoothed over a window, is divided by a utilization; for each window the highest that meets
the objectives is searched. Then the plan is improved block by block: in every second block one replica more and one
less are tried, all of them in one run of the simulator, since a block's effects end within the next one. Of the
changes those are taken that save most for the requests that they make late, as many as the objectives allow. The
blocks go from 15 minutes down to 20 seconds by halves, each size in two alignments, until nothing helps or the budget
is spent. Every plan kept was played in full, and meets every objective.

Deterministic: the budget is not measured but counted, in seconds of a core that plays 190,000 requests a second (a day
of 560,000 in 3 s).

Limits: the plan is for one seed's traffic. With several variants only the level of all together is searched
(levels.py). Starts are ordered one standard deviation early, whatever they will take.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from flyball.lab.bounds.blocks import chosen, tally
from flyball.lab.bounds.levels import PERIOD_SECONDS, Ladder, Levels, levels_for, work_rate
from flyball.lab.bounds.plan import Plan, PlanPolicy, Verdict, allowed_late, meets, run
from flyball.lab.fleet.outcome import Outcome
from flyball.lab.play import Game
from flyball.lab.policies.model import Objective

REQUESTS_PER_SECOND = 190_000.0
_RUN_SECONDS = 0.02
"""What a run costs beside its requests."""

_WINDOWS = (240.0, 60.0, 900.0)
_UTILIZATIONS = (0.05, 2.0)
"""Of the floor's work: above 1 queues take what comes, which only a low target allows."""
_SEARCH_STEPS = 9
_NEAR = 1.4
"""The best utilizations of two windows are taken to differ by no more than this factor."""
_LARGEST_BLOCK = round(900.0 / PERIOD_SECONDS)
_SMALLEST_BLOCK = 4
_TRIES = 3
_WORTHWHILE = 0.0005
"""A round over all blocks of a size that saves less is the last of that size."""

Progress = Callable[[float, str], None]
"""Called with the share of the budget that is spent, at most 1, and what was found so far."""


@dataclass(frozen=True, slots=True)
class Clairvoyant:
    """The best plan found and what its run attained. Where none `meets` the objectives it is the largest fleet."""

    plan: Plan
    verdict: Verdict
    meets: bool
    runs: int

    def policy(self) -> PlanPolicy:
        return PlanPolicy("oracle", self.plan)


def clairvoyant(
    game: Game,
    objectives: Sequence[Objective],
    warmup_seconds: float,
    budget_seconds: float,
    progress: Progress | None = None,
) -> Clairvoyant:
    """Search a plan for one game. The search for window and utilization is finished whatever the budget."""
    search = _Search(game, tuple(objectives), warmup_seconds, budget_seconds, progress)
    best = search.uniform()
    if best is None:
        largest = search.play(np.full(search.periods, search.ladder.most))
        return Clairvoyant(search.ladder.plan(largest.levels), largest.verdict, search.good(largest), search.runs)
    best = search.improved(best)
    return Clairvoyant(search.ladder.plan(best.levels), best.verdict, True, search.runs)


@dataclass(frozen=True, slots=True)
class _Candidate:
    levels: Levels
    verdict: Verdict
    outcome: Outcome


@dataclass(slots=True)
class _Search:
    game: Game
    objectives: tuple[Objective, ...]
    warmup_seconds: float
    budget_seconds: float
    progress: Progress | None
    ladder: Ladder = field(init=False)
    periods: int = field(init=False)
    runs: int = 0

    def __post_init__(self) -> None:
        self.ladder = Ladder.of(self.game, self.objectives)
        self.periods = int(self.game.trace.t_seconds[-1] // PERIOD_SECONDS) + 1

    def play(self, levels: Levels, *, to_the_end: bool = True) -> _Candidate:
        """Play the levels; unless `to_the_end`, a run that cannot meet the objectives is broken off."""
        self.runs += 1
        # No more may be late than if all requests counted.
        bearable = None if to_the_end else allowed_late(len(self.game.trace), self.objectives)
        plan = self.ladder.plan(levels)
        return _Candidate(levels, *run(self.game, plan, self.objectives, self.warmup_seconds, bearable))

    def good(self, candidate: _Candidate) -> bool:
        return meets([candidate.verdict], self.objectives)

    @property
    def spent(self) -> float:
        """The share of the budget."""
        seconds = self.runs * (len(self.game.trace) / REQUESTS_PER_SECOND + _RUN_SECONDS)
        return seconds / self.budget_seconds if self.budget_seconds > 0 else 1.0

    def uniform(self) -> _Candidate | None:
        """One window and one utilization for the whole trace; None where not even the lowest utilization will do."""
        rate = work_rate(self.game, self.objectives, self.ladder.cheapest)
        best = None
        low, high = _UTILIZATIONS
        steps = _SEARCH_STEPS
        for window in _WINDOWS:
            for _ in range(steps):
                middle = float(np.sqrt(low * high))
                candidate = self.play(levels_for(rate, middle, window, self.ladder), to_the_end=False)
                if self.good(candidate):
                    low = middle
                    best = candidate if best is None else min(best, candidate, key=lambda found: found.verdict.cost)
                else:
                    high = middle
            self._tell(best, f"window {window:g} s")
            if best is None:
                return None
            low, high, steps = low / _NEAR, low * _NEAR, _SEARCH_STEPS - 3
        return best

    def improved(self, best: _Candidate) -> _Candidate:
        """Blocks of every size, again and again as long as a round over the sizes helps."""
        while True:
            before = best.verdict.cost
            size = min(_LARGEST_BLOCK, self.periods)
            while size >= _SMALLEST_BLOCK:
                found = self._improved_at(size, best)
                saved, best = 1 - found.verdict.cost / best.verdict.cost, found
                if self.spent >= 1:
                    return best
                if saved < _WORTHWHILE:
                    size //= 2
            if best.verdict.cost > before * (1 - _WORTHWHILE):
                return best

    def _improved_at(self, size: int, best: _Candidate) -> _Candidate:
        """A round over all blocks of so many periods, in two alignments, each block once."""
        for first in (0, size, -(size // 2), size // 2):
            if self.spent < 1:
                best = self._step(size, first, best)
                self._tell(best, f"blocks of {size * PERIOD_SECONDS:g} s")
        return best

    def _step(self, size: int, first: int, best: _Candidate) -> _Candidate:
        """Change every second block from the period `first` on."""
        starts = np.arange(first, self.periods, 2 * size)
        place = np.arange(self.periods) - first
        block = np.where((place >= 0) & (place % (2 * size) < size), place // (2 * size), -1)
        edges = starts.astype(np.float64) * PERIOD_SECONDS
        ahead = min(self.ladder.lead_seconds(), size * PERIOD_SECONDS)
        tried = [best, *(self.play(self._changed(best.levels, block, np.full(len(starts), by))) for by in (-1, 1))]
        tallies = [
            tally(self.game, candidate.outcome, self.objectives, self.warmup_seconds, edges, ahead)
            for candidate in tried
        ]
        allowed = allowed_late(best.verdict.requests, self.objectives)
        spare = {name: float(most - best.verdict.late[name]) for name, most in allowed.items()}
        for _ in range(_TRIES):
            choice = chosen(tallies, spare, self.objectives)
            if choice is None:
                break
            candidate = self.play(self._changed(best.levels, block, np.array([0, -1, 1])[choice]))
            over = {name: candidate.verdict.late[name] - most for name, most in allowed.items()}
            if self.good(candidate):
                return min(best, candidate, key=lambda found: found.verdict.cost)
            # Neighbours that change together do more than each by itself: aim lower by what was too much.
            spare = {name: left - 1.5 * max(over[name], 0) for name, left in spare.items()}
        return best

    def _changed(self, levels: Levels, block: Levels, by: Levels) -> Levels:
        changed = levels + np.where(block >= 0, by[block], 0)
        return np.clip(changed, self.ladder.least, self.ladder.most)

    def _tell(self, best: _Candidate | None, stage: str) -> None:
        if self.progress is not None:
            cost = "no plan yet" if best is None else f"best plan costs {best.verdict.cost:.2f}"
            self.progress(min(self.spent, 1.0), f"oracle: {stage}: {cost}")
