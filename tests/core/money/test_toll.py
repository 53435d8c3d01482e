"""What ceilings cost in service and what lifting them would buy: told where one binds, and added up over the month."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core.cases import START, TICK, codes, decided, hourly, observation, running, signals, spec, variant

from flyball.core.decide import decide
from flyball.core.memory import Memory, TollMemory
from flyball.core.money.toll import Toll, account
from flyball.core.names import Precedence

HOUR = 3600.0
CAPPED = spec(variant(), precedence=Precedence.COST, ceilings=hourly("4"))


@pytest.mark.parametrize(
    ("memory", "at", "spared", "missed"),
    [
        pytest.param(TollMemory(), START, 0, 0, id="the first look"),
        pytest.param(TollMemory("2027-01", START - 60, Decimal(5), 7.0), START, 5, 7, id="nothing held back since"),
        pytest.param(
            TollMemory("2027-01", START - 60, Decimal(5), 7.0, Decimal(6), 60.0), START, Decimal("5.1"), 8, id="60 s"
        ),
        pytest.param(
            TollMemory("2027-01", START - HOUR, Decimal(5), 7.0, Decimal(6), 60.0), START, Decimal("5.5"), 12,
            id="an hour without a look: five minutes of it",
        ),
        pytest.param(
            TollMemory("2026-12", START - 60, Decimal(5), 7.0, Decimal(6), 60.0), START, 0, 0,
            id="a new month begins at zero",
        ),
    ],
)  # fmt: skip
def test_the_months_sum(memory: TollMemory, at: float, spared: Decimal, missed: float) -> None:
    found = account(memory, at, Toll(Decimal(2), 30.0))
    assert (found.month, found.at, found.spared_per_hour, found.missed_per_hour) == ("2027-01", at, 2, 30.0)
    assert float(found.spared) == pytest.approx(float(spared), abs=1e-9)
    assert found.missed == pytest.approx(missed)


def test_lifting_is_told_in_dollars_and_requests() -> None:
    said = Toll(Decimal("4.10"), 210.4).text
    assert said == (
        "lifting it would cost $4.10 an hour more and keep 210 more requests an hour within their objectives, "
        "$0.0195 for each"
    )
    assert Toll(Decimal("4.10"), 0.2).text.endswith("keep 0 more requests an hour within their objectives")


def capped(rate: float, replicas: int = 2, **fields: object) -> set[str]:
    """The causes of a decision under a ceiling of two replicas, with so many requests/s."""
    seen = observation(signal=signals(rate=rate), state=running(replicas))
    return codes(decided(replace(CAPPED, **fields), seen))  # type: ignore[arg-type]


def test_the_toll_is_told_where_the_ceiling_binds_and_nowhere_else() -> None:
    assert "CeilingToll" in capped(16.0)
    assert "CeilingToll" not in capped(2.0)
    assert "CeilingToll" not in capped(16.0, ceilings=())


def test_more_load_under_the_same_ceiling_costs_more_service() -> None:
    missed = []
    for rate in (12.0, 16.0, 24.0):
        seen = observation(signal=signals(rate=rate), state=running(2))
        decision = decided(CAPPED, seen)
        cause = next(c for v in decision.variants for c in v.causes if c.code == "CeilingToll")
        missed.append(dict(cause.numbers)["missed_per_hour"])
    assert 0 < missed[0] < missed[1] < missed[2] < 24.0 * HOUR


def test_a_month_of_it_is_in_the_cost_report() -> None:
    memory = Memory()
    for tick in range(5):
        seen = observation(at=START + tick * TICK, signal=signals(rate=16.0), state=running(2))
        decision, memory = decide(CAPPED, seen, memory)
    assert decision.cost.spared == pytest.approx(memory.toll.spared)
    assert float(memory.toll.spared) == pytest.approx(float(memory.toll.spared_per_hour) * 4 * TICK / HOUR, rel=0.5)
    assert decision.cost.missed > 0
