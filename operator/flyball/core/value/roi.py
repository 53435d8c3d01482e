"""ROI targets: the worth of the answers against what they cost, with the interval that the number of requests allows.

Breached needs the whole 95% interval on the wrong side, AtRisk the value by one deviation, and a target once missed is
met again when the value is right by one deviation: in between chance decides, and says nothing. `judge` is for targets
that the tick's own account can tell; those that need the ledger are in `core.value.returns`.
"""

from decimal import Decimal

from flyball.core.confidence import count_bounds
from flyball.core.decision import RoiReport
from flyball.core.memory import SpendMemory
from flyball.core.money.cost import overflowed_in, spent_in
from flyball.core.names import RoiMetric
from flyball.core.spec import RoiTarget
from flyball.core.values import dataclass

MET, AT_RISK, BREACHED, INSUFFICIENT, PRICE_MISSING = "Met", "AtRisk", "Breached", "Insufficient", "PriceMissing"
UNPROVEN = "Unproven"
JUDGED = (MET, AT_RISK, BREACHED)

# Fewer requests than this in a window give intervals so wide that no verdict could follow from them; a verdict once
# given stays while there are any.
FEWEST_REQUESTS = 3.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its bounds at 95% and at one deviation."""

    value: float
    low: float
    high: float
    likely_low: float
    likely_high: float

    def state(self, goal: float, before: str | None, *, at_least: bool) -> str:
        """Met, AtRisk or Breached, given what was told before."""
        if at_least:
            met, missed, surely_missed = self.likely_low >= goal, self.likely_high < goal, self.high < goal
        else:
            met, missed, surely_missed = self.likely_high <= goal, self.likely_low > goal, self.low > goal
        state = BREACHED if surely_missed else MET if met else before
        return state if state in (AT_RISK, BREACHED) else AT_RISK if missed else MET


def growing(value: float, events: float) -> Estimate:
    """A figure that is proportional to a number of events."""
    (low, high), (few, many) = count_bounds(events), count_bounds(events, 1.0)
    return Estimate(value, *(value * bound / events for bound in (low, high, few, many)))


def falling(value: float, events: float) -> Estimate:
    """A figure that is inversely proportional to a number of events."""
    (low, high), (few, many) = count_bounds(events), count_bounds(events, 1.0)
    return Estimate(value, *(value * events / bound for bound in (high, low, many, few)))


def fewest(before: str | None) -> float:
    """The fewest events to judge on, given what was told before."""
    return 1.0 if before in JUDGED else FEWEST_REQUESTS


def judge(
    target: RoiTarget,
    value_per_request: Decimal | None,
    requests: float | None,
    spend: SpendMemory,
    at: float,
    before: str | None,
    covered_seconds: float,
    priced: bool,
) -> RoiReport | None:
    """One target's state; None for those that need the ledger.

    `requests` the replicas finished within the target's window (None: unknown); those of the fallback come on top.
    `covered_seconds` is for how long costs are on record: a window that they do not cover yet proves nothing. `priced`
    is false where a replica has no known price.
    """
    worth = value_per_request if target.metric is RoiMetric.VALUE_COST_RATIO else Decimal(1)
    if target.metric not in (RoiMetric.VALUE_COST_RATIO, RoiMetric.COST_PER_REQUEST) or worth is None:
        return None
    cost = spent_in(spend, at, target.window_seconds)
    if not priced:
        return RoiReport(target.name, PRICE_MISSING, None, None, None, target.amount)
    if requests is None or requests < fewest(before) or covered_seconds < target.window_seconds or cost <= 0:
        return RoiReport(target.name, INSUFFICIENT, None, None, None, target.amount)
    requests += overflowed_in(spend, at, target.window_seconds)
    at_least = target.metric is RoiMetric.VALUE_COST_RATIO
    if at_least:
        found = growing(float(worth) * requests / float(cost), requests)
    else:
        found = falling(float(cost) / requests, requests)
    state = found.state(float(target.amount), before, at_least=at_least)
    return RoiReport(target.name, state, found.value, found.low, found.high, target.amount)
