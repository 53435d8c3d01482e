"""Statuses and Events that cannot be written now, whole ticks over strict fakes."""

import pytest
from support.world import World

from flyball.core.names import WorkloadKey
from flyball.core.ports import Conflict, PortError, Rejected, Unavailable
from flyball.runtime.telling import UNPUBLISHED_LIMIT

CHAT = WorkloadKey("team", "chat")


@pytest.mark.parametrize(
    "error", [Unavailable("500"), Conflict("409"), Rejected("403")], ids=lambda e: type(e).__name__
)
async def test_a_status_that_was_not_written_is_written_by_the_next_tick(world: World, error: PortError) -> None:
    world.apply()
    world.cluster.fail["write_status"] = error
    report = await world.tick()
    assert report.outcomes[0].failures == (f"status: {error}",)
    world.cluster.fail.clear()
    await world.tick()
    assert world.condition("Ready")["lastTransitionTime"] == "2026-01-09T12:00:15Z"


async def test_events_that_could_not_be_written_are_written_later_in_order_and_with_their_time(world: World) -> None:
    world.apply()
    await world.tick(4)
    world.events.fail = Unavailable("the API server answered 500")
    first = world.at
    await world.surge()
    assert world.events.told == []
    world.events.fail = None
    await world.tick()
    assert world.events.reasons()[0] == "SLOBreached"
    assert "ScaledUp" in world.events.reasons()
    times = [at for _, _, at in world.events.told]
    assert times[0] == first
    assert times == sorted(times)


async def test_an_event_that_is_refused_for_good_is_said_to_be_lost_and_holds_nothing_up(world: World) -> None:
    world.apply()
    world.events.fail = Rejected("forbidden; grant verb 'create' on 'events'")
    world.metrics.good = 0.5
    report = await world.tick()
    assert any("event SLOBreached is lost: forbidden" in failure for failure in report.outcomes[0].failures)
    world.events.fail = None
    await world.tick()
    assert "SLOBreached" not in world.events.reasons()


async def test_only_the_newest_events_wait(world: World) -> None:
    world.apply()
    world.events.fail = Unavailable("500")
    failures: list[str] = []
    for round_ in range(30):
        world.deployment().contender = "HorizontalPodAutoscaler/x" if round_ % 2 else None
        report = await world.tick()
        failures += report.outcomes[0].failures
        world.metrics.problem = "down" if round_ % 2 else ""
    waiting = world.ticker._known[CHAT].unpublished
    assert len(waiting) == UNPUBLISHED_LIMIT
    assert any(failure.endswith("is lost") for failure in failures)
