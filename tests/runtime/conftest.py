"""Worlds for ticks."""

import pytest
import pytest_asyncio
from support.world import OVERFLOW, World


@pytest.fixture
def world() -> World:
    """A fresh world."""
    return World()


@pytest_asyncio.fixture
async def overflowing(world: World) -> World:
    """A world in which `chat` overflows to its fallback, because its objectives are breached."""
    world.with_route()
    world.apply(fallback=OVERFLOW)
    world.metrics.good = 0.5
    for _ in range(8):
        await world.tick()
        if world.weights() != (1, 0):
            break
    assert world.weights()[1] > 0
    return world
