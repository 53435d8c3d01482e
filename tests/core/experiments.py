"""Experiments and what their blocks showed, for tests: hours whose cost and requests are made up."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from flyball.core.evidence.experiment import Arm, Block, Direction, Measured, Metric, Plan, Source, blocks_of
from flyball.core.names import WorkloadKey

HOUR = 3_600_000
BEGIN = 490_000 * HOUR
PLAN = Plan(
    key=WorkloadKey("team", "quantized"),
    uid="5f0c6c1e-1f43-4c57-9f3f-000000000001",
    metric=Metric.COST_PER_REQUEST,
    direction=Direction.DECREASE,
    by=0.18,
    baseline=Source(("chat",)),
    treatment=Source(("chat-int4",)),
    guards=("first-token",),
    min_ms=0,
)


def plan(**changes: Any) -> Plan:
    """An experiment that claims 18% less cost per request."""
    return replace(PLAN, **changes)


def measured(block: Block, cost: float = 0.01, **changes: Any) -> Measured:
    """A block of a thousand requests at that cost each, 1% of them late."""
    found = Measured(
        block, Decimal(str(round(cost * 1000, 9))), Decimal(1000), Decimal(200_000), {"first-token": (990.0, 1000.0)}
    )
    return replace(found, **changes)


def blocks(of: Plan, pairs: int, cost: Callable[[Block], float] = lambda _: 0.01, **changes: Any) -> list[Measured]:
    """That many pairs; `cost` is that of a request in a block."""
    return [measured(block, cost(block), **changes) for pair in range(pairs) for block in blocks_of(of, BEGIN, pair)]


def cheaper(by: float, wobble: float = 0.02) -> Callable[[Block], float]:
    """The cost of a request where treated ones are so much cheaper, and hours differ a little."""

    def cost(block: Block) -> float:
        uneven = 1.0 + wobble * ((block.start // HOUR * 7919) % 11 - 5) / 5
        return 0.01 * uneven * ((1.0 - by) if block.arm is Arm.TREATMENT else 1.0)

    return cost
