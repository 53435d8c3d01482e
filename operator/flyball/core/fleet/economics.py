"""How many replicas are worth their price: the cheapest counts when every missed request has one, too.

    dollars per hour = Σ price × (n + switch × max(0, n - current)) + price of a miss × E[missed requests per hour]

The expectation runs over what may arrive when a replica ordered now is ready. A start costs `switch` replica-hours per
hour: it is paid for before it serves, out of the time for which a count stands and that itself. When a change of counts
is worth making at all is `core.fleet.patience`'s.

Replicas on spot capacity carry less than their number: each is missing with the probability that it is reclaimed and
starting again, and what misses while more of them are missing than on average is priced like any other miss (one
deviation more and one less stand for the whole distribution, with half of the weight each). What a replica serves when
it is taken away begins anew elsewhere, and misses as well.

Where more arrives than is carried, everybody is late however many replicas there are short of enough; what is not
served at all is counted once more, so that each replica still counts.

This is the Lagrangian of "fewest dollars with at most that share missed". The price of a miss is its multiplier, moved
by how much of the error budget burned (`price_of_miss`).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from flyball.core.fleet.misses import PRIOR_SHARE, MissCurve
from flyball.core.values import dataclass

# A count is expected to stand about this long, in seconds: on recorded traffic a fleet of 5 to 17 changes its count
# every 4 to 14 minutes, and what was expected to stand longer than it does is changed too often.
DWELL_SECONDS = 240.0
# The price of a miss in multiples of what serving one request costs, for an error budget of one: with a budget of 5% a
# miss costs four times what serving it would. Where misses rise e-fold for each 5% of load, that is where the last
# replica is just worth it.
START_PRICE = 0.2
# How much of the budget should burn: a fifth is left for what cannot be foreseen.
AIM = 0.8
# The price follows the share of the budget that burned: e-fold for each tenth of it, within these bounds, so that
# misses that no price could have averted (a burst faster than a start) do not wind it up.
GAIN, LOWEST, HIGHEST = 10.0, -0.2, 0.2
# However little burned, a request is worth more than serving it well costs: else serving nobody would be cheapest.
LEAST_PRICE = 1.1
# A count at which fewer than this share miss needs no company.
_ENOUGH = 0.001
# Counts of several variants are tried on a grid of this many per variant, then one by one around the best.
_GRID = 12
# What no replica carries, in requests/s: for a division.
_NOTHING = 1e-9

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """One variant whose count may be chosen, from `low` to `high`.

    `price` is in dollars per replica and hour (any unit, if the same for all), `rate` what one replica carries alone
    in requests/s, `startup_seconds` how long one takes to serve, `risk` the share of them that is expected to be
    missing (spot capacity that was reclaimed), and `batch` the requests that a full one is serving.
    """

    name: str
    price: float
    rate: float
    low: int
    high: int
    current: int
    startup_seconds: float
    risk: float = 0.0
    batch: float = 0.0

    @property
    def dropped_per_second(self) -> float:
        """The requests/s that begin anew, late, since one full replica is reclaimed now and then.

        With the share p missing and s seconds until another one serves, one is reclaimed every (1 − p) · s / p seconds.
        """
        return self.risk / ((1.0 - self.risk) * max(1.0, self.startup_seconds)) * self.batch


@dataclass(frozen=True, slots=True)
class Stakes:
    """What may arrive (requests/s) with which probability, how misses rise, and what one costs in multiples of serving
    one. `fixed_rate` is carried by `fixed_replicas` whose count is not chosen.
    """

    rates: tuple[float, ...]
    masses: tuple[float, ...]
    curve: MissCurve
    price: float
    fixed_rate: float = 0.0
    fixed_replicas: int = 0


def price_of_miss(budget: float, burned: float) -> float:
    """Multiples of the cost of serving a request, given the allowed share and the burned multiple of it (1: all)."""
    return START_PRICE / budget * math.exp(GAIN * min(HIGHEST, max(LOWEST, burned - AIM)))


def cheapest(choices: Sequence[Choice], stakes: Stakes) -> dict[str, int]:
    """The counts with the least cost; of equally dear ones the smallest. Empty where there is nothing to choose."""
    if not choices:
        return {}
    bounds = [(choice.low, max(choice.low, min(choice.high, _enough(choice, stakes)))) for choice in choices]
    if len(choices) == 1:
        (low, high), (choice,) = bounds[0], choices
        return {choice.name: low + int(np.argmin(_costs(np.arange(low, high + 1)[:, None], choices, stakes)))}
    while True:
        strides = [max(1, math.ceil((high - low) / _GRID)) for low, high in bounds]
        axes = [
            np.unique(np.append(np.arange(low, high + 1, stride), high))
            for (low, high), stride in zip(bounds, strides, strict=True)
        ]
        counts = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        best = counts[int(np.argmin(_costs(counts, choices, stakes)))]
        if max(strides) == 1:
            return {choice.name: int(count) for choice, count in zip(choices, best, strict=True)}
        bounds = [
            (max(low, int(count) - stride), min(high, int(count) + stride))
            for (low, high), count, stride in zip(bounds, best, strides, strict=True)
        ]


def switch(choice: Choice) -> float:
    """Replica-hours per hour that a start costs: it is paid for before it serves."""
    return choice.startup_seconds / (choice.startup_seconds + DWELL_SECONDS)


def costs_of(choices: Sequence[Choice], stakes: Stakes, *counts: Mapping[str, int]) -> list[float]:
    """What such counts cost by the formula above, for each of them."""
    rows = np.array([[each[choice.name] for choice in choices] for each in counts])
    return [float(cost) for cost in _costs(rows, choices, stakes)]


def _costs(counts: Counts, choices: Sequence[Choice], stakes: Stakes) -> Numbers:
    """Cost of each row of counts (one column for each choice)."""
    prices = np.array([choice.price for choice in choices])
    rates = np.array([choice.rate for choice in choices])
    current = np.array([choice.current for choice in choices])
    starts = np.array([switch(choice) for choice in choices])
    risks = np.array([choice.risk for choice in choices])
    staying = 1.0 - risks
    dependable = rates * staying
    carried = counts @ dependable + stakes.fixed_rate
    replicas = counts @ staying + stakes.fixed_replicas
    if any(choice.risk for choice in choices):
        spread = np.sqrt(counts @ (rates**2 * risks * staying))
        missed = (_missed(carried - spread, replicas, stakes) + _missed(carried + spread, replicas, stakes)) / 2.0
        dropped = counts @ np.array([choice.dropped_per_second for choice in choices])
        mean = float(np.array(stakes.rates) @ np.array(stakes.masses))
        missed = missed + dropped * np.minimum(1.0, mean / np.maximum(carried, _NOTHING))
    else:
        missed = _missed(carried, replicas, stakes)
    size = max(1.0, float(sum(choice.current for choice in choices)) + stakes.fixed_replicas)
    multiple = max(stakes.price, LEAST_PRICE / min(1.0, stakes.curve.load_at(PRIOR_SHARE, size)))
    price_of_one = multiple * float((prices / dependable).min())
    kept: Numbers = (counts + starts * np.maximum(0, counts - current)) @ prices + price_of_one * missed
    return kept


def _missed(carried: Numbers, replicas: Numbers, stakes: Stakes) -> Numbers:
    """Requests per second that are expected to miss, where so many replicas carry that rate."""
    arriving = np.array(stakes.rates)
    loads = arriving[None, :] / np.maximum(carried, _NOTHING)[:, None]
    shares = stakes.curve.shares(loads, np.maximum(replicas, 1.0)[:, None])
    unserved = np.maximum(0.0, arriving[None, :] - carried[:, None])
    found: Numbers = (shares * arriving[None, :] + unserved) @ np.array(stakes.masses)
    return found


def _enough(choice: Choice, stakes: Stakes) -> int:
    """The fewest replicas, of this choice alone, at which hardly a request misses at the highest rate."""
    highest = max(stakes.rates)
    count = 1.0
    for _ in range(4):  # what one carries grows with their number, ever more slowly
        count = max(1.0, highest / (choice.rate * stakes.curve.load_at(_ENOUGH, count)))
    staying = 1.0 - choice.risk
    return math.ceil((count + 2.0 * math.sqrt(choice.risk * count)) / staying) + 1
