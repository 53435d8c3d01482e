"""Business outcomes in the ledger: each record counted once, into its hour, day and month, and voided where it is.

A record is known again by 64 bits of a hash of workload, KPI and key: of ten million records, one in some four hundred
thousand such ledgers would lose one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from sqlalchemy import Connection, and_, delete, func, or_, select

from flyball.core.names import WorkloadKey
from flyball.core.value.outcomes import KEPT_MS, SUMS, Counted, Outcome
from flyball.ledger.engine import reading, writing
from flyball.ledger.outcome_batch import VOIDS, Batch
from flyball.ledger.outcome_rows import ROW
from flyball.ledger.queries import cover
from flyball.ledger.schema import Grain, kpi, outcome, outcome_key
from flyball.ledger.store import KEPT_MS as GRAIN_KEPT_MS
from flyball.ledger.store import Ledger, word_ids

LOOKED_UP = 20_000
"""Keys that are looked up by one statement."""
_NAMES = ("namespace", "workload", "name")

Kpi = tuple[WorkloadKey, str]
"""A KPI by its workload and name."""
Row = tuple[int, int, int, int, int, int, int]
"""A row of `outcome_rows.ROW`."""


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
            VOIDS[each.void],
        )


def record(ledger: Ledger, records: Sequence[Outcome]) -> Taken:
    """Count records in one transaction: all of them, or with LedgerError none."""
    if not records:
        return Taken()
    packer = Packer()
    return count(ledger, np.array([packer.row(each) for each in records], ROW), packer.kpis)


def count(ledger: Ledger, rows: np.ndarray, kpis: Sequence[Kpi]) -> Taken:
    """The same for rows of `outcome_rows.ROW`, whose numbers are of `kpis`. Fastest where they are sorted by key."""
    with writing(ledger.engine) as connection:
        words = [(of.namespace, of.name, name) for of, name in kpis]
        ids = word_ids(connection, kpi, _NAMES, set(words))
        batch, taken = Batch(connection, ledger.calendar, [ids[word] for word in words]), Taken()
        for first in range(0, len(rows), LOOKED_UP):
            taken = taken.plus(Taken(*batch.count(rows[first : first + LOOKED_UP])))
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


def _kpis(connection: Connection, only: WorkloadKey | None) -> Iterator[tuple[int, Kpi]]:
    asked = select(kpi)
    if only is not None:
        asked = asked.where(kpi.c.namespace == only.namespace, kpi.c.workload == only.name)
    for row in connection.execute(asked):
        yield row.id, (WorkloadKey(row.namespace, row.workload), row.name)
