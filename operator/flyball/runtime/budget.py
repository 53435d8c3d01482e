"""The cost budget as annotations on the objects that spend it, rewritten only when it says something new."""

from collections.abc import Mapping
from decimal import Decimal

from flyball.core.decision import Decision
from flyball.core.names import Period
from flyball.core.periods import begin, end
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

Annotations = Mapping[str, str | None]


def annotations(spec: WorkloadSpec, decision: Decision) -> Annotations:
    """The annotations that every target of the workload should carry; None removes one.

    Amounts are dollars of the whole workload. Those of the budget speak of its monthly ceiling; the time when it is
    used up assumes the present rate, and is left out where the month (UTC) ends first.
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
            exhausted_at = decision.at + float(remaining / cost.per_hour) * 3600
            if begin(Period.MONTH, decision.at) <= exhausted_at < end(Period.MONTH, decision.at):
                found[EXHAUSTED_AT] = rfc3339(exhausted_at)
    return found


def material(before: Annotations | None, now: Annotations) -> bool:
    """Whether the annotations say something that a reader of the old ones could not have added up himself."""
    if before is None:
        return True
    if any(before.get(key) != now.get(key) for key in (COST_PER_HOUR, GOVERNED_BY)):
        return True
    if any((before.get(key) is None) != (now.get(key) is None) for key in (REMAINING, EXHAUSTED_AT)):
        return True
    moved = (_moved_seconds(before, now, key) for key in (AS_OF, EXHAUSTED_AT))
    return any(seconds >= REFRESH_SECONDS for seconds in moved)


def _moved_seconds(before: Annotations, now: Annotations, key: str) -> float:
    old, new = parse_time(before.get(key)), parse_time(now.get(key))
    return abs(new - old) if old is not None and new is not None else 0.0


REMOVED: Annotations = dict.fromkeys(ALL)
"""What gives a target back as it was."""
