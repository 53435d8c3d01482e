"""What a spec says of the worth of answers, resolved for the core: KPIs with their dollars, guards, ROI targets."""

from collections.abc import Mapping
from decimal import Decimal

from flyball.api.declared import roi_target_acted_on
from flyball.api.defaults import DEFAULT_ROI_WINDOW
from flyball.api.pricing import PriceBooks, no_book, usable_book
from flyball.api.v1alpha1 import WorkloadSLOSpec, money
from flyball.api.v1alpha1.words import RoiBaseline
from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.core.names import KpiKind, RoiMetric
from flyball.core.spec import RoiTarget
from flyball.core.units import parse_duration_seconds, parse_money, parse_ratio
from flyball.core.value.kpi import NOTHING, Guard, Kpi, Value

FEWEST_CASES = 30
MINUTES_PER_HOUR = 60


def value_of(
    declared: money.ValueSpec | None, book_name: str | None, books: PriceBooks, currency: str = DEFAULT_CURRENCY
) -> Value:
    """The KPIs and guards, with dollars from the rates of the workload's PriceBook."""
    if declared is None:
        return Value()
    book = usable_book(book_name, books, currency)
    fix = f"add it to laborRates of PriceBook {book_name}" if book_name else "set cost.priceBookRef"
    if book_name and book is None:
        fix = no_book(book_name, books, currency)
    rates = {rate.role: parse_money(rate.per_hour) for rate in book.spec.labor_rates} if book else {}
    return Value(
        tuple(_kpi(kpi, rates, fix) for kpi in declared.kpis), tuple(_guard(guard) for guard in declared.guards)
    )


def roi_targets_of(spec: WorkloadSLOSpec) -> tuple[RoiTarget, ...]:
    """The targets that can be evaluated."""
    return tuple(_target(target, spec.value) for target in spec.roi_targets if roi_target_acted_on(target, spec.value))


def _target(target: money.RoiTargetSpec, value: money.ValueSpec | None) -> RoiTarget:
    relative = target.baseline is RoiBaseline.RECORDED
    outcomes = (
        target.metric is RoiMetric.VALUE_COST_RATIO and value is not None and any(kpi.has_worth for kpi in value.kpis)
    )
    return RoiTarget(
        target.name,
        target.metric,
        Decimal(target.amount),
        parse_duration_seconds(target.window or DEFAULT_ROI_WINDOW),
        kpi=target.kpi or "",
        relative=relative,
        by_ledger=relative or outcomes or target.metric in (RoiMetric.KPI, RoiMetric.COST_TO_SERVE),
    )


def _kpi(kpi: money.Kpi, rates: Mapping[str, Decimal], fix: str) -> Kpi:
    role, rate, missing = kpi.labor_role, NOTHING, ""
    if role is not None and role not in rates:
        missing = f"the rate of labour role {role} of KPI {kpi.name} is not known: {fix}"
    elif role is not None:
        rate = rates[role] / MINUTES_PER_HOUR
    saved, spent = (
        Decimal(minutes) * rate if minutes is not None else NOTHING
        for minutes in (kpi.minutes_saved_per_outcome, kpi.minutes_spent_per_outcome)
    )
    reported = kpi.minutes_saved_per_outcome is None and kpi.minutes_spent_per_outcome is None
    return Kpi(
        kpi.name,
        kpi.kind,
        kpi.query or "",
        worth=parse_money(kpi.value_per_outcome) if kpi.value_per_outcome is not None else saved,
        worth_per_minute=rate if reported and kpi.kind is KpiKind.TIME_SAVED else NOTHING,
        labor=spent,
        labor_per_minute=rate if reported and kpi.kind is KpiKind.HANDLE_TIME else NOTHING,
        guard=kpi.guard or "",
        missing=missing,
    )


def _guard(guard: money.Guard) -> Guard:
    limit = guard.at_most if guard.at_most is not None else guard.at_least
    return Guard(
        guard.name,
        parse_ratio(limit or "0%"),
        at_least=guard.at_most is None,
        query=guard.query or "",
        kpi=guard.kpi or "",
        fewest=float(guard.min_cases or FEWEST_CASES),
    )
