"""A trace file as a past, and the two bills that are made of it."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from lab.backtest.pasts import PRIOR, SPEC

from flyball.lab.backtest.fitting import fit_variants
from flyball.lab.backtest.measured import NothingMeasured
from flyball.lab.backtest.purchase import bill
from flyball.lab.backtest.recorded import measured_of_trace
from flyball.lab.trace import Trace

TRACE = Trace(
    "hand-made",
    t_seconds=np.array([0.0, 59.0, 61.0, 185.0, 241.0]),
    input_tokens=np.array([100, 300, 50, 70, 9]),
    output_tokens=np.array([10, 30, 5, 7, 9]),
    span_seconds=250.0,
    cached_tokens=np.array([50, 150, 0, 70, 9]),
)


def test_every_request_of_a_whole_step_is_counted_with_its_lengths():
    found = measured_of_trace(TRACE, SPEC, 60.0, 1_000_020.0)
    assert found.arrivals.tolist() == [2, 1, 0, 1]
    assert found.prompt_tokens.tolist() == [200, 50, 60, 70]
    assert found.output_tokens.tolist() == [20, 5, 6, 7]
    assert found.cached_share.tolist() == [0.5, 0.0, 0.5, 1.0]
    assert (found.start, found.ends[-1]) == (1_000_020.0, 1_000_260.0)
    assert fit_variants(found)[0].fit.samples == 0


@pytest.mark.parametrize(
    ("step", "message"), [(300.0, "shorter than a step"), (600.0, "give a shorter --step")], ids=["a bit", "much"]
)
def test_a_trace_within_a_step_is_refused(step, message):
    with pytest.raises(NothingMeasured, match=message):
        measured_of_trace(TRACE, SPEC, step, 0.0)


def day_and_night(hours: int) -> Trace:
    """A day of an hour: 12 requests/s in its first quarter, 0.5 in the rest."""
    generator = np.random.default_rng(5)
    rates = np.where(np.arange(hours * 3600) % 3600 < 900, 12.0, 0.5)
    counts = generator.poisson(rates)
    t = np.sort(np.repeat(np.arange(len(rates)), counts) + generator.random(counts.sum()))
    return Trace("hours", t, np.full(len(t), 400), np.full(len(t), 100), float(len(rates)))


@pytest.fixture(scope="module")
def past():
    variant = replace(SPEC.variants[0], engine=PRIOR)
    return measured_of_trace(day_and_night(3), replace(SPEC, variants=(variant,)), 60.0, 1_767_571_200.0)


def test_buying_holds_the_peak_all_month_and_scaling_pays_for_what_it_plays(past):
    found = bill(past, fit_variants(past))
    assert found.buying_gpu_hours == found.peak_replicas * 720
    assert found.buying == Decimal(found.buying_gpu_hours) * 2
    assert found.scaling == pytest.approx(Decimal(found.scaling_gpu_hours) * 2)
    assert found.scaling_gpu_hours < found.buying_gpu_hours
    # The load jumps 24-fold: what comes within a telemetry window and a start-up of each jump, a tenth of all, is late.
    assert found.attained["first-token"] > 0.85


def test_of_two_variants_the_one_that_is_cheaper_at_the_peak_is_bought(past):
    dear = past.spec.variants[0]
    cheap = replace(dear, name="cheap", price_per_gpu_hour=Decimal("0.5"))
    both = replace(
        past,
        spec=replace(past.spec, variants=(dear, cheap)),
        replicas=np.repeat(past.replicas, 2, axis=0),
    ).last(1200.0)
    found = bill(both, fit_variants(both))
    assert (found.kind, found.played_seconds) == ("cheap", 1200.0)
