"""What is written is kept exactly, once, and added up to hours and days; on SQLite and on a real PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger.conftest import DATABASES, url_of
from ledger.entries import DAY, HOUR, KEY, MIDNIGHT, PERIOD, charge, entry, periods, use

from flyball.core.money.bill import Charge, Correction, PathUse, added
from flyball.core.names import WorkloadKey
from flyball.ledger.errors import LedgerError
from flyball.ledger.queries import Line, series, total
from flyball.ledger.schema import Grain
from flyball.ledger.store import Ledger

NOW = MIDNIGHT + DAY


def used(lines: list[Line]) -> list[PathUse]:
    return [line.what for line in lines if isinstance(line.what, PathUse)]


def charged(lines: list[Line]) -> list[Charge]:
    return [line.what for line in lines if isinstance(line.what, Charge)]


def test_every_number_comes_back_exactly(ledger: Ledger) -> None:
    largest = replace(use(), loading=Decimal("9000.123456789"), output_tokens=Decimal("9000000000.001"))
    written = replace(
        entry(MIDNIGHT), uses=(largest, use("(fallback)", 2)), charges=(charge(), charge("vectors", "(all)"))
    )
    assert ledger.append([written]) == 1
    found = total(ledger, MIDNIGHT, NOW, NOW)
    assert {each.path: each for each in used(found)} == {each.path: each for each in written.uses}
    assert sorted(charged(found), key=str) == sorted(written.charges, key=str)
    assert {(line.key, line.uid, line.start, line.end) for line in found} == {(KEY, "u-1", MIDNIGHT, NOW)}


def test_what_has_no_price_is_kept_apart_from_what_costs_nothing(ledger: Ledger) -> None:
    free, unknown = charge(dollars="0"), charge(dollars=None)
    ledger.append([replace(entry(MIDNIGHT), charges=(free, unknown))])
    assert sorted((each.dollars for each in charged(total(ledger, MIDNIGHT, NOW, NOW))), key=str) == [Decimal(0), None]


def test_a_period_that_is_written_again_changes_nothing(ledger: Ledger) -> None:
    written = list(periods(MIDNIGHT, MIDNIGHT + HOUR))
    assert ledger.append(written[:7]) == 7
    assert ledger.append(written[3:9]) == 2
    assert ledger.append([replace(each, uses=(use(number=90),)) for each in written]) == 3
    assert ledger.append(written) == 0
    assert ledger.through() == {"u-1": MIDNIGHT + HOUR}
    found = series(ledger, MIDNIGHT, NOW, Grain.PERIOD)
    assert [line.start for line in found if isinstance(line.what, PathUse)] == [each.start for each in written]


def test_a_part_of_a_period_that_was_written_at_a_stop_is_not_counted_twice(ledger: Ledger) -> None:
    stop = MIDNIGHT + 100_000
    assert ledger.append([entry(MIDNIGHT, stop)]) == 1
    assert ledger.append([entry(MIDNIGHT)]) == 0
    assert ledger.append([entry(stop, MIDNIGHT + PERIOD)]) == 1
    assert used(total(ledger, MIDNIGHT, NOW, NOW)) == [added([], [use(), use()])[0]]


def test_a_write_that_fails_half_way_leaves_nothing_behind(ledger: Ledger) -> None:
    broken = replace(entry(MIDNIGHT), charges=(replace(charge(), quantity=None),))  # type: ignore[arg-type]
    with pytest.raises(LedgerError):
        ledger.append([broken])
    assert (ledger.through(), total(ledger, MIDNIGHT, NOW, NOW)) == ({}, [])
    assert ledger.append([entry(MIDNIGHT)]) == 1


def test_a_workload_that_is_made_anew_is_another_one(ledger: Ledger) -> None:
    ledger.append([entry(MIDNIGHT), entry(MIDNIGHT, uid="u-2", number=2)])
    found = total(ledger, MIDNIGHT, NOW, NOW, KEY)
    assert {line.uid: line.what for line in found if isinstance(line.what, PathUse)} == {
        "u-1": use(),
        "u-2": use(number=2),
    }
    assert total(ledger, MIDNIGHT, NOW, NOW, WorkloadKey("shop", "other")) == []


def test_a_correction_is_a_line_of_its_own(ledger: Ledger) -> None:
    ledger.append([entry(MIDNIGHT)])
    credit = Correction(MIDNIGHT + HOUR, NOW, "gpu", Decimal("-12.50"), "credit note 7")
    ledger.correct(KEY, credit)
    found = total(ledger, MIDNIGHT, NOW, NOW)
    assert [line.what for line in found if isinstance(line.what, Correction)] == [credit]
    assert used(found) == [use()]
    assert not [line for line in total(ledger, MIDNIGHT, MIDNIGHT + HOUR, NOW) if isinstance(line.what, Correction)]


def test_a_correction_of_nothing_known_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="knows no workload shop/chat"):
        ledger.correct(KEY, Correction(0, NOW, "gpu", Decimal(1), "x"))


def test_old_periods_and_hours_go_and_the_days_keep_what_they_held(ledger: Ledger) -> None:
    ledger.append(list(periods(MIDNIGHT, MIDNIGHT + 2 * HOUR)))
    before = total(ledger, MIDNIGHT, NOW, NOW)
    for days, kept in ((7, set(Grain)), (8, set(Grain) - {Grain.PERIOD}), (61, {Grain.DAY, Grain.MONTH})):
        now = MIDNIGHT + days * DAY
        ledger.prune(now)
        assert {grain for grain in Grain if series(ledger, MIDNIGHT - 31 * DAY, NOW, grain)} == kept
        assert total(ledger, MIDNIGHT, NOW, now) == before
        assert total(ledger, MIDNIGHT + 1, MIDNIGHT + DAY - 1, now + DAY)[0].dollars > 0


def test_the_zone_of_days_is_settled_once(url: str) -> None:
    first = Ledger(url, "Europe/Berlin")
    first.append(list(periods(MIDNIGHT - 2 * HOUR, MIDNIGHT)))
    days = {line.start for line in series(first, 0, NOW, Grain.DAY)}
    first.close()
    assert days == {MIDNIGHT - DAY - HOUR, MIDNIGHT - HOUR}
    with pytest.raises(LedgerError, match="the days of this ledger are those of Europe/Berlin, not of UTC"):
        Ledger(url, "UTC")
    again = Ledger(url)
    assert again.calendar.zone.key == "Europe/Berlin"
    again.close()


# Two days at the end of a month: 30 November 2025, 23:00 UTC, is already December in Kolkata.
TURN = MIDNIGHT + 6 * DAY
ENTRIES = [
    *periods(TURN - DAY - HOUR, TURN + DAY + HOUR),
    *periods(TURN, TURN + HOUR, "u-2", WorkloadKey("lab", "batch")),
]


@pytest.fixture(params=DATABASES, scope="module")
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger of two days, of a zone that is half an hour off, written in batches of any size."""
    folder: Path = tmp_path_factory.mktemp("filled")
    opened = Ledger(url_of(request.param, request, folder), "Asia/Kolkata")
    for start in range(0, len(ENTRIES), 50):
        opened.append(ENTRIES[start : start + 50])
    yield opened
    opened.close()


moments = st.one_of(st.integers(-310, 310), st.integers(-12_000, 1_400)).map(lambda number: TURN + number * PERIOD)


@settings(max_examples=30)
@given(moments, moments)
def test_any_range_is_the_sum_of_the_periods_that_begin_in_it(filled: Ledger, one: int, other: int) -> None:
    begin, end = sorted((one, other))
    now = TURN + 5 * DAY
    for uid in ("u-1", "u-2"):
        within = [each for each in ENTRIES if each.uid == uid and begin <= each.start < end]
        found = [line for line in total(filled, begin, end, now) if line.uid == uid]
        expected = added([], [each for entry_ in within for each in entry_.uses])
        assert tuple(used(found)) == expected
        assert sum((line.dollars for line in found), Decimal(0)) == sum((e.dollars for e in within), Decimal(0))
