"""What workloads cost over any stretch of time, read from few rows: months, and at the edges days, hours, periods."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from flyball.core.bill import Charge, Correction, PathUse
from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit
from flyball.ledger.calendar import Calendar
from flyball.ledger.engine import reading
from flyball.ledger.schema import Grain, charge, component, correction, path, usage, workload
from flyball.ledger.store import CHARGE_COUNTS, KEPT_MS, USE_COUNTS, Ledger

Names = dict[int, tuple[WorkloadKey, str]]
"""Key and uid of each workload, by its id in the ledger."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a range that rows of one grain cover: `start` (inclusive) to `end` (exclusive), milliseconds."""

    grain: Grain
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Line:
    """What one workload used, was charged or corrected by, in one stretch: exactly one of the three."""

    key: WorkloadKey
    uid: str
    start: int
    end: int
    what: PathUse | Charge | Correction

    @property
    def dollars(self) -> Decimal:
        """What it cost, as far as prices are known."""
        return self.what.dollars or Decimal(0)


def total(ledger: Ledger, begin: int, end: int, now: int, only: WorkloadKey | None = None) -> list[Line]:
    """What each workload cost by path and component between two times, one line each. `only` is one workload."""
    stretches = list(cover(ledger.calendar, begin, end, now))
    return _lines(ledger, stretches, only, by_start=False)


def series(ledger: Ledger, begin: int, end: int, grain: Grain, only: WorkloadKey | None = None) -> list[Line]:
    """The same by hour or day (or period), for all of them that begin between the two times."""
    return _lines(ledger, [Stretch(grain, begin, end)], only, by_start=True)


def bounds(stretches: Sequence[Stretch]) -> tuple[int, int]:
    """From when to when the stretches reach."""
    return min(each.start for each in stretches), max(each.end for each in stretches)


def cover(calendar: Calendar, begin: int, end: int, now: int) -> Iterator[Stretch]:
    """The stretches that make up a range. Where rows that would be needed at its edges are no longer kept, it is
    widened to whole hours or days. A range until now is read to the end of the month: what lies ahead is empty.
    """
    begin, end = _kept(calendar, begin, now, calendar.floor), _kept(calendar, end, now, calendar.ceil)
    if end >= now:
        end = calendar.ceil(end, Grain.MONTH)
    yield from _pieces(calendar, begin, end, Grain.MONTH)


def _kept(calendar: Calendar, at: int, now: int, round_: Callable[[int, Grain], int]) -> int:
    """A bound moved outward to where rows are still kept that begin or end there."""
    if at < calendar.floor(now - KEPT_MS[Grain.HOUR], Grain.DAY):
        return round_(at, Grain.DAY)
    if at < calendar.floor(now - KEPT_MS[Grain.PERIOD], Grain.DAY):
        return round_(at, Grain.HOUR)
    return at


def _pieces(calendar: Calendar, begin: int, end: int, grain: Grain) -> Iterator[Stretch]:
    """Whole hours, days or months in the middle, and at both edges what is finer."""
    if begin >= end:
        return
    if grain is Grain.PERIOD:
        yield Stretch(grain, begin, end)
        return
    finer = Grain(grain - 1)
    first, last = calendar.ceil(begin, grain), calendar.floor(end, grain)
    if first >= last:
        yield from _pieces(calendar, begin, end, finer)
        return
    yield from _pieces(calendar, begin, first, finer)
    yield Stretch(grain, first, last)
    yield from _pieces(calendar, last, end, finer)


def _lines(ledger: Ledger, stretches: Sequence[Stretch], only: WorkloadKey | None, *, by_start: bool) -> list[Line]:
    if not stretches:
        return []
    begin, end = bounds(stretches)
    with reading(ledger.engine) as connection:
        names = {
            row.id: (WorkloadKey(row.namespace, row.name), str(row.uid)) for row in connection.execute(_workloads(only))
        }
        ids = list(names) if only else None
        paths = {row.id: row.name for row in connection.execute(select(path))}
        components = {
            row.id: (row.name, row.kind, Unit(row.unit), row.priced) for row in connection.execute(select(component))
        }
        lines = []
        used = _sums(usage, USE_COUNTS, (), stretches, ids, by_start=by_start)
        for workload_id, path_id, start, until, *counts in connection.execute(used):
            lines.append(Line(*names[workload_id], start, until, PathUse(paths[path_id], *counts)))
        charged = _sums(charge, CHARGE_COUNTS, ("component_id",), stretches, ids, by_start=by_start)
        for workload_id, path_id, component_id, start, until, quantity, dollars in connection.execute(charged):
            name, kind, unit, priced = components[component_id]
            what = Charge(name, kind, paths[path_id], unit, quantity, dollars if priced else None)
            lines.append(Line(*names[workload_id], start, until, what))
        lines += _corrections(connection, names, begin, end, ids)
    ordered = sorted(names.values(), key=lambda of: (of[0].namespace, of[0].name, of[1]))
    places = {uid: place for place, (_, uid) in enumerate(ordered)}
    return sorted(lines, key=lambda line: (line.start if by_start else 0, places[line.uid]))


def _workloads(only: WorkloadKey | None) -> Select[Any]:
    chosen = select(workload)
    return chosen.where(workload.c.namespace == only.namespace, workload.c.name == only.name) if only else chosen


def _sums(
    table: Any,
    counts: tuple[str, ...],
    parts: tuple[str, ...],
    stretches: Sequence[Stretch],
    ids: list[int] | None,
    *,
    by_start: bool,
) -> Select[Any]:
    """Counts added up by workload, path and parts, and by start where wanted."""
    names = ["workload_id", "path_id", *parts]
    keys = [table.c[name] for name in (*names, *(("start",) if by_start else ()))]
    bounds_ = [*(() if by_start else (func.min(table.c.start),)), func.max(table.c.until)]
    sums = [func.sum(table.c[name]).label(name) for name in counts]
    within: list[ColumnElement[bool]] = [
        and_(table.c.grain == each.grain, table.c.start >= each.start, table.c.start < each.end) for each in stretches
    ]
    chosen = select(*keys, *bounds_, *sums).where(or_(*within)).group_by(*keys)
    return chosen.where(table.c.workload_id.in_(ids)) if ids is not None else chosen


def _corrections(connection: Connection, names: Names, begin: int, end: int, ids: list[int] | None) -> Iterator[Line]:
    chosen = select(correction).where(correction.c.start >= begin, correction.c.start < end)
    if ids is not None:
        chosen = chosen.where(correction.c.workload_id.in_(ids))
    for row in connection.execute(chosen.order_by(correction.c.id)):
        what = Correction(row.start, row.made_at, row.component, row.dollars, row.note)
        yield Line(*names[row.workload_id], row.start, row.start, what)
