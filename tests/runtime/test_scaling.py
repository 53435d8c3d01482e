"""Targets that refuse to be scaled, whole ticks over strict fakes."""

import pytest
from support.world import World

from flyball.core.ports import Conflict, Missing, PortError, Rejected, Unavailable


@pytest.mark.parametrize(
    "error",
    [Conflict("has 3 replicas, not 2"), Unavailable("timed out"), Missing("gone")],
    ids=lambda e: type(e).__name__,
)
async def test_a_scale_that_may_work_later_is_no_event_and_is_decided_again(world: World, error: PortError) -> None:
    world.apply()
    world.cluster.fail["scale"] = error
    await world.surge()
    assert world.deployment().replicas == 2
    assert not {"ScaledUp", "ScaleBlocked"} & set(world.events.reasons())
    world.cluster.fail.clear()
    await world.tick()
    assert world.deployment().replicas > 2
    assert "ScaledUp" in world.events.reasons()


async def test_a_scale_that_is_refused_is_told_once_and_shown_until_it_works(world: World) -> None:
    world.apply()
    world.cluster.fail["scale"] = Rejected("forbidden; grant verb 'patch' on 'deployments/scale'")
    await world.surge()
    await world.tick(10)
    assert world.events.reasons().count("ScaleBlocked") == 1
    blocked = world.condition("ScalingActive")
    assert (blocked["status"], blocked["reason"]) == ("False", "ScaleBlocked")
    assert "grant verb 'patch'" in blocked["message"]
    world.restart()
    await world.tick(3)
    assert world.events.reasons().count("ScaleBlocked") == 1, "a new process found in the status that it was told"
    world.cluster.fail.clear()
    await world.tick(2)
    assert world.condition("ScalingActive")["status"] == "True"
    assert "ScaledUp" in world.events.reasons()
