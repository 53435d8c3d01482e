"""One workload whose targets run different engines: what was read of each engine's targets, put together. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from flyball.core.observation import ObjectiveReading, Percentiles, Reading, SignalState, WindowShare, WorkloadSignals
from flyball.core.service.own_counts import OwnReadings
from flyball.core.spec import WorkloadSpec
from flyball.telemetry import reliability

_WORST_FIRST = (
    SignalState.INVALID,
    SignalState.STALE,
    SignalState.OK,
    SignalState.INSUFFICIENT,
    SignalState.ABSENT,
)


def together(spec: WorkloadSpec, parts: Sequence[WorkloadSignals]) -> WorkloadSignals:
    """The whole workload. What was not read of some part only is left out where it would count too little."""
    if len(parts) == 1:
        return parts[0]
    problem = next((part.problem for part in parts if part.problem), "")
    if problem:
        return replace(parts[0], problem=problem)
    found = {variant.name: variant for part in parts for variant in part.variants}
    return replace(
        parts[0],
        stages=tuple(stage for stage in parts[0].stages if not stage.measured_by_engine),
        objectives=tuple(_objective([part.objective(o.name) for part in parts]) for o in spec.objectives),
        variants=tuple(found[variant.name] for variant in spec.variants if variant.name in found),
        completions=_summed([part.completions for part in parts]),
        tokens=_summed([part.tokens for part in parts]),
        wanted=_wanted([part.wanted for part in parts]),
        own=OwnReadings(events=reliability.added([part.own.events for part in parts])),
    )


def _objective(readings: Sequence[ObjectiveReading]) -> ObjectiveReading:
    """Events add up. Of percentiles the slower engine's are told: which the whole has cannot be known from them."""
    there = [reading for reading in readings if reading.state is not SignalState.ABSENT]
    if not there or all(reading == there[0] for reading in there):
        return there[0] if there else readings[0]
    inexact = next((reading.edges for reading in there if reading.edges and not reading.edges.exact), there[0].edges)
    return ObjectiveReading(
        there[0].name,
        min((reading.state for reading in there), key=_WORST_FIRST.index),
        _shares(there),
        _slower([reading.percentiles for reading in there if reading.percentiles]),
        inexact,
        any(reading.estimated for reading in there),
        max(reading.age_seconds for reading in there),
    )


def _shares(readings: Sequence[ObjectiveReading]) -> tuple[WindowShare, ...]:
    """The windows that all engines cover."""
    by_window = [{share.window_seconds: share for share in reading.shares} for reading in readings]
    common = [window for window in by_window[0] if all(window in shares for shares in by_window)]
    return tuple(
        WindowShare(
            window,
            sum(shares[window].good for shares in by_window),
            sum(shares[window].total for shares in by_window),
        )
        for window in sorted(common)
    )


def _slower(found: Sequence[Percentiles]) -> Percentiles | None:
    return max(found, key=lambda percentiles: percentiles.p95, default=None)


def _summed(counts: Sequence[tuple[tuple[float, float], ...]]) -> tuple[tuple[float, float], ...]:
    known = [dict(each) for each in counts]
    windows = sorted(window for window in known[0] if all(window in each for each in known))
    return tuple((window, sum(each[window] for each in known)) for window in windows)


def _wanted(readings: Sequence[Reading]) -> Reading:
    """Above 0 where any engine's profile sees somebody ask."""
    known = [reading for reading in readings if reading.ok]
    return max(known, key=lambda reading: reading.value) if known else readings[0]
