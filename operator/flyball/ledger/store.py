"""The ledger as it is written: entries once each, corrections beside them, and old fine rows dropped."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update

from flyball.core.money.bill import Charge, Correction, Entry, PathUse
from flyball.core.names import WorkloadKey
from flyball.ledger.calendar import Calendar
from flyball.ledger.engine import insert_into, open_engine, reading, writing
from flyball.ledger.errors import LedgerError
from flyball.ledger.schema import Grain, charge, component, correction, path, setting, spent, usage, workload

DAY_MS = 86_400_000
KEPT_MS = {Grain.PERIOD: 7 * DAY_MS, Grain.HOUR: 60 * DAY_MS}
"""For how long rows of periods and of hours are kept. Days and months are kept for good."""
USE_COUNTS = tuple(name for name in PathUse.__dataclass_fields__ if name != "path")
CHARGE_COUNTS = ("quantity", "dollars")
_ZONE = "time zone of days"
_GRAINS = tuple(Grain)

Row = dict[str, Any]


class Ledger:
    """One ledger, open. Everything raises LedgerError where the database does not do what it is asked."""

    def __init__(self, url: str, zone: str = "") -> None:
        """Open or begin the ledger at a URL. `zone` is that of its days (UTC for a new one where it is empty)."""
        self.engine = open_engine(url)
        try:
            self.calendar = Calendar.of(_settle_zone(self, zone))
        except LedgerError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def through(self) -> dict[str, int]:
        """Up to when each workload's costs are in the ledger, by uid."""
        with reading(self.engine) as connection:
            return {row.uid: row.through for row in connection.execute(select(workload.c.uid, workload.c.through))}

    def knows(self, key: WorkloadKey) -> bool:
        """Whether a workload of that name ever was."""
        named = select(func.count()).where(workload.c.namespace == key.namespace, workload.c.name == key.name)
        with reading(self.engine) as connection:
            return bool(connection.scalar(named))

    def append(self, entries: Iterable[Entry]) -> int:
        """Write entries in one transaction; returns how many were new.

        An entry that begins before what is already written of its workload is a repetition, and changes nothing.
        """
        ordered = sorted(entries, key=lambda entry: entry.start)
        if not ordered:
            return 0
        with writing(self.engine) as connection:
            fresh = _fresh(connection, ordered)
            if not fresh:
                return 0
            ids = _workload_ids(connection, fresh)
            _append_uses(connection, self.calendar, fresh, ids)
            _append_charges(connection, self.calendar, fresh, ids)
            sums = [_key(entry, ids) | {"dollars": entry.dollars} for entry in fresh]
            add_up(connection, spent, self.calendar, sums, ("dollars",), (Grain.DAY,))
            ends = {entry.uid: entry.end for entry in fresh}
            move = update(workload).where(workload.c.id == bindparam("of")).values(through=bindparam("end"))
            connection.execute(move, [{"of": ids[uid], "end": end} for uid, end in ends.items()])
        return len(fresh)

    def prune(self, now: int) -> None:
        """Drop the rows of periods and hours that are older than they are kept; coarser ones hold what they held."""
        with writing(self.engine) as connection:
            for grain, kept in KEPT_MS.items():
                limit = self.calendar.floor(now - kept, Grain.DAY)
                for table in (usage, charge):
                    connection.execute(delete(table).where(table.c.grain == grain, table.c.start < limit))

    def correct(self, key: WorkloadKey, found: Correction) -> None:
        """Add a correction to the newest workload of that name."""
        with writing(self.engine) as connection:
            named = select(func.max(workload.c.id)).where(
                workload.c.namespace == key.namespace, workload.c.name == key.name
            )
            workload_id = connection.scalar(named)
            if workload_id is None:
                raise LedgerError(f"the ledger knows no workload {key}")
            row = {
                "id": _next_id(connection, correction),
                "made_at": found.made_at,
                "start": found.at,
                "workload_id": workload_id,
                "component": found.component,
                "dollars": found.dollars,
                "note": found.note,
            }
            connection.execute(insert(correction), [row])


def _settle_zone(ledger: Ledger, wanted: str) -> str:
    """The zone of the ledger's days, which is decided once: days of two zones cannot be added up."""
    with writing(ledger.engine) as connection:
        known = connection.scalar(select(setting.c.value).where(setting.c.name == _ZONE))
        if known is None:
            known = wanted or "UTC"
            Calendar.of(known)
            connection.execute(insert(setting), [{"name": _ZONE, "value": known}])
    if wanted not in ("", known):
        raise LedgerError(
            f"the days of this ledger are those of {known}, not of {wanted}: keep {known}, or begin a new one"
        )
    return str(known)


def _fresh(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    through = {row.uid: row.through for row in connection.execute(select(workload.c.uid, workload.c.through))}
    fresh = []
    for entry in entries:
        if entry.start >= through.get(entry.uid, entry.start):
            through[entry.uid] = entry.end
            fresh.append(entry)
    return fresh


def _workload_ids(connection: Connection, entries: Sequence[Entry]) -> dict[str, int]:
    ids = {row.uid: row.id for row in connection.execute(select(workload.c.uid, workload.c.id))}
    new: dict[str, Entry] = {}
    for entry in entries:
        if entry.uid not in ids:
            new.setdefault(entry.uid, entry)
    first = _next_id(connection, workload)
    rows = [
        {
            "id": first + number,
            "uid": uid,
            "namespace": e.key.namespace,
            "name": e.key.name,
            "since": e.start,
            "through": e.start,
        }
        for number, (uid, e) in enumerate(new.items())
    ]
    if rows:
        connection.execute(insert(workload), rows)
    return ids | {row["uid"]: row["id"] for row in rows}


def _append_uses(connection: Connection, calendar: Calendar, entries: Sequence[Entry], ids: Mapping[str, int]) -> None:
    paths = word_ids(connection, path, ("name",), {(use.path,) for entry in entries for use in entry.uses})
    rows = [
        _key(entry, ids) | {"path_id": paths[use.path,]} | {name: getattr(use, name) for name in USE_COUNTS}
        for entry in entries
        for use in entry.uses
    ]
    add_up(connection, usage, calendar, rows, USE_COUNTS, _GRAINS)


def _append_charges(
    connection: Connection, calendar: Calendar, entries: Sequence[Entry], ids: Mapping[str, int]
) -> None:
    found = [(entry, each) for entry in entries for each in entry.charges]
    paths = word_ids(connection, path, ("name",), {(each.path,) for _, each in found})
    names = ("path_id", "name", "kind", "unit", "priced")
    components = word_ids(connection, component, names, {_component(each, paths) for _, each in found})
    rows = [
        _key(entry, ids)
        | {
            "component_id": components[_component(each, paths)],
            "quantity": each.quantity,
            "dollars": each.dollars or Decimal(0),
        }
        for entry, each in found
    ]
    add_up(connection, charge, calendar, rows, CHARGE_COUNTS, _GRAINS)


def _component(each: Charge, paths: Mapping[tuple[Any, ...], int]) -> tuple[int, str, str, str, bool]:
    return (paths[each.path,], each.component, each.kind, str(each.unit), each.dollars is not None)


def _key(entry: Entry, ids: Mapping[str, int]) -> Row:
    return {"start": entry.start, "workload_id": ids[entry.uid]}


def add_up(
    connection: Connection,
    table: Table,
    calendar: Calendar,
    rows: Sequence[Row],
    counts: tuple[str, ...],
    grains: Sequence[Grain],
) -> None:
    """Add rows to those of these grains in which they begin; in the order of their keys, which fills pages."""
    if not rows:
        return
    keys = table.primary_key.columns.keys()
    add = insert_into(connection, table)
    add = add.on_conflict_do_update(
        index_elements=keys, set_={name: table.c[name] + add.excluded[name] for name in counts}
    )
    for grain in grains:
        floors = {start: calendar.floor(start, grain) for start in {row["start"] for row in rows}}
        sums: dict[tuple[int, ...], Row] = {}
        for row in rows:
            coarse = {**row, "grain": grain, "start": floors[row["start"]]}
            known = sums.setdefault(tuple(coarse[name] for name in keys), coarse)
            if known is not coarse:
                known.update({name: known[name] + coarse[name] for name in counts})
        connection.execute(add, [sums[key] for key in sorted(sums)])


def word_ids(
    connection: Connection, table: Table, names: tuple[str, ...], wanted: set[tuple[Any, ...]]
) -> dict[tuple[Any, ...], int]:
    """The ids of a dictionary's words; those that it lacks are added."""
    columns = [table.c[name] for name in names]
    ids = {tuple(row)[1:]: row[0] for row in connection.execute(select(table.c.id, *columns))}
    new, first = sorted(wanted - ids.keys()), _next_id(connection, table)
    rows = [{"id": first + number, **dict(zip(names, word, strict=True))} for number, word in enumerate(new)]
    if rows:
        connection.execute(insert(table), rows)
    return ids | {tuple(row[name] for name in names): row["id"] for row in rows}


def _next_id(connection: Connection, table: Table) -> int:
    return int(connection.scalar(select(func.coalesce(func.max(table.c.id), 0))) or 0) + 1
