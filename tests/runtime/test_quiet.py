"""Writes at a steady load of few requests, counted: chance is no news, and a step is."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from support.single_requests import Load, SingleRequests
from support.world import OVERFLOW, PRICED, World

from flyball.core.names import WorkloadKey

CHAT = WorkloadKey("team", "chat")
TICK_SECONDS, SETTLE_SECONDS = 5.0, 900.0
PRIOR = {"baseMs": "30", "perSequenceMs": "0.3", "perContextTokenMs": "0.0004", "perPrefillTokenMs": "0.15",
         "kvCacheTokens": 24000, "maxSequences": 64}  # fmt: skip


@dataclass
class Watched:
    """What was written while the load went on after settling, and why a status was, by seconds since the start."""

    world: World
    writes: Counter[str] = field(default_factory=Counter)
    why: list[tuple[float, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


async def watch(load: Load, seconds: float, replicas: int = 20, seed: int = 1) -> Watched:
    """Everything that a WorkloadSLO may declare under that load; sizing is fixed, since this is about what is told."""
    world = World()
    world.with_route()
    world.apply(
        targets=[{**PRICED, "name": "gpu", "targetRef": {"name": "chat"}, "minReplicas": replicas,
                  "maxReplicas": replicas, "enginePrior": PRIOR}],
        objectives=[
            {"name": "first", "indicator": "TimeToFirstToken", "threshold": "1s", "target": "90%", "window": "1h"},
            {"name": "gap", "indicator": "InterTokenLatency", "threshold": "100ms", "target": "90%", "window": "1h"},
        ],
        cost={"ceilings": [{"period": "Hour", "amount": "20"}, {"period": "Request", "amount": "0.50"}]},
        value={"perRequest": "0.006", "source": "survey"},
        roiTargets=[{"name": "worth", "metric": "ValueCostRatio", "amount": "0.05", "window": "10m"}],
        fallback=OVERFLOW,
    )  # fmt: skip
    world.cluster.deployments["team", "chat"].replicas = replicas
    world.metrics = SingleRequests(world.cluster, world.at, seconds + SETTLE_SECONDS, load, seed)
    world.restart()
    watched = Watched(world)
    began = world.at
    while world.at < began + SETTLE_SECONDS + seconds:
        if world.at == began + SETTLE_SECONDS:
            world.cluster.writes.clear()
            world.events.told.clear()
        await world.ticker.tick(world.at)
        known = world.ticker._known[CHAT]
        if known.status_at == world.at >= began + SETTLE_SECONDS:
            watched.why.append((world.at - began, known.status_why))
        world.at += TICK_SECONDS
    watched.writes, watched.events = world.cluster.counted(), world.events.reasons()
    return watched


def steady(rate: float, slow: float = 0.0) -> Load:
    return Load(lambda at: np.full_like(at, rate), lambda at: np.full_like(at, slow))


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 1.0, 2.0, 5.0])
async def test_a_steady_load_of_single_requests_is_no_news(rate: float) -> None:
    """Two hours at 720 looks each: a refresh an hour, and not one write for what chance did."""
    watched = await watch(steady(rate), 7200.0)
    assert {why for _, why in watched.why} == {"figures ran on for an hour"}
    assert watched.writes == {"write_status": 2, "annotate": 2}
    assert watched.events == []


@pytest.mark.parametrize(("rate", "most"), [(0.25, 10), (2.0, 2)])
async def test_slow_requests_within_the_budget_are_told_seldom(rate: float, most: int) -> None:
    """Some 6% where 10% are allowed. Of four in a window two are slow about twice an hour: Burning, shortly."""
    watched = await watch(steady(rate, slow=0.05), 7200.0)
    assert watched.writes["write_status"] <= most, watched.why
    assert watched.events == []


HOUR = 3600.0


@pytest.mark.parametrize(
    ("load", "news", "within"),
    [
        pytest.param(Load(lambda at: np.full_like(at, 2.0), lambda at: np.where(at < HOUR, 0.0, 0.9)),
                     "objective first: Met → Burning", 15.0, id="requests become slow"),
        pytest.param(Load(lambda at: np.full_like(at, 0.25), lambda at: np.where(at < HOUR, 0.0, 0.9)),
                     "objective first: Met → ", 60.0, id="a few requests become slow"),
        pytest.param(Load(lambda at: np.where(at < HOUR, 2.0, 1e-6)),
                     "objective first: Met → Insufficient", 305.0, id="requests stop for five minutes"),
        pytest.param(Load(lambda at: np.where(at < HOUR, 0.2, 3.0)),
                     "ROI worth: ", 70.0, id="ten times the requests come for the same money"),
    ],
)  # fmt: skip
async def test_a_step_is_news(load: Load, news: str, within: float) -> None:
    watched = await watch(load, 3900.0)
    after = [(at - HOUR, why) for at, why in watched.why if at > HOUR]
    assert next((at for at, why in after if news in why), 1e9) <= within, after
