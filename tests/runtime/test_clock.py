"""A clock that jumps: replicas and routes stay, money stays money, and what was unlearned comes back by itself."""

from decimal import Decimal

import pytest
from support.world import OVERFLOW, World

HOUR, DAY, MONTH = 3600.0, 86400.0, 31 * 86400.0


@pytest.mark.parametrize(
    "jump",
    [
        pytest.param(-HOUR, id="an hour back"),
        pytest.param(HOUR, id="an hour ahead"),
        pytest.param(-DAY, id="a day back"),
        pytest.param(DAY, id="a day ahead"),
        pytest.param(-MONTH, id="a month back"),
        pytest.param(MONTH, id="a month ahead"),
    ],
)
async def test_a_jump_of_the_clock_and_back_moves_nothing(jump: float) -> None:
    world = World()
    world.with_route()
    world.apply(fallback=OVERFLOW)
    await world.tick(20)
    replicas, weights = world.deployment().replicas, world.weights()
    for seconds in (jump, -jump):
        world.at += seconds
        for _ in range(8):
            report = await world.tick()
            assert report.defects == ()
            assert (world.deployment().replicas, world.weights()) == (replicas, weights)
    spent = world.status()["cost"]
    assert Decimal(spent["monthToDate"]) >= 0
    assert Decimal(spent["perHour"]) > 0
    assert world.condition("TelemetryHealthy")["status"] == "True"
    assert world.finalizers() == []


async def test_a_clock_that_goes_back_holds_no_traffic_on_the_fallback() -> None:
    world = World()
    world.with_route()
    world.apply(fallback={**OVERFLOW, "triggerFor": "0s", "minHold": "30s", "returnHold": "30s"})
    await world.tick(2)
    world.metrics.rate, world.metrics.good, world.metrics.waiting, world.metrics.busy = 40.0, 0.2, 90.0, 1.0
    await world.tick(6)
    assert world.weights()[1] > 0
    world.at -= DAY
    world.metrics.rate, world.metrics.good, world.metrics.waiting, world.metrics.busy = 2.0, 0.9999, 0.0, 0.5
    await world.tick(60)
    assert world.weights() == (1, 0)
