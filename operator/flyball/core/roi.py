"""ROI targets: the worth of the answers against what they cost, with the interval that the number of requests allows.

Absolute targets only. Breached needs the whole 95% interval on the wrong side; AtRisk only the value itself; and a
missed target is met again when the value is a little better than it.
"""

import math
from decimal import Decimal

from flyball.core.confidence import count_bounds
from flyball.core.cost import overflowed_in, spent_in
from flyball.core.decision import RoiReport
from flyball.core.memory import SpendMemory
from flyball.core.names import RoiMetric
from flyball.core.spec import RoiTarget

MET, AT_RISK, BREACHED, INSUFFICIENT, PRICE_MISSING = "Met", "AtRisk", "Breached", "Insufficient", "PriceMissing"

# Fewer requests than this in a window give intervals so wide that no verdict could follow from them.
FEWEST_REQUESTS = 3.0
# A missed target is met again only this far past it: a value that hovers there would announce itself with every tick.
RELIEF = 0.98


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
    """One target's state; None for metrics that need a KPI source.

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
    if requests is None or requests < FEWEST_REQUESTS or covered_seconds < target.window_seconds or cost <= 0:
        return RoiReport(target.name, INSUFFICIENT, None, None, None, target.amount)
    requests += overflowed_in(spend, at, target.window_seconds)
    low_count, high_count = count_bounds(requests)
    dollars, goal = float(cost), float(target.amount)
    if target.metric is RoiMetric.VALUE_COST_RATIO:
        value, low, high = (float(worth) * count / dollars for count in (requests, low_count, high_count))
        surely_wrong, missed_by = high < goal, goal / value if value > 0 else math.inf
    else:
        value, low, high = dollars / requests, dollars / high_count, dollars / low_count
        surely_wrong, missed_by = low > goal, value / goal if goal > 0 else math.inf
    return RoiReport(target.name, _state(missed_by, surely_wrong, before), value, low, high, target.amount)


def _state(missed_by: float, surely_wrong: bool, before: str | None) -> str:
    """The state for a value that misses its target by that factor (1: hits it; below: better)."""
    wrong = missed_by > (RELIEF if before in (AT_RISK, BREACHED) else 1.0)
    if surely_wrong or (wrong and before == BREACHED):
        return BREACHED
    return AT_RISK if wrong else MET
