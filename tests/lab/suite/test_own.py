from dataclasses import replace
from decimal import Decimal

import pytest

from flyball.core.fleet.capacity import RequestShape, start_fit
from flyball.core.memory import Memory, VariantMemory
from flyball.core.traffic.forecast import LEVELS, start
from flyball.lab.fleet.model import FleetVariant, ReplicaCounts
from flyball.lab.fleet.samples import History
from flyball.lab.policies.flyball import build
from flyball.lab.policies.model import Objective, Setting, View
from flyball.lab.presets import PRESETS
from flyball.lab.scenario import Scenario
from flyball.lab.suite.own import MODEL_SECONDS, Watched, model_error
from flyball.lab.traffic import TraceSource

VARIANT = FleetVariant("l4", PRESETS["l4_8b"].parameters, 120.0, Decimal("0.80"))
OBJECTIVES = (Objective("TimeToFirstToken", 2.0, 0.95),)
SETTING = Setting((VARIANT,), OBJECTIVES, (3,), (0.5,), (8.0,))
SCENARIO = Scenario("made", TraceSource("generate:code"), (VARIANT,), OBJECTIVES, tick_seconds=20.0, prior_factor=2.0)


def view(now: float) -> View:
    return View(now, (ReplicaCounts(3, 3, 0, 0, 0),), History())


def learned(scale: float) -> Memory:
    """A memory whose model takes every iteration for so many times as long as it is."""
    fit = start_fit(build(SETTING, {"priorScale": scale}).spec.variants[0].engine)
    return Memory(variants=(VariantMemory("l4", fit),), shape=RequestShape(1000.0, 1000.0, 200.0))


def test_flyball_is_given_the_scenarios_tick_and_wrong_prior() -> None:
    own = Watched(SCENARIO, SETTING, {"maxInsurance": 0.5})
    assert own.period_seconds == 20.0
    # Twice the capacity is promised by half the times.
    assert own._flyball.spec.variants[0].engine.base_seconds == pytest.approx(VARIANT.engine.base_ms / 2000)
    assert own._flyball.spec.scaling.max_insurance == 0.5


@pytest.mark.parametrize(("scale", "error"), [(1.0, 0.0), (2.0, 1.0), (0.5, 0.5)])
def test_the_models_error_is_of_the_time_of_a_token(scale: float, error: float) -> None:
    own, truth = build(SETTING, {}), build(SETTING, {})
    own.memory = learned(scale)
    assert model_error(own, truth, SETTING.concurrency_per_replica) == pytest.approx(error)


def test_before_anything_was_fitted_there_is_no_error_and_no_coverage() -> None:
    own = Watched(SCENARIO, SETTING, {})
    assert model_error(own._flyball, build(SETTING, {}), (8.0,)) is None
    assert (own.coverage, own.model_error) == ({}, None)


def test_the_model_is_looked_at_after_half_an_hour() -> None:
    own = Watched(replace(SCENARIO, prior_factor=1.0), SETTING, {})
    own._flyball.memory = learned(2.0)
    own.decide(view(MODEL_SECONDS - 20.0))
    assert own.model_error is None
    own.decide(view(MODEL_SECONDS))
    assert own.model_error == pytest.approx(1.0)


def test_coverage_is_the_share_of_forecasts_that_were_not_exceeded() -> None:
    own = Watched(SCENARIO, SETTING, {})
    below = tuple(round(level * 200) for level in LEVELS)
    own._flyball.memory = Memory(forecast=replace(start(0.0, 1.0, 60.0, 120.0), judged=200, below=below))
    assert own.coverage == {"0.5": 0.5, "0.9": 0.9}
