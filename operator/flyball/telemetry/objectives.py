"""From answers to latency objectives: good and total events by window, at bucket edges. Pure.

`increase` over a window longer than a series' life counts since its start. That is honest for shares: a new workload's
budget is judged by the requests it had.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flyball.core.names import Indicator
from flyball.core.observation import BucketEdges, ObjectiveReading, SignalState, WindowShare
from flyball.core.spec import Objective, WorkloadSpec
from flyball.core.traffic.demand import limits_of
from flyball.telemetry import bucket_queries, queries, windows
from flyball.telemetry.answers import Answer, Table
from flyball.telemetry.evenness import source
from flyball.telemetry.freshness import Freshness
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
from flyball.telemetry.pace import latest_mean, recent_answers
from flyball.telemetry.profiles import EngineProfile
from flyball.telemetry.profiles.model import Histogram
from flyball.telemetry.queries import Plan
from flyball.telemetry.rates import Rates

FEWEST_EVENTS = 1.0
"""Fewer events than this in the rate window are none: `increase` extrapolates to fractions."""

_NO_ANSWER = Table(Answer())


@dataclass(frozen=True, slots=True)
class _Exported:
    """The histogram of one indicator that a workload exports, with its buckets over the rate window if it has any.

    Of the best one without, `bad` where the counts are none that a histogram can have.
    """

    rank: int
    profile: Histogram
    buckets: Buckets | None = None
    texts: frozenset[str] = frozenset()
    bad: bool = False

    @property
    def edges(self) -> tuple[float, ...]:
        """The live edges, else those of the profile (seconds)."""
        return self.buckets.edges if self.buckets else tuple(e * self.profile.scale for e in self.profile.edges)


class EngineLatencies:
    """The latencies of one workload that its engine exports over the rate window, each merged once. `first` are the
    answers over that window, by query name.
    """

    __slots__ = ("_answers", "_counted_at", "_found", "rates", "spec")

    def __init__(self, spec: WorkloadSpec, profile: EngineProfile | None, first: Mapping[str, Table]) -> None:
        self.spec = spec
        latencies = profile.latencies if profile else {}
        indicators = {objective.indicator for objective in spec.objectives} & latencies.keys()
        self._found = {i: found for i in indicators if (found := _exported(spec, latencies[i], i, first)) is not None}
        self.rates = Rates(spec, first)
        self._answers = recent_answers(self.rates.whole)
        self._counted_at = {o.name: self._threshold(o) for o in spec.objectives}

    def of(self, indicator: Indicator) -> _Exported | None:
        """The histogram; None where the profile cannot measure the indicator."""
        return self._found.get(indicator)

    def counted_at(self, objective: Objective) -> float:
        """Where events are counted, in seconds: the threshold, but for a pace what its deadline comes to (see `pace`).

        Not without an objective for the first token, nor for histograms that weigh by tokens.
        """
        return self._counted_at[objective.name]

    def buckets(self) -> dict[Indicator, Buckets]:
        """Those that there are."""
        return {indicator: found.buckets for indicator, found in self._found.items() if found.buckets is not None}

    def _threshold(self, objective: Objective) -> float:
        threshold, exported = objective.threshold_seconds or 0.0, self.of(objective.indicator)
        estimated = exported is None or exported.profile.estimated
        if objective.indicator is not Indicator.INTER_TOKEN_LATENCY or exported is None or estimated:
            return threshold
        promised = limits_of(self.spec).first_token
        waits = self.of(Indicator.TIME_TO_FIRST_TOKEN) if promised is not None and self._answers is not None else None
        if promised is None or self._answers is None or waits is None or waits.bad:
            return threshold
        wait = quantile(0.5, waits.buckets) if waits.buckets is not None else math.nan
        largest = max((edge for edge in exported.edges if math.isfinite(edge)), default=threshold)
        return latest_mean(threshold, promised, wait, self._answers, largest)


def read_objective(
    latencies: EngineLatencies, objective: Objective, plan: Plan, further: Mapping[float, Table], fresh: Freshness
) -> ObjectiveReading:
    """One objective over all its windows; `further` are the answers by those beside the rate window. Without usable
    numbers in the rate window its state says why.

    A threshold outside of all edges gives no shares: there is nothing to count at.
    """
    exported = latencies.of(objective.indicator)
    if exported is not None and exported.bad:
        return ObjectiveReading(objective.name, SignalState.INVALID, age_seconds=fresh.age_seconds)
    if exported is None or objective.threshold_seconds is None:
        return ObjectiveReading(objective.name, SignalState.ABSENT)
    edges = bracket(exported.edges, objective.threshold_seconds)
    threshold = latencies.counted_at(objective)
    counted = [(plan.rate_window_seconds, exported.buckets)]
    for window in windows.of_objective(plan.windows[objective.window_seconds], plan.rate_window_seconds)[1:]:
        table = further.get(window, _NO_ANSWER)
        counted.append((window, _over(table, latencies.spec, objective, exported)))
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


def lacking(workloads: Iterable[WorkloadSpec], profile: EngineProfile, first: Mapping[str, Table]) -> set[Indicator]:
    """The latencies whose best histogram some workload with pods does not export."""
    gauges = first.get(queries.GAUGES, _NO_ANSWER)
    found = set()
    for spec in workloads:
        there = bool(gauges.of_workload(spec, queries.SAMPLED_AT))
        for indicator in {o.indicator for o in spec.objectives} & profile.latencies.keys() if there else ():
            part = bucket_queries.buckets(indicator, 0)
            if not first.get(part, _NO_ANSWER).of_workload(spec, part):
                found.add(indicator)
    return found


def needed_edges(workloads: Iterable[EngineLatencies]) -> dict[tuple[Indicator, int], frozenset[str]]:
    """The spellings of `le` that the workloads' thresholds need, by the histograms in use, +Inf included.

    Taken from the live histograms where there are any, else from the profile in both spellings, `1` and `1.0`.
    """
    needed: dict[tuple[Indicator, int], frozenset[str]] = {}
    for latencies in workloads:
        for objective in latencies.spec.objectives:
            exported = latencies.of(objective.indicator)
            if exported is not None and objective.threshold_seconds is not None:
                place = objective.indicator, exported.rank
                texts = _texts(exported, latencies.counted_at(objective))
                needed[place] = needed.get(place, frozenset()) | texts
    return {place: texts for place, texts in needed.items() if texts}


def _texts(exported: _Exported, threshold: float) -> frozenset[str]:
    edges = bracket(exported.edges, threshold)
    if exported.bad or not measurable(edges):
        return frozenset()
    wanted = {edge / exported.profile.scale for edge in (edges.lower, edges.upper)}
    live = {t for t in exported.texts if any(math.isclose(float(t), edge, rel_tol=1e-9) for edge in wanted)}
    return frozenset({"+Inf"} | (live or {text for edge in wanted for text in (f"{edge:g}", repr(float(edge)))}))


def _exported(
    spec: WorkloadSpec, histograms: Sequence[Histogram], indicator: Indicator, first: Mapping[str, Table]
) -> _Exported | None:
    """The first of the indicator's histograms that has live buckets, else the best without them; None without any."""
    for rank, histogram in enumerate(histograms):
        part = bucket_queries.buckets(indicator, rank)
        table, whole = first.get(part, _NO_ANSWER), first.get(bucket_queries.covered(part), _NO_ANSWER)
        try:
            merged = None if whole.failure else _merged(spec, table, whole, part, histogram.scale)
        except BadHistogram:
            return _Exported(0, histograms[0], bad=True)
        if merged:
            texts = frozenset(row.labels.get("le", "") for row in table.of_workload(spec, part))
            return _Exported(rank, histogram, merged, texts)
    return _Exported(0, histograms[0]) if histograms else None


def _over(table: Table, spec: WorkloadSpec, objective: Objective, exported: _Exported) -> Buckets | None:
    part = bucket_queries.buckets(objective.indicator, exported.rank)
    try:
        return _merged(spec, table, table, part, exported.profile.scale)
    except BadHistogram:
        return None


def _merged(spec: WorkloadSpec, table: Table, having: Table, part: str, scale: float) -> Buckets | None:
    """The buckets of all the workload's pods. An edge that some series lack is a share of those that have it."""
    rows = table.of_workload(spec, part)
    whole = {source(row): row.value for row in rows if row.labels.get("le") == "+Inf"}
    shared = {
        (*source(row), row.labels.get("le", "")): row.value
        for row in having.of_workload(spec, bucket_queries.covered(part))
    }
    found = []
    for row in rows:
        text = row.labels.get("le", "")
        among = shared.get((*source(row), text), whole.get(source(row), row.value))
        try:
            found.append((float(text) * scale, row.value, among))
        except ValueError:
            raise BadHistogram(f"bucket edge {text!r} is no number") from None
    return merge(found)


def _without_pods(fresh: Freshness) -> SignalState | None:
    if not fresh.ages:
        return SignalState.ABSENT
    return None if fresh.pods else SignalState.STALE


def _state(buckets: Buckets | None) -> SignalState:
    if buckets is None:
        return SignalState.ABSENT
    return SignalState.OK if buckets.total >= FEWEST_EVENTS else SignalState.INSUFFICIENT
