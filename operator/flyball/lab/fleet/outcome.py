"""What became of a simulated run: each request's times, what the fleet cost, and what was asked of it."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from flyball.lab.fleet.model import FleetVariant
from flyball.lab.fleet.state import Flags, Floats


@dataclass(frozen=True, slots=True)
class ScaleAction:
    """At `at` the replicas asked for of a variant changed."""

    at: float
    variant: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class PaidReplicas:
    """How many replicas of a variant are paid for: `replicas[n]` from `times[n]` on. Seconds and whole replicas."""

    times: Floats
    replicas: Floats

    def seconds(self, start: float, end: float) -> float:
        """Replica-seconds paid between two times."""
        cumulative = np.concatenate(([0.0], np.cumsum(np.diff(self.times) * self.replicas[:-1])))
        bounds = np.clip([start, end], self.times[0], None)
        index = np.searchsorted(self.times, bounds, side="right") - 1
        low, high = cumulative[index] + (bounds - self.times[index]) * self.replicas[index]
        return float(high - low)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The run up to `until`. Arrays have one entry for each request of the trace; times are NaN until they happen.

    A dropped or rejected request has no times. After a spot reclaim a request begins anew, and the times are those of
    its last try. `cold` requests came while no replica was ready.
    """

    until: float
    arrived_at: Floats
    first_token_at: Floats
    finished_at: Floats
    rejected: Flags
    dropped: Flags
    cold: Flags
    variants: tuple[FleetVariant, ...]
    paid: tuple[PaidReplicas, ...]
    actions: tuple[ScaleAction, ...]
    reclaims: int
    failed_starts: int

    def gpu_seconds(self, variant: int, start: float, end: float) -> float:
        """GPU-seconds of a variant's replicas paid between two times, `end` at most `until`."""
        return self.paid[variant].seconds(start, end) * self.variants[variant].gpus_per_replica

    def dollars(self, variant: int, start: float, end: float) -> Decimal:
        """What they cost."""
        hours = Decimal(self.gpu_seconds(variant, start, end)) / 3600
        return hours * self.variants[variant].price_per_gpu_hour
