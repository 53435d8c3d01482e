"""How many requests miss an objective at a given load: a curve learned from what happened, starting from a prior.

    odds missed = exp(a + b·x + c·n^-0.75),    x = arrivals / (n × what one replica carries alone)

up to the load that a fleet carries at all; from there on they rise with OVERLOAD_STEEPNESS. Below, single bursts come
too late; above, the queue outlives the burst, and within one start-up everybody is late.

b says how steeply misses rise with load, a where, and c how much worse small fleets fare at the same load per replica:
what n replicas carry grows like n (1 - k / n^0.75), since a pool absorbs bursts that a single queue does not (measured,
conversation and code traffic, 1 to 32 replicas). The curve is what the burstiness within a scrape, the routing and a
wrong capacity model do to users, whatever their cause.

The three terms follow the shares of every window by an extended Kalman filter on counts.
"""

import math

import numpy as np
import numpy.typing as npt

from flyball.core.values import dataclass

# Before anything was seen, 5% of the requests miss at
#
#     x = LOAD × (1 - 1 / (r - 1)² - POOLING / (r × n^0.75)),    r = TTFT threshold / seconds of a lone prefill,
#
# read off capacity tests of 14 combinations of engine, mix and thresholds in the lab's simulator: a threshold that is
# few prefills long leaves little room for a queue. LOAD is below 1 since recorded traffic is burstier than the tests'.
LOAD, POOLING = 0.95, 2.4
POOLING_EXPONENT = 0.75
# Misses rise e-fold in odds over this much load.
WIDTH = 0.05
PRIOR_SHARE = 0.05
# From this load on, or from where 5% miss if that is seen to be higher, a queue grows without end.
FULL_LOAD, OVERLOAD_STEEPNESS = 0.95, 40.0
_KNEE = math.log(PRIOR_SHARE / (1.0 - PRIOR_SHARE))
# How far the prior may be off, as standard deviations of its terms: the place of the rise by 20% of the load. Its
# steepness and pooling hardly move: what a window's load is known with, and how little loads vary once a fleet follows
# them, would be taken for a flat curve, and a flat curve buys replicas that help nobody.
PRIOR_DEVIATIONS = (0.2 / WIDTH, 0.01 / WIDTH, 0.02 / WIDTH)
# The requests of one window share their fate (one burst, one long prompt): they teach as much as this many independent
# ones at most.
MOST_INDEPENDENT = 10.0
# A window moves the curve at its own load by a factor e in odds at most: where the curve is flat, its slope says little
# about how far away the truth is.
LARGEST_MOVE = 1.0
# What the terms wander by in an hour, as a share of the prior's deviation: traffic changes its mix within a day.
WANDER_PER_HOUR = 0.1
# Shares nearer to 0 or 1 than this teach as if they were this: a curve that was sure must still move, and hours without
# a miss must not push the rise out of sight.
_FARTHEST = 0.003
# A fleet large enough carries some load within any threshold that a lone request meets.
_LEAST_ROOM = 0.2
_LEAST_STEEP, _MOST_STEEP = 15.0, 27.0
# Between these loads a large fleet's misses rise, whatever was seen: the capacity model errs by a factor of three at
# most before its own bounds hold it.
_EARLIEST_RISE, _LATEST_RISE = 0.3, 3.0

Vector = npt.NDArray[np.float64]

_WANDER = np.diag((WANDER_PER_HOUR * np.array(PRIOR_DEVIATIONS)) ** 2)


@dataclass(frozen=True, slots=True)
class MissCurve:
    """The three terms of the curve and their covariance (row-major)."""

    terms: tuple[float, float, float]
    covariance: tuple[float, ...]

    def shares(self, loads: Vector, replicas: Vector) -> Vector:
        """The share of requests that miss at these loads per replica (x) with so many replicas, arrays that broadcast
        against each other.
        """
        a, b, c = self.terms
        pooled = c / np.power(replicas, POOLING_EXPONENT)
        knees = np.maximum(FULL_LOAD, (_KNEE - a - pooled) / b)
        odds = np.maximum(a + b * loads + pooled, _KNEE + OVERLOAD_STEEPNESS * (loads - knees))
        found: Vector = 1.0 / (1.0 + np.exp(-np.clip(odds, -40.0, 40.0)))
        return found

    def load_at(self, share: float, replicas: float) -> float:
        """The load per replica (x) at which that share misses; at least a hundredth."""
        a, b, c = self.terms
        return max(0.01, (math.log(share / (1 - share)) - a - c / math.pow(replicas, POOLING_EXPONENT)) / b)


def prior(slack: float = math.inf) -> MissCurve:
    """What is assumed before anything was seen; `slack` is r, infinite where no first token is promised."""
    steep = 1.0 / WIDTH
    room = max(_LEAST_ROOM, 1.0 - 1.0 / (slack - 1.0) ** 2) if slack > 1.0 else _LEAST_ROOM
    place = _KNEE - LOAD * room * steep
    deviations = np.array(PRIOR_DEVIATIONS)
    return MissCurve((place, steep, LOAD * POOLING * steep / max(1.0, slack)), tuple(np.diag(deviations**2).ravel()))


def learn(curve: MissCurve, load: float, replicas: float, missed: float, requests: float, hours: float) -> MissCurve:
    """The curve after a window: `missed` (share) of `requests` at that load and size, `hours` since the last one."""
    if requests <= 0 or replicas <= 0 or not math.isfinite(load):
        return curve
    terms, covariance = np.array(curve.terms), np.array(curve.covariance).reshape(3, 3)
    covariance = covariance + _WANDER * hours
    features = np.array((1.0, load, replicas**-POOLING_EXPONENT))
    share = float(curve.shares(np.array([load]), np.array([replicas]))[0])
    expected = min(1 - _FARTHEST, max(_FARTHEST, share))
    seen = min(1 - _FARTHEST, max(_FARTHEST, missed))
    slope = expected * (1 - expected)
    gradient = slope * features
    noise = slope / min(requests, MOST_INDEPENDENT)
    gain = covariance @ gradient / (float(gradient @ covariance @ gradient) + noise)
    move = gain * (seen - expected)
    terms = terms + move / max(1.0, abs(float(features @ move)) / LARGEST_MOVE)
    covariance = covariance - np.outer(gain, gradient) @ covariance
    steep = min(_MOST_STEEP, max(_LEAST_STEEP, float(terms[1])))
    place = min(-_EARLIEST_RISE * steep, max(-_LATEST_RISE * steep, float(terms[0])))
    pooled = min(steep * POOLING, max(0.0, float(terms[2])))
    return MissCurve((place, steep, pooled), tuple(((covariance + covariance.T) / 2).ravel()))


def carried(curve: MissCurve, replicas: float, requests_per_second: float) -> float:
    """Requests per second that so many replicas carry together, each that rate alone, with PRIOR_SHARE missed: less
    than their sum, since load is not spread perfectly.
    """
    if replicas <= 0:
        return 0.0
    return replicas * requests_per_second * min(1.0, curve.load_at(PRIOR_SHARE, replicas))


def replicas_for(curve: MissCurve, demand: float, requests_per_second: float, most: int) -> int:
    """The fewest replicas that carry the demand (requests/s); `most` + 1 where none up to it does."""
    if demand <= 0:
        return 0
    low, high = 1, most + 1
    while low < high:
        middle = (low + high) // 2
        if carried(curve, middle, requests_per_second) >= demand:
            high = middle
        else:
            low = middle + 1
    return low
