"""What an operator that is told to end leaves behind for the next one."""

import pytest
from support.world import World

from flyball.core.ports import Unavailable


@pytest.fixture
async def world() -> World:
    """Ten minutes of steady load: figures ran on, and nothing was worth a write."""
    found = World()
    found.apply()
    found.apply("other")
    await found.tick(40)
    found.cluster.writes.clear()
    return found


async def test_statuses_that_ran_on_are_written_once(world: World) -> None:
    shown = world.status()["cost"]["monthToDate"]
    await world.ticker.save(world.at)
    assert sorted(world.cluster.writes) == ["write_status chat", "write_status other"]
    assert float(world.status()["cost"]["monthToDate"]) > float(shown)
    await world.ticker.save(world.at)
    assert len(world.cluster.writes) == 2


async def test_the_next_one_goes_on_from_there(world: World) -> None:
    await world.ticker.save(world.at)
    saved = float(world.status()["cost"]["monthToDate"])
    world.restart()
    await world.tick()
    assert saved <= float(world.status()["cost"]["monthToDate"]) <= saved + 0.01


async def test_one_that_cannot_be_written_holds_up_no_other(world: World) -> None:
    world.cluster.fail["write_status chat"] = Unavailable("down")
    await world.ticker.save(world.at)
    assert sorted(world.cluster.writes) == ["write_status chat", "write_status other"]


async def test_before_the_first_tick_there_is_nothing_to_save(world: World) -> None:
    world.restart()
    await world.ticker.save(world.at)
    assert world.cluster.writes == []
