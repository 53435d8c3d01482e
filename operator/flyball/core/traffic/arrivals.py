"""Arrivals, not completions: under saturation completions flatten while users pile up.

Arrivals = completions + growth of what is running or waiting (DESIGN.md, "How it decides", 1).
"""

import math

from flyball.core.memory import BacklogSample
from flyball.core.observation import VariantSignals
from flyball.core.values import dataclass

# A growth measured over less than this is mostly the noise of single requests.
SHORTEST_GROWTH_SECONDS = 8.0
# A step shows as growth beyond this many standard deviations of chance: of a hundred ticks of a steady trickle two
# exceed it, and then by little.
CHANCE_DEVIATIONS = 2.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests per second: `smooth` over the telemetry window, `fast` with the backlog's growth since the last tick.

    Scale up on the larger of the two, down on the larger as well: a step shows first in the growth.
    """

    smooth: float
    fast: float
    backlog: float

    @property
    def demand(self) -> float:
        """The arrivals to staff for, before forecast and headroom."""
        return max(self.smooth, self.fast)


def backlog_of(signals: tuple[VariantSignals, ...]) -> float | None:
    """Requests running or waiting over all variants; None unless every variant that reports anything reports both."""
    reporting = [v for v in signals if v.running.ok or v.waiting.ok]
    if not reporting or any(not (v.running.ok and v.waiting.ok) for v in reporting):
        return None
    return sum(v.running.value + v.waiting.value for v in reporting)


def remember(samples: tuple[BacklogSample, ...], at: float, backlog: float, window: float) -> tuple[BacklogSample, ...]:
    """The samples of the last window (seconds) and the one before it, and the new one; a repeated time is dropped."""
    if samples and at <= samples[-1].at:
        return samples
    kept = [s for s in samples if s.at >= at - window]
    older = [s for s in samples if s.at < at - window]
    return (*older[-1:], *kept, BacklogSample(at, backlog))


def estimate(samples: tuple[BacklogSample, ...], completions_per_second: float, window: float) -> Arrivals:
    """Arrivals from the newest backlog sample, its history, and the completion rate over `window` seconds."""
    newest = samples[-1]
    return Arrivals(
        smooth=max(0.0, completions_per_second + _growth(samples, window)),
        fast=max(0.0, completions_per_second + _surge(samples, completions_per_second)),
        backlog=newest.requests,
    )


def _surge(samples: tuple[BacklogSample, ...], completions_per_second: float) -> float:
    """The backlog's growth since the last tick, less what chance alone brings at the completion rate.

    Over s seconds Poisson arrivals at r per second vary by √(r/s) per second; a trickle that bunches is no step.
    """
    growth = _growth(samples, SHORTEST_GROWTH_SECONDS)
    chance = CHANCE_DEVIATIONS * math.sqrt(completions_per_second / SHORTEST_GROWTH_SECONDS)
    return growth if growth < 0 else max(0.0, growth - chance)


def _growth(samples: tuple[BacklogSample, ...], span: float) -> float:
    """Requests per second by which the backlog grew over at least `span` seconds, or over all there is."""
    newest = samples[-1]
    earlier = [s for s in samples[:-1] if newest.at - s.at >= span] or list(samples[:1])
    seconds = newest.at - earlier[-1].at
    return (newest.requests - earlier[-1].requests) / seconds if seconds >= SHORTEST_GROWTH_SECONDS / 2 else 0.0
