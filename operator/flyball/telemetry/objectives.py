"""From answers to latency objectives: good and total events by window, at bucket edges. Pure.

`increase` over a window longer than a series' life counts since its start. That is honest for shares: a new workload's
budget is judged by the requests it had.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flyball.core.demand import limits_of
from flyball.core.names import Indicator
from flyball.core.observation import BucketEdges, ObjectiveReading, Reading, SignalState, WindowShare
from flyball.core.spec import Objective, WorkloadSpec
from flyball.telemetry import queries, windows
from flyball.telemetry.answers import Answer, Row, Table
from flyball.telemetry.freshness import Freshness, total
from flyball.telemetry.histograms import (
    BadHistogram,
    Buckets,
    bracket,
    good_events,
    measurable,
    merge,
    percentiles,
    quantile,
)
from flyball.telemetry.pace import RecentAnswers, latest_mean
from flyball.telemetry.profiles import EngineProfile
from flyball.telemetry.profiles.model import Histogram
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.queries import Plan

FEWEST_EVENTS = 1.0
"""Fewer events than this in the rate window are none: `increase` extrapolates to fractions."""

_NO_ANSWER = Table(Answer())


@dataclass(frozen=True, slots=True)
class WindowTables:
    """Answers over the rate window by query name, over further windows by their seconds."""

    first: Mapping[str, Table]
    further: Mapping[float, Table]


@dataclass(frozen=True, slots=True)
class _Exported:
    """The histogram of one indicator that a workload exports, with its buckets over the rate window if it has any."""

    rank: int
    profile: Histogram
    buckets: Buckets | None = None
    texts: frozenset[str] = frozenset()

    @property
    def edges(self) -> tuple[float, ...]:
        """The live edges, else those of the profile (seconds)."""
        return self.buckets.edges if self.buckets else tuple(e * self.profile.scale for e in self.profile.edges)


def read_objective(
    spec: WorkloadSpec,
    objective: Objective,
    profile: EngineProfile | None,
    plan: Plan,
    tables: WindowTables,
    fresh: Freshness,
) -> ObjectiveReading:
    """One objective over all its windows. Without usable numbers in the rate window its state says why.

    A threshold outside of all edges gives no shares: there is nothing to count at.
    """
    try:
        exported = _exported(spec, objective.indicator, profile, tables.first)
    except BadHistogram:
        return ObjectiveReading(objective.name, SignalState.INVALID, age_seconds=fresh.age_seconds)
    if exported is None or objective.threshold_seconds is None:
        return ObjectiveReading(objective.name, SignalState.ABSENT)
    edges = bracket(exported.edges, objective.threshold_seconds)
    threshold = _counted_at(spec, objective, exported, profile, tables.first)
    counted = [(plan.rate_window_seconds, exported.buckets)]
    further = windows.of_objective(plan.windows[objective.window_seconds], plan.rate_window_seconds)[1:]
    counted += [(window, _over(window, spec, objective, exported, tables)) for window in further]
    return ObjectiveReading(
        objective.name,
        _without_pods(fresh) or _state(exported.buckets),
        tuple(_shares(counted, bracket(exported.edges, threshold), threshold)),
        percentiles(exported.buckets) if exported.buckets else None,
        edges,
        exported.profile.estimated,
        fresh.age_seconds,
    )


def _shares(
    counted: Iterable[tuple[float, Buckets | None]], edges: BucketEdges, threshold: float
) -> Iterator[WindowShare]:
    for window, buckets in counted:
        good = good_events(buckets, edges, threshold) if buckets else None
        if buckets and good is not None:
            yield WindowShare(window, min(good, buckets.total), buckets.total)


def engine_histograms(
    spec: WorkloadSpec, profile: EngineProfile | None, first: Mapping[str, Table]
) -> dict[Indicator, Buckets]:
    """The latencies that the engine itself exports over the rate window, as far as the workload has objectives for
    them.
    """
    found = {}
    for indicator in {objective.indicator for objective in spec.objectives}:
        try:
            exported = _exported(spec, indicator, profile, first)
        except BadHistogram:
            continue
        if exported is not None and exported.buckets is not None:
            found[indicator] = exported.buckets
    return found


def needed_edges(
    workloads: Sequence[WorkloadSpec], profile: EngineProfile, first: Mapping[str, Table]
) -> dict[Indicator, frozenset[str]]:
    """The spellings of `le` that the workloads' thresholds need, by indicator, +Inf included.

    Taken from the live histograms where there are any, else from the profile in both spellings, `1` and `1.0`.
    """
    needed: dict[Indicator, frozenset[str]] = {}
    for spec in workloads:
        for objective in spec.objectives:
            texts = _texts(spec, objective, profile, first)
            needed[objective.indicator] = needed.get(objective.indicator, frozenset()) | texts
    return {indicator: texts for indicator, texts in needed.items() if texts}


def _texts(
    spec: WorkloadSpec, objective: Objective, profile: EngineProfile, first: Mapping[str, Table]
) -> frozenset[str]:
    try:
        exported = _exported(spec, objective.indicator, profile, first)
    except BadHistogram:
        return frozenset()
    if exported is None or objective.threshold_seconds is None:
        return frozenset()
    edges = bracket(exported.edges, _counted_at(spec, objective, exported, profile, first))
    if not measurable(edges):
        return frozenset()
    wanted = {edge / exported.profile.scale for edge in (edges.lower, edges.upper)}
    live = {t for t in exported.texts if any(math.isclose(float(t), edge, rel_tol=1e-9) for edge in wanted)}
    return frozenset({"+Inf"} | (live or {text for edge in wanted for text in (f"{edge:g}", repr(float(edge)))}))


def _counted_at(
    spec: WorkloadSpec,
    objective: Objective,
    exported: _Exported,
    profile: EngineProfile | None,
    first: Mapping[str, Table],
) -> float:
    """Where events are counted, in seconds: the threshold, but for a pace what its deadline comes to (see `pace`).

    Not without an objective for the first token, nor for histograms that weigh by tokens.
    """
    threshold = objective.threshold_seconds or 0.0
    if objective.indicator is not Indicator.INTER_TOKEN_LATENCY or exported.profile.estimated:
        return threshold
    promised, answers = limits_of(spec).first_token, _answers(spec, first)
    if promised is None or answers is None:
        return threshold
    try:
        waits = _exported(spec, Indicator.TIME_TO_FIRST_TOKEN, profile, first)
    except BadHistogram:
        return threshold
    wait = quantile(0.5, waits.buckets) if waits is not None and waits.buckets is not None else math.nan
    largest = max((edge for edge in exported.edges if math.isfinite(edge)), default=threshold)
    return latest_mean(threshold, promised, wait, answers, largest)


def _answers(spec: WorkloadSpec, first: Mapping[str, Table]) -> RecentAnswers | None:
    table = first.get(queries.RATES, _NO_ANSWER)

    def rate(part: str) -> Reading:
        return total(row.value for row in table.of_workload(spec, part))

    tokens, requests = rate(f"{queries.OUTPUT_LENGTH}_sum"), rate(f"{queries.OUTPUT_LENGTH}_count")
    decode = rate(f"{queries.DECODE}_sum")
    if not (tokens.ok and requests.ok and decode.ok and 0 < requests.value < tokens.value):
        return None
    return RecentAnswers(tokens.value / requests.value, decode.value / (tokens.value - requests.value))


def _exported(
    spec: WorkloadSpec, indicator: Indicator, profile: EngineProfile | None, first: Mapping[str, Table]
) -> _Exported | None:
    """The first of the indicator's histograms that has live buckets, else the best without them.

    None where the profile cannot measure the indicator. Raises BadHistogram.
    """
    histograms = profile.latencies.get(indicator, ()) if profile else ()
    for rank, histogram in enumerate(histograms):
        part = queries.buckets(indicator, rank)
        rows = first.get(part, _NO_ANSWER).of_workload(spec, part)
        whole = first.get(queries.covered(part), _NO_ANSWER)
        buckets = _merged(spec, first.get(part, _NO_ANSWER), whole, part, histogram.scale)
        if buckets:
            return _Exported(rank, histogram, buckets, frozenset(row.labels.get("le", "") for row in rows))
    return _Exported(0, histograms[0]) if histograms else None


def _over(
    window: float, spec: WorkloadSpec, objective: Objective, exported: _Exported, tables: WindowTables
) -> Buckets | None:
    part = queries.buckets(objective.indicator, exported.rank)
    try:
        table = tables.further.get(window, _NO_ANSWER)
        return _merged(spec, table, table, part, exported.profile.scale)
    except BadHistogram:
        return None


def _merged(spec: WorkloadSpec, table: Table, having: Table, part: str, scale: float) -> Buckets | None:
    """The buckets of all the workload's pods. An edge that some series lack is a share of those that have it."""
    rows = table.of_workload(spec, part)
    whole = {_source(row): row.value for row in rows if row.labels.get("le") == "+Inf"}
    covered = {
        (*_source(row), row.labels.get("le", "")): row.value for row in having.of_workload(spec, queries.covered(part))
    }
    found = []
    for row in rows:
        text = row.labels.get("le", "")
        among = covered.get((*_source(row), text), whole.get(_source(row), row.value))
        try:
            found.append((float(text) * scale, row.value, among))
        except ValueError:
            raise BadHistogram(f"bucket edge {text!r} is no number") from None
    return merge(found)


def _source(row: Row) -> tuple[tuple[str, str], ...]:
    """What the row is about but for its edge."""
    return tuple(sorted((name, text) for name, text in row.labels.items() if name not in ("le", SERIES_LABEL)))


def _without_pods(fresh: Freshness) -> SignalState | None:
    if not fresh.ages:
        return SignalState.ABSENT
    return None if fresh.pods else SignalState.STALE


def _state(buckets: Buckets | None) -> SignalState:
    if buckets is None:
        return SignalState.ABSENT
    return SignalState.OK if buckets.total >= FEWEST_EVENTS else SignalState.INSUFFICIENT
