"""What a workload may cost, what its answers are worth, and the return that is asked of it."""

from typing import Annotated

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, rule
from flyball.api.scalars import (
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
from flyball.api.v1alpha1.words import KpiKind, RoiBaseline
from flyball.core.names import Enforcement, Period, RoiMetric


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

    price_book_ref: PriceBookRef | None = None
    """The PriceBook for GPU prices that targets leave out and for the rest of a request's cost."""
    ceilings: Annotated[tuple[CeilingSpec, ...], Field(max_length=5), ListMap("period")] = ()
    """Cost ceilings, one per period."""
    labor: Annotated[tuple[LaborSpec, ...], Field(max_length=8), ListMap("role")] = ()
    """Work of people that every request causes, at the PriceBook's rates."""


class Kpi(ApiModel):
    """A business outcome, as a share or a count that PromQL yields."""

    name: ItemName
    """Name of the KPI, for roiTargets and reports."""
    kind: KpiKind
    """What it counts."""
    query: PromQL
    """PromQL of outcomes per second."""
    value_per_outcome: Money | None = None
    """Dollars that one outcome is worth."""
    minutes_saved_per_outcome: Number | None = None
    """Minutes of work that one outcome saves, worth the PriceBook's rate for `laborRole`."""
    labor_role: RoleName | None = None
    """Whose minutes are saved: a role of the PriceBook's laborRates."""
    guard: ItemName | None = None
    """The guard of value.guards without which an outcome does not count."""

    @rule(
        cel="!(has(self.valuePerOutcome) && has(self.minutesSavedPerOutcome))",
        field=".minutesSavedPerOutcome",
        problem="both valuePerOutcome and minutesSavedPerOutcome are set, which would count the worth twice",
        fix="keep one of them",
        reason="FieldValueForbidden",
    )
    def _worth_is_counted_once(self) -> bool:
        return self.value_per_outcome is None or self.minutes_saved_per_outcome is None

    @rule(
        cel="has(self.minutesSavedPerOutcome) == has(self.laborRole)",
        field=".laborRole",
        problem="minutesSavedPerOutcome and laborRole belong together",
        fix="set both, or neither",
    )
    def _minutes_have_a_rate(self) -> bool:
        return (self.minutes_saved_per_outcome is None) == (self.labor_role is None)

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
    query: PromQL
    """PromQL of a share between 0 and 1, such as the share of contacts that do not come back within a week."""
    at_least: Percent
    """The share below which the outcomes do not count."""


class ValueSpec(ApiModel):
    """Where the worth of an answer comes from."""

    per_request: Money | None = None
    """Dollars that one served request is worth."""
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
    """Absolute: the amount itself. Recorded: the amount is relative to a recorded baseline."""

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
