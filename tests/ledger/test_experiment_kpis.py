"""KPIs of experiments in the ledger: as they were registered, and in the whole hours of a block."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core.experiments import BEGIN, HOUR, plan

from flyball.core.evidence.experiment import Arm, Block, Measured
from flyball.core.evidence.experiment_kpi import Defined
from flyball.core.evidence.experiment_sources import KpiPlan, KpiSource
from flyball.core.names import KpiKind, WorkloadKey
from flyball.core.value.kpi import Guard
from flyball.core.value.outcomes import Counted, Outcome, Void
from flyball.ledger import experiments as records
from flyball.ledger.experiment_kpis import hours_of, late, outcomes_of
from flyball.ledger.outcomes import record
from flyball.ledger.store import Ledger

CHAT = WorkloadKey("team", "chat")
PUSHED, QUERIED = KpiSource(CHAT, "contained"), KpiSource(CHAT, "solved", "rate(x[5m])")
KPIS = KpiPlan(
    {"contained": Defined(KpiKind.CONTAINMENT, Guard("g", 0.2, at_least=False, kpi="came-back")),
     "solved": Defined(KpiKind.TASK_COMPLETION)},
    {(Arm.BASELINE, "contained"): (PUSHED,), (Arm.TREATMENT, "contained"): (PUSHED,)},
)  # fmt: skip
PLAN = plan(block_ms=4 * HOUR, washout_ms=600_000)
BLOCK = Block(0, 0, Arm.TREATMENT, BEGIN, BEGIN + 4 * HOUR)


def case(at: int, key: str, outcomes: int = 1, kpi: str = "contained", void: Void | None = None) -> Outcome:
    return Outcome(CHAT, kpi, key, at, Decimal(outcomes), void=void)


def test_what_was_registered_of_kpis_comes_back(ledger: Ledger) -> None:
    new = records.Registered("u", PLAN.key, BEGIN, BEGIN, "0" * 64, "{}", KPIS)
    records.register(ledger, new)
    assert records.find(ledger, "u") == new


def test_a_block_keeps_its_outcomes(ledger: Ledger) -> None:
    records.register(ledger, records.Registered("u", PLAN.key, BEGIN, BEGIN, "0" * 64, "{}", KPIS))
    sums = Counted(Decimal("1.5"), Decimal(3), Decimal("2.25"), Decimal(1), Decimal(0))
    found = Measured(BLOCK, kpis={"contained": sums})
    records.add_blocks(ledger, "u", [found])
    assert records.blocks(ledger, "u") == [found]


def test_whole_hours_after_the_washout_count(ledger: Ledger) -> None:
    assert hours_of(ledger, PLAN, BLOCK) == (BEGIN + HOUR, BEGIN + 4 * HOUR)
    assert hours_of(ledger, replace(PLAN, washout_ms=0), BLOCK) == (BEGIN, BEGIN + 4 * HOUR)
    record(ledger, [case(BEGIN + n * HOUR + 5, f"k{n}", outcomes=n % 2) for n in range(5)])
    found = outcomes_of(ledger, [PUSHED], *hours_of(ledger, PLAN, BLOCK))
    assert found is not None
    assert (found.outcomes, found.cases) == (2, 3)


@pytest.mark.parametrize(
    ("sources", "hours", "known"),
    [
        pytest.param([QUERIED], 3, True, id="a query of all hours"),
        pytest.param([QUERIED], 1, False, id="a query that most hours lack"),
        pytest.param([PUSHED], 0, True, id="nothing was pushed: there was nothing"),
        pytest.param([QUERIED, PUSHED], 0, True, id="one that is pushed beside it"),
    ],
)
def test_an_hour_that_no_query_measured_is_not_one_without_outcomes(
    ledger: Ledger, sources: list[KpiSource], hours: int, known: bool
) -> None:
    record(ledger, [case(BEGIN + n * HOUR, f"q{n}", kpi="solved") for n in range(1, 1 + hours)])
    assert (outcomes_of(ledger, sources, *hours_of(ledger, PLAN, BLOCK), 0.8) is not None) is known


def test_what_changed_after_a_block_was_measured_is_told(ledger: Ledger) -> None:
    record(ledger, [case(BEGIN + HOUR, "a"), case(BEGIN + HOUR, "b")])
    counted = outcomes_of(ledger, [PUSHED], *hours_of(ledger, PLAN, BLOCK))
    assert counted is not None
    before = Measured(BLOCK, kpis={"contained": counted})
    assert late(ledger, PLAN, KPIS, [before], BEGIN + 9 * HOUR) == {}
    record(ledger, [case(BEGIN + 2 * HOUR, "c"), case(BEGIN + HOUR, "a", void=Void.CAME_BACK)])
    assert late(ledger, PLAN, KPIS, [before], BEGIN + 9 * HOUR) == {"contained": (1, 1)}
    assert late(ledger, PLAN, KPIS, [before], BEGIN + 70 * 24 * HOUR) == {}
