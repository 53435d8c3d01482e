"""What outcomes are worth: as declared, only as far as their guards hold, and never where nothing is known."""

from decimal import Decimal

import pytest

from flyball.core.names import KpiKind
from flyball.core.value.kpi import Guard, Kpi, Value, events, worth
from flyball.core.value.outcomes import Counted

DEFLECTIONS = Kpi("deflections", KpiKind.DEFLECTION, worth=Decimal(4), guard="stays-away")
RETURNS = Kpi("returns", KpiKind.POST_BOT_CONTACT)
GUARD = Guard("stays-away", 0.2, at_least=False, kpi="returns")


def counted(outcomes: int, cases: int, minutes: str = "0", squares: float = 0.0) -> Counted:
    return Counted(Decimal(outcomes), Decimal(cases), Decimal(minutes), squares=squares)


@pytest.mark.parametrize(
    ("returned", "cases", "dollars", "denied", "unproven"),
    [
        pytest.param(6, 40, 400, "", False, id="15% came back: the guard holds"),
        pytest.param(8, 40, 400, "", False, id="20% is at most 20%"),
        pytest.param(9, 40, 0, "guard stays-away is at 22.5%, not at most 20.0%", False, id="too many came back"),
        pytest.param(0, 29, 0, "guard stays-away has 29 cases, fewer than 30", True, id="the sample is too small"),
        pytest.param(0, 0, 0, "guard stays-away has 0 cases, fewer than 30", True, id="nobody looked"),
    ],
)
def test_no_credit_without_the_guard(returned: int, cases: int, dollars: int, denied: str, unproven: bool) -> None:
    sums = {"deflections": counted(100, 120), "returns": counted(returned, cases)}
    found = worth(Value((DEFLECTIONS, RETURNS), (GUARD,)), sums, {})
    assert (found.dollars, found.lines[0].denied, found.lines[0].unproven) == (dollars, denied, unproven)
    assert bool(found.unproven) == unproven
    assert found.worth_squares == 16 * 100 * bool(dollars)


@pytest.mark.parametrize(
    ("share", "outcomes", "dollars", "unproven"),
    [
        pytest.param(0.91, 50, 200, False, id="above its least"),
        pytest.param(0.89, 50, 0, False, id="below it"),
        pytest.param(None, 50, 0, True, id="no answer"),
        pytest.param(0.91, 20, 0, True, id="few guarded cases"),
    ],
)
def test_a_guard_by_query_is_of_the_guarded_cases(
    share: float | None, outcomes: int, dollars: int, unproven: bool
) -> None:
    shares = {} if share is None else {"stays-away": share}
    value = Value((DEFLECTIONS,), (Guard("stays-away", 0.9, query="up"),))
    found = worth(value, {"deflections": counted(outcomes, outcomes)}, shares)
    assert (found.dollars, bool(found.unproven)) == (dollars, unproven)


def test_work_that_outcomes_cause_is_a_cost_and_work_that_they_save_is_worth() -> None:
    value = Value(
        (
            Kpi("escalations", KpiKind.ESCALATION, labor=Decimal("6.50")),
            Kpi("saved", KpiKind.TIME_SAVED, worth_per_minute=Decimal("0.5")),
            Kpi("handled", KpiKind.HANDLE_TIME, labor_per_minute=Decimal("0.25")),
        )
    )
    sums = {
        "escalations": counted(10, 100), "saved": counted(5, 5, "40", 400.0), "handled": counted(3, 3, "12", 50.0),
    }  # fmt: skip
    found = worth(value, sums, {})
    assert (found.dollars, found.labor) == (20, 68)
    assert (found.worth_squares, found.labor_squares) == (100.0, 422.5 + 3.125)
    assert [line.figure for line in found.lines] == [0.1, 8.0, 4.0]


def test_an_outcome_of_which_nothing_is_reported_is_unknown_and_not_zero() -> None:
    found = worth(Value((DEFLECTIONS, RETURNS), (GUARD,)), {}, {})
    assert found.unknown == ("no outcome of KPI deflections is reported",)


def test_a_rate_that_is_not_known_is_named() -> None:
    lacking = Kpi("saved", KpiKind.TIME_SAVED, missing="the rate of Agent is not known")
    assert worth(Value((lacking,)), {"saved": counted(1, 1)}, {}).unknown == ("the rate of Agent is not known",)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([4.0] * 25, 25.0, id="equal ones"),
        pytest.param([100.0] + [0.01] * 100, 1.0201, id="one that outweighs all"),
        pytest.param([], 0.0, id="none"),
    ],
)
def test_a_sum_varies_as_one_of_so_many_equal_events(values: list[float], expected: float) -> None:
    assert events(sum(values), sum(value * value for value in values)) == pytest.approx(expected, rel=1e-3)
