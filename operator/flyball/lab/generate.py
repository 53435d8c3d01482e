"""Traces made from stated distributions, for when no recorded trace is at hand.

A profile is one word: `generate:PRESET?rate=2&duration=1h&seed=1`. It stands wherever a trace file may stand.

Arrivals are a doubly stochastic (gamma-modulated) Poisson process: during each window of `window` seconds the rate is

    rate × daily(t) × shape(t) × G,    G ~ Gamma(mean 1, variance burst²), drawn anew for each window,

so that counts per window are negative binomial: with a constant rate, their index of dispersion (variance / mean) is 1
+ burst² × rate × window. `burst=0` is a Poisson process. daily(t) = 1 + daily × cos(2π (t − peak) / 24 h), whose mean
over whole days is 1. shape(t) is 1, changed by steps (`step=10m:3`: from 10 minutes on three times `rate`) and ramps
(`ramp=10m-20m:3`: from what it is at 10 minutes, in a line, to three times `rate` at 20 minutes); both may be given
several times. The rate is held constant over each whole second.

Token counts are log-normal: the logarithm has the standard deviation `inputSigma` or `outputSigma`; values are rounded
to at least 1 and cut at `inputMax` or `outputMax`; and the location is chosen so that the mean after the cut is
`input` or `output`. The presets' means are those of published traces: conversation and code of the Azure LLM inference
trace 2023 (Patel et al., Splitwise, ISCA 2024), long-context of the Mooncake trace (Qin et al., FAST 2025); their
deviations are rounded from the same.
"""

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from flyball.core.units import format_duration, parse_duration_seconds
from flyball.lab.trace import MOST_REQUESTS, MOST_TOKENS, InvalidTraceError, Tokens, Trace, read_trace

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEME = "generate:"
DAY_SECONDS = 86_400.0
LONGEST_SECONDS = 28 * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Lengths:
    """A log-normal distribution of token counts, cut at `maximum`, with mean `mean` after the cut."""

    mean: float
    sigma: float
    maximum: int

    def location(self) -> float:
        """The mean of the logarithm before the cut, by bisection: the mean after it grows with the location."""
        low, high = math.log(self.mean) - self.sigma**2 - 1.0, math.log(self.maximum) + 8.0 * self.sigma + 1.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if self._mean_at(middle) < self.mean else (low, middle)
        return (low + high) / 2

    def draw(self, count: int, generator: np.random.Generator) -> Tokens:
        drawn = generator.lognormal(self.location(), self.sigma, count)
        return np.clip(np.rint(drawn), 1, self.maximum).astype(np.int64)

    def _mean_at(self, location: float) -> float:
        """E[min(X, maximum)] of a log-normal X."""
        if self.sigma == 0:
            return min(math.exp(location), float(self.maximum))
        cut = (math.log(self.maximum) - location) / self.sigma
        below = math.exp(location + self.sigma**2 / 2) * _normal_cdf(cut - self.sigma)
        return below + self.maximum * (1.0 - _normal_cdf(cut))


@dataclass(frozen=True, slots=True)
class Change:
    """The rate's factor goes in a line from what it is at `start_seconds` to `factor` at `end_seconds`; a step where
    both are equal.
    """

    start_seconds: float
    end_seconds: float
    factor: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What to generate; every field is an option of the profile's word. `rate` is in requests per second."""

    preset: str
    input: Lengths
    output: Lengths
    rate: float = 1.0
    duration_seconds: float = 3600.0
    seed: int = 1
    burst: float = 0.25
    window_seconds: float = 60.0
    daily: float = 0.0
    peak_seconds: float = 14 * 3600.0
    changes: tuple[Change, ...] = field(default=())


PRESETS = {
    "conversation": Profile("conversation", Lengths(1154, 0.8, 14_000), Lengths(211, 0.7, 1_000)),
    "code": Profile("code", Lengths(2047, 0.8, 7_500), Lengths(27, 1.0, 1_900)),
    "long-context": Profile("long-context", Lengths(15_325, 0.95, 128_000), Lengths(149, 0.95, 1_000)),
}

_OPTIONS = (
    "rate", "duration", "seed", "burst", "window", "daily", "peak", "step", "ramp",
    "input", "inputSigma", "inputMax", "output", "outputSigma", "outputMax",
)  # fmt: skip


def open_trace(source: str) -> Trace:
    """The trace that a user names: a file, or a profile that begins with `generate:`. Raises InvalidTraceError."""
    if source.startswith(SCHEME):
        return generate_trace(parse_profile(source), name=source)
    return read_trace(Path(source))


def parse_profile(text: str) -> Profile:
    """Parse `generate:PRESET?option=value&…`; the scheme may be left out. Raises InvalidTraceError that names the
    option.
    """
    preset, _, query = text.removeprefix(SCHEME).partition("?")
    if preset not in PRESETS:
        raise InvalidTraceError(f"{text}: there is no preset {preset!r}; choose {', '.join(PRESETS)}")
    profile = PRESETS[preset]
    try:
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise InvalidTraceError(f"{text}: write options as ?rate=2&seed=1") from None
    seen: set[str] = set()
    for name, value in options:
        if name not in _OPTIONS:
            raise InvalidTraceError(f"{text}: there is no option {name!r}; the options are {', '.join(_OPTIONS)}")
        if name in seen and name not in ("step", "ramp"):
            raise InvalidTraceError(f"{text}: {name} is given twice; give it once")
        seen.add(name)
        try:
            profile = _with_option(profile, name, value)
        except ValueError as error:
            raise InvalidTraceError(f"{text}: {name}: {error}") from None
    return _checked(text, profile)


def generate_trace(profile: Profile, name: str | None = None) -> Trace:
    """Draw the trace; the same profile gives the same trace. Times are whole milliseconds. Raises InvalidTraceError."""
    generator = np.random.default_rng(profile.seed)
    rates = second_rates(profile)
    windows = (np.arange(len(rates)) // profile.window_seconds).astype(np.int64)
    if profile.burst > 0:
        shape = profile.burst**-2
        rates = rates * generator.gamma(shape, 1.0 / shape, int(windows[-1]) + 1)[windows]
    counts = generator.poisson(rates)
    total = int(counts.sum())
    seconds = np.repeat(np.arange(len(rates), dtype=np.float64), counts)
    t_seconds = np.sort(seconds + np.floor(generator.random(total) * 1000) / 1000)
    t_seconds = t_seconds[t_seconds < profile.duration_seconds]
    if not len(t_seconds):
        raise InvalidTraceError(
            f"{name or profile.preset}: no request came in {format_duration(profile.duration_seconds)}; "
            "give a higher rate or a longer duration"
        )
    return Trace(
        name=name or profile.preset,
        t_seconds=t_seconds,
        input_tokens=profile.input.draw(len(t_seconds), generator),
        output_tokens=profile.output.draw(len(t_seconds), generator),
        span_seconds=profile.duration_seconds,
    )


def second_rates(profile: Profile) -> npt.NDArray[np.float64]:
    """The mean rate in each second of the profile, in requests per second, before the gamma factor."""
    middle = np.arange(math.ceil(profile.duration_seconds)) + 0.5
    daily = 1.0 + profile.daily * np.cos(2 * math.pi * (middle - profile.peak_seconds) / DAY_SECONDS)
    points, factors = [0.0], [1.0]
    for change in profile.changes:
        points += [change.start_seconds, change.end_seconds]
        factors += [factors[-1], change.factor]
    rates: npt.NDArray[np.float64] = profile.rate * daily * np.interp(middle, points, factors)
    return rates


def _normal_cdf(value: float) -> float:
    return (1.0 + math.erf(value / math.sqrt(2.0))) / 2.0


def _with_option(profile: Profile, name: str, value: str) -> Profile:
    for side in ("input", "output"):
        if name.startswith(side):
            lengths: Lengths = getattr(profile, side)
            return replace(profile, **{side: _with_length(lengths, name.removeprefix(side), value)})  # type: ignore[arg-type]
    if name in ("step", "ramp"):
        return replace(profile, changes=(*profile.changes, _parse_change(name, value)))
    parse: dict[str, Callable[[str], object]] = {
        "seed": _parse_seed,
        "rate": _parse_number,
        "burst": _parse_number,
        "daily": _parse_number,
    }
    key = name if name in {part.name for part in fields(Profile)} else f"{name}_seconds"
    return replace(profile, **{key: parse.get(name, parse_duration_seconds)(value)})  # type: ignore[arg-type]


def _with_length(lengths: Lengths, part: str, value: str) -> Lengths:
    if part == "Max":
        return replace(lengths, maximum=_parse_seed(value))
    return replace(lengths, **{"sigma" if part == "Sigma" else "mean": _parse_number(value)})  # type: ignore[arg-type]


def _parse_change(name: str, value: str) -> Change:
    when, separator, factor = value.partition(":")
    start, dash, end = when.partition("-")
    if not separator or (name == "ramp") != bool(dash):
        raise ValueError("write step=10m:3 (at 10 minutes to three times the rate) or ramp=10m-20m:3")
    start_seconds = parse_duration_seconds(start)
    return Change(start_seconds, parse_duration_seconds(end) if dash else start_seconds, _parse_number(factor))


def _parse_number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{value!r} is not possible; give a number of 0 or more")
    return number


def _parse_seed(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise ValueError(f"{value!r} is not possible; give a whole number")
    return int(value)


def _checked(text: str, profile: Profile) -> Profile:
    edges = [edge for change in profile.changes for edge in (change.start_seconds, change.end_seconds)]
    most = (
        profile.rate
        * profile.duration_seconds
        * (1 + profile.daily)
        * max([1.0, *(change.factor for change in profile.changes)])
    )
    faults = {
        "rate: give more than 0": profile.rate <= 0,
        f"duration: give 1s to {format_duration(LONGEST_SECONDS)}": not 1
        <= profile.duration_seconds
        <= LONGEST_SECONDS,
        "window: give at least 1s": profile.window_seconds < 1,
        "burst: give 0 (Poisson) to 10": profile.burst > 10,
        "daily: give 0 to 1, the swing around the mean": profile.daily > 1,
        "step, ramp: give them in the order of time, without overlap": edges != sorted(edges),
        f"rate, duration: more than {MOST_REQUESTS} requests; give less of one": most > MOST_REQUESTS,
    }
    for side, lengths in (("input", profile.input), ("output", profile.output)):
        faults[f"{side}Max: give 1 to {MOST_TOKENS}"] = not 1 <= lengths.maximum <= MOST_TOKENS
        faults[f"{side}: give at least 1, and less than {side}Max={lengths.maximum}"] = (
            not 1 <= lengths.mean < lengths.maximum
        )
        faults[f"{side}Sigma: give 0 to 3"] = lengths.sigma > 3
    for fault, holds in faults.items():
        if holds:
            raise InvalidTraceError(f"{text}: {fault}")
    return profile
