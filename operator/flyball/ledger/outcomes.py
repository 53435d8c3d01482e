"""Business outcomes in the ledger: each record counted once, into its hour, day and month, and voided where it is.

A record is known again by 64 bits of a hash of workload, KPI and key: of ten million records, one in some four hundred
thousand such ledgers would lose one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

from sqlalchemy import Connection, and_, delete, func, or_, select

from flyball.core.names import WorkloadKey
from flyball.core.value.outcomes import KEPT_MS, SUMS, Counted, Outcome, Void
from flyball.ledger import outcome_rows
from flyball.ledger.calendar import Calendar
from flyball.ledger.engine import reading, writing
from flyball.ledger.outcome_rows import KnownKey, SumRow
from flyball.ledger.queries import cover
from flyball.ledger.schema import Grain, kpi, outcome, outcome_key
from flyball.ledger.store import KEPT_MS as GRAIN_KEPT_MS
from flyball.ledger.store import Ledger, word_ids

LOOKED_UP = 20_000
"""Keys that are looked up by one statement."""
_VOIDS = {None: 0, Void.CAME_BACK: 1, Void.QUALITY_FAILED: 2}
_GRAINS = (Grain.HOUR, Grain.DAY, Grain.MONTH)
_NAMES = ("namespace", "workload", "name")
_QUARTER_MS = 900_000
"""Offsets of time zones are whole quarters of an hour: all of one lies in the same hour."""

Kpi = tuple[WorkloadKey, str]
"""A KPI by its workload and name."""
Row = tuple[int, int, int, int, int, int, int]
"""A record in whole numbers: key, number of its KPI, time, thousandths of outcomes, cases and minutes, and its void."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of records: counted, known already, and outcomes voided that had counted."""

    new: int = 0
    repeated: int = 0
    voided: int = 0

    def plus(self, other: "Taken") -> "Taken":
        """Both together."""
        return Taken(self.new + other.new, self.repeated + other.repeated, self.voided + other.voided)


class Packer:
    """Makes rows of records, and numbers their KPIs. Records of the same key make rows of the same key."""

    def __init__(self) -> None:
        self._numbers: dict[Kpi, int] = {}

    @property
    def kpis(self) -> list[Kpi]:
        """The KPIs that were met, by their number."""
        return list(self._numbers)

    def row(self, each: Outcome) -> Row:
        """A record in whole numbers."""
        digest = blake2b(
            f"{each.workload}\n{each.kpi}\n{each.key}".encode("utf-8", "surrogatepass"), digest_size=8
        ).digest()
        number = self._numbers.setdefault((each.workload, each.kpi), len(self._numbers))
        outcomes, cases, minutes = (int(each.outcomes * 1000), int(each.cases * 1000), int(each.minutes * 1000))
        return (
            int.from_bytes(digest, "big", signed=True),
            number,
            each.at,
            outcomes,
            cases,
            minutes,
            _VOIDS[each.void],
        )


def record(ledger: Ledger, records: Sequence[Outcome]) -> Taken:
    """Count records in one transaction: all of them, or with LedgerError none."""
    if not records:
        return Taken()
    packer = Packer()
    return count(ledger, [packer.row(each) for each in records], packer.kpis)


def count(ledger: Ledger, rows: Iterable[Row], kpis: Sequence[Kpi]) -> Taken:
    """The same for rows, whose numbers are of `kpis`. Fastest where they are sorted by key."""
    with writing(ledger.engine) as connection:
        words = [(of.namespace, of.name, name) for of, name in kpis]
        ids = word_ids(connection, kpi, _NAMES, set(words))
        batch, taken = _Batch(connection, ledger.calendar, [ids[word] for word in words]), Taken()
        remaining = iter(rows)
        while found := list(islice(remaining, LOOKED_UP)):
            taken = taken.plus(batch.count(found))
        batch.add_up()
    return taken


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


@dataclass(slots=True)
class _Sums:
    """`core.value.outcomes.Counted` in thousandths."""

    outcomes: int = 0
    cases: int = 0
    minutes: int = 0
    came_back: int = 0
    failed: int = 0
    squares: float = 0.0

    def void(self, outcomes: int, why: int) -> None:
        """Outcomes that do not count."""
        if why == _VOIDS[Void.CAME_BACK]:
            self.came_back += outcomes
        else:
            self.failed += outcomes

    def add(self, other: "_Sums") -> None:
        """Those of another."""
        self.outcomes += other.outcomes
        self.cases += other.cases
        self.minutes += other.minutes
        self.came_back += other.came_back
        self.failed += other.failed
        self.squares += other.squares

    def row(self, kpi_id: int, grain: Grain, start: int) -> SumRow:
        """As it is written."""
        counts = (self.outcomes, self.cases, self.minutes, self.came_back, self.failed, self.squares)
        return (kpi_id, int(grain), start, *counts)


class _Batch:
    """Rows of one transaction. Later rows of a key see what earlier ones made of it."""

    def __init__(self, connection: Connection, calendar: Calendar, ids: Sequence[int]) -> None:
        self._connection = connection
        self._calendar = calendar
        self._ids = ids
        self._sums: dict[tuple[int, int], _Sums] = {}
        self._hours: dict[int, int] = {}

    def count(self, rows: Sequence[Row]) -> Taken:
        """Count some of them; their sums wait for `add_up`."""
        known = outcome_rows.find(self._connection, {row[0] for row in rows})
        new = repeated = voided = 0
        for row in rows:
            key, void = row[0], row[-1]
            before = known.get(key)
            if before is None:
                known[key] = self._take(row)
                new += 1
            elif void and not before.void:
                self._void(before, void)
                voided += 1
            else:
                repeated += 1
        outcome_rows.write_keys(self._connection, known)
        return Taken(new, repeated, voided)

    def _take(self, row: Row) -> KnownKey:
        """Count a new record. One that comes voided is a case without an outcome."""
        _, number, at, outcomes, cases, minutes, void = row
        kpi_id, start = self._ids[number], self._hour(at)
        sums = self._of(kpi_id, start)
        sums.cases += cases
        if void:
            sums.void(outcomes, void)
        else:
            sums.outcomes += outcomes
            sums.minutes += minutes
            sums.squares += (minutes / 1000) ** 2
        return KnownKey(kpi_id, start, outcomes, minutes, void, held=False)

    def _void(self, of: KnownKey, why: int) -> None:
        """Take the outcome of a record back that counted until now."""
        sums = self._of(of.kpi_id, of.start)
        sums.outcomes -= of.outcomes
        sums.minutes -= of.minutes
        sums.squares -= (of.minutes / 1000) ** 2
        sums.void(of.outcomes, why)
        of.void, of.changed = why, True

    def _of(self, kpi_id: int, start: int) -> _Sums:
        found = self._sums.get((kpi_id, start))
        if found is None:
            found = self._sums[kpi_id, start] = _Sums()
        return found

    def _hour(self, at: int) -> int:
        quarter = at // _QUARTER_MS
        hour = self._hours.get(quarter)
        if hour is None:
            hour = self._hours[quarter] = self._calendar.floor(at, Grain.HOUR)
        return hour

    def add_up(self) -> None:
        """Write what was counted to the hours, days and months."""
        starts = {start for _, start in self._sums}
        coarse = [(grain, {start: self._calendar.floor(start, grain) for start in starts}) for grain in _GRAINS]
        rows: dict[tuple[int, Grain, int], _Sums] = {}
        for (kpi_id, start), each in self._sums.items():
            for grain, floors in coarse:
                key = (kpi_id, grain, floors[start])
                found = rows.get(key)
                if found is None:
                    found = rows[key] = _Sums()
                found.add(each)
        outcome_rows.add_sums(self._connection, [each.row(*key) for key, each in sorted(rows.items(), key=_first)])


def _first(item: tuple[tuple[int, Grain, int], _Sums]) -> tuple[int, Grain, int]:
    return item[0]


def _kpis(connection: Connection, only: WorkloadKey | None) -> Iterator[tuple[int, Kpi]]:
    asked = select(kpi)
    if only is not None:
        asked = asked.where(kpi.c.namespace == only.namespace, kpi.c.workload == only.name)
    for row in connection.execute(asked):
        yield row.id, (WorkloadKey(row.namespace, row.workload), row.name)
