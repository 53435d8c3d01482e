"""What the Kubernetes horizontal autoscaler makes of a metric: replicas, before any window or limit.

Restated from pkg/controller/podautoscaler/replica_calculator.go. Quantities are whole thousandths, as Kubernetes
compares them, and divisions of sums by counts truncate.
"""

import math
from dataclasses import dataclass


def milli(value: float) -> int:
    """A quantity in thousandths; the API rounds up."""
    return math.ceil(round(value * 1000, 6))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a usage ratio may be from one without a change: relative, by direction."""

    up: float = 0.1
    down: float = 0.1

    def holds(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Scale:
    """The target's counts: `spec` replicas asked for, `status` replicas that exist, and pods that run and are ready."""

    spec: int
    status: int
    ready: int


@dataclass(frozen=True, slots=True)
class PodsMetric:
    """A per-pod metric with an AverageValue target, thousandths.

    `samples` are those of running pods (for a metric other than CPU, readiness does not matter), `missing` counts
    running pods without a sample, `unready` the pending ones.
    """

    target: int
    samples: tuple[int, ...]
    missing: int = 0
    unready: int = 0

    def propose(self, scale: Scale, tolerance: Tolerance) -> int | None:
        if not self.samples:
            return None
        ratio = _mean_ratio(self.samples, self.target)
        filled = _filled(self.samples, ratio, self.missing, self.unready, when_low=self.target)
        if filled is None:
            return scale.spec if tolerance.holds(ratio) else math.ceil(ratio * len(self.samples))
        return _guarded(scale, tolerance, ratio, _mean_ratio(filled, self.target), len(filled))


@dataclass(frozen=True, slots=True)
class UtilizationMetric:
    """A resource metric with a Utilization target: whole percent of what the pods request (thousandths, each pod's).

    The utilization is cut to a whole percentage before it is compared.
    """

    target_percent: int
    samples: tuple[int, ...]
    request: int
    missing: int = 0
    unready: int = 0

    def propose(self, scale: Scale, tolerance: Tolerance) -> int | None:
        if not self.samples:
            return None
        ratio = self._ratio(self.samples)
        low = self.request * max(100, self.target_percent) // 100
        filled = _filled(self.samples, ratio, self.missing, self.unready, when_low=low)
        if filled is None:
            return scale.spec if tolerance.holds(ratio) else math.ceil(ratio * len(self.samples))
        return _guarded(scale, tolerance, ratio, self._ratio(filled), len(filled))

    def _ratio(self, samples: tuple[int, ...]) -> float:
        return (100 * sum(samples) // (self.request * len(samples))) / self.target_percent


@dataclass(frozen=True, slots=True)
class ExternalAverage:
    """An external or object metric with an AverageValue target (thousandths): KEDA's path. `value` None: no answer.

    Status replicas count for the tolerance only, so that pods that load are neither punished nor credited.
    """

    target: int
    value: int | None

    def propose(self, scale: Scale, tolerance: Tolerance) -> int | None:
        if self.value is None:
            return None
        # Without replicas the source divides by zero: infinite or not a number, within no tolerance.
        if scale.status > 0 and tolerance.holds(self.value / (self.target * scale.status)):
            return scale.status
        return math.ceil(self.value / self.target)


@dataclass(frozen=True, slots=True)
class ExternalValue:
    """An external or object metric with a Value target (thousandths): scales the ready pods by the ratio. Without any
    pod the source has an error.
    """

    target: int
    value: int | None

    def propose(self, scale: Scale, tolerance: Tolerance) -> int | None:
        if self.value is None:
            return None
        ratio = self.value / self.target
        if scale.spec == 0:
            return math.ceil(ratio)
        if tolerance.holds(ratio):
            return scale.spec
        return math.ceil(ratio * scale.ready) if scale.status > 0 else None


Metric = PodsMetric | UtilizationMetric | ExternalAverage | ExternalValue


def _mean_ratio(samples: tuple[int, ...], target: int) -> float:
    return (sum(samples) // len(samples)) / target


def _filled(
    samples: tuple[int, ...], ratio: float, missing: int, unready: int, when_low: int
) -> tuple[int, ...] | None:
    """Samples with guesses that weaken the change: missing pods are on target before a step down (`when_low`), idle
    before a step up; unready ones are idle before a step up. None where nothing has to be guessed.
    """
    unready_count = unready if ratio > 1.0 else 0
    if missing == 0 and unready_count == 0:
        return None
    guess = when_low if ratio < 1.0 else 0
    missing_count = missing if ratio != 1.0 else 0
    return samples + (guess,) * missing_count + (0,) * unready_count


def _guarded(scale: Scale, tolerance: Tolerance, before: float, after: float, pods: int) -> int:
    """The count by the ratio with guesses, unless the guesses turned the direction."""
    if tolerance.holds(after) or before < 1.0 < after or after < 1.0 < before:
        return scale.spec
    replicas = math.ceil(after * pods)
    turned = (after < 1.0 and replicas > scale.spec) or (after > 1.0 and replicas < scale.spec)
    return scale.spec if turned else replicas
