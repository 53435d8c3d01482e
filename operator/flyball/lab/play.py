"""One policy plays one run: the simulated fleet, its modelled scraper, and the policy's clock.

Samples are taken every `scrape_seconds` from 0 on, and can be seen `scrape_delay_seconds` later, those within a scrape
gap never. A policy with a collector of its own reads the fleet at its own period instead, without delay or gaps. The
policy decides every `period_seconds`, first after one period; at equal times the fleet moves first, then samples are
taken, then the policy decides.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.outcome import Outcome
from flyball.lab.fleet.samples import History, Sample
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.policies.model import Policy, View
from flyball.lab.trace import Trace

_LONGEST_TAIL_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Game:
    """What a policy plays on: the arguments of `Simulation`. `seed` decides everything that is left to chance."""

    trace: Trace
    variants: tuple[FleetVariant, ...]
    options: FleetOptions
    initial: tuple[int, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class PlayResult:
    """What became of the run, and the wall seconds spent in the policy and in everything else."""

    policy: str
    outcome: Outcome
    decisions: int
    decide_seconds: float
    simulation_seconds: float


class Scraper:
    """Fills a history with samples of the fleet, every `period` seconds from 0 on, visible `delay` seconds later."""

    def __init__(self, period: float, delay: float, gaps: tuple[tuple[float, float], ...]) -> None:
        if period <= 0:
            raise ValueError(f"a sample every {period:g} s cannot be taken; give a scrape period above 0")
        self.history = History()
        self._period = period
        self._delay = delay
        self._gaps = gaps
        self._taken = 0
        self._underway: deque[Sample] = deque()

    @classmethod
    def of(cls, policy: Policy, options: FleetOptions) -> "Scraper":
        """The policy's own collector, or the scenario's scraper."""
        if policy.collector_seconds is not None:
            return cls(policy.collector_seconds, 0.0, ())
        return cls(options.scrape_seconds, options.scrape_delay_seconds, options.scrape_gaps)

    @property
    def due_at(self) -> float:
        """When the next sample is to be taken."""
        return self._taken * self._period

    def take(self, simulation: Simulation) -> None:
        """Take the sample that is due."""
        self._taken += 1
        if not any(start <= simulation.now < end for start, end in self._gaps):
            self._underway.append(simulation.sample())

    def look(self, now: float) -> History:
        """The history as it can be seen at `now`."""
        while self._underway and self._underway[0].at + self._delay <= now:
            self.history.add(self._underway.popleft())
        self.history.now = now
        return self.history


def play(game: Game, policy: Policy, end: float | None = None) -> PlayResult:
    """Play to `end` (seconds); None plays until nothing is in flight, but an hour after the last arrival at most."""
    if policy.period_seconds <= 0:
        raise ValueError(f"{policy.name} decides every {policy.period_seconds:g} s; give a period above 0")
    began, deciding = time.perf_counter(), 0.0
    simulation = Simulation(game.trace, game.variants, game.options, game.initial, game.seed)
    scraper = Scraper.of(policy, game.options)
    last_arrival = float(game.trace.t_seconds[-1])
    latest = last_arrival + _LONGEST_TAIL_SECONDS if end is None else end
    decisions = 0
    while simulation.now < latest:
        decide_at = (decisions + 1) * policy.period_seconds
        simulation.advance(min(decide_at, scraper.due_at, latest))
        if simulation.now >= scraper.due_at:
            scraper.take(simulation)
        if simulation.now >= decide_at:
            decisions += 1
            history, counts = scraper.look(simulation.now), simulation.counts()
            before = time.perf_counter()
            wanted = policy.decide(View(simulation.now, counts, history))
            deciding += time.perf_counter() - before
            _apply(simulation, game.variants, wanted)
            if end is None and simulation.now >= last_arrival and not simulation.in_flight:
                break
    total = time.perf_counter() - began
    return PlayResult(policy.name, simulation.outcome(), decisions, deciding, total - deciding)


def _apply(simulation: Simulation, variants: tuple[FleetVariant, ...], wanted: Mapping[int, int]) -> None:
    for index, replicas in wanted.items():
        variant = variants[index]
        simulation.ask(index, min(max(replicas, variant.min_replicas), variant.max_replicas))
