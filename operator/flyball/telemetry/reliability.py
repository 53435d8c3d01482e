"""How requests end, by the counters of an engine's profile: parts of the batch's queries, and what they answer. Pure.

Where two counters tell of the same requests, as an engine's finish reasons and its HTTP server's statuses do, of each
event the higher count is taken: what both see must not count twice, and what one misses must not get lost.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from flyball.core.names import COUNTED_INDICATORS
from flyball.core.observation import ObjectiveReading, SignalState, WindowShare, WorkloadSignals, believable
from flyball.core.service.reliability import EventCounts, RequestEvent, good_and_total, of_statuses
from flyball.core.spec import Objective, WorkloadSpec
from flyball.telemetry import windows
from flyball.telemetry.answers import Row, Table
from flyball.telemetry.profiles.model import Endings, EngineProfile
from flyball.telemetry.promql import Scope, duration, either, folded, series, tagged

FEWEST_EVENTS = 1.0
"""Fewer events than this in the shortest window are none: `increase` extrapolates to fractions."""


def part(rank: int) -> str:
    """The part of a query with the `rank`th counter of how requests ended."""
    return f"ended_{rank}"


def parts(profile: EngineProfile, scope: Scope, window: float) -> Iterator[str]:
    """One for each of the profile's counters, over that window (seconds)."""
    span = f"[{duration(window)}]"
    for rank, endings in enumerate(profile.endings):
        found = either(
            folded(f"increase({series(s, scope.matcher())}{span})", scope, profile.repeated, endings.label)
            for s in endings.counter.selectors
        )
        yield tagged(f"sum by ({scope.by(endings.label)}) ({found})", part(rank))


def counts(spec: WorkloadSpec, profile: EngineProfile, table: Table, window: float) -> EventCounts:
    """What the answer over that window says of one workload."""
    found: dict[RequestEvent, float] = {}
    for rank, endings in enumerate(profile.endings):
        for event, count in _of_counter(endings, table.of_workload(spec, part(rank))).items():
            found[event] = max(count, found.get(event, 0.0))
    return EventCounts(window, tuple(found.items()))


def _of_counter(endings: Endings, rows: Sequence[Row]) -> dict[RequestEvent, float]:
    """Events by what the counter's label says. What it could tell and did not happen is 0, once there is any row."""
    told = [(row.labels.get(endings.label, ""), row.value) for row in rows if believable(row.value)]
    if endings.events is None:
        return of_statuses(told)
    each = () if endings.alone else (RequestEvent.REQUESTS,)
    known = {*each, *(event for events in endings.events.values() for event in events)}
    found = dict.fromkeys(known, 0.0) if told else {}
    for value, count in told:
        for event in (*each, *endings.events.get(value, ())):
            found[event] += count
    return found


def merged(counted: Iterable[EventCounts], own: Iterable[EventCounts]) -> tuple[EventCounts, ...]:
    """The profile's counts and the user's by window, shortest first. What the user counts stands for the profile's."""
    found: dict[float, dict[RequestEvent, float]] = {}
    for each in (*counted, *own):
        found.setdefault(each.window_seconds, {}).update(each.counts)
    return tuple(EventCounts(window, tuple(found[window].items())) for window in sorted(found))


def added(parts: Sequence[Sequence[EventCounts]]) -> tuple[EventCounts, ...]:
    """What engines of one workload count, together: the events and windows that all of them count."""
    known = [{each.window_seconds: dict(each.counts) for each in part} for part in parts]
    found = []
    for window, counted in known[0].items():
        if all(window in part for part in known):
            common = [event for event in counted if all(event in part[window] for part in known)]
            sums = tuple((event, sum(part[window][event] for part in known)) for event in common)
            found.append(EventCounts(window, sums))
    return tuple(found)


def judge(
    spec: WorkloadSpec, signals: WorkloadSignals, asked: Mapping[float, float], shortest: float
) -> WorkloadSignals:
    """The signals with every objective about how requests end read from what was counted; none of a source that failed.

    `asked` are the windows asked for by those declared, `shortest` is the rate window (seconds).
    """
    if signals.problem:
        return signals
    objectives = tuple(
        _reading(objective, signals.own.events, windows.of_objective(asked[objective.window_seconds], shortest))
        if objective.indicator in COUNTED_INDICATORS
        else reading
        for objective, reading in zip(spec.objectives, signals.objectives, strict=True)
    )
    return replace(signals, objectives=objectives)


def _reading(objective: Objective, counted: Sequence[EventCounts], wanted: Sequence[float]) -> ObjectiveReading:
    by_window = {each.window_seconds: each for each in counted}
    pairs = (
        (window, good_and_total(objective.indicator, by_window[window])) for window in wanted if window in by_window
    )
    shares = tuple(WindowShare(window, *pair) for window, pair in pairs if pair is not None)
    if not shares:
        return ObjectiveReading(objective.name, SignalState.ABSENT)
    enough = shares[0].total >= FEWEST_EVENTS
    return ObjectiveReading(objective.name, SignalState.OK if enough else SignalState.INSUFFICIENT, shares)
