"""Records of one transaction, counted by columns: most are new and met once, and nothing is done for these one by one.

Later records of a key see what earlier ones made of it. What is counted waits, and is added to hours, days and months
once, when all is.
"""

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
from sqlalchemy import Connection

from flyball.core.value.outcomes import Void
from flyball.ledger import outcome_rows
from flyball.ledger.calendar import Calendar
from flyball.ledger.outcome_rows import KEY, SUM, KnownKey
from flyball.ledger.schema import Grain

VOIDS = {None: 0, Void.CAME_BACK: 1, Void.QUALITY_FAILED: 2}
_VOIDED = {1: "came_back", 2: "failed"}
"""What outcomes are voided to."""
_GRAINS = (Grain.HOUR, Grain.DAY, Grain.MONTH)
_QUARTER_MS = 900_000
"""Offsets of time zones are whole quarters of an hour: all of one lies in the same hour."""
_COUNTS = (SUM.names or ())[3:]


class Batch:
    """Records whose KPIs are numbered by their place in `ids`."""

    def __init__(self, connection: Connection, calendar: Calendar, ids: Sequence[int]) -> None:
        self._connection = connection
        self._calendar = calendar
        self._ids = np.array(ids, np.int32)
        self._sums: list[np.ndarray] = []

    def count(self, rows: np.ndarray) -> tuple[int, int, int]:
        """Count some of them, rows of `outcome_rows.ROW`: how many were new, repeated and voided."""
        rows = rows[np.argsort(rows["key"], kind="stable")]
        keys, first, times = np.unique(rows["key"], return_index=True, return_counts=True)
        known = outcome_rows.find(self._connection, keys)
        fresh = ~np.isin(keys, np.fromiter(known, np.int64, len(known)))
        once = fresh & (times == 1)
        repeated = np.repeat(~fresh, times) & (rows["void"] == 0)
        others = rows[np.repeat(~once, times) & ~repeated]
        new = self._take(rows[first[once]])
        outcome_rows.add_keys(self._connection, new)
        taken = self._count_each(others, known)
        return len(new) + taken[0], int(repeated.sum()) + taken[1], taken[2]

    def add_up(self) -> None:
        """Write what was counted to the hours, days and months."""
        hours = _grouped(np.concatenate([np.empty(0, SUM), *self._sums]))
        starts, places = np.unique(hours["start"], return_inverse=True)
        for grain in _GRAINS:
            coarse = hours.copy()
            coarse["grain"] = grain
            floors = [self._calendar.floor(start, grain) for start in starts.tolist()]
            coarse["start"] = np.array(floors, np.int64)[places]
            outcome_rows.add_sums(self._connection, _grouped(coarse))

    def _take(self, rows: np.ndarray) -> np.ndarray:
        """Count new records; returns what is kept of them. Those that come voided are cases without an outcome."""
        kept = np.empty(len(rows), KEY)
        kept["kpi_id"], kept["start"] = self._ids[rows["kpi"]], self._hours(rows["at"])
        for name in ("key", "outcomes", "minutes", "void"):
            kept[name] = rows[name]
        sums = np.zeros(len(rows), SUM)
        counts = rows["void"] == 0
        sums["kpi_id"], sums["start"], sums["cases"] = kept["kpi_id"], kept["start"], rows["cases"]
        sums["outcomes"], sums["minutes"] = rows["outcomes"] * counts, rows["minutes"] * counts
        sums["squares"] = (sums["minutes"] / 1000) ** 2
        for void, name in _VOIDED.items():
            sums[name] = rows["outcomes"] * (rows["void"] == void)
        self._sums.append(sums)
        return kept

    def _count_each(self, rows: np.ndarray, known: dict[int, KnownKey]) -> tuple[int, int, int]:
        """The same for records whose key comes more than once, or is known and voided now."""
        met, voids = dict(known), list[tuple[int, int]]()
        firsts, repeated = [], 0
        for place, (key, void) in enumerate(zip(rows["key"].tolist(), rows["void"].tolist(), strict=True)):
            before = met.get(key)
            if before is None:
                met[key] = KnownKey(*self._take(rows[place : place + 1])[0].tolist()[1:])
                firsts.append(key)
            elif void and not before.void:
                self._void(before, void)
                voids.append((key, void))
            else:
                repeated += 1
        new = [(key, *astuple(met[key])) for key in firsts]
        outcome_rows.add_keys(self._connection, np.array(new, KEY))
        outcome_rows.mark_voided(self._connection, [each for each in voids if each[0] in known])
        return len(new), repeated, len(voids)

    def _void(self, of: KnownKey, why: int) -> None:
        """Take the outcome of a record back that counted until now."""
        back = np.zeros(1, SUM)
        back["kpi_id"], back["start"], back[_VOIDED[why]] = of.kpi_id, of.start, of.outcomes
        back["outcomes"], back["minutes"], back["squares"] = -of.outcomes, -of.minutes, -((of.minutes / 1000) ** 2)
        self._sums.append(back)
        of.void = why

    def _hours(self, at: np.ndarray) -> np.ndarray:
        quarters, places = np.unique(at // _QUARTER_MS, return_inverse=True)
        starts = [self._calendar.floor(quarter * _QUARTER_MS, Grain.HOUR) for quarter in quarters.tolist()]
        return np.array(starts, np.int64)[places]


def _grouped(rows: np.ndarray) -> np.ndarray:
    """Rows of the same KPI and time added up."""
    rows = rows[np.lexsort((rows["start"], rows["kpi_id"]))]
    changes = (rows["kpi_id"][1:] != rows["kpi_id"][:-1]) | (rows["start"][1:] != rows["start"][:-1])
    firsts = np.flatnonzero(np.concatenate(([True], changes))[: len(rows)])
    found = rows[firsts]
    for name in _COUNTS:
        found[name] = np.add.reduceat(rows[name], firsts)
    return found
