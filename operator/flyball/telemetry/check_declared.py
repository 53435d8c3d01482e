"""What a workload itself declares, held against a live Prometheus: its own queries, the histograms that it names, and
whether its objectives can be counted at the bucket edges that there are.
"""

import math
from collections.abc import Iterable, Iterator

from flyball.core.names import COUNTED_INDICATORS
from flyball.core.observation import believable
from flyball.core.service.efficiency import WINDOW_SECONDS
from flyball.core.service.latency import LatencySource
from flyball.core.spec import Objective, WorkloadSpec
from flyball.core.units import format_duration
from flyball.telemetry import bucket_queries, own_counts, stages_query
from flyball.telemetry.answers import Row, Table
from flyball.telemetry.check import Checker
from flyball.telemetry.check_results import COSTS, UNUSABLE, SignalCheck, State
from flyball.telemetry.gateways import with_gateway
from flyball.telemetry.histograms import bracket, measurable
from flyball.telemetry.profiles import CUSTOM, ENGINES, EngineProfile
from flyball.telemetry.promql import duration, quote
from flyball.telemetry.queries import plan

NOT_JUDGED = "the objective is not judged"
_REQUIRED_OVERRIDES = ("Running", "Waiting", "Completions")


def usable(declared: Iterable[SignalCheck]) -> bool:
    """Whether nothing is amiss without which nothing is decided."""
    required = {f"telemetry.overrides.{name}" for name in _REQUIRED_OVERRIDES}
    return not any(each.signal in required and each.state in UNUSABLE for each in declared)


def check_declared(checker: Checker, spec: WorkloadSpec, engines: Iterable[str]) -> tuple[SignalCheck, ...]:
    """Everything that the workload declares beside profiles, by the field that holds it; then its objectives.

    `engines` are the names of those that it runs. Raises CheckError where Prometheus does not answer.
    """
    profiles = [ENGINES.get(name) for name in engines]
    whole = with_gateway(spec, profiles)
    return (
        *(_lacking_overrides(spec) if CUSTOM in engines else ()),
        *(_query(checker, field, query) for field, query in _queries(spec)),
        *(_histogram(checker, spec, field, source) for field, source in _histograms(spec)),
        *(_objective(checker, whole, each, profiles) for each in spec.objectives if _by_edges(each)),
    )


def _lacking_overrides(spec: WorkloadSpec) -> Iterator[SignalCheck]:
    declared = {name for name, _ in spec.telemetry.overrides}
    for name in _REQUIRED_OVERRIDES:
        if name not in declared:
            text = f"engine {CUSTOM} has no profile: write this query, or another engine"
            yield SignalCheck(f"telemetry.overrides.{name}", State.MISSING, text, costs=COSTS[name])


def _queries(spec: WorkloadSpec) -> Iterator[tuple[str, str]]:
    """The users' own PromQL, by field."""
    yield from ((f"telemetry.overrides.{name}", query) for name, query in spec.telemetry.overrides)
    for stage in spec.telemetry.stages:
        if stage.source.query:
            yield f"telemetry.stages[{stage.name}].query", stage.source.query
    for field, query in own_counts.declared(spec.telemetry.own):
        yield field, query.replace(own_counts.WINDOW, duration(WINDOW_SECONDS))
    if spec.scaling.to_zero is not None and spec.scaling.to_zero.query:
        yield "scaling.toZero.wakeUp.query", spec.scaling.to_zero.query


def _query(checker: Checker, field: str, query: str) -> SignalCheck:
    answer, costs = checker.answer(query), COSTS.get(field.rpartition(".")[2], "what it tells is not known")
    if answer.failure:
        return SignalCheck(field, State.REFUSED, answer.failure, costs=costs)
    if not answer.rows:
        return SignalCheck(field, State.MISSING, "the query gives no series", costs=costs)
    odd = next((row.value for row in answer.rows if not believable(row.value)), None)
    if odd is not None:
        return SignalCheck(field, State.REFUSED, f"the query gives {odd:g}: only numbers from 0 on count", costs=costs)
    return SignalCheck(field, State.FOUND, "the query", len(answer.rows))


def _histograms(spec: WorkloadSpec) -> Iterator[tuple[str, LatencySource]]:
    yield from ((f"telemetry.latencies[{indicator}]", source) for indicator, source in spec.telemetry.latencies)
    for stage in spec.telemetry.stages:
        if stage.source.metrics:
            yield f"telemetry.stages[{stage.name}]", stage.source


def _histogram(checker: Checker, spec: WorkloadSpec, field: str, source: LatencySource) -> SignalCheck:
    wanted = stages_query.wanted(spec, source)
    looked_for = []
    for family in wanted.families():
        matchers = ",".join(stages_query.matchers(family, [wanted]))
        answer = checker.answer(f"count({family.metric}_count{{{matchers}}})")
        if answer.failure:
            return SignalCheck(field, State.REFUSED, answer.failure, costs="what it tells is not known")
        if answer.rows:
            return SignalCheck(field, State.FOUND, family.metric, round(answer.rows[0].value))
        looked_for.append(family.metric)
    costs = "objectives on it are not judged, and it is not named where it is slow"
    labels = ", ".join(f"{name}={quote(value)}" for name, value in _labels(spec, source))
    return SignalCheck(
        field, State.MISSING, f"with {labels}" if labels else "", looked_for=tuple(looked_for), costs=costs
    )


def _labels(spec: WorkloadSpec, source: LatencySource) -> Iterator[tuple[str, str]]:
    yield from source.labels
    if source.namespaced:
        yield "namespace", spec.key.namespace


def _by_edges(objective: Objective) -> bool:
    return objective.threshold_seconds is not None and objective.indicator not in COUNTED_INDICATORS


def _objective(
    checker: Checker, spec: WorkloadSpec, objective: Objective, profiles: Iterable[EngineProfile | None]
) -> SignalCheck:
    """Whether the objective's threshold is an edge of what it is counted from."""
    name = f"objectives[{objective.name}]"
    found = next(_edges(checker, spec, objective, profiles), None)
    if found is None:
        return SignalCheck(name, State.MISSING, "there is nothing that it could be counted from", costs=NOT_JUDGED)
    source, edges = found
    threshold = objective.threshold_seconds or 0.0
    where = bracket(edges, threshold)
    if where.exact:
        return SignalCheck(name, State.FOUND, f"{format_duration(threshold)} is a bucket edge of {source}")
    text = f"{format_duration(threshold)} is no bucket edge of {source}"
    if measurable(where):
        near = f"{format_duration(where.lower)} or {format_duration(where.upper)}"
        return SignalCheck(name, State.ESTIMATED, f"{text}: its share is interpolated; write {near} for an exact one")
    finite = [edge for edge in edges if math.isfinite(edge)]
    if not finite:
        return SignalCheck(name, State.MISSING, f"{source} has no finite bucket edge", costs=NOT_JUDGED)
    span = f"{format_duration(finite[0])} to {format_duration(finite[-1])}"
    fix = f"write one from {span}, or have it measured with finer edges, as at a gateway"
    return SignalCheck(name, State.MISSING, f"{text}, whose edges are {span}: {fix}", costs=NOT_JUDGED)


def _edges(
    checker: Checker, spec: WorkloadSpec, objective: Objective, profiles: Iterable[EngineProfile | None]
) -> Iterator[tuple[str, list[float]]]:
    """The names and ascending edges (seconds) of the histograms that it may be counted from, best first."""
    own, outside = dict(spec.telemetry.overrides), spec.telemetry.latency(objective)
    if str(objective.indicator) in own:
        yield from _told(
            f"telemetry.overrides.{objective.indicator}", checker.answer(own[str(objective.indicator)]).rows
        )
    elif outside is not None and outside.query:
        yield from _told(f"telemetry.stages[{objective.stage}].query", checker.answer(outside.query).rows)
    elif outside is not None:
        wanted = stages_query.wanted(spec, outside)
        for family, (name, scale) in zip(wanted.families(), outside.metrics, strict=True):
            chosen = ",".join(stages_query.matchers(family, [wanted]))
            yield from _told(name, checker.answer(f"count by (le) ({name}_bucket{{{chosen}}})").rows, scale)
    else:
        scope = plan([spec], WINDOW_SECONDS).scope
        for profile in filter(None, profiles):
            for rank, histogram in enumerate(profile.latencies.get(objective.indicator, ())):
                table = Table(checker.answer(bucket_queries.of_pods(profile, scope, objective.indicator, rank)))
                yield from _told(" or ".join(histogram.names), table.of_workload(spec, ""), histogram.scale)


def _told(source: str, rows: Iterable[Row], scale: float = 1.0) -> Iterator[tuple[str, list[float]]]:
    """The source with its edges, if it has any."""
    edges = {edge * scale for row in rows if (edge := _edge(row)) is not None}
    if edges:
        yield source, sorted(edges)


def _edge(row: Row) -> float | None:
    """The bucket edge of a row in its exporter's unit; None where it has none."""
    try:
        edge = float(row.labels["le"])
    except (KeyError, ValueError):
        return None
    return None if math.isnan(edge) else edge
