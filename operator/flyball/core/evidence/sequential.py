"""Tests of paired differences that stay valid however often, and whenever, somebody looks at them.

Two neighbouring blocks are a pair; a fair coin, thrown for each pair alone, says which of them is treated. If the
treatment adds the same `effect` to every treated block, then what is left of the pair's difference after it, x, is as
likely positive as negative, whatever its size: nothing but the coin decides. So for any bet λ

    e = exp(λx) / cosh(λx) = 2 / (1 + exp(-2λx))

has mean one, and the product over pairs is a martingale, which passes 1/α once in at most a share α of all
experiments, however long they run (Ville's inequality; for symmetric variables Efron 1969, de la Peña 1999). It asks
for no distribution and no independence of the noise: blocks may drift, follow each other, and have wild outliers. A
mean over fixed bets is a martingale, too. Each factor falls as the effect grows, so that the effects not ruled out are
an interval.

`mean_surely_above` is for one bounded figure without pairs: e = 1 + λ(y - m) under a mean of m at most (Waudby-Smith
and Ramdas 2024).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BETS: Floats = np.exp2(np.arange(-1.0, 9.0))
"""Bets on differences of logarithms: the best one is the effect over the variance of a difference, from 0.5 (a tenth
beside a scatter of half) to 256 (one percent beside half a percent).
"""
_SHARES: Floats = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5])
_WIDEST = 50.0
_HALVINGS = 60


def log_evidence(differences: Sequence[float], effect: float = 0.0) -> Floats:
    """After each pair, the logarithm of the evidence that the true effect is above `effect`."""
    left = np.asarray(differences, float)[:, None] - effect
    factors = math.log(2.0) - np.logaddexp(0.0, -2.0 * BETS * left)
    total: Floats = np.logaddexp.reduce(np.cumsum(factors, axis=0), axis=1) - math.log(len(BETS))
    return total


def surely_above(differences: Sequence[float], effect: float, alpha: float) -> bool:
    """Whether the true effect is above that one, wrong in at most a share `alpha` of experiments."""
    return len(differences) > 0 and float(log_evidence(differences, effect).max()) >= -math.log(alpha)


def surely_below(differences: Sequence[float], effect: float, alpha: float) -> bool:
    """Whether the true effect is below that one, in the same way."""
    return surely_above([-each for each in differences], -effect, alpha)


def interval(differences: Sequence[float], alpha: float) -> tuple[float, float]:
    """The effects that were never ruled out at any look so far: together wrong in at most a share `alpha`.

    Infinite where nothing was ruled out yet.
    """
    return _lowest(differences, alpha / 2), -_lowest([-each for each in differences], alpha / 2)


def _lowest(differences: Sequence[float], alpha: float) -> float:
    if not differences or not surely_above(differences, min(differences) - _WIDEST, alpha):
        return -math.inf
    low, high = min(differences) - _WIDEST, max(differences)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if surely_above(differences, middle, alpha) else (low, middle)
    return low


def mean_surely_above(values: Sequence[float], mean: float, alpha: float) -> bool:
    """Whether figures between 0 and 1 come from a process whose mean is above that one, at any look so far."""
    if not values or not 0.0 < mean < 1.0:
        return False
    bets = _SHARES / mean
    steps = np.log1p(bets * (np.asarray(values, float)[:, None] - mean))
    evidence = np.logaddexp.reduce(np.cumsum(steps, axis=0), axis=1) - math.log(len(bets))
    return bool(evidence.max() >= -math.log(alpha))


def coin_is_loaded(heads: int, throws: int, alpha: float) -> bool:
    """Whether a coin that should be fair is not: its likelihood under all coins alike against that of a fair one.

    The mean over a uniform prior is a Beta function, B(heads + 1, tails + 1); as above it may be looked at any time.
    """
    tails = throws - heads
    evidence = math.lgamma(heads + 1) + math.lgamma(tails + 1) - math.lgamma(throws + 2) + throws * math.log(2.0)
    return evidence >= -math.log(alpha)
