"""When the search for the cheapest counts is made anew: on material change alone.

A plan of whole replicas errs by rounding already, by up to half of one. So one stands as long as all that moved since
it was made could not shift it by more than an eighth of a replica:

    shift = Δ arrivals / rate of one  +  n × (Δ rate / rate + Δ load / load + WIDTH × |Δ ln price of a miss|)

for n replicas; the load is that at which 5% miss, and misses rise e-fold for each WIDTH of it. Everything else that a
plan is made of (which variants, their prices, bounds, start-ups and what runs) must be the same. What is kept is the
search's result only: every law that raises, holds or bounds counts works on it afresh with each tick.
"""

import math
from collections.abc import Sequence

from flyball.core.fleet.economics import Choice, Stakes, cheapest
from flyball.core.fleet.misses import PRIOR_SHARE, WIDTH
from flyball.core.memory import Plan

# A quarter of what rounding to whole replicas errs by at most.
MATERIAL_REPLICAS = 0.125


def planned(choices: Sequence[Choice], stakes: Stakes, kept: Plan | None) -> Plan:
    """The cheapest counts: those kept where nothing material has moved since they were found."""
    if kept is not None and stands(kept, choices, stakes):
        return kept
    return Plan(tuple(choices), stakes, tuple(cheapest(choices, stakes).items()))


def stands(kept: Plan, choices: Sequence[Choice], stakes: Stakes) -> bool:
    """Whether the plan would hardly be another if it were made now."""
    if len(kept.choices) != len(choices) or kept.stakes.fixed_replicas != stakes.fixed_replicas:
        return False
    if any(_given(before) != _given(now) for before, now in zip(kept.choices, choices, strict=True)):
        return False
    return _shift(kept, choices, stakes) <= MATERIAL_REPLICAS


def _given(choice: Choice) -> tuple[str, float, int, int, int, float]:
    """What of a choice must be the same."""
    return choice.name, choice.price, choice.low, choice.high, choice.current, choice.startup_seconds


def _dependable(choice: Choice) -> float:
    """Requests/s of one replica, less what is missing of it on average."""
    return choice.rate * (1.0 - choice.risk)


def _shift(kept: Plan, choices: Sequence[Choice], stakes: Stakes) -> float:
    """By how many replicas the plan may be off, at most."""
    before = kept.stakes
    if not choices or min(before.price, stakes.price) <= 0:
        return 0.0 if before == stakes else math.inf
    replicas = max(1.0, sum(count for _, count in kept.counts) + before.fixed_replicas)
    arrivals = max(abs(now - then) for now, then in zip(stakes.rates, before.rates, strict=True))
    arrivals += abs(stakes.fixed_rate - before.fixed_rate)
    rates = max(
        abs(_dependable(now) / _dependable(then) - 1.0) for now, then in zip(choices, kept.choices, strict=True)
    )
    load = before.curve.load_at(PRIOR_SHARE, replicas)
    loads = abs(stakes.curve.load_at(PRIOR_SHARE, replicas) / load - 1.0)
    price = WIDTH * abs(math.log(stakes.price / before.price))
    return arrivals / min(map(_dependable, choices)) + replicas * (rates + loads + price)
