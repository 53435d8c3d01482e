"""Two samples of the same latency, side by side.

Distances between their distributions: Kolmogorov-Smirnov, the largest gap between the two cumulative shares (0 to 1),
and Wasserstein, the mean shift in seconds that turns one into the other.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from flyball.lab.trace import Seconds


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Seconds."""

    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """`count` requests that have the latency in both samples; the same requests, in the same order.

    `typical_difference_seconds` is the median over requests of how far its two latencies lie apart.
    """

    count: int
    measured: Quantiles
    simulated: Quantiles
    kolmogorov_smirnov: float
    wasserstein_seconds: float
    typical_difference_seconds: float


def compare(measured: Seconds, simulated: Seconds) -> Comparison:
    """Compare two samples request by request. Raises ValueError when no request has both."""
    if len(measured) != len(simulated):
        raise ValueError(f"{len(measured)} and {len(simulated)} requests are not the same ones")
    both = np.isfinite(measured) & np.isfinite(simulated)
    if not both.any():
        raise ValueError("no request has this latency in both samples")
    one, other = measured[both], simulated[both]
    return Comparison(
        count=int(both.sum()),
        measured=_quantiles(one),
        simulated=_quantiles(other),
        kolmogorov_smirnov=_kolmogorov_smirnov(one, other),
        wasserstein_seconds=float(wasserstein_distance(one, other)),
        typical_difference_seconds=float(np.median(np.abs(one - other))),
    )


def _kolmogorov_smirnov(one: Seconds, other: Seconds) -> float:
    """The statistic alone: scipy's tests work out a p-value with it, and warn when they cannot."""
    values = np.concatenate((one, other))
    below = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (one, other)]
    return float(np.max(np.abs(below[0] - below[1])))


def _quantiles(values: Seconds) -> Quantiles:
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return Quantiles(float(values.mean()), float(p50), float(p95), float(p99))
