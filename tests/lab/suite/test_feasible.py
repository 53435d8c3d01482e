from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from flyball.lab.engine import Engine, EngineParameters, Request
from flyball.lab.fleet.model import FleetVariant
from flyball.lab.policies.model import Objective
from flyball.lab.suite.feasible import alone, infeasible
from flyball.lab.trace import Trace

ENGINE = EngineParameters(10.0, 0.5, 0.001, 0.1, 16.0, 20_000, 64, 512)
VARIANT = FleetVariant("a", ENGINE, 60.0, Decimal(1))


def trace(*requests: tuple[int, int, int]) -> Trace:
    """Requests of (input, output, cached) tokens, 100 s apart."""
    inputs, outputs, cached = (np.array(column) for column in zip(*requests, strict=True))
    return Trace("made", np.arange(len(requests)) * 100.0, inputs, outputs, 100.0 * len(requests), cached)


def engine_times(request: Request) -> tuple[float, float]:
    """First and last token of a request that an engine has for itself."""
    engine: Engine[None] = Engine(ENGINE)
    sequence = engine.submit(request, 0.0, None)
    now = sequence.ready_at
    while not sequence.done:
        iteration = engine.next_iteration(now)
        assert iteration is not None
        now = iteration.ends_at
        engine.complete(iteration, now)
    return sequence.first_token_at, sequence.last_token_at


@pytest.mark.parametrize("request_", [(100, 1, 0), (512, 20, 0), (513, 20, 0), (1500, 300, 700), (400, 5, 400)])
def test_a_lone_request_takes_what_the_engine_takes(request_: tuple[int, int, int]) -> None:
    lone = alone(trace(request_), ENGINE)
    expected = engine_times(Request(*request_))
    assert (lone.first_token_at[0], lone.finished_at[0]) == pytest.approx(expected)


def test_objectives_that_an_idle_replica_meets_are_feasible() -> None:
    objectives = [Objective("TimeToFirstToken", 1.0, 0.95), Objective("InterTokenLatency", 0.05, 0.95)]
    assert infeasible(trace((100, 10, 0), (500, 10, 0)), [VARIANT], objectives, 0.0) is None


def test_the_objective_that_cannot_be_met_is_named_with_the_best_there_is() -> None:
    made = trace(*[(100, 10, 0)] * 9, (5000, 10, 0))
    # The long prompt needs ten chunks: 16 + 10 × 10 + 500 = 616 ms.
    text = infeasible(made, [VARIANT], [Objective("TimeToFirstToken", 0.5, 0.95)], 0.0)
    assert text == (
        "TimeToFirstToken within 500ms for 95.0% cannot be met: alone on an idle replica 90.0% make it "
        "(the shortest threshold that could hold is 616ms)"
    )
    assert infeasible(made, [VARIANT], [Objective("TimeToFirstToken", 0.616, 0.95)], 0.0) is None


def test_a_pace_that_one_iteration_breaks_is_named() -> None:
    text = infeasible(trace((100, 100, 0)), [VARIANT], [Objective("InterTokenLatency", 0.005, 0.9)], 0.0)
    assert text is not None
    assert "InterTokenLatency within 5ms for 90.0% cannot be met: alone on an idle replica 0.0% make it" in text


def test_of_several_variants_the_best_one_counts() -> None:
    slow = replace(VARIANT, name="slow", engine=replace(ENGINE, base_ms=900.0))
    objectives = [Objective("TimeToFirstToken", 0.5, 0.95)]
    assert infeasible(trace((100, 10, 0)), [slow, VARIANT], objectives, 0.0) is None
    assert infeasible(trace((100, 10, 0)), [slow], objectives, 0.0) is not None


def test_requests_that_fit_no_cache_are_left_out_unless_there_are_no_others() -> None:
    objectives = [Objective("TimeToFirstToken", 0.5, 0.95)]
    assert infeasible(trace((100, 10, 0), (30_000, 10, 0)), [VARIANT], objectives, 0.0) is None
    text = infeasible(trace((30_000, 10, 0)), [VARIANT], objectives, 0.0)
    assert text == "every request is larger than the KV cache of 20000 tokens: give a replica with a larger one"
