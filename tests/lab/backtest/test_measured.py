"""From signals to arrays: hand-made steps, and what is said of everything that is missing or odd."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from lab.backtest.pasts import SPEC, STEP

from flyball.core.observation import (
    ABSENT,
    BucketEdges,
    ObjectiveReading,
    Reading,
    SignalState,
    VariantSignals,
    WindowShare,
    WorkloadSignals,
    ok,
)
from flyball.lab.backtest.measured import NothingMeasured, measure
from flyball.telemetry.history import Step, WorkloadHistory

NOTHING = WorkloadSignals()


def signals(rate: float = 1.0, backlog: float = 10.0, prompt: float = 100.0, **changed: Reading) -> WorkloadSignals:
    """`rate` completions/s with so many requests in all replicas, of which there are 2."""
    variant = VariantSignals(
        "gpu",
        running=ok(backlog),
        waiting=ok(0.0),
        completions_per_second=ok(rate),
        prompt_tokens_per_request=ok(prompt),
        output_tokens_per_request=ok(20.0),
        reporting_replicas=ok(2.0),
    )
    share = WindowShare(STEP, 0.9 * rate * STEP, rate * STEP)
    readings = tuple(ObjectiveReading(o.name, SignalState.OK, (share,)) for o in SPEC.objectives)
    return WorkloadSignals(readings, (replace(variant, **changed),))


def history(steps: Sequence[WorkloadSignals], resets: float = 0.0) -> WorkloadHistory:
    return WorkloadHistory(
        SPEC, STEP, tuple(Step(1_700_000_040.0 + STEP * index, one) for index, one in enumerate(steps)), resets
    )


def told(steps: Sequence[WorkloadSignals], resets: float = 0.0) -> str:
    return "; ".join(measure(history(steps, resets)).notes)


@pytest.mark.parametrize(
    ("rates", "backlogs", "expected"),
    [
        pytest.param([1, 1, 1], [10, 10, 10], [60, 60, 60], id="steady: completions are arrivals"),
        pytest.param([1, 1, 1], [10, 40, 40], [60, 90, 60], id="a growing backlog adds what is not finished"),
        pytest.param([1, 1, 1], [100, 70, 70], [60, 30, 60], id="a draining one takes away what came before"),
        pytest.param([1, 0, 1], [10, 10, 10], [60, 0, 60], id="nothing finished and nothing came"),
        pytest.param([1, 0.5, 1], [100, 40, 40], [60, 0, 30], id="what a step has too little the next one owes"),
    ],
)
def test_arrivals_are_completions_and_growth_of_the_backlog(rates, backlogs, expected):
    steps = [signals(rate, backlog) for rate, backlog in zip(rates, backlogs, strict=True)]
    assert measure(history(steps)).arrivals.tolist() == pytest.approx(expected)


def test_requests_that_vanish_from_the_queues_are_said():
    text = told([signals(1, 300), signals(0, 0), signals(0, 0)])
    assert "300 requests left the queues without being completed" in text


def test_a_short_gap_is_bridged_by_its_neighbours_and_said():
    found = measure(history([signals(1), NOTHING, NOTHING, signals(4)]))
    assert found.arrivals.tolist() == pytest.approx([60, 120, 180, 240])
    assert found.known.tolist() == [True, False, False, True]
    assert np.isnan(found.replicas[0, 1:3]).all()
    assert (
        found.notes[0] == "2 of 4 steps (50.0%) measured nothing, in 1 gap of 2m at most: 2 bridged by their neighbours"
    )


def test_a_long_gap_stays_unknown_and_is_said():
    found = measure(history([signals(), *[NOTHING] * 16, signals()]))
    assert np.isnan(found.arrivals[1:17]).all()
    assert "16 in longer gaps taken as without requests and counted on no side" in found.notes[0]


def test_no_backlog_is_carried_over_a_gap():
    found = measure(history([signals(1, 10), NOTHING, signals(1, 500), signals(1, 500)]))
    assert found.arrivals.tolist() == pytest.approx([60, 60, 60, 60])


def test_the_range_begins_and_ends_with_what_was_measured():
    found = measure(history([NOTHING, NOTHING, signals(), signals(), NOTHING]))
    assert (len(found.ends), found.start) == (2, 1_700_000_040.0 + STEP)
    assert found.notes[:2] == (
        "nothing was measured in the first 2m of the range: left out",
        "nothing was measured in the last 1m of the range: left out",
    )


def test_counters_that_began_anew_are_said():
    assert "counters began anew 3 times" in told([signals()], resets=3.0)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"running": Reading(math.nan, SignalState.INVALID)}, id="NaN"),
        pytest.param({"running": ABSENT}, id="absent"),
        pytest.param({"waiting": Reading(5.0, SignalState.STALE, 400.0)}, id="stale"),
        pytest.param({"completions_per_second": Reading(math.nan, SignalState.INVALID)}, id="completions NaN"),
    ],
)
def test_a_step_that_cannot_be_believed_is_a_gap_not_a_zero(broken):
    found = measure(history([signals(2), signals(2, **broken), signals(2)]))
    assert found.known.tolist() == [True, False, True]
    assert found.arrivals.tolist() == pytest.approx([120, 120, 120])


def test_lengths_are_those_of_the_step_where_it_holds_enough_requests():
    found = measure(history([signals(3.0, prompt=100.0), signals(4.0, prompt=500.0), signals(2.0, prompt=300.0)]))
    assert found.prompt_tokens.tolist() == pytest.approx([100.0, 500.0, 300.0])


def test_few_requests_borrow_from_their_neighbours_weighted_by_requests():
    found = measure(history([signals(1.5, prompt=100.0), signals(0.5, prompt=500.0)]))
    assert found.prompt_tokens.tolist() == pytest.approx([200.0, 200.0])
    assert found.output_tokens.tolist() == pytest.approx([20.0, 20.0])


def test_without_cache_metrics_every_token_is_computed_and_that_is_said():
    found = measure(history([signals()]))
    assert found.cached_share.tolist() == [0.0]
    assert "no prefix cache metrics: every prompt token is taken as computed" in found.notes


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        pytest.param(
            ObjectiveReading("first-token", SignalState.OK, (), edges=BucketEdges(False, 0.0, math.inf)),
            "its threshold lies outside of all buckets",
            id="one bucket",
        ),
        pytest.param(ObjectiveReading("first-token", SignalState.ABSENT), "no events of it", id="no histogram"),
    ],
)
def test_an_objective_that_was_not_measured_is_said(reading, why):
    step = signals()
    step = replace(step, objectives=(reading, step.objectives[1]))
    found = measure(history([step]))
    assert f"objective first-token: {why}" in "; ".join(found.notes)
    assert found.judged["first-token"][1].tolist() == [0.0]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        pytest.param(
            [NOTHING] * 3, "Prometheus holds nothing of Deployment/chat in namespace team in these 3m", id="none"
        ),
        pytest.param(
            [signals(running=Reading(math.nan, SignalState.INVALID))],
            "hold no usable number in these 1m: look at the exporter",
            id="garbage",
        ),
        pytest.param(
            [signals(completions_per_second=ABSENT)] * 3,
            "give a --step of at least four scrape intervals",
            id="too fine",
        ),
        pytest.param(
            [signals(prompt_tokens_per_request=ABSENT)],
            "the prompt tokens per request are not in Prometheus.*PromptTokens",
            id="no lengths",
        ),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_fix(steps, message):
    with pytest.raises(NothingMeasured, match=message):
        measure(history(steps))
