"""The cost budget as annotations on the objects that spend it, rewritten only when it says something new."""

from collections.abc import Mapping
from decimal import Decimal

from flyball.core.decision import Decision
from flyball.core.names import Period
from flyball.core.spec import WorkloadSpec
from flyball.core.units import format_money
from flyball.runtime.status import parse_time, rfc3339

PREFIX = "flyball.dev/"
COST_PER_HOUR = PREFIX + "cost-per-hour"
MONTH_TO_DATE = PREFIX + "month-to-date"
AS_OF = PREFIX + "month-to-date-as-of"
REMAINING = PREFIX + "budget-remaining"
EXHAUSTED_AT = PREFIX + "budget-exhausted-at"
GOVERNED_BY = PREFIX + "governed-by"
ALL = (COST_PER_HOUR, MONTH_TO_DATE, AS_OF, REMAINING, EXHAUSTED_AT, GOVERNED_BY)

# Money that only ran on at the announced rate is rewritten this seldom: the reader can add it up.
REFRESH_SECONDS = 3600.0
# Exhaustion farther away than this is no date worth writing.
FARTHEST_EXHAUSTION_SECONDS = 366 * 86400.0

Annotations = Mapping[str, str | None]


def annotations(spec: WorkloadSpec, decision: Decision) -> Annotations:
    """The annotations that every target of the workload should carry; None removes one.

    Amounts are dollars of the whole workload; the last two speak of its monthly ceiling.
    """
    cost, ceiling = decision.cost, spec.ceiling(Period.MONTH)
    found: dict[str, str | None] = dict.fromkeys(ALL)
    found[GOVERNED_BY] = f"WorkloadSLO/{spec.key.name}"
    if cost.per_hour is None:
        return found
    found[COST_PER_HOUR] = format_money(cost.per_hour, 2)
    found[MONTH_TO_DATE] = format_money(cost.month_to_date, 2)
    found[AS_OF] = rfc3339(decision.at)
    if ceiling is not None:
        remaining = ceiling.amount - cost.month_to_date
        found[REMAINING] = format_money(max(Decimal(0), remaining), 2)
        if cost.per_hour > 0:
            seconds = max(0.0, float(remaining / cost.per_hour) * 3600)
            if seconds < FARTHEST_EXHAUSTION_SECONDS:
                found[EXHAUSTED_AT] = rfc3339(decision.at + seconds)
    return found


def material(before: Annotations | None, now: Annotations) -> bool:
    """Whether the annotations say something that a reader of the old ones could not have added up himself."""
    if before is None:
        return True
    if any(before.get(key) != now.get(key) for key in (COST_PER_HOUR, GOVERNED_BY)):
        return True
    if (before.get(REMAINING) is None) != (now.get(REMAINING) is None):
        return True
    old, new = parse_time(before.get(AS_OF)), parse_time(now.get(AS_OF))
    return old is not None and new is not None and new - old >= REFRESH_SECONDS


REMOVED: Annotations = dict.fromkeys(ALL)
"""What gives a target back as it was."""
