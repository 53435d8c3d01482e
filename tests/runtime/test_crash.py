"""Killed at any write of the Cluster and Events ports: the next process ends where an undisturbed one does.

A story with every kind of write is told once undisturbed, and then twice for each of its writes: with a process that
dies right before it, and right after. test_crash_on_api_server.py does the same over a real API server.
"""

import inspect
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from support.crashing import READS, Death, Died, buried, turns
from support.world import OVERFLOW, World

from flyball.core.ports import Cluster, Events
from flyball.runtime.tick import Ticker

ACTS = ("ScaledUp", "ScaledDown", "FallbackActivated", "FallbackReturning", "FallbackCleared")
# Acts of one tick, which their process did not live to tell; and giving back a route of what is deleted is not told.
LOST = 3
FAST = {**OVERFLOW, "triggerFor": "0s", "minHold": "15s", "returnHold": "15s"}


@dataclass
class Story:
    """A world whose first operator dies at a certain write, and what anybody saw in it."""

    death: Death
    world: World = field(default_factory=World)
    replicas: list[int] = field(default_factory=list)
    weights: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        cluster, events = self.death.beside(self.world.cluster), self.death.beside(self.world.events)
        self.world.ticker = Ticker(self.world.mirror, self.world.metrics, cluster, events)

    async def tick(self, times: int) -> None:
        """Ticks; a process that dies is followed by another one."""
        for _ in range(times):
            try:
                await self.world.ticker.tick(self.world.at)
            except Died:
                await buried()
                self.world.restart()
            self.world.at += 15.0
            self.replicas.append(self.world.deployment().replicas)
            self.weights.append(self.world.weights())

    async def tell(self) -> "Story":
        """Calm, a surge that overflows, calm again, a pause, and a deletion while traffic is on the fallback."""
        world = self.world
        world.with_route()
        world.pool(8, namespaces=["team"])
        world.announce(-60, 1e9)
        metadata = {"namespace": "team", "name": "shared", "uid": "b", "generation": 1}
        budget = {"ceilings": [{"period": "Month", "amount": "9000", "enforcement": "Alert"}]}
        world.mirror.put_budget({"kind": "Budget", "metadata": metadata, "spec": budget})
        world.apply(fallback=FAST)
        await self.tick(2)
        self._surge()
        await self.tick(5)
        world.metrics.rate, world.metrics.good, world.metrics.waiting, world.metrics.busy = 2.0, 0.9999, 0.0, 0.5
        await self.tick(8)
        world.apply(fallback=FAST, mode="Paused")
        await self.tick(2)
        world.apply(fallback=FAST)
        self._surge()
        await self.tick(6)
        # Whether capacity is enough is judged by what was learned, which a new process does not know yet.
        found = {c["type"]: c["status"] for c in world.status()["conditions"]}
        self.conditions = {kind: status for kind, status in found.items() if kind != "CapacityAvailable"}
        self.finalizers = world.finalizers()
        world.delete()
        await self.tick(3)
        return self

    def _surge(self) -> None:
        metrics = self.world.metrics
        metrics.rate, metrics.good, metrics.waiting, metrics.busy = 40.0, 0.2, 90.0, 1.0

    def ending(self) -> dict[str, Any]:
        """Everything that must be as if nobody had died."""
        route = self.world.cluster.routes["team", "chat"]
        return {
            "replicas": self.replicas[-1],
            "weights": self.weights[-1],
            "turns of the replicas": turns(self.replicas),
            "turns of the weights": turns([fallback for _, fallback in self.weights]),
            "left on the route": (route.original_weights, route.applied_weights),
            "left on the target": self.world.deployment().annotations,
            "left of the workload": self.world.cluster.workloads,
            "conditions before the deletion": self.conditions,
            "finalizers before the deletion": self.finalizers,
            "statuses beside": sorted(map(str, self.world.cluster.statuses)),
        }

    def acts(self) -> int:
        """How often replicas or weights were changed."""
        return sum(before != after for seen in (self.replicas, self.weights) for before, after in pairwise(seen))

    def acts_told(self) -> int:
        """How many of them Events tell of."""
        return sum(count for reason, count in self.told().items() if reason in ACTS)

    def told(self) -> Counter[str]:
        """How often each reason was told."""
        return Counter(self.world.events.reasons())


@pytest.fixture
async def calm() -> Story:
    return await Story(Death()).tell()


def test_the_story_has_every_write_that_the_ports_know(calm: Story) -> None:
    methods = {
        name for port in (Cluster, Events) for name, found in vars(port).items() if inspect.iscoroutinefunction(found)
    }
    assert methods - set(READS) - {"restore_weights"} <= set(calm.death.sent)
    assert {"ScaledUp", "FallbackActivated", "FallbackCleared"} <= set(calm.told())


async def test_killed_at_any_write_it_ends_the_same_and_nothing_is_done_or_told_twice(calm: Story) -> None:
    undisturbed, told, wrong = calm.ending(), calm.told(), []
    for number, what in enumerate(calm.death.sent, 1):
        for done in (False, True):
            died = await Story(Death(number, done)).tell()
            assert died.death.died
            where = f"{'after' if done else 'before'} write {number}, {what}"
            ended = died.ending()
            wrong += [f"{where}: {k} {v}, not {undisturbed[k]}" for k, v in ended.items() if v != undisturbed[k]]
            more = {reason: count for reason, count in (died.told() - told).items() if reason not in ACTS}
            if any(count > 1 for count in more.values()):
                wrong.append(f"{where}: told more than once more: {more}")
            if not 0 <= died.acts() - died.acts_told() <= LOST:
                wrong.append(f"{where}: {died.acts()} acts, of which {died.acts_told()} are told")
    assert not wrong, "\n".join(wrong)
