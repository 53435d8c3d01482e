"""Business outcomes in the ledger: each record counted once, into its hour, day and month, and voided where it is.

A record is known again by 64 bits of a hash of workload, KPI and key: of ten million records, one in some four hundred
thousand such ledgers would lose one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from flyball.core.names import WorkloadKey
from flyball.core.outcomes import KEPT_MS, SUMS, Counted, Outcome, Void
from flyball.ledger.calendar import Calendar
from flyball.ledger.engine import reading, writing
from flyball.ledger.queries import cover
from flyball.ledger.schema import Grain, kpi, outcome, outcome_key
from flyball.ledger.store import KEPT_MS as GRAIN_KEPT_MS
from flyball.ledger.store import Ledger, word_ids

LOOKED_UP = 5000
"""Keys that are looked up by one statement: well below what both databases take."""
_VOIDS = {None: 0, Void.CAME_BACK: 1, Void.QUALITY_FAILED: 2}
_GRAINS = (Grain.HOUR, Grain.DAY, Grain.MONTH)
_NAMES = ("namespace", "workload", "name")

Kpi = tuple[WorkloadKey, str]
"""A KPI by its workload and name."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of records: counted, known already, and outcomes voided that had counted."""

    new: int = 0
    repeated: int = 0
    voided: int = 0

    def plus(self, other: "Taken") -> "Taken":
        """Both together."""
        return Taken(self.new + other.new, self.repeated + other.repeated, self.voided + other.voided)


def record(ledger: Ledger, records: Sequence[Outcome]) -> Taken:
    """Count records in one transaction: all of them, or with LedgerError none."""
    if not records:
        return Taken()
    with writing(ledger.engine) as connection:
        words = {(*_key(each), each.kpi) for each in records}
        ids = word_ids(connection, kpi, _NAMES, words)
        batch = _Batch(connection, ledger.calendar)
        for each in records:
            batch.take(ids[(*_key(each), each.kpi)], each)
        return batch.write()


def forget(ledger: Ledger, now: int) -> None:
    """Drop the keys of records and the hours that are older than they are kept; days and months hold what they held."""
    with writing(ledger.engine) as connection:
        connection.execute(delete(outcome_key).where(outcome_key.c.start < now - KEPT_MS))
        limit = ledger.calendar.floor(now - GRAIN_KEPT_MS[Grain.HOUR], Grain.DAY)
        connection.execute(delete(outcome).where(outcome.c.grain == Grain.HOUR, outcome.c.start < limit))


def counted(ledger: Ledger, begin: int, end: int, now: int, only: WorkloadKey | None = None) -> dict[Kpi, Counted]:
    """Every KPI's outcomes from the hour of `begin` to that of `end`. One without any record in there is left out."""
    first, last = (ledger.calendar.floor(at, Grain.HOUR) for at in (begin, end))
    within = [
        and_(outcome.c.grain == each.grain, outcome.c.start >= each.start, outcome.c.start < each.end)
        for each in cover(ledger.calendar, first, last, now)
    ]
    if not within:
        return {}
    sums = [func.sum(outcome.c[name]).label(name) for name in SUMS]
    asked = select(outcome.c.kpi_id, *sums).where(or_(*within)).group_by(outcome.c.kpi_id)
    with reading(ledger.engine) as connection:
        names = dict(_kpis(connection, only))
        rows = connection.execute(asked.where(outcome.c.kpi_id.in_(list(names))) if only else asked)
        return {names[row.kpi_id]: Counted(*(getattr(row, name) for name in SUMS)) for row in rows}


def by_hour(ledger: Ledger, workload: WorkloadKey, begin: int, end: int) -> dict[str, dict[int, Counted]]:
    """Each KPI's outcomes of one workload, by the hour."""
    asked = select(outcome).where(outcome.c.grain == Grain.HOUR, outcome.c.start >= begin, outcome.c.start < end)
    found: dict[str, dict[int, Counted]] = {}
    with reading(ledger.engine) as connection:
        names = dict(_kpis(connection, workload))
        for row in connection.execute(asked.where(outcome.c.kpi_id.in_(list(names)))):
            found.setdefault(names[row.kpi_id][1], {})[row.start] = Counted(*(getattr(row, name) for name in SUMS))
    return found


class _Batch:
    """Records of one transaction, looked up together. Later records of a key see what earlier ones made of it."""

    def __init__(self, connection: Connection, calendar: Calendar) -> None:
        self._connection = connection
        self._calendar = calendar
        self._records: list[tuple[int, int, Outcome]] = []

    def take(self, kpi_id: int, each: Outcome) -> None:
        digest = blake2b(f"{each.workload}\n{each.kpi}\n{each.key}".encode(), digest_size=8).digest()
        self._records.append((int.from_bytes(digest, "big", signed=True), kpi_id, each))

    def write(self) -> Taken:
        rows = self._looked_up()
        old = set(rows)
        changed: set[int] = set()
        sums: dict[tuple[int, int], Counted] = {}
        taken = Taken()
        for key, kpi_id, each in self._records:
            row, void = rows.get(key), _VOIDS[each.void]
            if row is None:
                start = self._calendar.floor(each.at, Grain.HOUR)
                rows[key] = {
                    "key": key, "kpi_id": kpi_id, "start": start, "outcomes": each.outcomes, "minutes": each.minutes,
                    "void": void,
                }  # fmt: skip
                _add(sums, (kpi_id, start), _of_record(each))
                taken = taken.plus(Taken(new=1))
            elif void and not row["void"]:
                _add(sums, (row["kpi_id"], row["start"]), _voided(row, each.void))
                row["void"] = void
                changed.add(key)
                taken = taken.plus(Taken(voided=1))
            else:
                taken = taken.plus(Taken(repeated=1))
        if new := [row for key, row in rows.items() if key not in old]:
            self._connection.execute(insert(outcome_key), sorted(new, key=lambda row: row["key"]))
        if voided := [{"of": key, "why": rows[key]["void"]} for key in changed & old]:
            mark = update(outcome_key).where(outcome_key.c.key == bindparam("of")).values(void=bindparam("why"))
            self._connection.execute(mark, voided)
        self._add_up(sums)
        return taken

    def _looked_up(self) -> dict[int, dict[str, Any]]:
        keys = sorted({key for key, _, _ in self._records})
        found: dict[int, dict[str, Any]] = {}
        for first in range(0, len(keys), LOOKED_UP):
            asked = select(outcome_key).where(outcome_key.c.key.in_(keys[first : first + LOOKED_UP]))
            found |= {row["key"]: dict(row) for row in self._connection.execute(asked).mappings()}
        return found

    def _add_up(self, sums: Mapping[tuple[int, int], Counted]) -> None:
        rows: dict[tuple[int, int, int], Counted] = {}
        for (kpi_id, start), each in sums.items():
            for grain in _GRAINS:
                _add(rows, (kpi_id, grain, self._calendar.floor(start, grain)), each)
        if not rows:
            return
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        add = dialect.insert(outcome)
        add = add.on_conflict_do_update(
            index_elements=["kpi_id", "grain", "start"],
            set_={name: outcome.c[name] + add.excluded[name] for name in SUMS},
        )
        values = [
            {"kpi_id": kpi_id, "grain": grain, "start": start} | {name: getattr(each, name) for name in SUMS}
            for (kpi_id, grain, start), each in sorted(rows.items(), key=lambda item: item[0])
        ]
        self._connection.execute(add, values)


def _of_record(each: Outcome) -> Counted:
    """What a record is on its own. One that comes voided is a case without an outcome."""
    if each.void is None:
        return Counted(each.outcomes, each.cases, each.minutes, squares=float(each.minutes) ** 2)
    none = Decimal(0)
    came_back, failed = (each.outcomes if each.void is why else none for why in Void)
    return Counted(none, each.cases, none, came_back, failed)


def _voided(row: Mapping[str, Any], why: Void | None) -> Counted:
    """What takes the outcome of a record back that counted until now."""
    outcomes, minutes, none = row["outcomes"], row["minutes"], Decimal(0)
    came_back, failed = (outcomes if why is each else none for each in Void)
    return Counted(-outcomes, none, -minutes, came_back, failed, -(float(minutes) ** 2))


def _add(sums: dict[Any, Counted], key: object, more: Counted) -> None:
    before = sums.get(key)
    sums[key] = more if before is None else before.plus(more)


def _key(each: Outcome) -> tuple[str, str]:
    return (each.workload.namespace, each.workload.name)


def _kpis(connection: Connection, only: WorkloadKey | None) -> Iterator[tuple[int, Kpi]]:
    asked = select(kpi)
    if only is not None:
        asked = asked.where(kpi.c.namespace == only.namespace, kpi.c.workload == only.name)
    for row in connection.execute(asked):
        yield row.id, (WorkloadKey(row.namespace, row.workload), row.name)


def batches(records: Iterable[Outcome], size: int) -> Iterator[list[Outcome]]:
    """The records in lists of so many at most, as they come."""
    batch: list[Outcome] = []
    for each in records:
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
