"""Which decisions a tick records: all that people can come upon, and at steady state none."""

from contextlib import closing
from pathlib import Path

import pytest
from support.world import OVERFLOW, World

from flyball.core.ports import Unavailable
from flyball.ledger.record import Record, decode, encode
from flyball.ledger.replay import replay
from flyball.runtime.exporter import Tally
from flyball.runtime.operator import _recorder
from flyball.runtime.settings import Settings
from flyball.runtime.tick import Ticker
from flyball.telemetry.settings import PrometheusSettings


@pytest.fixture
def records() -> list[Record]:
    return []


@pytest.fixture
def world(records: list[Record]) -> World:
    world = World()
    world.ticker = Ticker(world.mirror, world.metrics, world.cluster, world.events, records.append)
    return world


async def test_the_decision_that_a_status_shows_is_recorded_and_replays(world: World, records: list[Record]) -> None:
    world.apply()
    await world.tick()
    assert [record.id for record in records] == [world.status()["lastDecision"]["id"]]
    assert replay(decode(encode(records[0]))).equal


async def test_a_steady_state_records_nothing(world: World, records: list[Record]) -> None:
    world.apply()
    await world.tick(30)
    before = len(records)
    await world.tick(30)
    assert len(records) == before


async def test_every_change_of_replicas_and_weights_is_recorded_with_what_led_to_it(
    world: World, records: list[Record]
) -> None:
    world.apply(fallback=OVERFLOW)
    world.with_route()
    await world.tick(4)
    for _ in range(12):
        writes, replicas = len(world.cluster.writes), world.deployment().replicas
        await world.surge(1)
        changed = [write for write in world.cluster.writes[writes:] if write.startswith(("scale", "set_weights"))]
        if changed:
            assert records[-1].observation.at == world.at - 15.0
            assert records[-1].observation.state.variants[0].replicas == replicas
    assert any(write.startswith("scale") for write in world.cluster.writes)
    assert any(write.startswith("set_weights") for write in world.cluster.writes)
    assert all(replay(decode(encode(record))).equal for record in records)


async def test_the_record_holds_what_a_pool_cut(world: World, records: list[Record]) -> None:
    world.apply()
    world.pool(3)
    await world.surge()
    cut = [record for record in records if record.grants]
    assert [(grant.replicas, grant.ask.desired) for record in cut for grant in record.grants][-1] == (3, 4)
    assert cut[-1].decision.variants[0].limited_by == "GPUPool shared"
    assert all(replay(decode(encode(record))).equal for record in records)


async def test_a_wish_that_stays_the_same_is_recorded_once(world: World, records: list[Record]) -> None:
    world.apply(mode="Recommend")
    await world.surge(60)
    before = len(records)
    assert any(variant.desired > variant.current for variant in records[-1].decision.variants)
    await world.tick(20)
    assert len(records) == before


async def test_a_change_that_failed_is_recorded_too(world: World, records: list[Record]) -> None:
    world.apply()
    world.cluster.fail["scale"] = Unavailable("timed out")
    await world.surge()
    before = len(records)
    await world.tick()
    assert len(records) == before + 1


async def test_the_operator_records_into_its_folder_and_counts(world: World, tmp_path: Path) -> None:
    tally = Tally()
    recorder = _recorder(Settings(PrometheusSettings("http://p:9090"), records=tmp_path), tally)
    assert recorder is not None
    with closing(recorder):
        world.ticker = Ticker(world.mirror, world.metrics, world.cluster, world.events, recorder.record)
        world.apply()
        await world.tick()
    shown = world.status()["lastDecision"]["id"]
    line = recorder.find_line(shown)
    assert line is not None
    assert replay(decode(line)).equal
    assert (tally.decisions_recorded(), tally.decisions_lost()) == (1, 0)


def test_nothing_is_recorded_where_no_folder_is_named() -> None:
    assert _recorder(Settings(PrometheusSettings("http://p:9090")), Tally()) is None
