"""The life of replicas: asked for, pending for a GPU, starting, ready, draining, gone; and what they cost.

All draws belong to the k-th start of a variant, from streams of their own, so that they are the same under every
policy of a run: start-up time, whether it fails, whether the replica is slow, and how long a spot replica lives (from
its start).
"""

import math
from dataclasses import dataclass, field

import numpy as np

from flyball.lab.fleet.model import FleetVariant


@dataclass(slots=True, eq=False)
class Replica:
    """One replica of `variant`. `slot` is its place in the simulator's state while it is ready or draining."""

    number: int
    variant: int
    slot: int = -1
    started: bool = False
    """It has a GPU."""
    ready: bool = False
    draining: bool = False
    gone: bool = False
    prefill_factor: float = 1.0


class Draws:
    """What chance holds for the starts of one variant."""

    def __init__(self, variant: FleetVariant, seed: int, index: int) -> None:
        self._variant = variant
        self._streams = [np.random.default_rng((seed, index, purpose)) for purpose in range(4)]
        self._startups: list[float] = []
        self._fails: list[bool] = []
        self._slow: list[bool] = []
        self._lives: list[float] = []

    def startup_seconds(self, k: int) -> float:
        """Log-normal with the mean and relative standard deviation asked for."""
        variance = math.log1p(self._variant.startup_jitter**2)
        while len(self._startups) <= k:
            factor = math.exp(math.sqrt(variance) * self._streams[0].standard_normal() - variance / 2)
            self._startups.append(self._variant.startup_seconds * factor)
        return self._startups[k]

    def fails(self, k: int) -> bool:
        while len(self._fails) <= k:
            self._fails.append(bool(self._streams[1].random() < self._variant.failed_start_share))
        return self._fails[k]

    def prefill_factor(self, k: int) -> float:
        while len(self._slow) <= k:
            self._slow.append(bool(self._streams[2].random() < self._variant.slow_share))
        return self._variant.slow_prefill_factor if self._slow[k] else 1.0

    def life_seconds(self, k: int) -> float:
        mean = self._variant.reclaim_mean_seconds
        if mean is None:
            return math.inf
        while len(self._lives) <= k:
            self._lives.append(mean * self._streams[3].standard_exponential())
        return self._lives[k]


@dataclass(slots=True)
class Ledger:
    """How many replicas of a variant are paid for, as steps over time."""

    times: list[float] = field(default_factory=lambda: [0.0])
    paid: list[int] = field(default_factory=lambda: [0])

    def change(self, at: float, by: int) -> None:
        if at == self.times[-1]:
            self.paid[-1] += by
        else:
            self.times.append(at)
            self.paid.append(self.paid[-1] + by)
