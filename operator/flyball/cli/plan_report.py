"""A capacity plan in words and tables, and as JSON."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flyball import __version__
from flyball.cli.columns import aligned
from flyball.core.advice.plan import Past, Plan
from flyball.core.money.currency import money as shown
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.trends import WEEK_SECONDS, Range, Season, Trend, busiest
from flyball.core.units import counted, format_duration, format_money, format_ratio
from flyball.runtime.plan_status import WEEKDAYS

if TYPE_CHECKING:
    from flyball.lab.backtest.purchase import Bill


def lines(spec: WorkloadSpec, found: Plan, past: Past, money: "Bill | None", end: datetime) -> Sequence[str]:
    """The plan as the terminal shows it; `end` is the history's end in the reader's zone."""
    return (*_asked(spec, found, past, end), *_needed(found, end, spec.currency), *_money(money, spec.currency))


def _asked(spec: WorkloadSpec, found: Plan, past: Past, end: datetime) -> Sequence[str]:
    level = found.levels
    span = format_duration(len(past.rates) * past.step_seconds)
    middle = f"{level.mean:.2f} requests/s in the mean, {level.steady:.2f} in the median"
    busy = (
        f"{level.busy:.2f} in the busiest 20th, {level.peak:.2f} at the peak ({level.peak / level.mean:.1f} × the mean)"
    )
    return [
        f"{spec.key}, {span} until {end:%Y-%m-%d %H:%M} {end.tzname()}",
        f"load: {middle}, {busy}",
        f"growth: {_trend(found.growth)}",
        f"prompt length: {_trend(found.prompt_drift)}",
        *(_pattern(one) for one in found.seasons),
    ]


def _trend(found: Trend | None) -> str:
    if found is None:
        return "not known (fewer than five full days)"
    rate, low, high = (f"{rate:+.1%}" for rate in (found.per_day, found.low, found.high))
    doubt = "" if found.certain else "; none is expected, since the range holds zero"
    return f"{rate} a day (95%: {low} to {high}), from {found.days} days{doubt}"


def _pattern(one: Season) -> str:
    weekly = one.period_seconds == WEEK_SECONDS
    name = "weekly" if weekly else "daily"
    if not one.pronounced:
        return f"{name} pattern: none (autocorrelation {one.autocorrelation:.2f})"
    hours = [f"{WEEKDAYS[slot // 24] + ' ' if weekly else ''}{slot % 24:02d}:00" for slot in busiest(one)]
    most, least = max(one.factors), min(one.factors)
    return f"{name} pattern: busiest at {', '.join(hours)} ({most:.1f} × the mean; quietest {least:.1f} ×)"


def _needed(found: Plan, end: datetime, currency: str) -> Sequence[str]:
    rows = [["", "day", "why", "peak requests/s", "one carries", "replicas", "GPUs", "30 days"]]
    many = len(found.exhausted) > 1
    for need in found.needs:
        day = end + timedelta(days=need.days_ahead)
        rows.append(
            [
                need.kind + (" (cheapest)" if many and need.kind == found.cheapest else ""),
                f"{day:%Y-%m-%d}{'*' if need.extrapolated else ''}",
                need.why,
                _range(need.demand, 1),
                f"{need.requests_per_second:.2f}",
                _range(need.replicas, 0),
                _range(need.gpus, 0),
                "unknown" if need.per_month is None else shown(need.per_month, currency, 0),
            ]
        )
    lines = aligned(rows)
    for one in found.exhausted:
        if one.early is None:
            continue
        early = f"{end + timedelta(days=one.early):%Y-%m-%d}"
        when = "not before the horizon" if one.expected is None else f"{end + timedelta(days=one.expected):%Y-%m-%d}"
        lines.append(f"{one.kind}: its maxReplicas no longer carry the peak: expected {when}, {early} at the earliest")
    return lines


def _range(found: Range, digits: int) -> str:
    if found.low == found.high:
        return f"{found.expected:.{digits}f}"
    return f"{found.expected:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def _money(found: "Bill | None", currency: str) -> Sequence[str]:
    if found is None:
        return ()
    shares = [f"{name} {format_ratio(share)}" for name, share in found.attained.items() if share is not None]
    buying, scaling = (
        f"{hours:.0f} GPU-hours" + ("" if cost is None else f", {shown(cost, currency, 0)}")
        for hours, cost in ((found.buying_gpu_hours, found.buying), (found.scaling_gpu_hours, found.scaling))
    )
    change = found.scaling_gpu_hours / found.buying_gpu_hours - 1 if found.buying_gpu_hours else 0.0
    compared = f"{abs(change):.0%} {'more' if change > 0 else 'less'}"
    kept = f"{counted(found.peak_replicas, 'replica')} of {found.kind} all the time"
    played = f"scaling, 30 days like the last {format_duration(found.played_seconds)}"
    return (
        f"buying for the peak, 30 days: {buying} ({kept})",
        f"{played}: {scaling} ({compared}; simulated: {', '.join(shares)})",
    )


def document(
    spec: WorkloadSpec, found: Plan, money: "Bill | None", end: datetime, notes: Sequence[str]
) -> dict[str, Any]:
    """The plan as JSON says it."""
    return {
        "schema": 1,
        "version": __version__,
        "workload": str(spec.key),
        "end": end.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "requestsPerSecond": {
            "mean": found.levels.mean,
            "median": found.levels.steady,
            "p95": found.levels.busy,
            "peak": found.levels.peak,
        },
        "growthPerDay": _trend_document(found.growth),
        "promptLengthPerDay": _trend_document(found.prompt_drift),
        "patterns": [
            {
                "periodHours": one.period_seconds / 3600,
                "autocorrelation": one.autocorrelation,
                "pronounced": one.pronounced,
                "factors": list(one.factors),
            }
            for one in found.seasons
        ],
        "needs": [
            {
                "target": need.kind,
                "day": f"{end + timedelta(days=need.days_ahead):%Y-%m-%d}",
                "why": need.why,
                "peakRequestsPerSecond": _range_document(need.demand),
                "requestsPerSecondPerReplica": need.requests_per_second,
                "replicas": _range_document(need.replicas),
                "gpus": _range_document(need.gpus),
                "costPer30Days": None if need.per_month is None else format_money(need.per_month),
                "infeasible": need.infeasible,
                "extrapolated": need.extrapolated,
            }
            for need in found.needs
        ],
        "maxReplicasExceededInDays": [
            {"target": one.kind, "early": one.early, "expected": one.expected, "late": one.late}
            for one in found.exhausted
        ],
        "cheapest": found.cheapest,
        "bill": None
        if money is None
        else {
            "target": money.kind,
            "peakReplicas": money.peak_replicas,
            "buyingGpuHours": money.buying_gpu_hours,
            "buyingCost": None if money.buying is None else format_money(money.buying),
            "scalingGpuHours": money.scaling_gpu_hours,
            "scalingCost": None if money.scaling is None else format_money(money.scaling),
            "attainment": dict(money.attained),
        },
        "notes": list(notes),
    }


def _trend_document(found: Trend | None) -> dict[str, float] | None:
    return None if found is None else {"expected": found.per_day, "low": found.low, "high": found.high}


def _range_document(found: Range) -> dict[str, float]:
    return {"low": found.low, "expected": found.expected, "high": found.high}
