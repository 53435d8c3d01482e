"""What segments of the traffic cost, in the ledger: an hour of a workload once, added up to its day and month.

The mark up to which a workload is split is written with its rows, so that an hour that is written again after a crash
changes nothing. An hour is split when all that it cost is in the ledger. Hours are kept for two days; days and months
for good. How many segments are named is capped in each row of time: while a day or month goes on, several times as many
are followed as are named of it when it is over, so that the largest of the whole are named, and the others are `other`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, func, insert, or_, select, union_all

from flyball.core.money.segment_bill import Basis, Segment, SegmentKind, SegmentUse, capped
from flyball.core.names import WorkloadKey
from flyball.ledger.calendar import HOUR_MS, Calendar
from flyball.ledger.engine import insert_into, reading, writing
from flyball.ledger.queries import Stretch, cover, starts_of
from flyball.ledger.schema import Grain, segment, segment_mark, segment_use, usage, workload
from flyball.ledger.store import DAY_MS, Ledger, add_up

HOURS_KEPT_MS = 2 * DAY_MS
FOLLOWED = 5
"""So many times as many segments are followed in a day or month that goes on as are named when it is over."""
_COUNTS = ("requests", "prompt_tokens", "output_tokens", "dollars")
_KEYS = ("grain", "start", "workload_id", "segment_id")
_WORDS = ("label", "value", "kind", "basis")
_KINDS = {str(kind): kind for kind in SegmentKind}
_BASES = {str(basis): basis for basis in Basis}


@dataclass(frozen=True, slots=True)
class SegmentLine:
    """What one segment of a workload caused in one stretch from `start` on (milliseconds)."""

    key: WorkloadKey
    uid: str
    start: int
    use: SegmentUse


def marks(ledger: Ledger) -> dict[str, tuple[int | None, int]]:
    """For each workload (uid) up to when it is split (None: never was), and up to when its costs are known."""
    asked = select(workload.c.uid, segment_mark.c.through.label("split"), workload.c.through)
    with reading(ledger.engine) as connection:
        found = connection.execute(asked.select_from(workload.outerjoin(segment_mark)))
        return {row.uid: (row.split, row.through) for row in found}


def hours_with_costs(ledger: Ledger, begin: int, end: int) -> set[tuple[str, int]]:
    """The hours between two times in which a workload (uid) cost or used anything, by their begin."""
    asked = select(workload.c.uid, usage.c.start).select_from(usage.join(workload)).distinct()
    asked = asked.where(usage.c.grain == Grain.HOUR, usage.c.start >= begin, usage.c.start < end)
    with reading(ledger.engine) as connection:
        return {(row.uid, row.start) for row in connection.execute(asked)}


def append(ledger: Ledger, start: int, splits: Mapping[str, Sequence[SegmentUse]], most: int) -> int:
    """Write the hour that begins at `start` of these workloads (uid), with so many named segments of each label at
    most; returns of how many it was new. Of those whose costs are not known to its end nothing is written.
    """
    end = start + HOUR_MS
    with writing(ledger.engine) as connection:
        ids = _unsplit(connection, splits, end)
        rows: list[dict[str, Any]] = []
        words: dict[int, Segment] = {}
        for uid, id_ in ids.items():
            for use in splits[uid]:
                word = _hash(use.segment)
                words[word] = use.segment
                counts = {name: getattr(use, name) for name in _COUNTS}
                rows.append({"start": start, "workload_id": id_, "segment_id": word, **counts})
        if rows:
            _learn(connection, words)
            add_up(connection, segment_use, ledger.calendar, rows, _COUNTS, (Grain.HOUR, Grain.DAY, Grain.MONTH))
            _cap(connection, ledger.calendar, start, most)
        _mark(connection, ids.values(), end)
    return len(ids)


def prune(ledger: Ledger, now: int) -> None:
    """Drop hours that are older than they are kept, and segments of which no row is left."""
    limit = hours_from(ledger.calendar, now)
    with writing(ledger.engine) as connection:
        connection.execute(delete(segment_use).where(segment_use.c.grain == Grain.HOUR, segment_use.c.start < limit))
        connection.execute(delete(segment).where(segment.c.id.not_in(select(segment_use.c.segment_id))))


def hours_from(calendar: Calendar, now: int) -> int:
    """Since when hours are kept."""
    return calendar.floor(now - HOURS_KEPT_MS, Grain.DAY)


def widened(calendar: Calendar, begin: int, end: int, now: int) -> tuple[int, int]:
    """A range whose edges lie where rows of segments begin and end: whole hours, or days where hours are gone."""
    since = hours_from(calendar, now)
    return (
        calendar.floor(begin, Grain.DAY if begin < since else Grain.HOUR),
        calendar.ceil(end, Grain.DAY if end < since else Grain.HOUR),
    )


def total(
    ledger: Ledger, begin: int, end: int, now: int, labels: Collection[str], only: WorkloadKey | None = None
) -> list[SegmentLine]:
    """What segments by these labels caused in a range of `widened`, a line for each of a workload."""
    return _lines(ledger, list(cover(ledger.calendar, begin, end, now)), labels, only, by_start=False)


def series(
    ledger: Ledger, begin: int, end: int, grain: Grain, labels: Collection[str], only: WorkloadKey | None = None
) -> list[SegmentLine]:
    """The same by hour or day."""
    return _lines(ledger, [Stretch(grain, begin, end)], labels, only, by_start=True)


def labels_known(ledger: Ledger) -> frozenset[str]:
    """The labels by which anything is split."""
    with reading(ledger.engine) as connection:
        return frozenset(connection.scalars(select(segment.c.label).distinct()))


def _hash(word: Segment) -> int:
    text = f"{word.label}\0{word.value}\0{word.kind}\0{word.basis}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), signed=True)


def _unsplit(connection: Connection, uids: Iterable[str], end: int) -> dict[str, int]:
    """The ids of those workloads whose costs are known to `end`, and not split that far."""
    asked = select(workload.c.uid, workload.c.id).select_from(workload.outerjoin(segment_mark))
    split_before = or_(segment_mark.c.through.is_(None), segment_mark.c.through < end)
    found = connection.execute(asked.where(workload.c.through >= end, split_before))
    wanted = set(uids)
    return {row.uid: row.id for row in found if row.uid in wanted}


def _learn(connection: Connection, words: Mapping[int, Segment]) -> None:
    rows = [
        {"id": id_, "label": word.label, "value": word.value, "kind": str(word.kind), "basis": str(word.basis)}
        for id_, word in words.items()
    ]
    connection.execute(insert_into(connection, segment).on_conflict_do_nothing(index_elements=["id"]), rows)


def _mark(connection: Connection, ids: Iterable[int], end: int) -> None:
    rows = [{"workload_id": id_, "through": end} for id_ in ids]
    if not rows:
        return
    add = insert_into(connection, segment_mark)
    connection.execute(
        add.on_conflict_do_update(index_elements=["workload_id"], set_={"through": add.excluded.through}), rows
    )


def _cap(connection: Connection, calendar: Calendar, start: int, most: int) -> None:
    """Keep the day and the month of that hour within what is followed, and those before within what is named."""
    for grain in (Grain.DAY, Grain.MONTH):
        now = calendar.floor(start, grain)
        _cap_rows(connection, grain, now, most * FOLLOWED)
        _cap_rows(connection, grain, calendar.floor(now - 1, grain), most)


def _cap_rows(connection: Connection, grain: Grain, start: int, most: int) -> None:
    """In that day or month, move of each workload and label what its smallest segments have to `other`."""
    here = and_(segment_use.c.grain == grain, segment_use.c.start == start)
    joined = segment_use.join(segment, segment.c.id == segment_use.c.segment_id)
    named = segment.c.kind == str(SegmentKind.NAMED)
    group = (segment_use.c.workload_id, segment.c.label)
    full = select(*group).select_from(joined).where(here, named).group_by(*group).having(func.count() > most)
    for workload_id, label in connection.execute(full).all():
        of_label = and_(here, segment_use.c.workload_id == workload_id, segment.c.label == label)
        chosen = select(segment_use, *(segment.c[name] for name in _WORDS)).select_from(joined).where(of_label)
        uses = [_use(row) for row in connection.execute(chosen)]
        kept = capped(uses, most)
        _replace(connection, grain, start, workload_id, uses, kept)


def _replace(
    connection: Connection,
    grain: Grain,
    start: int,
    workload_id: int,
    before: Sequence[SegmentUse],
    after: Sequence[SegmentUse],
) -> None:
    """Rows of one workload in place of others."""
    place = {"grain": int(grain), "start": start, "workload_id": workload_id}
    gone, new = [each for each in before if each not in after], [each for each in after if each not in before]
    one = and_(*(segment_use.c[name] == bindparam(f"of_{name}") for name in _KEYS))
    keys = [
        {f"of_{name}": value for name, value in (place | {"segment_id": _hash(each.segment)}).items()} for each in gone
    ]
    connection.execute(delete(segment_use).where(one), keys)
    _learn(connection, {_hash(each.segment): each.segment for each in new})
    rows = [
        place | {"segment_id": _hash(each.segment)} | {name: getattr(each, name) for name in _COUNTS} for each in new
    ]
    connection.execute(insert(segment_use), rows)


def _use(row: Any) -> SegmentUse:
    word = Segment(row.label, row.value, SegmentKind(row.kind), Basis(row.basis))
    return SegmentUse(word, *(getattr(row, name) for name in _COUNTS))


def _lines(
    ledger: Ledger, stretches: Sequence[Stretch], labels: Collection[str], only: WorkloadKey | None, *, by_start: bool
) -> list[SegmentLine]:
    """The lines by workload, and by start where wanted. Rows are read by position: there may be tens of thousands."""
    if not stretches:
        return []
    keys: dict[int, WorkloadKey] = {}
    found = []
    with reading(ledger.engine) as connection:
        rows = connection.execute(_sums(ledger.calendar, stretches, labels, only, by_start=by_start))
        for id_, start, namespace, name, uid, label, value, kind, basis, *counts in rows:
            key = keys.get(id_)
            if key is None:
                key = keys[id_] = WorkloadKey(namespace, name)
            word = Segment(label, value, _KINDS[kind], _BASES[basis])
            found.append(SegmentLine(key, uid, start, SegmentUse(word, *counts)))
    places = {key: place for place, key in enumerate(sorted(set(keys.values())))}
    return sorted(found, key=lambda line: (line.start if by_start else 0, places[line.key], line.uid))


def _sums(
    calendar: Calendar,
    stretches: Sequence[Stretch],
    labels: Collection[str],
    only: WorkloadKey | None,
    *,
    by_start: bool,
) -> Select[Any]:
    """Counts of the stretches by workload and segment, and by start where wanted."""
    columns = [segment_use.c[name] for name in ("workload_id", "segment_id", "start", *_COUNTS)]
    rows = union_all(*(_of(calendar, select(*columns), each, only) for each in stretches)).subquery()
    keys = [rows.c.workload_id, rows.c.segment_id, *((rows.c.start,) if by_start else ())]
    at = rows.c.start if by_start else func.min(rows.c.start)
    sums = [func.sum(rows.c[name]).label(name) for name in _COUNTS]
    added = select(*keys[:2], at.label("start"), *sums).group_by(*keys).subquery()
    named = [*(workload.c[name] for name in ("namespace", "name", "uid")), *(segment.c[name] for name in _WORDS)]
    return (
        select(added.c.workload_id, added.c.start, *named, *(added.c[name] for name in _COUNTS))
        .select_from(added.join(segment, segment.c.id == added.c.segment_id))
        .join(workload, workload.c.id == added.c.workload_id)
        .where(segment.c.label.in_(sorted(labels)))
    )


def _of(calendar: Calendar, chosen: Select[Any], stretch: Stretch, only: WorkloadKey | None) -> Select[Any]:
    """The rows of one stretch."""
    chosen = chosen.where(segment_use.c.grain == stretch.grain)
    if only is None:
        return chosen.where(segment_use.c.start >= stretch.start, segment_use.c.start < stretch.end)
    # each start is named, so that only this workload's rows are looked at, which the key finds
    mine = select(workload.c.id).where(workload.c.namespace == only.namespace, workload.c.name == only.name)
    starts = list(starts_of(calendar, stretch))
    return chosen.where(segment_use.c.start.in_(starts), segment_use.c.workload_id.in_(mine))
