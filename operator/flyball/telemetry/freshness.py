"""Which of a variant's pods still report, and how old what they report is. Pure.

Prometheus itself goes on answering with a sample for five minutes, so the age comes from the samples' own times.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flyball.core.observation import ABSENT, Reading, SignalState, ok
from flyball.telemetry.answers import Row


@dataclass(frozen=True, slots=True)
class Freshness:
    """Age in seconds of the newest sample of each pod that was seen lately, and the age past which none counts."""

    ages: Mapping[str, float]
    stale_after_seconds: float

    @property
    def pods(self) -> frozenset[str]:
        """The pods whose samples may be used."""
        return frozenset(pod for pod, age in self.ages.items() if age <= self.stale_after_seconds)

    @property
    def age_seconds(self) -> float:
        """Age of the oldest sample in use; of the newest, where none may be used."""
        fresh = [self.ages[pod] for pod in self.pods]
        return max(fresh) if fresh else min(self.ages.values(), default=0.0)

    def judged(self, reading: Reading) -> Reading:
        """The reading with its age, or Stale or Absent where no pod reports any more or ever did."""
        if not self.ages:
            return ABSENT
        if not self.pods:
            return Reading(math.nan, SignalState.STALE, self.age_seconds)
        return Reading(reading.value, reading.state, self.age_seconds)


def freshness(rows: Iterable[Row], at: float, stale_after_seconds: float) -> Freshness:
    """From rows with a pod label whose values are the times (epoch seconds) of samples."""
    ages: dict[str, float] = {}
    for row in rows:
        pod, age = row.labels.get("pod", ""), at - row.value
        if math.isfinite(age):
            ages[pod] = min(ages.get(pod, math.inf), max(0.0, age))
    return Freshness(ages, stale_after_seconds)


def total(values: Iterable[float]) -> Reading:
    """The sum; Absent without values, Invalid where one of them is no number or negative."""
    found = tuple(values)
    if not found:
        return ABSENT
    bad = [value for value in found if not math.isfinite(value) or value < 0]
    return Reading(bad[0], SignalState.INVALID) if bad else ok(sum(found))


def mean(values: Iterable[float]) -> Reading:
    """The mean; Absent without values, Invalid where one of them is no number or negative."""
    found = tuple(values)
    summed = total(found)
    return ok(summed.value / len(found)) if summed.ok else summed


def mean_share(values: Iterable[float]) -> Reading:
    """The mean of shares; Absent without values, Invalid where one of them is none (0 to 1, rounding allowed)."""
    found = tuple(values)
    above = [value for value in found if value > 1.01]
    if above:
        return Reading(above[0], SignalState.INVALID)
    averaged = mean(found)
    return ok(min(1.0, averaged.value)) if averaged.ok else averaged


def quotient(part: Reading, whole: Reading) -> Reading:
    """One reading per another; Insufficient where the other is 0, since then nothing happened."""
    for reading in (part, whole):
        if not reading.ok:
            return reading
    if whole.value <= 0:
        return Reading(math.nan, SignalState.INSUFFICIENT)
    return ok(part.value / whole.value)
