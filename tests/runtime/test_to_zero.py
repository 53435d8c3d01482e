"""Scaling to zero and back in whole ticks: what is written in which order, told, and remembered by a new process."""

from dataclasses import replace
from typing import Any

from support.world import OVERFLOW, PRICED, World

from flyball.core.observation import ABSENT, ok

TARGET = PRICED | {"name": "gpu", "targetRef": {"name": "chat"}, "minReplicas": 0, "maxReplicas": 4}
SCALING = {"scaleToZero": {"idleAfter": "3m", "wakeUp": {"query": "sum(rate(gateway_requests_total[1m]))"}}}


def sleepy(world: World, **spec: Any) -> None:
    """`chat` with one replica, which nobody asks for."""
    world.apply(targets=[TARGET], scaling=SCALING, **spec)
    world.deployment().replicas = 1
    world.metrics.rate, world.metrics.busy, world.metrics.wanted = 0.0, 0.0, ok(0.0)


async def test_it_goes_and_comes_back_and_every_step_is_told(world: World) -> None:
    sleepy(world)
    await world.tick(14)
    assert world.deployment().replicas == 0
    assert world.condition("ScaleToZero")["reason"] == "AtZero"
    assert "503 from the gateway" in world.condition("ScaleToZero")["message"]
    assert world.condition("TelemetryHealthy")["reason"] == "AtZero"
    world.cluster.writes.clear()
    await world.tick(20)
    assert world.cluster.writes == [], "at zero nothing is written"
    world.metrics.wanted = ok(0.2)
    await world.tick()
    assert world.deployment().replicas == 1
    messages = [event.message for _, event, _ in world.events.told]
    assert world.events.reasons() == ["ScaledDown", "ScaledUp"]
    assert "from 1 to 0 replicas: nobody has asked for it for 3m; Flyball holds no request" in messages[0]
    assert "from 0 to 1 replicas: somebody asks for it by the wake-up signal" in messages[1]


async def test_the_route_is_moved_before_the_last_replica_goes_and_given_back_after_one_is_ready(world: World) -> None:
    world.with_route()
    sleepy(world, fallback=OVERFLOW)
    seen = []
    for tick in range(80):
        world.metrics.wanted = ok(float(tick >= 30))
        route = world.cluster.routes["team", "chat"]
        world.cluster.routes["team", "chat"] = replace(route, primary_ready_endpoints=world.deployment().replicas)
        before = len(world.cluster.writes)
        await world.tick()
        wrote = [write for write in world.cluster.writes[before:] if write.split()[0] != "write_status"]
        seen += [w.split()[0] for w in wrote if w.split()[0] in ("scale", "set_weights", "restore_weights")]
        assert world.weights()[0] == 0 or world.deployment().replicas
    assert seen[0] == "set_weights"
    assert seen.index("scale") == 1
    assert (seen[2], seen[-1]) == ("scale", "restore_weights")
    assert "set_weights" in seen[3:], "the replica is probed first"
    assert world.weights() == (1, 0)


async def test_a_new_process_knows_that_it_was_put_to_zero_and_repeats_nothing(world: World) -> None:
    sleepy(world)
    await world.tick(16)
    told = world.events.reasons()
    world.restart()
    await world.tick(3)
    assert world.events.reasons() == told
    assert world.deployment().replicas == 0
    world.restart()
    world.apply(targets=[TARGET], scaling={})
    await world.tick(2)
    assert world.deployment().replicas == 1, "nobody would wake it any more"


async def test_a_refusal_is_told_once_with_its_fix_also_over_a_restart(world: World) -> None:
    sleepy(world)
    world.apply(targets=[TARGET], scaling={"scaleToZero": {"idleAfter": "3m"}})
    await world.tick(20)
    world.restart()
    await world.tick(3)
    assert world.events.reasons() == ["ScaleToZeroRefused"]
    assert world.condition("ScaleToZero")["status"] == "False"
    assert "wakeUp.query" in world.condition("ScaleToZero")["message"]
    assert world.deployment().replicas == 1


async def test_a_lost_signal_is_no_silence(world: World) -> None:
    sleepy(world)
    await world.tick(8)
    world.metrics.wanted = ABSENT
    await world.tick(20)
    assert world.deployment().replicas == 1
    assert world.condition("ScaleToZero")["reason"] == "WakeUpSignalLost"
