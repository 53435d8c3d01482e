"""Ticks with a Budget that workloads share: who is held back, what is said of it, and what is not written."""

from typing import Any

import pytest
from support.world import World

from flyball.core.names import WorkloadKey

KEY = WorkloadKey("team", "team-a")
LABELS = {"team": "a"}


def budget(world: World, *ceilings: dict[str, str], **spec: Any) -> None:
    """Create or edit the Budget of namespace `team`."""
    known = world.mirror.budgets.raw.get(KEY)
    metadata = {"namespace": "team", "name": "team-a", "uid": "budget-1", "generation": 2 if known else 1}
    raw = {"kind": "Budget", "metadata": metadata, "spec": {"ceilings": list(ceilings), **spec}}
    world.mirror.put_budget({**(known or {}), **raw})


def ceiling(amount: str, period: str = "Hour", enforcement: str = "Clamp") -> dict[str, str]:
    return {"period": period, "amount": amount, "enforcement": enforcement}


def told(world: World) -> list[tuple[str, str]]:
    """Whom was told what of the Budget."""
    return [
        (key.name, str(event.reason))
        for key, event, _ in world.events.told
        if event.message.startswith("Budget team-a")
    ]


def condition(world: World, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in world.cluster.statuses[KEY]["conditions"] if c["type"] == kind)
    return found


async def surge(world: World, ticks: int = 8) -> None:
    """Four replicas are what each workload may have at most, and what it now needs."""
    world.metrics.rate, world.metrics.busy, world.metrics.waiting = 60.0, 1.0, 60.0
    await world.tick(ticks)


def replicas(world: World) -> list[int]:
    return [world.deployment(name).replicas for name in ("chat", "search")]


@pytest.fixture
def two(world: World) -> World:
    """Two workloads of two replicas at least and four at most, for $0.80 an hour each."""
    world.apply("chat", precedence="Cost")
    world.apply("search", precedence="Cost")
    return world


@pytest.mark.parametrize(
    ("amount", "enforcement", "expected"),
    [
        pytest.param("4.80", "Clamp", [3, 3], id="six replicas: one more for each"),
        pytest.param("6.40", "Clamp", [4, 4], id="eight: enough"),
        pytest.param("1.00", "Clamp", [2, 2], id="less than the minimum of both, which stays"),
        pytest.param("4.80", "Alert", [4, 4], id="one that only alerts"),
    ],
)
async def test_both_give_up_the_same_share(two: World, amount: str, enforcement: str, expected: list[int]) -> None:
    budget(two, ceiling(amount, enforcement=enforcement))
    await surge(two)
    assert replicas(two) == expected


async def test_only_workloads_with_its_labels_share_it(two: World) -> None:
    budget(two, ceiling("1.60"), selector={"matchLabels": LABELS})
    key = WorkloadKey("team", "chat")
    labelled = {**two.cluster.workloads[key], "metadata": {**two.cluster.workloads[key]["metadata"], "labels": LABELS}}
    two.cluster.workloads[key] = labelled
    two.mirror.put({**labelled, "metadata": {**labelled["metadata"], "generation": 2}})
    await surge(two)
    assert replicas(two) == [2, 4]
    assert two.cluster.statuses[KEY]["workloads"] == ["chat"]


async def test_owners_are_told_once_and_a_restart_tells_nothing_again(two: World) -> None:
    budget(two, ceiling("4.00"))
    await two.tick(2)
    assert told(two) == []
    await surge(two)
    assert set(told(two)) == {(name, "BudgetCeilingReached") for name in ("chat", "search")}
    assert len(told(two)) == 2
    assert condition(two, "WithinBudget")["reason"] == "CeilingReached"
    two.restart()
    await two.tick(4)
    assert len(told(two)) == 2


async def test_a_month_that_would_cost_more_is_told_ahead(two: World) -> None:
    budget(two, ceiling("500", period="Month"))
    await two.tick(3)
    assert set(told(two)) == {(name, "BudgetCeilingApproaching") for name in ("chat", "search")}
    assert condition(two, "WithinBudget")["reason"] == "ForecastOver"
    assert "if all demand is served" in two.cluster.statuses[KEY]["summary"]
    assert "its part of Budget team-a" in two.condition("WithinBudget")["message"]


async def test_a_budget_of_nobody_says_so(world: World) -> None:
    budget(world, ceiling("5"))
    await world.tick()
    assert (condition(world, "Ready")["status"], condition(world, "Ready")["reason"]) == ("False", "NoWorkload")


async def test_an_invalid_budget_holds_nobody_back_and_says_what_is_wrong(two: World) -> None:
    budget(two, ceiling("5", period="Request"))
    await surge(two)
    assert replicas(two) == [4, 4]
    assert "use the periods Hour, Day and Month" in condition(two, "Ready")["message"]


async def test_a_budget_in_another_currency_holds_nobody_back_and_says_so(two: World) -> None:
    budget(two, ceiling("0.10"), currency="EUR")
    await surge(two)
    assert replicas(two) == [4, 4]
    assert condition(two, "Ready")["message"].startswith("spec.currency: amounts in EUR cannot be held against")


async def test_a_steady_budget_writes_nothing(two: World) -> None:
    budget(two, ceiling("10"), ceiling("9000", period="Month"))
    await two.tick(8)
    two.cluster.writes.clear()
    await two.tick(40)
    assert not [write for write in two.cluster.writes if write.startswith("write_budget_status")]


async def test_a_budget_that_is_gone_holds_nobody_back(two: World) -> None:
    budget(two, ceiling("1.00"))
    await surge(two, 4)
    two.mirror.remove_budget(two.mirror.budgets.raw[KEY])
    await two.tick(4)
    assert replicas(two) == [4, 4]
