"""From answers to what is measured outside of engines: stages, and objectives of whole requests, stages and segments.

Pure. How old such a sample may be for decisions is Prometheus' own lookback: series of collectors and gateways are of
no pod of the workload.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from flyball.core.names import Indicator
from flyball.core.observation import ObjectiveReading, SignalState, WindowShare, WorkloadSignals
from flyball.core.service.latency import Distribution, LatencySource, WholeReading
from flyball.core.spec import Objective, WorkloadSpec
from flyball.telemetry import stages_query, windows
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.engine_stages import of_buckets
from flyball.telemetry.histograms import BadHistogram, Buckets, bracket, good_events, measurable, merge, percentiles
from flyball.telemetry.objectives import FEWEST_EVENTS
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.queries import Plan
from flyball.telemetry.segments import SegmentTables, read_segments
from flyball.telemetry.stages_query import Wanted, wanted


class Histograms:
    """The histograms of one answer."""

    __slots__ = ("_edges", "failure")

    def __init__(self, answer: Answer) -> None:
        self.failure = answer.failure
        self._edges: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
        for row in answer.rows:
            tag = row.labels.get(SERIES_LABEL, "")
            own = tag.removeprefix(stages_query.COVERED).removeprefix(stages_query.SAMPLED)
            values = tuple(row.labels.get(name, "") for name in own.split()[1:])
            self._edges.setdefault((tag, values), []).append(row)

    def of(self, histogram: Wanted) -> tuple[Buckets, float] | None:
        """The first of its metrics that has requests, with what turns its unit into seconds. Raises BadHistogram."""
        found = None
        for family, (_, scale) in zip(histogram.families(), histogram.source.metrics, strict=True):
            part, values = stages_query.part(family), histogram.values()
            buckets = _merged(
                self._edges.get((part, values), ()),
                scale,
                self._edges.get((f"{stages_query.COVERED}{part}", values), ()),
            )
            if buckets is not None and buckets.total > 0:
                return buckets, scale
            found = found or ((buckets, scale) if buckets is not None else None)
        return found

    def sampled_at(self, histogram: Wanted) -> float | None:
        """When (epoch seconds) the oldest sample that counts was taken, under whichever of its names; None without."""
        parts = (f"{stages_query.SAMPLED}{stages_query.part(family)}" for family in histogram.families())
        times = [row.value for part in parts for row in self._edges.get((part, histogram.values()), ())]
        return min(filter(math.isfinite, times), default=None)

    def spellings(self, histogram: Wanted, threshold: float) -> frozenset[str]:
        """The texts of `le` that a threshold (seconds) is counted by; empty where they are not known."""
        texts = set()
        for family, (_, scale) in zip(histogram.families(), histogram.source.metrics, strict=True):
            rows = self._edges.get((stages_query.part(family), histogram.values()), ())
            known = {text: _edge(text) * scale for row in rows if (text := row.labels.get("le", ""))}
            edges = bracket(sorted(edge for edge in known.values() if not math.isnan(edge)), threshold)
            near = (edges.lower, edges.upper)
            texts |= {t for t, edge in known.items() if any(math.isclose(edge, e, rel_tol=1e-9) for e in near)}
        return frozenset(texts | {"+Inf"}) if texts else frozenset()


NO_HISTOGRAMS = Histograms(Answer())


@dataclass(frozen=True, slots=True)
class Outside:
    """All answers on what is measured outside of engines: over the rate window, over further ones by seconds, and by
    segment.
    """

    first: Histograms = NO_HISTOGRAMS
    further: Mapping[float, Histograms] = field(default_factory=dict)
    segments: SegmentTables | None = None


def edges_needed(workloads: Iterable[WorkloadSpec], first: Histograms) -> tuple[str, ...]:
    """The spellings of `le` that the objectives are counted by; none where one's are not known yet, to ask for all."""
    texts: set[str] = set()
    for spec in workloads:
        for objective, source in stages_query.counted(spec):
            own = first.spellings(wanted(spec, source), objective.threshold_seconds or 0.0)
            if source.metrics and not own:
                return ()
            texts |= own
    return tuple(sorted(texts))


def apply(
    spec: WorkloadSpec,
    signals: WorkloadSignals,
    plan: Plan,
    outside: Outside,
    own: Mapping[str, Answer],
    engine: Mapping[Indicator, Buckets],
) -> WorkloadSignals:
    """The signals with stages, and with the objectives that are measured outside of the engine.

    `own` are the answers to users' own queries by name, `engine` the engine's own histograms over the rate window.
    """
    sources = stages_query.counted(spec)
    if not spec.telemetry.stages and not spec.telemetry.latencies and not spec.telemetry.split:
        return signals
    found = {stage.name: _found(spec, stage.name, stage.source, outside, own, plan) for stage in spec.telemetry.stages}
    objectives = {o.name: _objective(spec, o, source, plan, outside, own) for o, source in sources}
    return replace(
        signals,
        objectives=tuple(objectives.get(reading.name, reading) for reading in signals.objectives),
        stages=tuple(of_buckets(stage.name, found[stage.name]) for stage in spec.telemetry.stages),
        wholes=tuple(_wholes(spec, outside, found, engine)),
        segments=read_segments(spec, outside.segments),
    )


def query_name(stage: str) -> str:
    """The name of the answer to a stage's own query."""
    return f"stages.{stage}"


def _found(
    spec: WorkloadSpec, name: str, source: LatencySource, outside: Outside, own: Mapping[str, Answer], plan: Plan
) -> Buckets | None:
    """A stage's histogram over the rate window; None where it is not there, or is none."""
    try:
        if source.query:
            rows = own.get(query_name(name), Answer()).rows
            return _merged([Row(row.labels, row.value * plan.rate_window_seconds) for row in rows], 1.0)
        found = outside.first.of(wanted(spec, source))
    except BadHistogram:
        return None
    return found[0] if found else None


def _wholes(
    spec: WorkloadSpec, outside: Outside, stages: Mapping[str, Buckets | None], engine: Mapping[Indicator, Buckets]
) -> Iterable[WholeReading]:
    """For each objective that is counted outside of the engine, the whole and the engine's part.

    That part is the stage of the engine, where there is a single one (of the objective's segment, where its series tell
    segments apart, too), or what the engine itself says of the same latency.
    """
    spent = [stage for stage in spec.telemetry.stages if stage.engine]
    for objective, source in stages_query.counted(spec):
        if objective.indicator is Indicator.STAGE:
            continue
        try:
            whole = outside.first.of(wanted(spec, source))
        except BadHistogram:
            continue
        if whole is None or whole[0].total < FEWEST_EVENTS:
            continue
        inside = engine.get(objective.indicator)
        if len(spent) == 1:
            own = _over(outside.first, wanted(spec, spent[0].source.narrowed(objective.segment)))
            inside = own or stages[spent[0].name]
        seen = percentiles(whole[0])
        yield WholeReading(
            objective.name,
            Distribution(whole[0].edges, whole[0].counts),
            Distribution(inside.edges, inside.counts) if inside is not None and inside.total > 0 else None,
            seen.p95 if seen is not None else math.nan,
        )


def _objective(
    spec: WorkloadSpec,
    objective: Objective,
    source: LatencySource,
    plan: Plan,
    outside: Outside,
    own: Mapping[str, Answer],
) -> ObjectiveReading:
    threshold = objective.threshold_seconds or 0.0
    try:
        buckets = _found(spec, objective.stage or "", source, outside, own, plan)
        newest = outside.first.of(wanted(spec, source)) if source.metrics else None
    except BadHistogram:
        return ObjectiveReading(objective.name, SignalState.INVALID)
    if buckets is None:
        return ObjectiveReading(objective.name, SignalState.ABSENT)
    edges = bracket(buckets.edges, threshold)
    counted = [(plan.rate_window_seconds, buckets)]
    if newest is not None:
        further = windows.of_objective(plan.windows[objective.window_seconds], plan.rate_window_seconds)[1:]
        counted += [(w, over) for w in further if (over := _over(outside.further.get(w), wanted(spec, source)))]
    shares = []
    for window, each in counted:
        good = good_events(each, edges, threshold) if measurable(edges) else None
        if good is not None:
            shares.append(WindowShare(window, min(good, each.total), each.total))
    state = SignalState.OK if buckets.total >= FEWEST_EVENTS else SignalState.INSUFFICIENT
    return ObjectiveReading(objective.name, state, tuple(shares), percentiles(buckets), edges)


def _over(answer: Histograms | None, histogram: Wanted) -> Buckets | None:
    try:
        found = answer.of(histogram) if answer is not None else None
    except BadHistogram:
        return None
    return found[0] if found else None


def _merged(rows: Iterable[Row], scale: float, covered: Iterable[Row] = ()) -> Buckets | None:
    """The buckets. An edge that some series lack is a share of those that have it, which `covered` tells."""
    among = {row.labels.get("le", ""): (row.value,) for row in covered}
    texts = ((row.labels.get("le", ""), row.value) for row in rows)
    return merge((_edge(text) * scale, count, *among.get(text, ())) for text, count in texts)


def uneven_parts(answer: Answer) -> frozenset[str]:
    """The parts of `stages_query.having` where some series lack an edge that others have."""
    counts: dict[tuple[str, tuple[tuple[str, str], ...]], dict[float, float]] = {}
    for row in answer.rows:
        own = tuple(sorted((name, value) for name, value in row.labels.items() if name != "le"))
        edges = counts.setdefault((row.labels.get(SERIES_LABEL, ""), own), {})
        edge = _edge(row.labels.get("le", ""))
        edges[edge] = edges.get(edge, 0.0) + row.value
    return frozenset(part for (part, _), edges in counts.items() if len(set(edges.values())) > 1)


def _edge(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
