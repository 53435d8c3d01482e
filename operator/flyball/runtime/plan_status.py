"""A capacity plan as `status.plan` says it: compact, its figures rounded to what they are good for."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from flyball.core.advice.outlook import WANTED_HOURS, Outlook, Purchase
from flyball.core.advice.plan import Exhausted, Need, Plan
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.trends import WEEK_SECONDS, Range, Season, Trend, busiest
from flyball.core.units import conjoin, format_duration, format_money
from flyball.runtime.news import Status
from flyball.runtime.status import rfc3339

KNOWN, INSUFFICIENT, UNAVAILABLE = "Known", "Insufficient", "Unavailable"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST_EVENTS = 8
"""Announced events that a status names for each target, the next ones: it is a summary, `flyball plan` names all."""


def render(spec: WorkloadSpec, outlook: Outlook) -> Status:
    """The plan for the status."""
    if outlook.problem:
        return {"state": UNAVAILABLE, "message": outlook.problem}
    known = format_duration(outlook.known_hours * 3600.0) if outlook.known_hours else "0h"
    if outlook.plan is None:
        return {
            "state": INSUFFICIENT,
            "message": f"{outlook.known_hours} h of {WANTED_HOURS} h: the load of a whole day must be known",
            "asOf": rfc3339(outlook.at),
            "history": known,
        }
    found = outlook.plan
    status: Status = {
        "state": KNOWN,
        "message": "; ".join((*_remarks(found), *_guessed(outlook))) or None,
        "asOf": rfc3339(outlook.at),
        "history": known,
        "load": {
            "mean": _figure(found.levels.mean),
            "steady": _figure(found.levels.steady),
            "busy": _figure(found.levels.busy),
            "peak": _figure(found.levels.peak),
        },
        "growthPerDay": _trend(found.growth),
        "promptDriftPerDay": _trend(found.prompt_drift),
        "patterns": [_pattern(season) for season in found.seasons if season.pronounced],
        "needs": [_need(spec, need, outlook.at) for need in _shown(found)],
        "limits": [_limit(one, outlook.at) for one in found.exhausted if one.early is not None],
        "purchase": None if outlook.purchase is None else _purchase(outlook.purchase),
    }
    return {key: value for key, value in status.items() if value not in (None, [])}


def _shown(plan: Plan) -> Iterator[Need]:
    events: dict[str, int] = {}
    for need in plan.needs:
        if need.why == "event":
            events[need.kind] = events.get(need.kind, 0) + 1
        if need.why != "event" or events[need.kind] <= MOST_EVENTS:
            yield need


def _remarks(plan: Plan) -> Iterator[str]:
    infeasible = {
        f"{need.kind}: no number of replicas can meet {need.infeasible}" for need in plan.needs if need.infeasible
    }
    yield from sorted(infeasible)
    if len(plan.exhausted) > 1:
        yield "each target is planned as if it served all of the load alone"
    if plan.growth is None:
        yield "fewer than five full days are known: every later day is as today"
    elif any(need.extrapolated for need in plan.needs):
        yield f"days marked * lie farther ahead than the {plan.growth.days} days of history: trust their range only"


def _guessed(outlook: Outlook) -> Iterator[str]:
    if outlook.unmeasured:
        yield f"what a replica of {conjoin(outlook.unmeasured)} carries is the declared engine's, not measured yet"


def _need(spec: WorkloadSpec, need: Need, at: float) -> Status:
    variant = next(variant for variant in spec.variants if variant.name == need.kind)
    status = {
        "target": need.kind,
        "accelerator": variant.accelerator,
        "day": f"{_day(at, need.days_ahead)}{'*' if need.extrapolated else ''}",
        "why": need.why,
        "requestsPerSecond": _range(need.demand, _figure),
        "replicas": _range(need.replicas, _whole),
        "gpus": _range(need.gpus, _whole),
        "costPerMonth": None if need.per_month is None else format_money(need.per_month, 0),
    }
    return {key: value for key, value in status.items() if value is not None}


def _limit(one: Exhausted, at: float) -> Status:
    expected = None if one.expected is None else _day(at, one.expected)
    status = {"target": one.kind, "expected": expected, "earliest": _day(at, one.early or 0)}
    return {key: value for key, value in status.items() if value is not None}


def _purchase(one: Purchase) -> Status:
    status = {
        "target": one.kind,
        "peakReplicas": one.peak_replicas,
        "scaledReplicas": f"{one.scaled_replicas:.1f}",
        "buying": None if one.buying is None else format_money(one.buying, 0),
        "scaling": None if one.scaling is None else format_money(one.scaling, 0),
    }
    return {key: value for key, value in status.items() if value is not None}


def _pattern(season: Season) -> str:
    weekly = season.period_seconds == WEEK_SECONDS
    slot = busiest(season, 1)[0]
    when = f"{WEEKDAYS[slot // 24]} {slot % 24:02d}:00" if weekly else f"{slot:02d}:00"
    return f"{'weekly' if weekly else 'daily'}: busiest at {when} UTC, {max(season.factors):.1f} × the mean"


def _trend(found: Trend | None) -> str | None:
    if found is None:
        return None
    rate, low, high = (f"{each:+.1%}" for each in (found.per_day, found.low, found.high))
    doubt = "" if found.certain else "; none is expected, since the range holds zero"
    return f"{rate} ({low} to {high}){doubt}"


def _day(at: float, days_ahead: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC) + timedelta(days=days_ahead):%Y-%m-%d}"


def _range(found: Range, write: Callable[[float], str]) -> str:
    low, expected, high = write(found.low), write(found.expected), write(found.high)
    return expected if low == high else f"{expected} ({low} to {high})"


def _figure(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _whole(value: float) -> str:
    return f"{value:.0f}"
