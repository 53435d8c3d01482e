"""What segments cost is kept exactly and once, within the cap, and closes with the bill; on SQLite and PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from ledger.entries import DAY, HOUR, KEY, MIDNIGHT, PERIOD, entry, periods
from sqlalchemy import func, select

from flyball.core.money.bill import PathUse
from flyball.core.money.segment_bill import Basis, Segment, SegmentKind, SegmentUse
from flyball.core.money.segment_statement import by_segment
from flyball.core.names import WorkloadKey
from flyball.ledger import segments
from flyball.ledger.accounts import statement_of
from flyball.ledger.engine import reading
from flyball.ledger.queries import total
from flyball.ledger.schema import Grain, segment, segment_use
from flyball.ledger.store import Ledger

NOW = MIDNIGHT + DAY
MOST = 3


def of(value: str, dollars: str | int, requests: int = 1, kind: SegmentKind = SegmentKind.NAMED) -> SegmentUse:
    word = Segment("tenant", value, kind, Basis.WORK)
    return SegmentUse(word, Decimal(requests), Decimal(requests * 10), Decimal(requests * 2), Decimal(dollars))


def costs(lines: Sequence[segments.SegmentLine]) -> dict[str, Decimal]:
    return {line.use.segment.value or f"({line.use.segment.kind.lower()})": line.use.dollars for line in lines}


def write(ledger: Ledger, start: int, splits: Mapping[str, Sequence[SegmentUse]]) -> int:
    return segments.append(ledger, start, splits, MOST)


@pytest.fixture
def billed(ledger: Ledger) -> Ledger:
    """A ledger with a day of one workload, and the first hour of another."""
    ledger.append([*periods(MIDNIGHT, NOW), *periods(MIDNIGHT, MIDNIGHT + HOUR, "u-2", WorkloadKey("lab", "batch"))])
    return ledger


def test_an_hour_is_added_to_its_day_and_month_once_however_often_it_is_written(billed: Ledger) -> None:
    acme = replace(of("acme", "1.123456789"), requests=Decimal("0.001"))
    for times in (1, 0, 0):
        assert write(billed, MIDNIGHT, {"u-1": [acme, of("", "0.5", kind=SegmentKind.UNATTRIBUTED)]}) == times
    assert write(billed, MIDNIGHT + HOUR, {"u-1": [acme]}) == 1
    for grain, hours in ((Grain.HOUR, 1), (Grain.DAY, 2), (Grain.MONTH, 2)):
        found = segments.series(billed, MIDNIGHT - 31 * DAY, NOW, grain, ["tenant"])
        [first] = [line for line in found if line.use.segment.value and line.start <= MIDNIGHT]
        assert (first.use.dollars, first.use.requests) == (hours * acme.dollars, hours * acme.requests)
        assert (first.key, first.uid) == (KEY, "u-1")
    assert segments.marks(billed) == {"u-1": (MIDNIGHT + 2 * HOUR, NOW), "u-2": (None, MIDNIGHT + HOUR)}


def test_an_hour_whose_costs_are_not_all_known_waits(billed: Ledger) -> None:
    splits = {"u-1": [of("acme", 1)], "u-2": [of("globex", 2)], "u-9": [of("nobody", 3)]}
    assert write(billed, MIDNIGHT + HOUR, splits) == 1
    assert costs(segments.total(billed, MIDNIGHT, NOW, NOW, ["tenant"])) == {"acme": 1}
    billed.append(periods(MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR, "u-2", WorkloadKey("lab", "batch")))
    assert write(billed, MIDNIGHT + HOUR, splits) == 1
    assert costs(segments.total(billed, MIDNIGHT, NOW, NOW, ["tenant"])) == {"acme": 1, "globex": 2}


def test_a_write_that_fails_half_way_is_written_whole_the_next_time(billed: Ledger) -> None:
    broken = replace(of("acme", 1), dollars=Decimal("1e20"))
    with pytest.raises(Exception, match="more than any workload"):
        write(billed, MIDNIGHT, {"u-1": [of("globex", 2), broken]})
    assert segments.total(billed, MIDNIGHT, NOW, NOW, ["tenant"]) == []
    assert segments.marks(billed)["u-1"] == (None, NOW)
    assert write(billed, MIDNIGHT, {"u-1": [of("globex", 2)]}) == 1


def test_an_hour_without_requests_is_split_too(billed: Ledger) -> None:
    assert write(billed, MIDNIGHT, {"u-1": []}) == 1
    assert segments.marks(billed)["u-1"] == (MIDNIGHT + HOUR, NOW)


def test_one_workload_and_the_labels_asked_for(billed: Ledger) -> None:
    model = replace(of("large", 4), segment=Segment("model", "large", SegmentKind.NAMED, Basis.WORK))
    write(billed, MIDNIGHT, {"u-1": [of("acme", 1), model], "u-2": [of("globex", 2)]})
    assert costs(segments.total(billed, MIDNIGHT, NOW, NOW, ["tenant"], KEY)) == {"acme": 1}
    assert costs(segments.total(billed, MIDNIGHT, NOW, NOW, ["model", "tenant"], KEY)) == {"acme": 1, "large": 4}
    assert segments.total(billed, MIDNIGHT, NOW, NOW, []) == []
    assert segments.labels_known(billed) == {"tenant", "model"}


def named(ledger: Ledger, grain: Grain, start: int) -> int:
    counted = (
        select(func.count())
        .select_from(segment_use.join(segment, segment.c.id == segment_use.c.segment_id))
        .where(segment_use.c.grain == grain, segment_use.c.start == start, segment.c.kind == "Named")
    )
    with reading(ledger.engine) as connection:
        return connection.scalar(counted) or 0


def test_a_day_names_the_largest_of_the_whole_day_and_keeps_every_dollar(billed: Ledger) -> None:
    """Every hour brings three tenants, of which one comes in each hour; only 15 are followed at a time."""
    billed.append(periods(NOW, NOW + HOUR))
    for hour in range(24):
        small = [of(f"h{hour}-{number}", "0.25") for number in range(2)]
        write(billed, MIDNIGHT + hour * HOUR, {"u-1": [of("always", "0.5"), *small]})
        assert named(billed, Grain.DAY, MIDNIGHT) <= MOST * segments.FOLLOWED
    write(billed, NOW, {"u-1": [of("tomorrow", 7)]})
    assert named(billed, Grain.DAY, MIDNIGHT) == MOST
    found = costs(segments.series(billed, MIDNIGHT, NOW, Grain.DAY, ["tenant"]))
    assert found["always"] == 12
    assert sum(found.values()) == 24
    assert sum(each.use.requests for each in segments.series(billed, MIDNIGHT, NOW, Grain.DAY, ["tenant"])) == 72


def test_hours_go_after_two_days_with_the_names_that_nothing_holds(billed: Ledger) -> None:
    write(billed, MIDNIGHT, {"u-1": [of(f"t{number}", number) for number in range(1, 20)]})
    before = segments.total(billed, MIDNIGHT, NOW, NOW, ["tenant"])
    later = MIDNIGHT + 3 * DAY
    segments.prune(billed, later)
    assert segments.series(billed, MIDNIGHT, NOW, Grain.HOUR, ["tenant"]) == []
    begin, end = segments.widened(billed.calendar, MIDNIGHT + 1, NOW, later)
    assert segments.total(billed, begin, end, later, ["tenant"]) == before
    with reading(billed.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(segment)) == len(before)


@pytest.mark.parametrize(
    ("begin", "end", "now", "widened"),
    [
        pytest.param(PERIOD, HOUR + 1, 2 * HOUR, (0, 2 * HOUR), id="whole hours"),
        pytest.param(HOUR, 5 * HOUR, 4 * DAY, (0, DAY), id="whole days where hours are gone"),
    ],
)
def test_a_range_is_widened_to_where_rows_are_kept(
    ledger: Ledger, begin: int, end: int, now: int, widened: tuple[int, int]
) -> None:
    assert segments.widened(ledger.calendar, MIDNIGHT + begin, MIDNIGHT + end, MIDNIGHT + now) == tuple(
        MIDNIGHT + at for at in widened
    )


@pytest.mark.parametrize("hours", [(0, 24), (5, 6), (3, 30)])
def test_segments_and_what_is_beside_them_are_the_bill_of_any_range(billed: Ledger, hours: tuple[int, int]) -> None:
    """Whatever was split: here two hours of the day, one of them in part."""
    serving = PathUse("gpu", serving=Decimal(3), idle=Decimal(1), requests=Decimal(9))
    billed.append([replace(entry(NOW, NOW + HOUR), uses=(serving,))])
    write(billed, MIDNIGHT + 5 * HOUR, {"u-1": [of("acme", "0.000000001")]})
    write(billed, NOW, {"u-1": [of("acme", 2), of("", "0.5", kind=SegmentKind.UNATTRIBUTED)]})
    now = NOW + DAY
    begin, end = segments.widened(billed.calendar, *(MIDNIGHT + hour * HOUR for hour in hours), now)
    lines = total(billed, begin, end, now, KEY)
    uses = [line.use for line in segments.total(billed, begin, end, now, ["tenant"], KEY)]
    told = by_segment(statement_of(lines), "tenant", uses)
    assert told.dollars == sum((line.dollars for line in lines), Decimal(0))
    assert told.dollars > 0
