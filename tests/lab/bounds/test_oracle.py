"""The clairvoyant plan: it meets the objectives, costs less than a constant fleet and no less than the floor."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from lab.bounds.worlds import variant

from flyball.lab.bounds.floor import floor
from flyball.lab.bounds.oracle import Clairvoyant, clairvoyant
from flyball.lab.bounds.plan import Plan, meets, run
from flyball.lab.bounds.static_peak import static_peak
from flyball.lab.fleet.model import FleetOptions
from flyball.lab.generate import open_trace
from flyball.lab.play import Game, play
from flyball.lab.policies.model import Objective
from flyball.lab.presets import preset

# A calm, a peak, and a calm again.
TRACE = open_trace("generate:conversation?rate=2&duration=45m&ramp=12m-18m:4&ramp=24m-30m:0.5&burst=0.3")
FLEET = variant(startup_seconds=60.0, startup_jitter=0.1, price="1")
OBJECTIVES = (Objective("TimeToFirstToken", 3.0, 0.95), Objective("InterTokenLatency", 0.2, 0.95))
GAME = Game(TRACE, (FLEET,), FleetOptions(), (3,), 1)
WARMUP_SECONDS = 300.0
BUDGET_SECONDS = 4.0


@pytest.fixture(scope="module")
def found() -> Clairvoyant:
    return clairvoyant(GAME, OBJECTIVES, WARMUP_SECONDS, BUDGET_SECONDS)


def test_it_meets_between_the_floor_and_a_constant_fleet(found: Clairvoyant) -> None:
    assert found.meets
    assert meets([found.verdict], OBJECTIVES)
    peak = static_peak([GAME], OBJECTIVES, WARMUP_SECONDS)
    constant, _ = run(GAME, Plan(60.0, np.array([[peak]])), OBJECTIVES, WARMUP_SECONDS)
    bound = floor(TRACE, [FLEET], OBJECTIVES, (3,), WARMUP_SECONDS, seeds=(1,))
    assert bound.cost < found.verdict.cost < 0.75 * constant.cost


def test_played_as_a_policy_it_attains_the_same(found: Clairvoyant) -> None:
    outcome = play(GAME, found.policy()).outcome
    assert found.policy().name == "oracle"
    paid = float(outcome.dollars(0, WARMUP_SECONDS, float(TRACE.t_seconds[-1])))
    assert paid == pytest.approx(found.verdict.cost)


def test_a_larger_budget_finds_no_worse_a_plan(found: Clairvoyant) -> None:
    told: list[tuple[float, str]] = []
    first = clairvoyant(GAME, OBJECTIVES, WARMUP_SECONDS, 0.0, lambda share, text: told.append((share, text)))
    assert first.meets
    assert found.verdict.cost < first.verdict.cost
    assert found.runs > first.runs
    assert [text.partition(":")[0] for _, text in told] == ["oracle"] * len(told)
    assert told[-1][0] == 1.0


def test_the_same_game_gives_the_same_plan() -> None:
    again = [clairvoyant(GAME, OBJECTIVES, WARMUP_SECONDS, 1.0) for _ in range(2)]
    np.testing.assert_array_equal(again[0].plan.replicas, again[1].plan.replicas)


def test_where_none_meets_it_is_the_largest_fleet() -> None:
    small = replace(GAME, variants=(replace(FLEET, max_replicas=4),))
    found = clairvoyant(small, OBJECTIVES, WARMUP_SECONDS, BUDGET_SECONDS)
    assert not found.meets
    assert found.plan.replicas[0, 0] == found.plan.replicas.min() == 4


def test_a_dearer_variant_takes_what_the_cheapest_cannot_hold() -> None:
    scarce = replace(FLEET, max_replicas=4)
    dear = replace(
        variant(preset("a100_8b").parameters, startup_seconds=60.0, min_replicas=0), price_per_gpu_hour=Decimal(20)
    )
    game = Game(TRACE, (scarce, dear), FleetOptions(), (3, 0), 1)
    found = clairvoyant(game, OBJECTIVES, WARMUP_SECONDS, 1.0)
    assert found.meets
    assert found.plan.replicas[0].max() == 4
    assert found.plan.replicas[1].min() == 0 < found.plan.replicas[1].max()


def test_nothing_runs_in_a_long_calm_where_none_must() -> None:
    trace = open_trace("generate:conversation?rate=1&duration=60m&step=15m:0&step=45m:1")
    game = Game(trace, (replace(FLEET, min_replicas=0),), FleetOptions(), (2,), 1)
    found = clairvoyant(game, OBJECTIVES, WARMUP_SECONDS, 1.0)
    assert found.meets
    assert found.plan.at(1800.0) == {0: 0}
