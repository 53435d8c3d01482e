import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flyball.lab.generate import PRESETS, Lengths, generate_trace, open_trace, parse_profile, second_rates
from flyball.lab.trace import InvalidTraceError, write_trace


@pytest.mark.parametrize("preset", PRESETS)
def test_mean_lengths_are_the_stated_ones(preset: str) -> None:
    profile = parse_profile(f"generate:{preset}?rate=20&duration=2h&seed=11")
    trace = generate_trace(profile)
    for lengths, tokens in ((profile.input, trace.input_tokens), (profile.output, trace.output_tokens)):
        four_errors = 4 * tokens.std() / math.sqrt(len(tokens))
        assert abs(tokens.mean() - lengths.mean) < four_errors < 0.03 * lengths.mean
        assert tokens.min() >= 1
        assert tokens.max() <= lengths.maximum


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lengths_spread_as_stated(seed: int) -> None:
    lengths = Lengths(mean=1154, sigma=0.8, maximum=1_000_000)
    logarithms = np.log(lengths.draw(20_000, np.random.default_rng(seed)))
    assert logarithms.std() == pytest.approx(0.8, abs=4 * 0.8 / math.sqrt(2 * 20_000))


def test_the_mean_holds_even_when_much_is_cut_off() -> None:
    lengths = Lengths(mean=500, sigma=1.5, maximum=800)
    tokens = lengths.draw(40_000, np.random.default_rng(1))
    assert (tokens == 800).mean() > 0.3
    assert tokens.mean() == pytest.approx(500, abs=4 * tokens.std() / 200)


def test_without_deviation_every_length_is_the_mean() -> None:
    assert set(Lengths(200, 0.0, 1000).draw(50, np.random.default_rng(1)).tolist()) == {200}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("burst", [0.0, 0.25, 1.0])
def test_rate_and_dispersion_are_the_stated_ones(burst: float, seed: int) -> None:
    rate, window, windows = 2.0, 30.0, 2000
    profile = replace(
        PRESETS["conversation"],
        rate=rate,
        window_seconds=window,
        duration_seconds=window * windows,
        burst=burst,
        seed=seed,
    )
    counts = np.histogram(generate_trace(profile).t_seconds, bins=windows, range=(0, window * windows))[0]
    mean = rate * window
    dispersion = 1 + burst**2 * mean
    assert counts.mean() == pytest.approx(mean, abs=4 * math.sqrt(mean * dispersion / windows))
    # Of a gamma mixture's sample variance: its relative error, from the negative binomial's excess kurtosis.
    kurtosis = 6 * burst**2 + 1 / (mean * dispersion)
    error = math.sqrt((kurtosis + 2) / windows)
    assert counts.var() / counts.mean() == pytest.approx(dispersion, rel=4.5 * error)


def test_windows_are_independent_of_each_other() -> None:
    profile = parse_profile("generate:code?rate=5&duration=10h&burst=0.5&window=20s&seed=2")
    counts = np.histogram(generate_trace(profile).t_seconds, bins=1800, range=(0, 36_000))[0]
    assert abs(np.corrcoef(counts[1:], counts[:-1])[0, 1]) < 4 / math.sqrt(1800)


def test_the_day_has_its_peak_where_stated_and_its_mean_is_the_rate() -> None:
    rates = second_rates(parse_profile("generate:code?rate=3&duration=2d&daily=0.6&peak=9h"))
    assert rates.mean() == pytest.approx(3.0)
    assert rates.max() == pytest.approx(3 * 1.6)
    assert int(rates[:86_400].argmax()) in (9 * 3600 - 1, 9 * 3600)
    assert rates.min() == pytest.approx(3 * 0.4)


@pytest.mark.parametrize(
    ("second", "factor"),
    [
        pytest.param(0, 1.0, id="the rate to begin with"),
        pytest.param(599, 1.0, id="the second before the step"),
        pytest.param(600, 3.0, id="the step"),
        pytest.param(1199, 3.0, id="before the ramp"),
        pytest.param(1499, 3.0 - 2.5 * 299.5 / 600, id="half way down the ramp"),
        pytest.param(1800, 0.5, id="the ramp's end"),
        pytest.param(3599, 0.5, id="the trace's end"),
    ],
)
def test_steps_and_ramps_shape_the_rate(second: int, factor: float) -> None:
    rates = second_rates(parse_profile("generate:code?rate=2&step=10m:3&ramp=20m-30m:0.5"))
    assert rates[second] == pytest.approx(2 * factor)


def test_a_step_shows_in_the_arrivals() -> None:
    times = open_trace("generate:code?rate=10&duration=20m&burst=0&step=10m:3&seed=1").t_seconds
    before, after = (times < 600).sum(), (times >= 600).sum()
    assert abs(before - 6000) < 4 * math.sqrt(6000)
    assert abs(after - 18_000) < 4 * math.sqrt(18_000)


def test_the_same_word_gives_the_same_trace_and_another_seed_another() -> None:
    first, same, other = (open_trace(f"generate:conversation?rate=1&seed={seed}") for seed in (7, 7, 8))
    assert first.t_seconds.tolist() == same.t_seconds.tolist()
    assert first.input_tokens.tolist() == same.input_tokens.tolist()
    assert first.t_seconds.tolist() != other.t_seconds.tolist()


def test_a_generated_trace_survives_its_file(tmp_path: Path) -> None:
    trace = open_trace("generate:long-context?rate=0.5&duration=10m&seed=3")
    write_trace(trace, tmp_path / "t.csv.gz")
    again = open_trace(str(tmp_path / "t.csv.gz"))
    assert again.t_seconds.tolist() == trace.t_seconds.tolist()
    assert again.output_tokens.tolist() == trace.output_tokens.tolist()
    assert (trace.span_seconds, trace.name) == (600.0, "generate:long-context?rate=0.5&duration=10m&seed=3")


def test_every_option_reaches_the_profile() -> None:
    profile = parse_profile(
        "generate:conversation?rate=0.8&duration=90m&seed=9&burst=0.4&window=2m&daily=0.5&peak=13h"
        "&input=900&inputSigma=0.7&inputMax=9000&output=100&outputSigma=0.6&outputMax=500"
    )
    assert (profile.input, profile.output) == (Lengths(900, 0.7, 9000), Lengths(100, 0.6, 500))
    assert (profile.rate, profile.duration_seconds, profile.seed) == (0.8, 5400.0, 9)
    assert (profile.burst, profile.window_seconds, profile.daily, profile.peak_seconds) == (0.4, 120.0, 0.5, 46_800.0)


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        pytest.param(
            "prose", "there is no preset 'prose'; choose conversation, code, long-context", id="unknown preset"
        ),
        pytest.param("code?rat=2", "there is no option 'rat'; the options are rate, duration", id="unknown option"),
        pytest.param("code?rate", r"write options as \?rate=2&seed=1", id="an option without a value"),
        pytest.param("code?rate=2&rate=3", "rate is given twice", id="an option twice"),
        pytest.param("code?rate=fast", "rate: 'fast' is not possible; give a number", id="a word for a number"),
        pytest.param("code?rate=nan", "rate: 'nan' is not possible", id="not a number"),
        pytest.param("code?rate=-1", "rate: '-1' is not possible", id="a negative rate"),
        pytest.param("code?rate=0", "rate: give more than 0", id="no rate"),
        pytest.param("code?seed=1.5", "seed: '1.5' is not possible; give a whole number", id="half a seed"),
        pytest.param("code?duration=5", "duration: '5' is not a duration", id="a duration without unit"),
        pytest.param("code?duration=9999d", "duration: give 1s to 28d", id="too long"),
        pytest.param("code?rate=1000000", "more than 20000000 requests", id="too many requests"),
        pytest.param("code?daily=1.5", "daily: give 0 to 1", id="a swing below nothing"),
        pytest.param("code?window=100ms", "window: give at least 1s", id="too short a window"),
        pytest.param("code?burst=11", "burst: give 0", id="too bursty"),
        pytest.param("code?step=10m", "step: write step=10m:3", id="a step without factor"),
        pytest.param("code?ramp=10m:3", "ramp: write step=10m:3 .* or ramp=10m-20m:3", id="a ramp without end"),
        pytest.param("code?ramp=20m-10m:3", "in the order of time", id="a ramp backwards"),
        pytest.param("code?step=20m:2&step=10m:3", "in the order of time", id="steps out of order"),
        pytest.param(
            "code?input=9000", "input: give at least 1, and less than inputMax=7500", id="a mean above the cut"
        ),
        pytest.param("code?outputSigma=9", "outputSigma: give 0 to 3", id="too wide"),
        pytest.param("code?inputMax=99999999999", "inputMax: give 1 to 10000000", id="gigantic"),
    ],
)
def test_a_wrong_profile_is_refused_by_option(word: str, complaint: str) -> None:
    with pytest.raises(InvalidTraceError, match=complaint):
        parse_profile(f"generate:{word}")


def test_a_trace_without_any_request_is_refused() -> None:
    with pytest.raises(InvalidTraceError, match="no request came in 1s; give a higher rate"):
        open_trace("generate:code?rate=0.000001&duration=1s")
