"""What a workload may cost, what its answers are worth, and the return that is asked of it."""

from typing import Annotated

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, rule
from flyball.api.scalars import (
    Count,
    Currency,
    Duration,
    ItemName,
    Money,
    Number,
    ObjectName,
    Percent,
    PromQL,
    Prose,
    RoleName,
    cel_is_positive,
    is_positive,
)
from flyball.api.v1alpha1.words import RoiBaseline
from flyball.core.names import Enforcement, KpiKind, Period, RoiMetric


class PriceBookRef(ApiModel):
    """A PriceBook of the cluster."""

    name: ObjectName
    """Name of the PriceBook."""


class CeilingSpec(ApiModel):
    """At most so many dollars per period, request or million tokens."""

    period: Period
    """What is counted: an hour, a calendar day or month (UTC), one request, or a million tokens in and out."""
    amount: Money
    """Dollars that are not to be exceeded."""
    enforcement: Enforcement = Enforcement.ALERT
    """Alert: an Event and a condition. Clamp: no replica beyond it. Fallback: clamp, and overflow to the fallback. The
    budget of a day or month is paced: what is left is spread over what is still expected. Per request or million tokens
    a ceiling only alerts."""

    @rule(
        cel=cel_is_positive("self.amount"),
        field=".amount",
        problem="amount is zero, which no workload can keep to",
        fix="write dollars such as '12.50', or set mode to Paused to stop acting",
    )
    def _amount_is_positive(self) -> bool:
        return is_positive(self.amount)


class LaborSpec(ApiModel):
    """Work of people that requests cause, such as reviews and escalations."""

    role: RoleName
    """Whose work: a role of the PriceBook's laborRates."""
    minutes_per_request: Number
    """Minutes of it that a request causes on average."""


class CostSpec(ApiModel):
    """Prices and ceilings."""

    currency: Currency | None = None
    """The currency of every amount in this WorkloadSLO, wherever fields say dollars. It must be that of its PriceBook,
    and the one that Flyball reckons in, which it defaults to: nothing is converted."""
    price_book_ref: PriceBookRef | None = None
    """The PriceBook for GPU prices that targets leave out and for the rest of a request's cost."""
    ceilings: Annotated[tuple[CeilingSpec, ...], Field(max_length=5), ListMap("period")] = ()
    """Cost ceilings, one per period."""
    labor: Annotated[tuple[LaborSpec, ...], Field(max_length=8), ListMap("role")] = ()
    """Work of people that every request causes, at the PriceBook's rates."""


_WORTHS = ("valuePerOutcome", "minutesSavedPerOutcome", "minutesSpentPerOutcome")
_REPORTED_MINUTES = frozenset({KpiKind.TIME_SAVED, KpiKind.HANDLE_TIME})


class Kpi(ApiModel):
    """A business outcome: read by PromQL, or pushed and imported, once each."""

    name: ItemName
    """Name of the KPI, for roiTargets, reports and records."""
    kind: KpiKind
    """What it counts. TimeSaved, TimeToAnswer and HandleTime are minutes for each outcome, the others shares of
    cases."""
    query: PromQL | None = None
    """PromQL of outcomes per second, read once an hour into the ledger. Without it outcomes are pushed or imported."""
    value_per_outcome: Money | None = None
    """Dollars that one outcome is worth."""
    minutes_saved_per_outcome: Number | None = None
    """Minutes of work that one outcome saves, worth the PriceBook's rate for `laborRole`."""
    minutes_spent_per_outcome: Number | None = None
    """Minutes of work that one outcome causes, such as an escalation: a cost, at the PriceBook's rate for
    `laborRole`."""
    labor_role: RoleName | None = None
    """Whose minutes: a role of the PriceBook's laborRates. Without minutes per outcome, the minutes that TimeSaved or
    HandleTime report are meant."""
    guard: ItemName | None = None
    """The guard of value.guards without which an outcome does not count."""

    @property
    def has_worth(self) -> bool:
        """Whether an outcome is worth anything."""
        saved = self.kind is KpiKind.TIME_SAVED and self.labor_role is not None
        return saved or not (self.value_per_outcome is None and self.minutes_saved_per_outcome is None)

    @rule(
        cel=f"[{', '.join(f'has(self.{field})' for field in _WORTHS)}].filter(x, x).size() <= 1",
        problem="more than one of valuePerOutcome, minutesSavedPerOutcome and minutesSpentPerOutcome is set",
        fix="keep one of them: an outcome that saves work and causes some is two KPIs",
        reason="FieldValueForbidden",
    )
    def _worth_is_counted_once(self) -> bool:
        worths = (self.value_per_outcome, self.minutes_saved_per_outcome, self.minutes_spent_per_outcome)
        return sum(worth is not None for worth in worths) <= 1

    @rule(
        cel=(
            "(has(self.minutesSavedPerOutcome) || has(self.minutesSpentPerOutcome)) ? has(self.laborRole) "
            ": (!has(self.laborRole) || (self.kind in ['TimeSaved', 'HandleTime'] && !has(self.valuePerOutcome)))"
        ),
        field=".laborRole",
        problem="laborRole and the minutes that it pays for belong together",
        fix="set laborRole beside minutes saved or spent per outcome, or alone on TimeSaved or HandleTime",
    )
    def _minutes_have_a_rate(self) -> bool:
        if self.minutes_saved_per_outcome is not None or self.minutes_spent_per_outcome is not None:
            return self.labor_role is not None
        return self.labor_role is None or (self.kind in _REPORTED_MINUTES and self.value_per_outcome is None)

    @rule(
        cel="!(self.kind in ['Deflection', 'Containment']) || has(self.guard)",
        field=".guard",
        problem="guard is missing: deflection and containment count only with a quality check",
        fix="name a guard of value.guards, such as one on post-bot contacts",
        reason="FieldValueRequired",
    )
    def _deflection_is_guarded(self) -> bool:
        return self.kind not in {KpiKind.DEFLECTION, KpiKind.CONTAINMENT} or self.guard is not None


class Guard(ApiModel):
    """A quality check that an outcome must pass to count."""

    name: ItemName
    """Name of the guard."""
    query: PromQL | None = None
    """PromQL of a share between 0 and 1, such as the share of answers that pass a check."""
    kpi: ItemName | None = None
    """In place of a query: a KPI of value.kpis whose share of cases is meant, such as contacts that come back."""
    at_least: Percent | None = None
    """The share below which the outcomes do not count."""
    at_most: Percent | None = None
    """In place of atLeast: the share above which they do not count."""
    min_cases: Count | None = None
    """Cases that the share must be of: those of the KPI, or with a query those of the guarded KPI. On fewer the
    outcomes do not count either. Defaults to 30."""

    @rule(
        cel="has(self.query) != has(self.kpi)",
        problem="a guard needs a query or a KPI, and not both",
        fix="write the PromQL of a share under query, or the name of a KPI under kpi",
    )
    def _one_source(self) -> bool:
        return (self.query is None) != (self.kpi is None)

    @rule(
        cel="has(self.atLeast) != has(self.atMost)",
        problem="a guard needs one limit",
        fix="write atLeast or atMost",
    )
    def _one_limit(self) -> bool:
        return (self.at_least is None) != (self.at_most is None)


class ValueSpec(ApiModel):
    """Where the worth of an answer comes from."""

    per_request: Money | None = None
    """Dollars that one served request is worth. Not used where a KPI has a worth."""
    source: Prose | None = None
    """Where that figure comes from: resolved tickets × labour rate, minutes saved, conversions."""
    kpis: Annotated[tuple[Kpi, ...], Field(max_length=8), ListMap("name")] = ()
    """Business outcomes that are measured."""
    guards: Annotated[tuple[Guard, ...], Field(max_length=8), ListMap("name")] = ()
    """Quality checks that outcomes must pass to count."""

    @rule(
        cel=(
            "!has(self.kpis) || self.kpis.all(k, !has(k.guard) "
            "|| (has(self.guards) && self.guards.exists(g, g.name == k.guard)))"
        ),
        field=".kpis",
        problem="a KPI names a guard that value.guards does not hold",
        fix="add the guard to value.guards or correct its name",
    )
    def _guards_exist(self) -> bool:
        return {kpi.guard for kpi in self.kpis if kpi.guard} <= {guard.name for guard in self.guards}

    @rule(
        cel=(
            "!has(self.guards) || self.guards.all(g, !has(g.kpi) "
            "|| (has(self.kpis) && self.kpis.exists(k, k.name == g.kpi)))"
        ),
        field=".guards",
        problem="a guard names a KPI that value.kpis does not hold",
        fix="add the KPI to value.kpis or correct its name",
    )
    def _guards_have_their_kpis(self) -> bool:
        return {guard.kpi for guard in self.guards if guard.kpi} <= {kpi.name for kpi in self.kpis}


class RoiTargetSpec(ApiModel):
    """A return to reach. A ratio is to be at least the amount, a cost at most."""

    name: ItemName
    """Name of the target in status, Events and metrics."""
    metric: RoiMetric
    """ValueCostRatio: worth per dollar spent. CostPerRequest: dollars, inference and components. CostToServe: dollars
    with labour and fallback. KPI: one of value.kpis."""
    kpi: ItemName | None = None
    """The KPI of value.kpis that is meant, for the metric KPI."""
    amount: Number
    """The ratio to reach, the dollars not to exceed, or the KPI's figure to reach."""
    window: Duration | None = None
    """Period over which the metric is taken. Defaults to 7d."""
    baseline: RoiBaseline = RoiBaseline.ABSOLUTE
    """Absolute: the amount itself. Recorded: so many times the figure of the recorded baseline, such as '0.82' for a
    cost that is to fall by 18%."""

    @rule(
        cel=cel_is_positive("self.amount"),
        field=".amount",
        problem="amount is zero",
        fix="write the ratio to reach, such as '3', or the dollars not to exceed, such as '0.02'",
    )
    def _amount_is_positive(self) -> bool:
        return is_positive(self.amount)

    @rule(
        cel="(self.metric == 'KPI') == has(self.kpi)",
        field=".kpi",
        problem="kpi and the metric KPI belong together",
        fix="name the KPI of a target with metric KPI, and remove it from any other",
    )
    def _kpi_goes_with_its_metric(self) -> bool:
        return (self.metric is RoiMetric.KPI) == (self.kpi is not None)

    @rule(
        cel=f"!has(self.window) || {cel_is_positive('self.window')}",
        field=".window",
        problem="window is zero",
        fix="write a period such as 7d",
    )
    def _window_is_positive(self) -> bool:
        return self.window is None or is_positive(self.window)
