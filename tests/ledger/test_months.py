"""Months of a ledger's own zone hold their own hours: where clocks change, with a leap day, half an hour off. And one
in which a target is renamed, and the workload made anew, closes. On SQLite and on a real PostgreSQL.
"""

from dataclasses import replace
from decimal import Decimal

import pytest
from ledger.entries import HOUR, KEY, charge, entry, use

from flyball.core.money.bill import PathUse
from flyball.ledger.accounts import statement_of
from flyball.ledger.queries import series, total
from flyball.ledger.schema import Grain
from flyball.ledger.store import Ledger


@pytest.mark.parametrize(
    ("zone", "month", "hours", "odd_day"),
    [
        pytest.param("Europe/Berlin", "2026-10", 31 * 24 + 1, 25, id="clocks go back"),
        pytest.param("Europe/Berlin", "2026-03", 31 * 24 - 1, 23, id="clocks go forward"),
        pytest.param("Asia/Kolkata", "2028-02", 29 * 24, 24, id="a leap day, half an hour off"),
    ],
)
def test_a_month_is_the_sum_of_its_own_hours(url: str, zone: str, month: str, hours: int, odd_day: int) -> None:
    ledger = Ledger(url, zone)
    begin, end = ledger.calendar.month_of(month)
    assert end - begin == hours * HOUR
    around = [entry(start, start + HOUR) for start in range(begin - 5 * HOUR, end + 5 * HOUR, HOUR)]
    ledger.append(around)
    now = end + 5 * HOUR
    each = use().loading_ms
    [whole] = [line.what for line in total(ledger, begin, end, now) if isinstance(line.what, PathUse)]
    assert whole.loading_ms == hours * each
    days = [line for line in series(ledger, begin, end, Grain.DAY) if isinstance(line.what, PathUse)]
    lengths = {(line.end - line.start) // HOUR for line in days}
    assert lengths == {24, odd_day}
    assert all(line.what.loading_ms == (line.end - line.start) // HOUR * each for line in days)  # type: ignore[union-attr]
    assert (days[0].start, days[-1].end) == (begin, end)
    ledger.close()


def test_a_month_with_a_renamed_target_and_a_workload_made_anew_adds_up(ledger: Ledger) -> None:
    begin, end = ledger.calendar.month_of("2028-02")
    renamed = replace(entry(begin + HOUR), uses=(use("gpu-b", 2),), charges=(charge("logs", "gpu-b", "0.5"),))
    anew = replace(entry(begin + 2 * HOUR, uid="u-2"), uses=(use("gpu-b", 3),))
    written = [entry(begin), renamed, anew]
    assert ledger.append(written) == 3
    assert ledger.append(written) == 0
    lines = total(ledger, begin, end, end, KEY)
    bill = sum((each.dollars for each in written), Decimal(0))
    assert sum((line.dollars for line in lines), Decimal(0)) == bill
    assert {line.uid for line in lines} == {"u-1", "u-2"}
    found = statement_of(lines)
    assert found.dollars == bill
    assert {path.use.path: path.use.gpu_ms for path in found.paths} == {
        "gpu": use().gpu_ms, "gpu-b": use(number=2).gpu_ms + use(number=3).gpu_ms,
    }  # fmt: skip
