"""Experiments by business outcomes, from what is pushed to the verdict, the status, the Events and the export."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.experiments import ExperimentWorld

from flyball.cli.main import main
from flyball.core.evidence.experiment import Arm, block_at
from flyball.core.names import WorkloadKey
from flyball.core.value.outcomes import Outcome, Void
from flyball.ledger.experiments import blocks, find, listed
from flyball.ledger.outcomes import record

HOUR = 3_600_000
VALUE = {
    "kpis": [
        {"name": "contained", "kind": "Containment", "valuePerOutcome": "4", "guard": "stays-away"},
        {"name": "came-back", "kind": "PostBotContact"},
        {"name": "escalations", "kind": "Escalation"},
        {"name": "handling", "kind": "HandleTime"},
    ],
    "guards": [{"name": "stays-away", "kpi": "came-back", "atMost": "20%", "minCases": 100}],
}
CLAIM = {
    "hypothesis": {"metric": "Kpi", "kpi": "contained", "direction": "Increase", "by": "3 points"},
    "kpiGuards": [{"kpi": "escalations"}],
    "blockMinutes": 120,
    "settleHours": 1,
    "maxDays": 3,
}


def better(arm: Arm, at: int) -> dict[str, tuple[int, int, float]]:
    """Each hour a hundred cases: 40 contained, 50 in treated blocks, and a little up and down."""
    uneven = at // HOUR * 7919 % 5 - 2
    up = 10 if arm is Arm.TREATMENT else 0
    return {
        "contained": (40 + up + uneven, 100, 0.0),
        "came-back": (5, 100, 0.0),
        "escalations": (10, 100, 0.0),
        "handling": (10, 10, 90.0 - 2 * up + uneven),
    }


async def started(url: str, **changes: Any) -> ExperimentWorld:
    """A world in which `chat` alone reports, of whichever arm served."""
    world = await ExperimentWorld.of(url, lambda arm, at: 0.01, value=VALUE)
    world.apply(**{**CLAIM, **changes})
    await world.look(1)
    if world.status["phase"] == "Running":
        world.push(better, 72)
    return world


async def decided(world: ExperimentWorld) -> dict[str, Any]:
    for _ in range(80):
        if world.status["phase"] == "Decided":
            break
        await world.look(1)
    return world.status


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


async def test_containment_up_while_escalation_does_not_rise(url: str) -> None:
    world = await started(url)
    status = await decided(world)
    assert (status["verdict"], status["reason"], status["evidence"]) == ("Supported", "EffectShown", "Randomized")
    estimate = status["effect"]["estimate"]
    assert 9 < float(estimate.removesuffix(" points")) < 12
    assert status["kpiGuards"] == [
        {"kpi": "escalations", "state": "Held", "wanted": "not worse", "treatment": "10.0%", "baseline": "10.0%"}
    ]
    assert (status["quality"]["kpi"], status["quality"]["state"]) == ("came-back", "Held")
    assert [str(event.reason) for _, event, _ in world.events.told] == ["ExperimentStarted", "ExperimentDecided"]
    assert "Kpi contained Increase by 3 points" in world.events.told[0][1].message
    known = find(world.ledger, "x-1")
    assert known is not None
    assert set(known.kpis.known) == {"contained", "escalations", "came-back"}

    exported = CliRunner().invoke(main, ["experiment", "export", "--ledger", url, "-n", "team", "quantized"])
    assert exported.exit_code == 0, exported.output
    assert "- Claim: KPI contained: increase by 3 points or more" in exported.output
    assert f"- Effect: {estimate} (95% interval: +" in exported.output
    assert "| KPI escalations | Held; wanted not worse; 10.0% treated; 10.0% baseline;" in exported.output
    assert "were waited for 1h after it" in exported.output


async def test_handle_time_down_in_percent(url: str) -> None:
    claim = {"metric": "Kpi", "kpi": "handling", "direction": "Decrease", "by": "10%"}
    status = await decided(await started(url, hypothesis=claim))
    assert status["verdict"] == "Supported"
    assert -23 < float(status["effect"]["estimate"].rstrip("%")) < -21


async def test_what_came_back_is_taken_out_of_its_block_and_later_is_told_and_not_counted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await started(url)
    await world.look(6)
    running = world.experiments._running["x-1"]
    first, second = running.blocks[0], block_at(running.plan, running.known.start, round(world.at * 1000))
    assert first.kpis["contained"].cases == Decimal(100)  # the whole hour after the washout
    assert second is not None
    at = second.start + HOUR
    key = WorkloadKey("team", "chat")
    record(
        world.ledger,
        [
            Outcome(key, "contained", f"contained-{at}", at, void=Void.CAME_BACK),
            world.outcome("contained", first.block.end - HOUR // 2, 7, 7, 0.0, key="late"),
        ],
    )
    await decided(world)
    found = {each.block: each.kpis["contained"] for each in blocks(world.ledger, "x-1")}
    assert found[first.block].cases == found[second].cases == 100
    assert (found[second].outcomes, found[second].came_back > 0) == (0, True)

    monkeypatch.setattr("flyball.cli.experiment.time.time", lambda: world.at)
    said = CliRunner().invoke(main, ["experiment", "show", "--ledger", url, "-n", "team", "quantized"])
    assert "KPI contained: 7 cases in 1 block came or changed later, and do not count" in said.output


async def test_a_block_waits_for_its_outcomes_and_a_verdict_for_all_blocks(url: str) -> None:
    world = await started(url, settleHours=12, maxDays=1)
    await world.look(13)
    assert blocks(world.ledger, "x-1") == []
    await world.look(13)
    assert world.status["phase"] == "Running"
    await world.look(12)
    assert (world.status["phase"], world.status["pairs"]) == ("Decided", 6)


async def test_a_kpi_that_is_redefined_ends_the_experiment(url: str) -> None:
    world = await started(url)
    laxer = {**VALUE, "guards": [{**VALUE["guards"][0], "atMost": "90%"}]}
    world.world.apply("chat", value=laxer)
    await world.look(1, to=await world.world.tick())
    assert (world.status["verdict"], world.status["reason"]) == ("Inconclusive", "ChangedAfterStart")
    assert "KPI contained of team/chat is no longer what was registered" in world.status["summary"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"kpiGuards": [{"kpi": "other"}]}, "KpiMissing", id="no such KPI"),
        pytest.param(
            {"hypothesis": {**CLAIM["hypothesis"], "kpi": "handling", "direction": "Decrease"}},  # type: ignore[dict-item]
            "ClaimUnfit", id="points of minutes",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_judged_says_why_and_is_not_registered(
    url: str, changes: dict[str, Any], reason: str
) -> None:
    world = await started(url, **changes)
    assert (world.status["phase"], world.status["conditions"][0]["reason"]) == ("Pending", reason)
    assert listed(world.ledger) == []
