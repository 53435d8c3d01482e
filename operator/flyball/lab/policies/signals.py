"""The load signals that rivals read, each as their users' metrics give it.

None stands for an empty answer (nothing was scraped within Prometheus' look-back), which each rival treats in its own
way; it is never zero here.
"""

import math
from collections import deque

import numpy as np

from flyball.lab.fleet.samples import Column, History, Sample
from flyball.lab.policies.model import Setting, View

_LOOK_BACK_SECONDS = 300.0


def variant_shares(view: View, setting: Setting) -> list[float]:
    """How what has no variant yet (requests held at the gateway, arrivals) is divided among the variants.

    By what each one's replicas can take; a variant without replicas counts as one, so that it can be woken.
    """
    weights = [
        max(counts.asked, 1) * capacity
        for counts, capacity in zip(view.counts, setting.capacity_per_replica, strict=True)
    ]
    total = sum(weights)
    return [weight / total for weight in weights] if total > 0 else [1 / len(weights)] * len(weights)


def _total(sample: Sample, column: Column, variant: int) -> float:
    return float(sample.values[sample.variants == variant, column].sum())


def waiting_in(sample: Sample, variant: int, share: float) -> float:
    """Requests of the variant that wait, those held at the gateway included by `share`."""
    return _total(sample, Column.WAITING, variant) + sample.held * share


def in_flight_in(sample: Sample, variant: int, share: float) -> float:
    """Requests of the variant that run or wait, those held at the gateway included by `share`."""
    return _total(sample, Column.RUNNING, variant) + waiting_in(sample, variant, share)


def waiting(view: View, variant: int, share: float) -> float | None:
    """The newest sample's `waiting_in`."""
    sample = view.history.latest
    return None if sample is None else waiting_in(sample, variant, share)


def in_flight(view: View, variant: int, share: float) -> float | None:
    """The newest sample's `in_flight_in`."""
    sample = view.history.latest
    return None if sample is None else in_flight_in(sample, variant, share)


class LoadWindow:
    """Each variant's requests in flight over a trailing window (seconds), read once from each sample."""

    def __init__(self, setting: Setting, keep_seconds: float) -> None:
        self._setting = setting
        self._keep_seconds = keep_seconds
        self._seen = -math.inf
        self._loads: list[deque[tuple[float, float]]] = [deque() for _ in setting.variants]

    def read(self, view: View) -> None:
        """Take in what was sampled since the last reading, and forget what has left the window."""
        shares = variant_shares(view, self._setting)
        for sample in view.history.within(min(view.now - self._seen, self._keep_seconds)):
            self._seen = sample.at
            for variant, loads in enumerate(self._loads):
                loads.append((sample.at, in_flight_in(sample, variant, shares[variant])))
        for loads in self._loads:
            while loads and loads[0][0] <= view.now - self._keep_seconds:
                loads.popleft()

    def mean(self, variant: int, since: float = -math.inf) -> float | None:
        """The mean over the samples after `since`; None without any."""
        loads = [load for at, load in self._loads[variant] if at > since]
        return sum(loads) / len(loads) if loads else None


def mean_gauge(view: View, column: Column, variant: int) -> float | None:
    """The mean of a gauge over the variant's replicas."""
    values = view.history.gauge(column, variant)
    return float(values.mean()) if values.size else None


def busy_percents(history: History, variant: int) -> list[int]:
    """GPU utilization of each replica as DCGM exports it: a whole percentage, here of the time between the last two
    samples. A replica that is in one of them only has none.
    """
    samples = history.within(_LOOK_BACK_SECONDS)[-2:]
    if len(samples) < 2:
        return []
    before, after = samples
    mine = np.flatnonzero(after.variants == variant)
    _, older, newer = np.intersect1d(before.replicas, after.replicas[mine], return_indices=True)
    busy = after.values[mine[newer], Column.BUSY_SECONDS] - before.values[older, Column.BUSY_SECONDS]
    shares = busy / (after.at - before.at)
    # Sums of iterations miss a full interval by rounding alone.
    return [max(0, math.floor(100 * share + 1e-9)) for share in shares.tolist()]
