"""A past whose truth is known, played again: the model must find that truth, and Flyball be judged by it."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from lab.backtest.pasts import ENGINE, FLEET, STEP, blind, past

from flyball.lab.backtest.compare import AS_IT_RAN, FLYBALL, HAPPENED, Backtest, backtest
from flyball.lab.backtest.measured import measure
from flyball.lab.backtest.picture import page
from flyball.lab.backtest.traffic import draw_requests

HOUR = 3600.0


@pytest.fixture(scope="module")
def history():
    return past("generate:conversation?rate=4&duration=2h&seed=3", {HOUR: 6, float("inf"): 4})


@pytest.fixture(scope="module")
def found(history) -> Backtest:
    return backtest(measure(history[0]))


def test_arrivals_come_out_of_completions_and_backlog(history):
    assert measure(history[0]).arrivals.sum() == pytest.approx(history[1], rel=0.005)


def test_requests_are_drawn_at_the_measured_rates_and_lengths(history):
    measured = measure(history[0])
    trace = draw_requests(measured, seed=7)
    step = (trace.t_seconds // STEP).astype(int)
    counts = np.bincount(step, minlength=len(measured.ends))
    assert np.abs(counts - measured.arrivals).max() <= 1.0, "no chance is added to measured counts"
    assert (np.diff(trace.t_seconds) >= 0).all()
    fractions = trace.t_seconds / STEP % 1
    assert np.histogram(fractions, bins=4, range=(0, 1))[0] == pytest.approx(len(trace) / 4, rel=0.05)
    for tokens, means in (
        (trace.input_tokens, measured.prompt_tokens),
        (trace.output_tokens, measured.output_tokens),
    ):
        assert np.bincount(step, weights=tokens).cumsum() == pytest.approx((means * counts).cumsum(), rel=0.02)
        assert np.log(tokens).std() == pytest.approx(0.8, abs=0.1)


def test_the_engine_is_found_at_the_batches_that_ran(found):
    fitted = found.fitted[0].fleet.engine
    for batch, context in ((4, 4 * 1260), (6, 6 * 1260)):
        true = ENGINE.iteration_seconds(batch, context, 0) + ENGINE.prefill_seconds(batch * 1154 // 211)
        ours = fitted.iteration_seconds(batch, context, 0) + fitted.prefill_seconds(batch * 1154 // 211)
        assert ours == pytest.approx(true, rel=0.1)


def test_the_replicas_that_ran_give_in_the_model_what_they_gave(found):
    happened, model = found.column(HAPPENED), found.column(AS_IT_RAN)
    assert model.requests == pytest.approx(happened.requests, rel=0.03)
    assert model.gpu_hours == pytest.approx(happened.gpu_hours, rel=0.03)
    assert model.attained["first-token"] == pytest.approx(happened.attained["first-token"], abs=0.02)
    assert model.attained["token-time"] == pytest.approx(happened.attained["token-time"], abs=0.02)
    assert (happened.changes, happened.peak_replicas) == (1, 6)


def test_flyball_meets_the_objectives_with_fewer_gpus_where_there_were_too_many(found):
    ours, model = found.column(FLYBALL), found.column(AS_IT_RAN)
    assert ours.gpu_hours < 0.8 * model.gpu_hours
    assert ours.attained["first-token"] >= 0.95
    assert ours.cost == Decimal(ours.gpu_hours) * FLEET.price_per_gpu_hour


def test_the_same_seed_gives_the_same_comparison(history):
    part = measure(history[0]).last(1200.0)
    first, again = backtest(part).column(FLYBALL), backtest(part).column(FLYBALL)
    assert (again.gpu_hours, again.attained) == (first.gpu_hours, first.attained)


def test_the_page_needs_nothing_else_and_says_what_to_know(found):
    text = page(found, "team/chat <all>", "a table")
    assert "<svg" in text
    assert "team/chat &lt;all&gt;" in text
    assert all(note in text for note in found.notes)
    assert not any(word in text for word in ('src="', 'href="http', "<script"))


def test_a_hole_in_the_metrics_counts_on_no_side(history):
    holed = backtest(measure(blind(history[0], 95, 115)).last(2400.0))
    assert {column.counted_seconds for column in holed.columns} == {1200.0}
    assert holed.column(HAPPENED).gpu_hours == pytest.approx(4 * 1200 / HOUR)
    assert holed.column(AS_IT_RAN).gpu_hours == pytest.approx(holed.column(HAPPENED).gpu_hours, rel=0.1)
    assert holed.column(FLYBALL).requests == pytest.approx(4 * 1200, rel=0.1)


def test_without_a_price_there_is_no_cost_and_that_is_said(history):
    measured = measure(history[0])
    variant = replace(measured.spec.variants[0], price_per_gpu_hour=None, price_source="no book", startup_seconds=None)
    short = replace(measured, spec=replace(measured.spec, variants=(variant,))).last(1800.0)
    found = backtest(short)
    assert [column.cost for column in found.columns] == [None, None, None]
    text = "; ".join(found.notes)
    assert "no price is known, so that no cost is: no book" in text
    assert "a start is taken as 2m: set startupTime, or give --startup" in text
