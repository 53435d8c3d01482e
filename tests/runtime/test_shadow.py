"""`spec.shadow` over whole ticks: what rivals would do is told, costs are reckoned up, and nothing of it is done."""

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.advising import Answer, FakeReplicas, FakeRivals, hangs, raises, wants
from support.world import World

from flyball.core.advice.shadow import RivalReply
from flyball.core.ports import Unavailable
from flyball.runtime import shadow as shadow_module
from flyball.runtime.advice import Advisers
from flyball.runtime.shadow import Shadow

HPA, LLMD = "hpa-queue", "llmd-keda"


@dataclass
class Shadowed:
    """A world with rivals."""

    world: World
    replicas: FakeReplicas = field(default_factory=FakeReplicas)
    rivals: FakeRivals = field(default_factory=lambda: FakeRivals({}))
    shadow: Shadow = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.shadow = Shadow(self.rivals, self.replicas)
        self.world.advisers = Advisers(self.shadow)
        self.world.restart()

    def answer(self, **answers: Answer) -> None:
        self.rivals.answers |= {name.replace("_", "-"): answer for name, answer in answers.items()}
        self.world.apply(shadow=list(self.rivals.answers))

    async def tick(self, times: int = 2) -> None:
        """Ticks; a first one asks, the next one tells."""
        await self.world.tick(times)

    def status(self, rival: str = HPA) -> dict[str, Any]:
        return next((each for each in self.world.status().get("shadow", ()) if each["name"] == rival), {})


@pytest.fixture
def shadowed(world: World) -> Shadowed:
    return Shadowed(world)


async def test_a_rival_says_what_it_would_do_and_nobody_does_it(shadowed: Shadowed) -> None:
    shadowed.answer(hpa_queue=wants(5), llmd_keda=wants(1))
    await shadowed.tick()
    for rival, desired in ((HPA, 5), (LLMD, 1)):
        status = shadowed.status(rival)
        assert (status["state"], status["targets"]) == ("Running", [{"name": "gpu", "desired": desired}])
        assert status["since"] == "2026-01-09T12:00:00Z"
    await shadowed.tick(20)
    assert shadowed.world.cluster.counted()["scale"] == 0
    assert shadowed.world.deployment().replicas == 2


async def test_what_it_asked_for_is_reckoned_up_beside_flyballs(shadowed: Shadowed) -> None:
    shadowed.answer(hpa_queue=wants(5))
    await shadowed.tick(241)
    (beside,) = shadowed.shadow._beside.values()
    (status,) = shadowed.shadow.advice(beside.spec, {}).status["shadow"]
    assert status["lastHour"] == {
        "covered": "1h", "replicaHours": "5.0", "flyballReplicaHours": "2.0", "cost": "4.00", "flyballCost": "1.60",
    }  # fmt: skip
    assert status["lastDay"] == status["lastHour"]


async def test_a_steady_rival_is_told_once_and_one_that_doubles_again(shadowed: Shadowed) -> None:
    shadowed.answer(hpa_queue=wants(3))
    await shadowed.tick(30)
    shadowed.world.cluster.writes.clear()
    await shadowed.tick(30)
    assert shadowed.world.cluster.writes == []
    shadowed.rivals.answers[HPA] = wants(9)
    await shadowed.tick(10)
    assert shadowed.world.cluster.writes == [], "one more wish is no news"
    await shadowed.tick(65)
    assert shadowed.status()["targets"] == [{"name": "gpu", "desired": 9}], "twice as many in the mean"


async def test_a_rival_that_wavers_makes_no_writes(shadowed: Shadowed) -> None:
    shadowed.answer(hpa_queue=lambda sight: wants(3 + round(sight.at) // 15 % 2)(sight))
    await shadowed.tick(30)
    shadowed.world.cluster.writes.clear()
    await shadowed.tick(80)
    assert shadowed.world.cluster.writes == []


async def test_what_a_rival_lacks_is_named(shadowed: Shadowed) -> None:
    lacking = RivalReply(None, missing=("GPU utilization",))
    shadowed.answer(hpa_gpu=lambda _: lacking, kpa=lambda _: RivalReply(None, waits_for="nothing is measured yet"))
    await shadowed.tick()
    gpu, kpa = shadowed.status("hpa-gpu"), shadowed.status("kpa")
    assert (gpu["state"], gpu["missing"]) == ("MetricMissing", ["GPU utilization"])
    assert gpu["message"] == "no replica exports GPU utilization"
    assert (kpa["state"], kpa["message"]) == ("Waiting", "nothing is measured yet")
    assert "since" not in kpa


async def test_a_rival_that_raises_is_asked_no_more_and_its_neighbour_is(shadowed: Shadowed) -> None:
    shadowed.answer(hpa_queue=raises(ZeroDivisionError("by zero")), llmd_keda=wants(4))
    before = [await decided(shadowed) for _ in range(3)]
    assert (shadowed.status()["state"], shadowed.status(LLMD)["state"]) == ("Failed", "Running")
    assert shadowed.status()["message"] == "it failed with ZeroDivisionError: by zero"
    shadowed.rivals.answers[HPA] = wants(3)
    await shadowed.tick(3)
    assert shadowed.status()["state"] == "Failed", "it may have broken anything that it remembers"
    shadowed.world.apply(shadow=[HPA, LLMD])
    await shadowed.tick(3)
    assert shadowed.status()["state"] == "Running", "whoever edits the spec asks anew"
    assert before == [2, 2, 2]


async def decided(shadowed: Shadowed) -> int:
    report = await shadowed.world.tick()
    assert report.defects == ()
    return report.outcomes[0].decision.variants[0].desired


async def test_a_rival_that_never_answers_costs_a_look_and_no_tick(
    shadowed: Shadowed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "LOOK_SECONDS", 0.2)
    released = threading.Event()
    shadowed.answer(hpa_queue=hangs(released), llmd_keda=wants(4))
    try:
        await shadowed.tick(4)
        assert shadowed.status()["message"] == "it did not answer within 0.2 s"
        assert (shadowed.status()["state"], shadowed.status(LLMD)["state"]) == ("Failed", "Running")
        assert shadowed.status(LLMD)["targets"] == [{"name": "gpu", "desired": 4}]
    finally:
        released.set()


async def test_a_tick_does_not_wait_for_rivals(shadowed: Shadowed) -> None:
    released = threading.Event()
    shadowed.answer(hpa_queue=hangs(released))
    try:
        for _ in range(3):
            await shadowed.world.ticker.tick(shadowed.world.at)
            shadowed.world.at += 15.0
        assert shadowed.shadow.missed == 2
        assert shadowed.status() == {}, "nothing is known, and nobody was waited for"
    finally:
        released.set()
        await shadowed.world.advisers.settled()


async def test_a_slow_rival_is_asked_no_more(shadowed: Shadowed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_module, "SLOWEST_SECONDS", -1.0)
    shadowed.answer(hpa_queue=wants(3))
    await shadowed.tick()
    assert shadowed.status()["message"] == "it took 0.0 s of processor time for one answer"


async def test_without_telemetry_nobody_is_asked_and_no_time_is_reckoned(shadowed: Shadowed) -> None:
    shadowed.answer(hpa_queue=wants(3))
    await shadowed.tick(4)
    shadowed.replicas.fail = Unavailable("Prometheus is down")
    await shadowed.tick(20)
    shadowed.replicas.fail = None
    await shadowed.tick(2)
    (beside,) = shadowed.shadow._beside.values()
    assert beside.standings[HPA].state == "Running"
    assert beside.standings[HPA].account.bill(3600.0).covered_seconds == 3 * 15 + 15
    assert shadowed.shadow.missed == 20


async def test_a_restart_begins_anew_and_says_since_when(shadowed: Shadowed) -> None:
    shadowed.answer(hpa_queue=wants(3))
    await shadowed.tick(10)
    shadowed.restart()
    await shadowed.tick(1)
    assert shadowed.status()["since"] == "2026-01-09T12:00:00Z", "the predecessor's, until it is known again"
    await shadowed.tick(1)
    assert shadowed.status()["since"] == "2026-01-09T12:02:30Z"


async def test_a_workload_without_rivals_asks_for_no_replicas(shadowed: Shadowed) -> None:
    shadowed.answer(hpa_queue=wants(3))
    shadowed.world.apply("plain")
    await shadowed.tick()
    assert set(shadowed.replicas.asked) == {frozenset({"chat"})}
    shadowed.world.apply(shadow=[])
    await shadowed.tick()
    assert "shadow" not in shadowed.world.status()
    assert shadowed.world.status("plain").get("shadow") is None
