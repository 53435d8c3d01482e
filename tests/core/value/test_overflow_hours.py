from decimal import Decimal

import pytest

from flyball.core.value.outcomes import Counted
from flyball.core.value.overflow_hours import Beside, Traffic, beside


def counted(outcomes: int, cases: int) -> Counted:
    return Counted(Decimal(outcomes), Decimal(cases))


def test_hours_are_told_apart_by_whether_enough_overflowed() -> None:
    traffic = {
        1: Traffic(Decimal(100), Decimal(20)), 2: Traffic(Decimal(100)), 3: Traffic(Decimal(1000), Decimal(9)),
        4: Traffic(Decimal(100), Decimal(1)), 5: Traffic(),
    }  # fmt: skip
    outcomes = {1: counted(1, 10), 2: counted(6, 10), 3: counted(7, 10), 4: counted(2, 10), 9: counted(99, 99)}
    assert beside(traffic, outcomes) == Beside(2, 3, counted(3, 20), counted(13, 20))


@pytest.mark.parametrize("moved", [0, 100])
def test_where_all_hours_are_of_one_kind_the_other_is_empty(moved: int) -> None:
    found = beside({1: Traffic(Decimal(100), Decimal(moved))}, {1: counted(1, 2)})
    assert {found.with_, found.without} == {counted(1, 2), Counted()}
