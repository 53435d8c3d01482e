"""A plan in the simulator, as a policy, and what it attained."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from lab.bounds.worlds import CHAT, TINY, trace_of, variant

from flyball.lab.bounds.plan import Plan, PlanPolicy, Verdict, allowed_late, cost_until, meets, run
from flyball.lab.fleet.model import FleetOptions
from flyball.lab.generate import open_trace
from flyball.lab.play import Game, play
from flyball.lab.policies.model import Objective

TRACE = open_trace("generate:conversation?rate=3&duration=20m&burst=0.5")
GAME = Game(TRACE, (variant(startup_seconds=60.0, startup_jitter=0.2),), FleetOptions(), (4,), 3)
LOOSE = (Objective("TimeToFirstToken", 3.0, 0.95), Objective("InterTokenLatency", 0.2, 0.95))


def test_a_column_holds_until_the_next_and_the_last_for_good() -> None:
    plan = Plan(5.0, np.array([[1, 2, 3], [4, 4, 5]]))
    assert [plan.at(now) for now in (0.0, 5.0, 10.0, 1000.0)] == [
        {0: 1, 1: 4},
        {0: 2, 1: 4},
        {0: 3, 1: 5},
        {0: 3, 1: 5},
    ]


def test_played_as_a_policy_it_comes_to_the_same() -> None:
    counts = 4 + (np.arange(240) // 40) % 3
    plan = Plan(5.0, counts[None, :])
    verdict, outcome = run(GAME, plan, LOOSE, 120.0)
    played = play(GAME, PlanPolicy("plan", plan)).outcome
    assert len(outcome.actions) == len(played.actions) > 3
    np.testing.assert_array_equal(outcome.first_token_at, played.first_token_at)
    np.testing.assert_array_equal(outcome.finished_at, played.finished_at)
    end = float(TRACE.t_seconds[-1])
    assert verdict.cost == pytest.approx(float(played.dollars(0, 120.0, end)))


def test_what_is_asked_for_keeps_within_the_bounds() -> None:
    fleet = replace(GAME.variants[0], min_replicas=3, max_replicas=5)
    _, outcome = run(replace(GAME, variants=(fleet,)), Plan(5.0, np.array([[4, 9, 0, 4]])), LOOSE, 0.0)
    assert [action.after for action in outcome.actions] == [5, 3, 4]


@pytest.mark.parametrize("replicas", [1, 4, 8])
def test_a_run_is_broken_off_only_if_it_misses(replicas: int) -> None:
    plan = Plan(60.0, np.array([[replicas]]))
    full, _ = run(GAME, plan, LOOSE, 120.0)
    short, outcome = run(GAME, plan, LOOSE, 120.0, allowed_late(full.requests, LOOSE))
    assert meets([short], LOOSE) == meets([full], LOOSE) == (replicas == 8)
    assert short.lost == (outcome.until < TRACE.t_seconds[-1])
    if replicas == 1:
        assert short.lost
        assert outcome.until < TRACE.t_seconds[-1] / 2


@pytest.mark.parametrize(
    ("late", "lost", "expected"),
    [
        pytest.param([(5, 5)], False, True, id="just met"),
        pytest.param([(6, 5)], False, False, id="one too many for the first objective"),
        pytest.param([(5, 6)], False, False, id="one too many for the second"),
        pytest.param([(9, 0), (1, 10)], False, True, id="pooled over two runs"),
        pytest.param([(0, 0), (0, 0)], True, False, id="a run that was broken off"),
    ],
)
def test_objectives_are_met_when_no_more_are_late_than_allowed(
    late: list[tuple[int, int]], lost: bool, expected: bool
) -> None:
    runs = [Verdict(100, {"TimeToFirstToken": a, "InterTokenLatency": b}, 0.0, lost) for a, b in late]
    assert meets(runs, CHAT) == expected


def test_cost_is_in_dollars_or_else_in_gpu_hours() -> None:
    trace = trace_of([(0.0, 10, 1), (7200.0, 10, 1)])
    fleet = variant(TINY, price="2.5", gpus_per_replica=4)
    plan = Plan(60.0, np.array([[2]]))
    _, outcome = run(Game(trace, (fleet,), FleetOptions(), (2,), 0), plan, CHAT, 0.0)
    assert cost_until(outcome, np.array([0.0, 3600.0, 7200.0])) == pytest.approx([0, 20, 40])
    free = replace(outcome, variants=(replace(fleet, price_per_gpu_hour=Decimal(0)),))
    assert cost_until(free, np.array([3600.0])) == pytest.approx([8])
