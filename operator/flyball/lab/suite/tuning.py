"""Hindsight: which knobs a rival should have had on this very trace, and which of its knobs' values are swept.

NAME* is the rival with those knobs. They come from a coarse grid on one seed and the busiest 24 hours; the best three
are verified on all seeds and the whole trace; the cheapest that meets the objectives wins, or else the best attainment.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from flyball.lab.scenario import Scenario
from flyball.lab.suite.feasible import alone
from flyball.lab.trace import Trace

ItemT = TypeVar("ItemT")
ValueT = TypeVar("ValueT")

DAY_SECONDS = 86_400.0
STEP_SECONDS = 3600.0
VERIFIED = 3


def ranked(candidates: Iterable[ItemT], judged: Callable[[ItemT], tuple[float, float]]) -> list[ItemT]:
    """Candidates, best first, judged by (margin, cost): those that meet the objectives by cost, the rest by margin."""

    def order(candidate: ItemT) -> tuple[bool, float, float]:
        margin, cost = judged(candidate)
        missed = margin < -1e-12
        return (missed, -margin if missed else cost, cost if missed else -margin)

    return sorted(candidates, key=order)


def busiest_day(scenario: Scenario, trace: Trace) -> float | None:
    """Where the busiest 24 hours of the part begin, by the time that their requests would keep idle replicas busy;
    None where the part lasts no longer.
    """
    if trace.span_seconds <= DAY_SECONDS:
        return None
    lone = alone(trace, scenario.variants[0].engine)
    cumulative = np.concatenate(([0.0], np.cumsum(lone.finished_at - trace.t_seconds)))
    begins = np.arange(0.0, trace.span_seconds - DAY_SECONDS + 1.0, STEP_SECONDS)
    first, last = (np.searchsorted(trace.t_seconds, begins + shift) for shift in (0.0, DAY_SECONDS))
    return float(begins[np.argmax(cumulative[last] - cumulative[first])])


def cut_to_day(scenario: Scenario, begin: float | None) -> Scenario:
    """The scenario cut to the 24 hours from `begin` of its part on; as it is for None."""
    if begin is None:
        return scenario
    source = scenario.trace
    part = replace(source, start_seconds=source.start_seconds + begin, duration_seconds=DAY_SECONDS)
    if source.shift is not None:
        part = replace(part, shift=replace(source.shift, at_seconds=source.shift.at_seconds - begin))
    return replace(scenario, trace=part)


def thinned(values: Sequence[ValueT], most: int) -> list[ValueT]:
    """At most so many of the values, evenly over their order, the outer ones among them."""
    if len(values) <= most:
        return list(values)
    places = np.unique(np.rint(np.linspace(0, len(values) - 1, most)).astype(int))
    return [values[place] for place in places.tolist()]


def around(values: Sequence[float], chosen: float, most: int) -> list[float]:
    """At most so many of the sorted values on both sides of the chosen one, the nearest in order, itself left out."""
    below = [value for value in values if value < chosen]
    above = [value for value in values if value > chosen]
    left = min(len(below), max(most // 2, most - len(above)))
    return below[len(below) - left :] + above[: most - left]
