"""Where a scenario's requests come from: a trace file or a generator's word, and which part of it at what scale."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from flyball.core.units import format_duration
from flyball.lab.fields import Fields, duration, number, word
from flyball.lab.generate import SCHEME, open_trace
from flyball.lab.trace import InvalidTraceError, Tokens, Trace


class TraceMissingError(InvalidTraceError):
    """The trace's file is not at hand; the scenario may be skipped."""


@dataclass(frozen=True, slots=True)
class LengthShift:
    """From `at_seconds` of the trace on, token counts are multiplied, at a constant rate of requests."""

    at_seconds: float
    input_factor: float
    output_factor: float


@dataclass(frozen=True, slots=True)
class TraceSource:
    """Where requests come from: a file, or a generator's word, and which part of it is played at what scale.

    The first `warmup_seconds` of the part are played and not counted.
    """

    path: str
    rate_scale: float = 1.0
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    warmup_seconds: float = 0.0
    shift: LengthShift | None = None

    @property
    def generated(self) -> bool:
        return self.path.startswith(SCHEME)

    def load(self, seed: int) -> Trace:
        """The part to play, times from its beginning. Raises InvalidTraceError, TraceMissingError."""
        return _load(self, seed)


def parse_traffic(fields: Fields, folder: Path) -> TraceSource:
    """The traffic that a scenario's `trace` or `history` names; relative paths are looked for from `folder` upwards."""
    path = fields.take("path", word)
    shift = None
    if (within := fields.take("lengthShift", lambda value: value, None)) is not None:
        shifted = Fields(within, f"{fields.path}.lengthShift")
        shift = LengthShift(
            shifted.take("at", duration()),
            shifted.take("input", number(open_at_least=True), 1.0),
            shifted.take("output", number(open_at_least=True), 1.0),
        )
        shifted.finish()
    source = TraceSource(
        path=path if path.startswith(SCHEME) else str(find_upwards(path, folder)),
        rate_scale=fields.take("rateScale", number(open_at_least=True), 1.0),
        start_seconds=fields.take("start", duration(), 0.0),
        duration_seconds=fields.take("duration", duration(least=1.0), None),
        warmup_seconds=fields.take("warmup", duration(), 0.0),
        shift=shift,
    )
    if source.duration_seconds is not None and source.warmup_seconds >= source.duration_seconds:
        raise fields.fault(
            "warmup",
            f"is {format_duration(source.warmup_seconds)}, and {fields.path}.duration is "
            f"{format_duration(source.duration_seconds)}: nothing would count; give a shorter warmup",
        )
    fields.finish()
    return source


def find_upwards(path: str, folder: Path) -> Path:
    """The file of that relative path in `folder` or the nearest folder above it, or else in the current one."""
    named = Path(path).expanduser()
    if named.is_absolute():
        return named
    beginning = folder.resolve()
    places = (beginning, *beginning.parents, Path.cwd())
    return next((place / named for place in places if (place / named).is_file()), beginning / named)


@lru_cache(maxsize=4)
def _open(path: str) -> Trace:
    if not path.startswith(SCHEME) and not Path(path).is_file():
        raise TraceMissingError(f"trace.path: {path}: no such file; put it there, or name another trace")
    return open_trace(path)


@lru_cache(maxsize=4)
def _load(source: TraceSource, seed: int) -> Trace:
    part = _open(source.path).scaled(source.rate_scale, seed).slice(source.start_seconds, source.duration_seconds)
    return part if source.shift is None else _shifted(part, source.shift)


def _shifted(trace: Trace, shift: LengthShift) -> Trace:
    later = trace.t_seconds >= shift.at_seconds

    def multiplied(tokens: Tokens, factor: float) -> Tokens:
        return np.where(later, np.maximum(np.rint(tokens * factor), 1), tokens).astype(np.int64)

    inputs = multiplied(trace.input_tokens, shift.input_factor)
    return replace(
        trace,
        input_tokens=inputs,
        output_tokens=multiplied(trace.output_tokens, shift.output_factor),
        cached_tokens=None if trace.cached_tokens is None else np.minimum(trace.cached_tokens, inputs),
        media_tokens=None if trace.media_tokens is None else np.minimum(trace.media_tokens, inputs),
    )
