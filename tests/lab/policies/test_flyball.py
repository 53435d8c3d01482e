"""Flyball's own policy: the WorkloadSLO that it declares, its knobs, and an hour of traffic that grows to twice."""

from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest
from lab.policies.views import ENGINE, counts, setting, variant, view

from flyball.core.names import Indicator, Mode
from flyball.core.spec import EnginePrior
from flyball.core.traffic.forecast import LEVELS, coverage
from flyball.lab.bounds.static_peak import static_peak
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.generate import open_trace
from flyball.lab.play import Game, PlayResult, play
from flyball.lab.policies.flyball import Flyball, build
from flyball.lab.policies.model import Objective, Setting
from flyball.lab.presets import preset
from flyball.lab.score import attained

WARMUP_SECONDS = 900.0
OBJECTIVES = (Objective("TimeToFirstToken", 1.0, 0.95), Objective("InterTokenLatency", 0.05, 0.95))
H100 = FleetVariant("h100", preset("h100_8b").parameters, 60.0, Decimal("2.50"), min_replicas=1, max_replicas=12)


class TestBuild:
    def test_it_declares_the_scenario(self) -> None:
        own = variant("a", price_per_gpu_hour=Decimal("2.5"), gpus_per_replica=2, min_replicas=2, max_replicas=7)
        policy = build(setting(own), {})
        assert (policy.name, policy.period_seconds, policy.collector_seconds) == ("flyball", 15.0, None)
        assert policy.spec.mode is Mode.AUTO
        (declared,) = policy.spec.variants
        assert (declared.name, declared.min_replicas, declared.max_replicas) == ("a", 2, 7)
        assert (declared.price_per_gpu_hour, declared.gpus_per_replica) == (Decimal("2.5"), 2)
        assert declared.startup_seconds == own.startup_seconds
        assert [(o.indicator, o.threshold_seconds, o.target) for o in policy.spec.objectives] == [
            (Indicator.TIME_TO_FIRST_TOKEN, 1.0, 0.95),
            (Indicator.INTER_TOKEN_LATENCY, 0.1, 0.95),
        ]

    @pytest.mark.parametrize(("knobs", "factor"), [({}, 1.0), ({"priorScale": 2}, 2.0), ({"priorScale": 0.5}, 0.5)])
    def test_the_prior_is_the_engine_or_a_wrong_one(self, knobs: dict[str, float], factor: float) -> None:
        """Milliseconds become seconds; limits stay what they are."""
        (declared,) = build(setting(), knobs).spec.variants
        assert declared.engine == EnginePrior(
            pytest.approx(0.010 * factor),
            pytest.approx(0.0001 * factor),
            pytest.approx(1e-7 * factor),
            pytest.approx(5e-5 * factor),
            ENGINE.kv_tokens,
            ENGINE.max_batch,
        )

    def test_knobs(self) -> None:
        policy = build(setting(), {"maxInsurance": 0.9, "period_seconds": 30.0, "priorScale": None})
        assert policy.spec.scaling.max_insurance == 0.9
        assert policy.period_seconds == 30.0
        assert build(setting(), {"maxInsurance": None}).spec.scaling.max_insurance == LEVELS[-1]

    def test_all_replicas_may_go_where_the_scenario_says_so(self) -> None:
        empty = variant("a", min_replicas=0)
        to_zero = build(setting(empty), {"idleAfter": 120.0}).spec.scaling.to_zero
        assert to_zero is not None
        assert (to_zero.idle_after_seconds, bool(to_zero.query)) == (120.0, True)
        assert build(setting(empty, variant("b")), {}).spec.scaling.to_zero is None

    def test_an_unknown_knob_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"no knob insurance, quantile; it has idleAfter, maxInsurance, period"):
            build(setting(), {"quantile": 0.9, "insurance": 1, "maxInsurance": 0.5})

    def test_an_indicator_that_no_engine_has_is_refused(self) -> None:
        with pytest.raises(ValueError, match="Kindness"):
            build(setting(objectives={"Kindness": 1.0}), {})


def test_without_any_sample_what_runs_stays() -> None:
    policy = build(setting(variant("a"), variant("b")), {})
    assert policy.decide(view(15.0, (counts(3), counts(2)))) == {0: 3, 1: 2}


@cache
def course(seed: int = 1) -> Game:
    """Forty requests a second that become eighty within twenty minutes, twelve percent up or down in any minute."""
    trace = open_trace(f"generate:conversation?rate=40&duration=45m&seed={seed}&burst=0.12&ramp=15m-35m:2")
    return Game(trace, (H100,), FleetOptions(), (3,), seed)


def played(game: Game, **knobs: float) -> tuple[PlayResult, Flyball]:
    ones = (1.0,) * len(game.variants)
    policy = build(Setting(game.variants, OBJECTIVES, game.initial, ones, ones), knobs)
    return play(game, policy), policy


@cache
def once() -> tuple[PlayResult, Flyball]:
    return played(course())


def mean_replicas(result: PlayResult, variant: int = 0) -> float:
    end = course().trace.span_seconds
    return result.outcome.gpu_seconds(variant, WARMUP_SECONDS, end) / (end - WARMUP_SECONDS)


def attained_over(results: list[PlayResult]) -> dict[str, float]:
    """Over the courses of seeds 1, 2 …: on a single one, a step of so few replicas decides by the minute it is made."""
    shares = [
        attained(course(seed).trace, result.outcome, OBJECTIVES, WARMUP_SECONDS)
        for seed, result in enumerate(results, start=1)
    ]
    return {o.indicator: sum(share[o.indicator] for share in shares) / len(shares) for o in OBJECTIVES}


class TestCourse:
    def test_objectives_are_met(self) -> None:
        met = attained_over([once()[0], *(played(course(seed))[0] for seed in (2, 3))])
        assert all(met[objective.indicator] >= objective.target for objective in OBJECTIVES)

    def test_it_takes_no_more_than_half_again_what_the_peak_needs(self) -> None:
        peak = static_peak([course()], OBJECTIVES, WARMUP_SECONDS)
        assert 3 <= peak <= 6
        assert mean_replicas(once()[0]) <= 1.5 * peak

    def test_it_follows_the_load(self) -> None:
        """Less than the peak's before the ramp, more after it; and without a change in most of its ticks."""
        outcome = once()[0].outcome
        before, after = (outcome.gpu_seconds(0, t, t + 300.0) / 300.0 for t in (600.0, 2400.0))
        assert before < after
        assert len(outcome.actions) < 0.1 * once()[0].decisions

    def test_it_stays_within_the_bounds(self) -> None:
        tight = replace(course(), variants=(replace(H100, min_replicas=2, max_replicas=3),))
        for game, (result, _) in ((course(), once()), (tight, played(tight))):
            asked = [action.after for action in result.outcome.actions]
            (bounds,) = game.variants
            assert all(bounds.min_replicas <= count <= bounds.max_replicas for count in asked)
            assert max(result.outcome.paid[0].replicas) <= bounds.max_replicas

    def test_it_never_asks_for_more_than_the_maximum(self) -> None:
        """Of its own accord, before anybody clamps it: a third of the load is all that one replica carries."""
        policy = build(Setting((replace(H100, max_replicas=1),), OBJECTIVES, (1,), (1.0,), (1.0,)), {})
        wanted = []

        class Noting:
            name, period_seconds, collector_seconds = policy.name, policy.period_seconds, None

            @staticmethod
            def decide(seen: object) -> dict[int, int]:
                wanted.append(dict(policy.decide(seen)))  # type: ignore[arg-type]
                return wanted[-1]

        play(replace(course(), variants=(replace(H100, max_replicas=1),), initial=(1,)), Noting(), end=900.0)
        assert wanted == [{0: 1}] * 60

    def test_it_is_deterministic(self) -> None:
        again, policy = played(course())
        assert again.outcome.actions == once()[0].outcome.actions
        assert policy.memory == once()[1].memory

    def test_it_has_learned(self) -> None:
        """Arrivals near what came, an engine near the simulated one, a curve from what was missed."""
        memory = once()[1].memory
        assert memory.forecast is not None
        assert memory.forecast.smoothed[-1] == pytest.approx(80.0, rel=0.2)
        assert coverage(memory.forecast)
        assert memory.shape is not None
        assert memory.shape.prompt_tokens == pytest.approx(course().trace.input_tokens.mean(), rel=0.1)
        assert memory.shape.output_tokens == pytest.approx(course().trace.output_tokens.mean(), rel=0.1)
        fit = memory.variant("h100").fit
        assert fit is not None
        assert fit.samples > 20
        assert fit.mean_error < 0.1
        assert {burned.objective for burned in memory.burned} == {"TimeToFirstToken", "InterTokenLatency"}

    def test_a_wrong_prior_is_overcome(self) -> None:
        """Told that every step takes twice as long: the objectives are met all the same, at no more than twice."""
        results = [played(course(seed), priorScale=2.0)[0] for seed in (1, 2, 3)]
        met = attained_over(results)
        assert all(met[objective.indicator] >= objective.target for objective in OBJECTIVES)
        assert mean_replicas(results[0]) <= 2 * mean_replicas(once()[0])


def test_it_sleeps_through_silence_and_wakes_for_the_first_request() -> None:
    """Requests for five minutes, none for half an hour, then some again: idle after two minutes, ready in one."""
    source = "generate:conversation?rate=0.5&duration=40m&seed=1&burst=0&step=5m:0&step=35m:1"
    empty = replace(H100, min_replicas=0)
    result, _ = played(Game(open_trace(source), (empty,), FleetOptions(), (1,), 1), idleAfter=120.0)
    zero, one = [(action.at, action.after) for action in result.outcome.actions if 0 in (action.before, action.after)]
    assert (zero[1], one[1]) == (0, 1)
    assert 420.0 <= zero[0] <= 520.0, "the last request comes before 5m and is seen for a minute"
    first = float(next(t for t in result.outcome.arrived_at if t > 1200.0))
    assert first < one[0] <= first + 15.0 + 5.0 + 15.0, "a scrape, its delay, a tick"
    cold = result.outcome.cold
    assert 0 < cold.sum() < 60
    assert not (result.outcome.first_token_at - result.outcome.arrived_at)[cold].max() > 60.0 + 40.0
