"""Reviews in the ledger: made of its rows, kept as they were made, with what people decided beside them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, insert, select

from flyball.core.evidence.review import build
from flyball.core.evidence.review_figures import Document, Figures, Kind, Known
from flyball.core.evidence.review_routes import by_route
from flyball.core.money.segment_bill import SegmentUse
from flyball.core.names import RoiMetric, WorkloadKey
from flyball.core.spec import RoiTarget, WorkloadSpec
from flyball.core.value.returns import advise, estimate
from flyball.ledger import segments
from flyball.ledger.accounts import accounts, statement_of
from flyball.ledger.attainment import by_objective
from flyball.ledger.calendar import Calendar
from flyball.ledger.currency import currency_of
from flyball.ledger.engine import reading, writing
from flyball.ledger.errors import LedgerError
from flyball.ledger.evidence import review, review_decision
from flyball.ledger.outcomes import counted
from flyball.ledger.queries import Line, total
from flyball.ledger.schema import Grain, forecast, workload
from flyball.ledger.store import Ledger

PERIODS = {Kind.WEEKLY: 8, Kind.MONTHLY: 6}
"""How many periods a trend shows, the reviewed one among them."""
NOON_MS = 43_200_000


@dataclass(frozen=True, slots=True)
class Period:
    """A week or month of the ledger's days, by its name."""

    kind: Kind
    name: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided upon a review; `workload` is empty where it concerns all."""

    review: str
    made_at: int
    who: str
    workload: str
    decision: str
    note: str


def period_of(calendar: Calendar, kind: Kind, at: int) -> Period:
    """The week (from Monday on) or month in which a time lies."""
    if kind is Kind.MONTHLY:
        begin, end = calendar.month(at)
        return Period(kind, f"monthly-{_day(calendar, begin):%Y-%m}", begin, end)
    day = _day(calendar, at)
    monday = day - timedelta(days=day.weekday())
    begin, end = (_midnight(calendar, each) for each in (monday, monday + timedelta(days=7)))
    year, week, _ = monday.isocalendar()
    return Period(kind, f"weekly-{year}-W{week:02}", begin, end)


def named(calendar: Calendar, name: str) -> Period:
    """The period of a review's name. Raises LedgerError."""
    kind, _, rest = name.partition("-")
    text, form = (f"{rest}-1", "%G-W%V-%u") if kind == Kind.WEEKLY else (rest, "%Y-%m")
    try:
        first = datetime.strptime(text, form)  # noqa: DTZ007 - a date has no zone
        kind = Kind(kind)
    except ValueError:
        raise LedgerError(f"{name!r} is no review; write for example weekly-2026-W48 or monthly-2026-11") from None
    return period_of(calendar, Kind(kind), _midnight(calendar, first))


def before(calendar: Calendar, period: Period) -> Period:
    """The period before one."""
    return period_of(calendar, period.kind, period.begin - NOON_MS)


def make(
    ledger: Ledger, period: Period, specs: Iterable[WorkloadSpec], now: int, routes: Sequence[str] = ()
) -> Document:
    """The review of a period, from what the ledger holds now and from what the workloads declare. `routes` are the
    labels that tell routes and versions apart.
    """
    declared = {spec.key: spec for spec in specs}
    periods = [period]
    while len(periods) < PERIODS[period.kind]:
        periods.insert(0, before(ledger.calendar, periods[0]))
    figures: dict[WorkloadKey, list[Figures]] = {}
    for each in periods:
        for key, found in _figures(ledger, each, now, segmented=each in periods[-2:]).items():
            figures.setdefault(key, []).append(found)
    present = {key: found for key, found in figures.items() if found[-1].begin == period.begin}
    monthly = period.kind is Kind.MONTHLY
    said = _first_forecasts(ledger, period) if monthly else {}
    known = {key: Known(found, _targets(declared.get(key)), forecast=said.get(key)) for key, found in present.items()}
    if monthly:
        known = {key: _judged(ledger, period, declared.get(key), each, now, routes) for key, each in known.items()}
    last = find(ledger, before(ledger.calendar, period).name)
    return build(period.kind, period.name, str(ledger.calendar.zone), known, last) | {"currency": currency_of(ledger)}


def keep(ledger: Ledger, document: Document, at: int) -> bool:
    """Keep a review as it is; one of that name that is there already stays. Whether it is new."""
    with writing(ledger.engine) as connection:
        if connection.scalar(select(func.count()).where(review.c.id == document["id"])):
            return False
        row = {"id": document["id"], "start": document["from"], "until": document["to"], "made_at": at}
        connection.execute(insert(review), [row | {"document": json.dumps(document)}])
    return True


def find(ledger: Ledger, name: str) -> Document | None:
    """A review as it was kept."""
    with reading(ledger.engine) as connection:
        found = connection.scalar(select(review.c.document).where(review.c.id == name))
    return None if found is None else json.loads(found)


def listed(ledger: Ledger) -> list[dict[str, Any]]:
    """All reviews, the newest first: id, start, end, when it was made."""
    asked = select(review.c.id, review.c.start, review.c.until, review.c.made_at).order_by(
        review.c.start.desc(), review.c.id
    )
    with reading(ledger.engine) as connection:
        return [
            {"id": row.id, "start": row.start, "until": row.until, "made_at": row.made_at}
            for row in connection.execute(asked)
        ]


def decide(ledger: Ledger, made: Decision) -> None:
    """Add a decision beside those that are there. Raises LedgerError where there is no such review or workload."""
    document = find(ledger, made.review)
    if document is None:
        raise LedgerError(f"there is no review {made.review}; flyball review list names them")
    names = [f"{each['namespace']}/{each['name']}" for each in document["workloads"]]
    if made.workload and made.workload not in names:
        raise LedgerError(f"review {made.review} has no workload {made.workload}; it has {', '.join(names) or 'none'}")
    with writing(ledger.engine) as connection:
        next_id = int(connection.scalar(select(func.coalesce(func.max(review_decision.c.id), 0))) or 0) + 1
        row = {"id": next_id, "review_id": made.review}
        row |= {name: getattr(made, name) for name in ("made_at", "who", "workload", "decision", "note")}
        connection.execute(insert(review_decision), [row])


def decisions(ledger: Ledger, name: str) -> list[Decision]:
    """What was decided upon a review, oldest first."""
    asked = select(review_decision).where(review_decision.c.review_id == name).order_by(review_decision.c.id)
    with reading(ledger.engine) as connection:
        return [
            Decision(row.review_id, row.made_at, row.who, row.workload, row.decision, row.note)
            for row in connection.execute(asked)
        ]


def _figures(ledger: Ledger, period: Period, now: int, *, segmented: bool) -> dict[WorkloadKey, Figures]:
    """All workloads in a period; `segmented`: with what segments caused of it."""
    lines: dict[WorkloadKey, list[Line]] = {}
    for line in total(ledger, period.begin, min(period.end, now), now):
        if line.start < period.end:
            lines.setdefault(line.key, []).append(line)
    objectives: dict[WorkloadKey, dict[str, tuple[float, float]]] = {}
    for (key, name), counts in by_objective(ledger, period.begin, period.end).items():
        objectives.setdefault(key, {})[name] = counts
    outcomes: dict[WorkloadKey, dict[str, tuple[float, float]]] = {}
    minutes: dict[WorkloadKey, dict[str, tuple[float, float]]] = {}
    for (key, name), each in counted(ledger, period.begin, period.end, now).items():
        outcomes.setdefault(key, {})[name] = (float(each.outcomes), float(each.cases))
        if each.minutes:
            minutes.setdefault(key, {})[name] = (float(each.minutes), float(each.outcomes))
    split = _split(ledger, period, now) if segmented else {}
    return {
        key: Figures(
            period.begin, period.end, statement_of(part), objectives.get(key, {}), outcomes.get(key, {}),
            minutes.get(key, {}), split.get(key, {}),
        )
        for key, part in lines.items()
    }  # fmt: skip


def _split(ledger: Ledger, period: Period, now: int) -> dict[WorkloadKey, dict[str, list[SegmentUse]]]:
    """What segments of each workload caused in a period, by label."""
    found: dict[WorkloadKey, dict[str, list[SegmentUse]]] = {}
    labels = segments.labels_known(ledger)
    if labels:
        begin, end = segments.widened(ledger.calendar, period.begin, min(period.end, now), now)
        for line in segments.total(ledger, begin, end, now, labels):
            if line.start < period.end:
                found.setdefault(line.key, {}).setdefault(line.use.segment.label, []).append(line.use)
    return found


def _targets(spec: WorkloadSpec | None) -> Mapping[str, float]:
    return {} if spec is None else {each.name: each.target for each in spec.objectives}


def _judged(
    ledger: Ledger, period: Period, spec: WorkloadSpec | None, known: Known, now: int, routes: Sequence[str]
) -> Known:
    """A workload's month with what its return speaks for."""
    if spec is None:
        why = "the workload is no longer declared: what it was worth is not known"
        return Known(known.figures, known.targets, unproven=why, forecast=known.forecast)
    account = accounts(ledger, [spec], period.begin, period.end, now, {}, spec.key)[spec.key]
    lacking = [*account.worth.unknown, *account.worth.unproven]
    if not account.value and not lacking:
        lacking = ["nothing says what an answer is worth: set value.perRequest, or KPIs in dollars"]
    if account.unpriced:
        lacking.append(f"nobody knows what {', '.join(account.unpriced)} cost")
    found = estimate(RoiMetric.VALUE_COST_RATIO, account)
    if lacking or found is None:
        why = "; ".join(lacking) or "there is nothing to divide by"
        return Known(known.figures, known.targets, unproven=why, forecast=known.forecast)
    target = _ratio_target(spec)
    currency = currency_of(ledger)
    return Known(
        known.figures,
        known.targets,
        advise(target, account, target.amount, found, currency),
        value=account.value,
        routes=by_route(target, account, known.figures[-1].split, routes, currency),
        forecast=known.forecast,
    )


def _ratio_target(spec: WorkloadSpec) -> RoiTarget:
    """The target that the owner set on value over cost, or that it pays at all."""
    own = [each for each in spec.roi_targets if each.metric is RoiMetric.VALUE_COST_RATIO and not each.relative]
    return own[0] if own else RoiTarget("pays", RoiMetric.VALUE_COST_RATIO, Decimal(1), 30 * 86_400.0)


def _first_forecasts(ledger: Ledger, period: Period) -> dict[WorkloadKey, tuple[float, float, float]]:
    """What each workload's month was first forecast to cost. Forecasts are of months in UTC."""
    asked = (
        select(forecast, workload.c.namespace, workload.c.name)
        .join(workload)
        .where(forecast.c.start >= period.begin - 86_400_000, forecast.c.start <= period.begin + 86_400_000)
        .order_by(forecast.c.made_at.desc())
    )
    with reading(ledger.engine) as connection:
        return {
            WorkloadKey(row.namespace, row.name): (float(row.expected), float(row.low), float(row.high))
            for row in connection.execute(asked)
        }


def _day(calendar: Calendar, at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, calendar.zone)


def _midnight(calendar: Calendar, day: datetime) -> int:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=calendar.zone)
    return calendar.floor(round(noon.timestamp() * 1000), Grain.DAY)
