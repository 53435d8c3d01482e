"""Hand-made views for the tests of policies: samples as a scraper would have taken them, counts beside them."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import numpy as np

from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetVariant, ReplicaCounts
from flyball.lab.fleet.samples import COLUMNS, Column, HistogramColumns, History, Sample
from flyball.lab.policies.model import Objective, Policy, Setting, View

ENGINE = EngineParameters(
    base_ms=10,
    per_sequence_ms=0.1,
    per_context_token_ms=0.0001,
    per_prefill_token_ms=0.05,
    request_overhead_ms=0,
    kv_tokens=10_000,
    max_batch=64,
    max_batched_tokens=1000,
)

Replica = tuple[int, int, np.ndarray]
"""Variant, number, row of values."""


def variant(name: str = "a", **changes) -> FleetVariant:
    fields = {"startup_seconds": 60.0, "price_per_gpu_hour": Decimal(1), "engine": ENGINE} | changes
    return FleetVariant(name=name, **fields)


def setting(
    *variants: FleetVariant, objectives: Mapping[str, float] | None = None, capacity: float = 2.0, concurrency=10.0
) -> Setting:
    variants = variants or (variant(),)
    thresholds = {"TimeToFirstToken": 1.0, "InterTokenLatency": 0.1} if objectives is None else objectives
    return Setting(
        variants,
        tuple(Objective(name, threshold, 0.95) for name, threshold in thresholds.items()),
        (1,) * len(variants),
        (capacity,) * len(variants),
        (concurrency,) * len(variants),
    )


def counts(ready: int, *, asked: int | None = None, starting: int = 0, pending: int = 0) -> ReplicaCounts:
    return ReplicaCounts(ready + starting + pending if asked is None else asked, ready, starting, pending, 0)


def replica(number: int, variant: int = 0, **values: float) -> Replica:
    """One replica's row; values by the column's name in lower case."""
    row = np.zeros(COLUMNS)
    for name, value in values.items():
        row[Column[name.upper()]] = value
    return variant, number, row


def observing(each: Replica, histogram: HistogramColumns, bucket: int, count: float) -> Replica:
    """The replica with `count` observations in one bucket of a histogram."""
    each[2][histogram.start + bucket] += count
    return each


def sample(at: float, *replicas: Replica, held: int = 0, arrived: int = 0) -> Sample:
    return Sample(
        at,
        np.array([each[0] for each in replicas], dtype=np.int64),
        np.array([each[1] for each in replicas], dtype=np.int64),
        np.array([each[2] for each in replicas]).reshape(len(replicas), COLUMNS),
        held,
        arrived,
    )


def view(now: float, present: ReplicaCounts | Iterable[ReplicaCounts], *samples: Sample) -> View:
    history = History()
    for each in samples:
        history.add(each)
    history.now = now
    return View(now, (present,) if isinstance(present, ReplicaCounts) else tuple(present), history)


class Fleet:
    """Plays a policy on samples as they come. Replicas asked for are ready at once, unless `ready` says otherwise."""

    def __init__(self, policy: Policy, replicas: int = 1, bounds: tuple[int, int] = (1, 60)) -> None:
        self.policy = policy
        self.asked = replicas
        self.history = History()
        self.now = 0.0
        self._bounds = bounds

    def step(self, *replicas: Replica, held: int = 0, arrived: int = 0, ready: int | None = None, lost=False) -> int:
        """One period of the policy with the sample of its end."""
        if not lost:
            self.history.add(sample(self.now, *replicas, held=held, arrived=arrived))
        self.history.now = self.now
        serving = self.asked if ready is None else min(ready, self.asked)
        present = counts(serving, asked=self.asked, starting=self.asked - serving)
        decided = self.policy.decide(View(self.now, (present,), self.history)).get(0, self.asked)
        self.asked = min(max(decided, self._bounds[0]), self._bounds[1])
        self.now += self.policy.period_seconds
        return self.asked

    def load(self, **values: float) -> int:
        """One period in which every replica shows the same values."""
        return self.step(*(replica(number, **values) for number in range(self.asked)))
