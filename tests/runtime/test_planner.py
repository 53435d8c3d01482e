"""`status.plan` over whole ticks: read once, told where it changed, honest where history is short."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from support.advising import FakeHours
from support.world import PRICED, START, World

from flyball.core.advice.outlook import Outlook, foresee
from flyball.core.names import WorkloadKey
from flyball.core.ports import Unavailable
from flyball.core.spec import WorkloadSpec
from flyball.runtime import planner
from flyball.runtime.advice import Advisers
from flyball.runtime.planner import RETRY_SECONDS, Planner

CHAT = WorkloadKey("team", "chat")
READ = 3
"""Ticks within which 28 days are read, a day at a time, the plan is made and told."""


@dataclass
class Planned:
    """A world with a planner over hours of load."""

    world: World
    hours: FakeHours
    why: list[str] = field(default_factory=list)

    def restart(self) -> None:
        self.world.advisers = Advisers(Planner(self.hours))
        self.world.restart()

    async def pass_hours(self, hours: int) -> None:
        """Time in which nobody watches every tick: four of them an hour."""
        for _ in range(4 * hours):
            await self.world.ticker.tick(self.world.at)
            await self.world.advisers.settled()
            known = self.world.ticker._known[CHAT]
            self.why += [known.status_why] if known.status_at == self.world.at else []
            self.world.at += 900.0

    @property
    def plan(self) -> dict[str, Any]:
        found: dict[str, Any] = self.world.status().get("plan", {})
        return found


@pytest.fixture
def planned(world: World) -> Planned:
    world.at += 150.0  # the hour until noon is stored
    found = Planned(world, FakeHours())
    found.restart()
    return found


async def test_a_plan_says_how_many_gpus_by_when_and_what_buying_for_the_peak_costs(planned: Planned) -> None:
    planned.hours.rate = lambda at: 10 + 5 * math.sin(at * 2 * math.pi / 86400)
    planned.world.announce(86400, 2 * 86400, workloads=["chat"])
    planned.world.apply()
    await planned.world.tick(READ)
    plan = planned.plan
    assert (plan["state"], plan["history"], plan["asOf"]) == ("Known", "27d12h", "2026-01-09T12:00:00Z")
    assert float(plan["load"]["mean"]) == pytest.approx(10, rel=0.02), "27 days and a half"
    assert plan["load"]["peak"] == "18"
    assert plan["growthPerDay"].endswith("none is expected, since the range holds zero")
    assert plan["patterns"][0] == "daily: busiest at 05:00 UTC, 1.5 × the mean"
    assert [(need["target"], need["day"], need["why"]) for need in plan["needs"]] == [
        ("gpu", "2026-01-09", "now"),
        ("gpu", "2026-02-08*", "growth"),
        ("gpu", "2026-03-10*", "growth"),
        ("gpu", "2026-04-09*", "growth"),
        ("gpu", "2026-01-10", "event"),
    ]
    now, event = plan["needs"][0], plan["needs"][-1]
    assert now["accelerator"] == "NVIDIA-L4"
    assert int(now["costPerMonth"]) == pytest.approx(int(now["replicas"].split()[0]) * 0.8 * 720, abs=1)
    assert float(event["requestsPerSecond"].split()[0]) == pytest.approx(3 * 18, rel=0.02)
    purchase = plan["purchase"]
    assert purchase["peakReplicas"] > float(purchase["scaledReplicas"])
    assert int(purchase["buying"]) > int(purchase["scaling"])


async def test_prompts_that_grow_are_told_and_not_forgotten_by_a_restart(planned: Planned) -> None:
    planned.hours.prompts = lambda end: 300.0 * 1.02 ** ((end - 1) // 86400 - START // 86400)
    planned.world.apply()
    await planned.world.tick(READ)
    trend = planned.world.status()["promptTrend"]
    assert (trend["state"], trend["perDay"]) == ("Growing", "2.0%")
    assert trend["tokens"] == "294"
    planned.restart()
    await planned.world.tick(1)
    assert planned.world.status()["promptTrend"] == trend


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        pytest.param(0, "0 h of 24 h: the load of a whole day must be known", id="none"),
        pytest.param(2, "2 h of 24 h: the load of a whole day must be known", id="two"),
        pytest.param(23, "23 h of 24 h: the load of a whole day must be known", id="one too few"),
    ],
)
async def test_a_short_history_is_no_plan_and_says_how_short_it_is(planned: Planned, hours: int, message: str) -> None:
    planned.hours.since = START - 3600 * hours
    planned.world.apply()
    await planned.world.tick(READ)
    assert (planned.plan["state"], planned.plan["message"]) == ("Insufficient", message)
    assert "needs" not in planned.plan


async def test_a_day_is_enough_for_a_peak_and_not_for_growth(planned: Planned) -> None:
    planned.hours.since = START - 3600 * 24
    planned.world.apply()
    await planned.world.tick(READ)
    assert planned.plan["state"] == "Known"
    assert "fewer than five full days are known" in planned.plan["message"]
    assert "growthPerDay" not in planned.plan


async def test_the_plan_comes_by_itself_once_the_day_is_full(planned: Planned) -> None:
    planned.hours.since = START - 3600 * 22
    planned.world.apply()
    await planned.world.tick(READ)
    assert planned.plan["message"].startswith("22 h of 24 h")
    await planned.pass_hours(3)
    assert planned.plan["state"] == "Known"


async def test_a_steady_load_is_told_once_and_asked_for_once_an_hour(planned: Planned) -> None:
    dice = np.random.default_rng(3)
    planned.hours.rate = lambda _: float(dice.normal(10, 0.3))
    planned.world.apply()
    await planned.world.tick(READ)
    assert "not measured yet" in planned.plan["message"]
    await planned.world.tick(30)
    assert "not measured yet" not in planned.plan["message"]
    before, questions = planned.plan, len(planned.hours.asked)
    planned.why.clear()
    await planned.pass_hours(20)
    assert planned.plan == before, "made anew three times, and it said the same"
    assert set(planned.why) <= {"figures ran on for an hour"}
    assert len(planned.hours.asked) - questions == 19, "each hour that ended, two minutes later"


async def test_more_load_is_told_with_the_next_plan(planned: Planned) -> None:
    planned.world.apply()
    await planned.world.tick(READ)
    before = planned.plan
    jump = planned.world.at
    planned.hours.rate = lambda at: 10.0 if at < jump else 60.0
    await planned.pass_hours(30)
    assert int(planned.plan["purchase"]["peakReplicas"]) > int(before["purchase"]["peakReplicas"])


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"pricePerGpuHour": "1.60"}, id="a price"),
        pytest.param({"gpusPerReplica": 8}, id="more GPUs for a replica"),
    ],
)
async def test_an_edit_is_planned_at_once(planned: Planned, edit: dict[str, Any]) -> None:
    target = {"name": "gpu", "targetRef": {"name": "chat"}, "maxReplicas": 8}
    planned.world.apply(targets=[{**target, **PRICED}])
    await planned.world.tick(READ)
    before = planned.plan
    planned.world.apply(targets=[{**target, **PRICED, **edit}])
    await planned.world.tick(3)
    assert planned.plan["purchase"]["buying"] != before["purchase"]["buying"]


async def test_the_number_of_questions_does_not_depend_on_that_of_the_workloads(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "MOST_PLANS", 4)
    for index in range(5):
        planned.world.apply(f"chat-{index}")
    await planned.world.tick(READ)
    assert len(planned.hours.asked) == 28
    assert {len(names) for names, _, _ in planned.hours.asked} == {5}
    await planned.world.tick()
    states = {planned.world.status(f"chat-{index}").get("plan", {}).get("state") for index in range(5)}
    assert states == {"Known"}, "some at one look, the others at the next"


async def test_a_restart_keeps_the_plan_until_it_has_read_again(planned: Planned) -> None:
    planned.world.apply()
    await planned.world.tick(READ)
    before = planned.plan
    planned.hours.fail = Unavailable("Prometheus is down")
    planned.restart()
    await planned.world.tick(10)
    assert planned.plan == before
    asked = len(planned.hours.asked)
    await planned.world.tick(round(RETRY_SECONDS / 15))
    assert len(planned.hours.asked) - asked <= 2, "a source that fails is asked every five minutes"
    planned.hours.fail = None
    await planned.world.tick(2 * READ)
    assert planned.plan["state"] == "Known"


async def test_what_has_no_series_of_a_profile_says_so(planned: Planned) -> None:
    planned.hours.left_out = frozenset({"chat"})
    planned.world.apply()
    await planned.world.tick(READ)
    assert planned.plan["state"] == "Unavailable"
    assert "telemetry.engine Custom" in planned.plan["message"]


async def test_a_workload_that_is_gone_is_forgotten(planned: Planned) -> None:
    planned.world.apply()
    await planned.world.tick(READ)
    planned.world.delete()
    await planned.world.tick(2)
    planned.world.apply()
    await planned.world.tick()
    assert planned.plan == {}


async def test_a_defect_in_one_plan_leaves_the_others_alone(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: WorkloadSpec, *rest: Any) -> Outlook | None:
        if spec.key.name == "broken":
            raise ZeroDivisionError
        return foresee(spec, *rest)

    monkeypatch.setattr(planner, "foresee", broken)
    planned.world.apply("broken")
    planned.world.apply()
    await planned.world.tick(READ)
    assert planned.plan["state"] == "Known"
    assert planned.world.status("broken")["plan"]["message"].startswith("the plan failed by a defect of Flyball")
