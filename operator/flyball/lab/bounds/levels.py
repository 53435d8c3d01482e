"""From known demand to replica counts: levels of ready replicas on a grid of time, and the orders that bring them.

A level is a count of replicas of the variant that is cheapest for its work. What exceeds that variant's bound spills to
the next cheapest, in proportion to their work per request; the least replicas of the others always run, and carry
their part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from flyball.lab.bounds.need import Values, request_work
from flyball.lab.bounds.plan import Counts, Plan
from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetVariant
from flyball.lab.play import Game
from flyball.lab.policies.model import Objective

PERIOD_SECONDS = 5.0

Levels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ladder:
    """In which order variants are filled. `worth` is what a replica of each serves, in replicas of the cheapest."""

    variants: tuple[FleetVariant, ...]
    order: tuple[int, ...]
    worth: tuple[float, ...]
    most: int
    """The highest level: all variants at their bounds."""

    @classmethod
    def of(cls, game: Game, objectives: Sequence[Objective]) -> "Ladder":
        works = [
            max(float(request_work(game.trace, variant.engine, objectives).total.sum()), 1e-9)
            for variant in game.variants
        ]
        prices = [float(variant.price_per_gpu_hour) * variant.gpus_per_replica for variant in game.variants]
        order = sorted(range(len(works)), key=lambda index: (prices[index] * works[index], index))
        worth = tuple(works[order[0]] / work for work in works)
        most = sum(variant.max_replicas * worth[index] for index, variant in enumerate(game.variants))
        return cls(game.variants, tuple(order), worth, math.floor(most + 1e-9))

    @property
    def cheapest(self) -> int:
        return self.order[0]

    @property
    def least(self) -> int:
        """The lowest level that differs from fewer: what must run anyway."""
        return self.variants[self.cheapest].min_replicas

    def lead_seconds(self) -> float:
        """How long before a replica is wanted it is asked for: its start-up, and one deviation more."""
        return max(
            variant.startup_seconds * (1 + variant.startup_jitter)
            for variant in (self.variants[index] for index in self.order)
        )

    def plan(self, levels: Levels) -> Plan:
        """The orders that make so many replicas ready in time: at each moment what is wanted until a start asked for
        then would be ready. So every level that is wanted again before a new start could serve it runs on.
        """
        lead = math.ceil(self.lead_seconds() / PERIOD_SECONDS)
        wanted = _forward_maximum(levels, lead + 1)
        replicas = np.zeros((len(self.variants), len(levels)), np.int64)
        others = sum(
            variant.min_replicas * self.worth[index]
            for index, variant in enumerate(self.variants)
            if index != self.cheapest
        )
        left = wanted - others
        for index in self.order:
            variant = self.variants[index]
            anyway = 0 if index == self.cheapest else variant.min_replicas
            more = np.ceil(left / self.worth[index] - 1e-9).astype(np.int64)
            replicas[index] = np.clip(anyway + np.maximum(more, 0), variant.min_replicas, variant.max_replicas)
            left = left - (replicas[index] - anyway) * self.worth[index]
        return Plan(PERIOD_SECONDS, replicas)


def work_rate(game: Game, objectives: Sequence[Objective], variant: int) -> Values:
    """Work in each period, as replicas of the variant that would be busy: prefill when a request comes, decoding
    evenly over the time that its tokens take in full batches.
    """
    trace, engine = game.trace, game.variants[variant].engine
    work = request_work(trace, engine, objectives)
    periods = math.floor(float(trace.t_seconds[-1]) / PERIOD_SECONDS) + 1
    first = np.floor(trace.t_seconds / PERIOD_SECONDS).astype(np.int64)
    ends = trace.t_seconds + (trace.output_tokens - 1) * _full_iteration_seconds(engine)
    last = np.minimum(np.floor(ends / PERIOD_SECONDS).astype(np.int64), periods - 1)
    each = work.decode / (last - first + 1)
    rate = np.bincount(first, work.prefill, periods)
    rate += np.cumsum(np.bincount(first, each, periods + 1) - np.bincount(last + 1, each, periods + 1))[:periods]
    return np.maximum(rate, 0.0) / PERIOD_SECONDS


def levels_for(rate: Values, utilization: float, window_seconds: float, ladder: Ladder) -> Levels:
    """Whole replicas for the mean rate over a window around each moment, each loaded to `utilization` at most."""
    width = max(1, round(window_seconds / PERIOD_SECONDS))
    smooth: Values = uniform_filter1d(rate, width, mode="nearest")
    # A sum of many small numbers may leave a trace of noise where nothing comes.
    levels: Levels = np.ceil(smooth / utilization - 1e-6).astype(np.int64)
    return levels.clip(ladder.least, ladder.most)


def _full_iteration_seconds(engine: EngineParameters) -> float:
    """An iteration with as many sequences, and as much context, as the engine takes."""
    return engine.iteration_seconds(engine.max_batch, engine.kv_tokens, 0)


def _forward_maximum(levels: Levels, width: int) -> Counts:
    """The highest of each `width` levels from each on."""
    origin = -(width // 2)
    found: Counts = maximum_filter1d(levels, width, mode="nearest", origin=origin)
    return found
