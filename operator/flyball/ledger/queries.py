"""What workloads cost over any stretch of time, read from few rows: months, and at the edges days, hours, periods.

Where an edge cuts a month, a day or an hour, what lies within is added up, or what lies outside is taken off the whole:
whichever has fewer rows. Rows hold whole numbers, so that both give the same to the last digit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, cast, func, literal, select, type_coerce, union_all

from flyball.core.money.bill import Charge, Correction, PathUse
from flyball.core.names import WorkloadKey
from flyball.core.spec import Unit
from flyball.ledger.calendar import Calendar
from flyball.ledger.engine import reading
from flyball.ledger.schema import Grain, charge, component, correction, path, usage, workload
from flyball.ledger.store import CHARGE_COUNTS, KEPT_MS, USE_COUNTS, Ledger

_COLUMNS = {
    usage.name: (("workload_id", "path_id"), USE_COUNTS),
    charge.name: (("workload_id", "component_id"), CHARGE_COUNTS),
}
"""Keys and counts of each table."""

Names = dict[int, tuple[WorkloadKey, str]]
"""Key and uid of each workload, by its id in the ledger."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a range that rows of one grain cover: `start` (inclusive) to `end` (exclusive), milliseconds.

    `sign` is -1 where its rows are taken off.
    """

    grain: Grain
    start: int
    end: int
    sign: int = 1


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
    begin, end = reached(ledger.calendar, begin, end, now)
    last = _open_end(ledger.calendar, end, now)
    stretches = list(fewest(ledger.calendar, begin, last, Grain.MONTH))
    if not stretches:
        return []

    def asked(table: Any, ids: list[int] | None) -> Select[Any]:
        return _sums(ledger.calendar, table, stretches, ids, begin)

    return _lines(ledger, asked, lambda _: end, (begin, last), only)


def series(ledger: Ledger, begin: int, end: int, grain: Grain, only: WorkloadKey | None = None) -> list[Line]:
    """The same by hour or day (or period), for all of them that begin between the two times."""
    stretch = Stretch(grain, begin, end)

    def asked(table: Any, ids: list[int] | None) -> Select[Any]:
        keys, counts = _COLUMNS[table.name]
        columns = [table.c[name] for name in ("start", *keys, *counts)]
        return _within(ledger.calendar, select(*columns), table, stretch, ids)

    def end_of(start: int) -> int:
        return ledger.calendar.ceil(start + 1, grain)

    return sorted(_lines(ledger, asked, end_of, (begin, end), only), key=lambda line: line.start)


def reached(calendar: Calendar, begin: int, end: int, now: int) -> tuple[int, int]:
    """A range, widened to whole hours or days where rows that would be needed at its edges are no longer kept."""
    return _kept(calendar, begin, now, calendar.floor), _kept(calendar, end, now, calendar.ceil)


def cover(calendar: Calendar, begin: int, end: int, now: int) -> Iterator[Stretch]:
    """The stretches that make up a range, of `reached`: for rows of which none can be taken off others."""
    begin, end = reached(calendar, begin, end, now)
    yield from _pieces(calendar, begin, _open_end(calendar, end, now), Grain.MONTH)


def _open_end(calendar: Calendar, end: int, now: int) -> int:
    """A range until now is read to the end of the month: what lies ahead is empty."""
    return calendar.ceil(end, Grain.MONTH) if end >= now else end


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


def fewest(calendar: Calendar, begin: int, end: int, grain: Grain, sign: int = 1) -> Iterator[Stretch]:
    """The stretches that make up a range with the fewest rows, some of them taken off."""
    if begin >= end:
        return
    if grain is Grain.PERIOD:
        yield Stretch(grain, begin, end, sign)
        return
    finer = Grain(grain - 1)
    low, high = calendar.floor(begin, grain), calendar.ceil(end, grain)
    first, last = calendar.ceil(begin, grain), calendar.floor(end, grain)
    if first > last:  # both edges cut the same one
        whole = 2 * (end - begin) > high - low
        first, last = (low, high) if whole else (end, end)
    else:
        first = low if 2 * (first - begin) > first - low else first
        last = high if 2 * (end - last) > high - last else last
    yield from _edge(calendar, begin, first, finer, sign)
    if first < last:
        yield Stretch(grain, first, last, sign)
    yield from _edge(calendar, last, end, finer, sign)


def _edge(calendar: Calendar, begin: int, end: int, grain: Grain, sign: int) -> Iterator[Stretch]:
    """What is added from one to the other, or taken off where they are the other way around."""
    if begin <= end:
        yield from fewest(calendar, begin, end, grain, sign)
    else:
        yield from fewest(calendar, end, begin, grain, -sign)


def starts_of(calendar: Calendar, stretch: Stretch) -> Iterator[int]:
    """Where the periods, hours, days or months of a stretch begin."""
    at = calendar.ceil(stretch.start, stretch.grain)
    while at < stretch.end:
        yield at
        at = calendar.ceil(at + 1, stretch.grain)


def _lines(
    ledger: Ledger,
    asked: Callable[..., Select[Any]],
    end_of: Callable[[int], int],
    corrected: tuple[int, int],
    only: WorkloadKey | None,
) -> list[Line]:
    """The lines that the two tables have for what is asked, and corrections between two times, by workload. `end_of`
    says where what begins at a time ends.
    """
    with reading(ledger.engine) as connection:
        names = {
            row.id: (WorkloadKey(row.namespace, row.name), str(row.uid)) for row in connection.execute(_workloads(only))
        }
        ids = list(names) if only else None
        paths = {row.id: row.name for row in connection.execute(select(path))}
        components = {
            row.id: (row.name, row.kind, paths[row.path_id], Unit(row.unit), row.priced)
            for row in connection.execute(select(component))
        }
        lines = []
        end = cache(end_of)
        for start, workload_id, path_id, *counts in connection.execute(asked(usage, ids)):
            if any(counts):
                lines.append(Line(*names[workload_id], start, end(start), PathUse(paths[path_id], *counts)))
        for start, workload_id, component_id, quantity, dollars in connection.execute(asked(charge, ids)):
            if quantity or dollars:
                name, kind, path_name, unit, priced = components[component_id]
                what = Charge(name, kind, path_name, unit, quantity, dollars if priced else None)
                lines.append(Line(*names[workload_id], start, end(start), what))
        lines += _corrections(connection, names, *corrected, ids)
    ordered = sorted(names.values(), key=lambda of: (of[0].namespace, of[0].name, of[1]))
    places = {uid: place for place, (_, uid) in enumerate(ordered)}
    return sorted(lines, key=lambda line: places[line.uid])


def _workloads(only: WorkloadKey | None) -> Select[Any]:
    chosen = select(workload)
    return chosen.where(workload.c.namespace == only.namespace, workload.c.name == only.name) if only else chosen


def _sums(
    calendar: Calendar, table: Any, stretches: Sequence[Stretch], ids: list[int] | None, begin: int
) -> Select[Any]:
    """Counts of the stretches added up by keys. Each stretch is a part of its own: an OR of them would have to look
    whether it met a row before.
    """
    keys, counts = _COLUMNS[table.name]
    parts = []
    for each in stretches:
        signed = (table.c[name] if each.sign > 0 else -table.c[name] for name in counts)
        columns = [column.label(name) for name, column in zip(counts, signed, strict=True)]
        chosen = select(*(table.c[name] for name in keys), *columns)
        parts.append(_within(calendar, chosen, table, each, ids))
    rows = union_all(*parts).subquery()
    found = [rows.c[name] for name in keys]
    sums = [_whole_sum(rows.c[name]) for name in counts]
    return select(literal(begin), *found, *sums).group_by(*found)


def _whole_sum(column: Any) -> Any:
    """The sum of a column of whole numbers as one, which PostgreSQL would make a slow numeric of."""
    return type_coerce(cast(func.sum(type_coerce(column, BigInteger)), BigInteger), column.type)


def _within(calendar: Calendar, chosen: Select[Any], table: Any, each: Stretch, ids: list[int] | None) -> Select[Any]:
    """The rows of one stretch. For some workloads each start is named, so that only their rows are looked at, which
    the key finds.
    """
    chosen = chosen.where(table.c.grain == each.grain)
    if ids is not None:
        chosen = chosen.where(table.c.workload_id.in_(ids))
    if ids is None:
        return chosen.where(table.c.start >= each.start, table.c.start < each.end)
    return chosen.where(table.c.start.in_(list(starts_of(calendar, each))))


def _corrections(connection: Connection, names: Names, begin: int, end: int, ids: list[int] | None) -> Iterator[Line]:
    chosen = select(correction).where(correction.c.start >= begin, correction.c.start < end)
    if ids is not None:
        chosen = chosen.where(correction.c.workload_id.in_(ids))
    for row in connection.execute(chosen.order_by(correction.c.id)):
        what = Correction(row.start, row.made_at, row.component, row.dollars, row.note)
        yield Line(*names[row.workload_id], row.start, row.start, what)
