"""Advisers beside the ticks: each is heard, and one that is broken harms neither the others nor a decision."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from support.world import World

from flyball.core.spec import WorkloadSpec
from flyball.runtime.advice import Advice, Advisers, Seen
from flyball.runtime.news import Status


@dataclass
class Fixed:
    """An adviser that says the same of every workload, or raises."""

    says: Advice = field(default_factory=Advice)
    broken: bool = False
    seen: list[float] = field(default_factory=list)

    def look(self, at: float, seen: Sequence[Seen]) -> None:
        if self.broken:
            raise ZeroDivisionError
        self.seen.append(at)

    def advice(self, spec: WorkloadSpec, before: Status) -> Advice:
        if self.broken:
            raise ZeroDivisionError
        return self.says

    async def settled(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


PLAN = Fixed(Advice({"plan": {"state": "Insufficient"}}, {"plan": "Insufficient"}))
RIVALS = Fixed(Advice({"shadow": [{"name": "hpa-queue", "state": "Waiting"}]}, {"rival hpa-queue": "Waiting"}))


async def test_a_broken_adviser_is_not_heard_and_the_others_are(world: World) -> None:
    world.advisers = Advisers(PLAN, Fixed(broken=True), RIVALS)
    world.restart()
    world.apply()
    report = await world.tick(2)
    assert report.defects == ()
    assert world.status()["plan"] == {"state": "Insufficient"}
    assert world.status()["shadow"][0]["name"] == "hpa-queue"
    assert world.at - 15.0 in PLAN.seen


async def test_a_state_of_theirs_is_written_at_once_and_a_rendering_of_the_same_is_not(world: World) -> None:
    adviser = Fixed(Advice({"plan": {"state": "Insufficient", "history": "1h"}}, {"plan": "Insufficient"}))
    world.advisers = Advisers(adviser)
    world.restart()
    world.apply()
    await world.tick(2)
    world.cluster.writes.clear()
    adviser.says = Advice({"plan": {"state": "Insufficient", "history": "2h"}}, {"plan": "Insufficient"})
    await world.tick(3)
    assert world.cluster.writes == []
    adviser.says = Advice({"plan": {"state": "Known"}}, {"plan": "Known"})
    await world.tick()
    assert world.cluster.writes == ["write_status chat"]
