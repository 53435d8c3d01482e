"""Objectives: shares of good requests against their budget, over several windows, with few events taken as few.

A burn rate is the bad share divided by the allowed one: at 1 the budget lasts exactly its window. An objective is
Breached when the short and the next longer window both burn beyond doubt, and Met again when the short window is within
its budget: what users feel now, not what the month's average forgives. Burning is the short window alone, by three
deviations: it is looked at so often that 95% would be wrong several times an hour. Few events are no news: a state
stays until there are surely too few to judge it by.
"""

import math

from flyball.core.confidence import Z_NEWS, Z_ONE_SIDED_95, count_bounds, share_bounds
from flyball.core.decision import ObjectiveReport
from flyball.core.observation import ObjectiveReading, SignalState, WindowShare, believable
from flyball.core.spec import Objective

MET, BURNING, BREACHED = "Met", "Burning", "Breached"
INSUFFICIENT, UNMEASURABLE = "Insufficient", "Unmeasurable"

# Fewer events than this in the short window say nothing: one slow request among four is no trend.
FEWEST_EVENTS = 5.0
# The share of an error budget below which owners are told that it runs low.
BUDGET_LOW = 0.25


def unmeasurable(reading: ObjectiveReading) -> bool:
    """Whether the threshold lies outside the histogram's edges, where interpolation has nothing to stand on."""
    edges = reading.edges
    return edges is not None and not edges.exact and (edges.lower <= 0 or math.isinf(edges.upper))


def judge(objective: Objective, reading: ObjectiveReading, before: str | None) -> str:
    """The objective's state, given the one announced before."""
    if unmeasurable(reading):
        return UNMEASURABLE
    if reading.state not in (SignalState.OK, SignalState.INSUFFICIENT):
        return str(reading.state)
    if not all(share.usable for share in reading.shares):
        return str(SignalState.INVALID)
    enough = [share for share in reading.shares if share.total >= FEWEST_EVENTS]
    if reading.state is SignalState.INSUFFICIENT or not enough or enough[0].window_seconds > longest_look(reading):
        return before if before in (MET, BURNING, BREACHED) and not _fell_silent(reading, before) else INSUFFICIENT
    short, newest = enough[0], reading.shares[0]
    if short is not newest:
        # Few events in the newest window are no evidence of a breach; but where those few are good, users feel none.
        if newest.total >= 1 and newest.bad_share <= objective.budget:
            return MET
        if before in (MET, BURNING, BREACHED):
            return before
    longer = enough[1] if len(enough) > 1 else short
    if short.bad_share <= objective.budget:
        return MET
    if _surely_burning(objective, short) and _surely_burning(objective, longer):
        return BREACHED
    if before in (BREACHED, BURNING):
        return before
    return BURNING if _surely_burning(objective, short, Z_NEWS) else MET


def _fell_silent(reading: ObjectiveReading, before: str) -> bool:
    """Whether there are surely too few requests by now to keep the state that was judged by more.

    Beyond chance fewer than the fewest in the longest look; or, for one that burned, none in the newest window where
    the rate of that look would have brought some: nobody is left to feel it.
    """
    if not reading.shares:
        return True
    newest, look = reading.shares[0], reading.shares[min(1, len(reading.shares) - 1)]
    if count_bounds(look.total)[1] < FEWEST_EVENTS:
        return True
    expected = look.total * newest.window_seconds / look.window_seconds
    return before != MET and count_bounds(newest.total, Z_NEWS)[1] < expected


def longest_look(reading: ObjectiveReading) -> float:
    """The longest window (seconds) that may say how an objective stands now: the second shortest of its windows."""
    return reading.shares[min(1, len(reading.shares) - 1)].window_seconds


def report(objective: Objective, reading: ObjectiveReading, before: str | None) -> ObjectiveReport:
    """The objective as measured now; numbers are None where nothing is known."""
    state, percentiles = judge(objective, reading, before), reading.percentiles
    shares = reading.shares if all(share.usable for share in reading.shares) else ()
    own = shares[-1] if shares and shares[-1].total > 0 else None
    return ObjectiveReport(
        name=objective.name,
        state=state,
        attained=1.0 - own.bad_share if own else None,
        burn_short=_burn(objective, shares[0]) if shares else None,
        burn_long=_burn(objective, shares[1]) if len(shares) > 1 else None,
        budget_left=_budget_left(objective, own) if own else None,
        p50=_latency(percentiles.p50) if percentiles else None,
        p95=_latency(percentiles.p95) if percentiles else None,
        p99=_latency(percentiles.p99) if percentiles else None,
        burns_now=state in (BURNING, BREACHED) and _burns_now(objective, shares[0]),
    )


def budget_state(report_: ObjectiveReport) -> str | None:
    """Plenty, Low or Exhausted for the error budget of the objective's own window; None where it is unknown."""
    if report_.budget_left is None:
        return None
    if report_.budget_left <= 0:
        return "Exhausted"
    return "Low" if report_.budget_left < BUDGET_LOW else "Plenty"


def _burns_now(objective: Objective, short: WindowShare) -> bool:
    return short.total >= FEWEST_EVENTS and _surely_burning(objective, short)


def _surely_burning(objective: Objective, share: WindowShare, z: float = Z_ONE_SIDED_95) -> bool:
    return share_bounds(share.total - share.good, share.total, z)[0] > objective.budget


def _latency(seconds: float) -> float | None:
    return seconds if believable(seconds) else None


def _burn(objective: Objective, share: WindowShare) -> float | None:
    if share.total <= 0:
        return None
    return share.bad_share / objective.budget if objective.budget > 0 else (math.inf if share.bad_share else 0.0)


def _budget_left(objective: Objective, share: WindowShare) -> float:
    burned = _burn(objective, share)
    return 1.0 - burned if burned is not None and math.isfinite(burned) else 0.0
