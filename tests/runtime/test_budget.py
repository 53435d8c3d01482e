"""The budget's annotations: what they say, and when they are worth another write."""

from dataclasses import replace
from decimal import Decimal

import pytest
from support.objects import workload
from support.world import START, World

from flyball.core.decision import CostReport, Decision
from flyball.core.names import Enforcement, Period
from flyball.core.spec import Ceiling
from flyball.runtime import budget

HOUR, DAY = 3600.0, 86400.0
AT = START
"""The 9th of January, noon: 22.5 days of the month are left."""


@pytest.fixture
async def decision(world: World) -> Decision:
    world.apply()
    report = await world.tick()
    return report.outcomes[0].decision


def annotations(
    decision: Decision, per_hour: str | None = "2", to_date: str = "100", ceiling: str | None = "1000", at: float = AT
) -> budget.Annotations:
    cost = CostReport(None if per_hour is None else Decimal(per_hour), Decimal(to_date), None, None, None)
    ceilings = (Ceiling(Period.MONTH, Decimal(ceiling), Enforcement.ALERT),) if ceiling else ()
    return budget.annotations(replace(workload("team"), ceilings=ceilings), replace(decision, cost=cost, at=at))


def test_what_they_say(decision: Decision) -> None:
    assert annotations(decision, per_hour="2", to_date="100", ceiling="500") == {
        "flyball.dev/cost-per-hour": "2.00",
        "flyball.dev/month-to-date": "100.00",
        "flyball.dev/month-to-date-as-of": "2026-01-09T12:00:00Z",
        "flyball.dev/budget-remaining": "400.00",
        "flyball.dev/budget-exhausted-at": "2026-01-17T20:00:00Z",
        "flyball.dev/governed-by": "WorkloadSLO/chat",
    }


def test_without_a_price_they_name_the_governor_only(decision: Decision) -> None:
    said = annotations(decision, per_hour=None)
    assert {key for key, value in said.items() if value} == {budget.GOVERNED_BY}


def test_without_a_ceiling_there_is_no_budget(decision: Decision) -> None:
    said = annotations(decision, ceiling=None)
    assert (said[budget.REMAINING], said[budget.EXHAUSTED_AT]) == (None, None)


@pytest.mark.parametrize(
    ("per_hour", "ceiling", "at"),
    [
        pytest.param("1", "639", "2026-01-31T23:00:00Z", id="an hour before the month ends"),
        pytest.param("1", "640", None, id="with the month's end"),
        pytest.param("0", "500", None, id="nothing is spent"),
        pytest.param("2", "90", "2026-01-09T07:00:00Z", id="some hours ago"),
        pytest.param("0.01", "90", None, id="before the month began, at this rate: nobody knows when"),
    ],
)
def test_when_the_budget_is_used_up(decision: Decision, per_hour: str, ceiling: str, at: str | None) -> None:
    assert annotations(decision, per_hour, ceiling=ceiling)[budget.EXHAUSTED_AT] == at


def test_an_overspent_budget_has_nothing_left(decision: Decision) -> None:
    assert annotations(decision, ceiling="90")[budget.REMAINING] == "0.00"


@pytest.mark.parametrize(
    ("now", "material"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"to_date": "100.5", "at": AT + HOUR / 4}, False, id="money that ran on at the announced rate"),
        pytest.param({"to_date": "102", "at": AT + HOUR}, True, id="an hour of it"),
        pytest.param({"per_hour": "4"}, True, id="another rate"),
        pytest.param({"per_hour": None}, True, id="the price is lost"),
        pytest.param({"ceiling": None}, True, id="the ceiling is gone"),
        pytest.param({"ceiling": "600"}, True, id="the ceiling is another"),
        pytest.param({"ceiling": "9000"}, True, id="the ceiling is no longer reached this month"),
        pytest.param({"to_date": "101", "at": AT + HOUR / 4}, False, id="a little overflow beside the rate"),
    ],
)
def test_what_is_worth_a_write(decision: Decision, now: dict[str, object], material: bool) -> None:
    said = annotations(decision, ceiling="500")
    assert budget.material(said, annotations(decision, **{"ceiling": "500", **now})) is material  # type: ignore[arg-type]


def test_a_first_annotation_is_written_and_all_are_removed(decision: Decision) -> None:
    assert budget.material(None, annotations(decision))
    assert set(budget.REMOVED) == set(annotations(decision))
    assert not any(budget.REMOVED.values())
