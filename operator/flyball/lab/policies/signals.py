"""The load signals that rivals read, each as their users' metrics give it.

None stands for an empty answer (nothing was scraped within Prometheus' look-back), which each rival treats in its own
way; it is never zero here.
"""

import math

import numpy as np

from flyball.lab.fleet.samples import Column, History, Sample, Values
from flyball.lab.policies.model import Setting, View


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


def _rows(sample: Sample, variant: int) -> Values:
    rows: Values = sample.values[sample.variants == variant]
    return rows


def waiting_in(sample: Sample, variant: int, share: float) -> float:
    """Requests of the variant that wait, those held at the gateway included by `share`."""
    return float(_rows(sample, variant)[:, Column.WAITING].sum()) + sample.held * share


def in_flight_in(sample: Sample, variant: int, share: float) -> float:
    """Requests of the variant that run or wait, those held at the gateway included by `share`."""
    return float(_rows(sample, variant)[:, Column.RUNNING].sum()) + waiting_in(sample, variant, share)


def waiting(view: View, variant: int, share: float) -> float | None:
    """The newest sample's `waiting_in`."""
    sample = view.history.latest
    return None if sample is None else waiting_in(sample, variant, share)


def in_flight(view: View, variant: int, share: float) -> float | None:
    """The newest sample's `in_flight_in`."""
    sample = view.history.latest
    return None if sample is None else in_flight_in(sample, variant, share)


def mean_gauge(view: View, column: Column, variant: int) -> float | None:
    """The mean of a gauge over the variant's replicas."""
    values = view.history.gauge(column, variant)
    return float(values.mean()) if values.size else None


def busy_percents(history: History, variant: int) -> list[int]:
    """GPU utilization of each replica as DCGM exports it: a whole percentage, here of the time between its last two
    samples. A replica with one sample has none yet.
    """
    found: dict[int, int] = {}
    if history.latest is None:
        return []
    samples = history.within(300.0)
    present = {int(number) for number in samples[-1].replicas[samples[-1].variants == variant]} if samples else set()
    for before, after in zip(reversed(samples[:-1]), reversed(samples[1:]), strict=True):
        for number, older, newer in _pairs(before, after, variant):
            if number in present and number not in found:
                found[number] = max(0, math.floor(100 * (newer - older) / (after.at - before.at) + 1e-9))
        if len(found) == len(present):
            break
    return [found[number] for number in sorted(found)]


def _pairs(before: Sample, after: Sample, variant: int) -> list[tuple[int, float, float]]:
    """Replicas in both samples, with their busy seconds then and now."""
    mine = np.flatnonzero(after.variants == variant)
    earlier = {int(number): row for row, number in enumerate(before.replicas)}
    return [
        (
            int(after.replicas[row]),
            float(before.values[earlier[int(after.replicas[row])], Column.BUSY_SECONDS]),
            float(after.values[row, Column.BUSY_SECONDS]),
        )
        for row in mine
        if int(after.replicas[row]) in earlier
    ]
