"""ROI targets: the worth of the answers against what they cost, with the interval that the number of requests allows.

Absolute targets only. Breached needs the whole 95% interval on the wrong side; AtRisk only the value itself; and a
breached target is met again when the value reaches it.
"""

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


def judge(
    target: RoiTarget,
    value_per_request: Decimal | None,
    requests: float | None,
    spend: SpendMemory,
    at: float,
    before: str | None,
    covered_seconds: float,
) -> RoiReport | None:
    """One target's state; None for metrics that need a KPI source.

    `requests` the replicas finished within the target's window (None: unknown); those of the fallback come on top.
    `covered_seconds` is for how long costs are on record: a window that they do not cover yet proves nothing.
    """
    worth = value_per_request if target.metric is RoiMetric.VALUE_COST_RATIO else Decimal(1)
    if target.metric not in (RoiMetric.VALUE_COST_RATIO, RoiMetric.COST_PER_REQUEST) or worth is None:
        return None
    cost = spent_in(spend, at, target.window_seconds)
    if not spend.rates or spend.rates[-1].replicas <= 0 or cost <= 0:
        return RoiReport(target.name, PRICE_MISSING, None, None, None, target.amount)
    if requests is None or requests < FEWEST_REQUESTS or covered_seconds < target.window_seconds:
        return RoiReport(target.name, INSUFFICIENT, None, None, None, target.amount)
    requests += overflowed_in(spend, at, target.window_seconds)
    low_count, high_count = count_bounds(requests)
    dollars, goal = float(cost), float(target.amount)
    if target.metric is RoiMetric.VALUE_COST_RATIO:
        value, low, high = (float(worth) * count / dollars for count in (requests, low_count, high_count))
        wrong, surely_wrong = value < goal, high < goal
    else:
        value, low = dollars / requests, dollars / high_count
        high = dollars / max(low_count, 1e-9)
        wrong, surely_wrong = value > goal, low > goal
    return RoiReport(target.name, _state(wrong, surely_wrong, before), value, low, high, target.amount)


def _state(wrong: bool, surely_wrong: bool, before: str | None) -> str:
    if surely_wrong or (wrong and before == BREACHED):
        return BREACHED
    return AT_RISK if wrong else MET
