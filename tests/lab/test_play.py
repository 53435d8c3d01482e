"""What a policy sees and when, and that what it asks for is clamped and done."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from lab.fleet.worlds import random_trace, trace_of, variant

from flyball.lab.fleet.model import FleetOptions
from flyball.lab.play import Game, PlayResult, play
from flyball.lab.policies.model import View


@dataclass
class Scripted:
    """Asks for what the script says, and notes what it saw: the time, and the times of the samples."""

    script: Callable[[View], Mapping[int, int]]
    period_seconds: float = 15.0
    collector_seconds: float | None = None
    name: str = "scripted"
    seen: list[tuple[float, list[float]]] = field(default_factory=list)

    def decide(self, view: View) -> Mapping[int, int]:
        self.seen.append((view.now, [sample.at for sample in view.history.within(math.inf)]))
        return self.script(view)


def keep(view: View) -> Mapping[int, int]:
    return {}


def game(**changes) -> Game:
    fields = {
        "trace": random_trace(1, count=100, span=90.0),
        "variants": (variant(min_replicas=0, max_replicas=4),),
        "options": FleetOptions(),
        "initial": (1,),
        "seed": 1,
    } | changes
    return Game(**fields)


def test_samples_become_visible_after_the_delay_and_are_lost_in_gaps() -> None:
    policy = Scripted(keep)
    play(game(options=FleetOptions(scrape_delay_seconds=5.0, scrape_gaps=((30.0, 45.0),))), policy, end=75.0)
    assert policy.seen == [
        (15.0, [0.0]),
        (30.0, [0.0, 15.0]),
        (45.0, [0.0, 15.0]),
        (60.0, [0.0, 15.0, 45.0]),
        (75.0, [0.0, 15.0, 45.0, 60.0]),
    ]


def test_a_collector_of_its_own_sees_everything_at_once() -> None:
    policy = Scripted(keep, period_seconds=4.0, collector_seconds=2.0)
    play(game(options=FleetOptions(scrape_gaps=((0.0, 99.0),))), policy, end=8.0)
    assert policy.seen == [(4.0, [0.0, 2.0, 4.0]), (8.0, [0.0, 2.0, 4.0, 6.0, 8.0])]


@pytest.mark.parametrize(("asked", "given"), [(-3, 0), (0, 0), (3, 3), (9, 4)])
def test_counts_are_clamped_to_the_variants_bounds(asked: int, given: int) -> None:
    counts = []

    def script(view: View) -> Mapping[int, int]:
        counts.append(view.counts[0].asked)
        return {0: asked}

    play(game(), Scripted(script), end=31.0)
    assert counts == [1, given]


def test_it_plays_until_the_last_request_is_answered() -> None:
    """The policy goes on deciding after the last arrival: here it is what lets the held request be served."""
    late = game(trace=trace_of((0.0, 10, 1), (100.0, 10, 50)), initial=(0,))
    result = play(late, Scripted(lambda view: {0: 1 if view.now > 150 else 0}))
    assert np.isfinite(result.outcome.finished_at).all()
    assert result.outcome.until == 195.0, "asked at 165 s, ready at 185 s, next decision at 195 s"
    assert result.decisions == 13


def test_it_does_not_wait_for_ever_for_requests_that_nobody_serves() -> None:
    result = play(game(initial=(0,)), Scripted(keep))
    assert result.outcome.until == pytest.approx(result.outcome.arrived_at[-1] + 3600.0)
    assert np.isnan(result.outcome.finished_at).all()


def test_the_same_seed_plays_the_same() -> None:
    shaky = game(variants=(variant(startup_jitter=0.5, failed_start_share=0.3, min_replicas=0),))

    def run(script: Callable[[View], Mapping[int, int]]) -> PlayResult:
        return play(shaky, Scripted(script), end=300.0)

    first, second = run(lambda view: {0: 3}), run(lambda view: {0: 3})
    np.testing.assert_array_equal(first.outcome.finished_at, second.outcome.finished_at)
    assert first.outcome.actions == second.outcome.actions
    assert first.outcome.failed_starts == second.outcome.failed_starts


def test_wall_time_is_split_between_policy_and_simulation() -> None:
    result = play(game(), Scripted(keep))
    assert 0 < result.decide_seconds < 10
    assert 0 < result.simulation_seconds < 10


def test_a_policy_without_a_period_is_refused() -> None:
    with pytest.raises(ValueError, match="give a period above 0"):
        play(game(), Scripted(keep, period_seconds=0.0))
    with pytest.raises(ValueError, match="give a scrape period above 0"):
        play(game(), Scripted(keep, collector_seconds=0.0))
