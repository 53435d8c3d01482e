"""What users name themselves, for `status.signals`: their queries, their histograms, and what a gateway measures. Pure.

Such series are of no pod of the workload. A histogram's age is that of the oldest sample that counts, so of those
within the rate window; of a query it is known where `sampled` says so.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from flyball.core.observation import SignalState, WorkloadSignals
from flyball.core.service.latency import ACTIVE_SESSIONS, LatencySource, Stage
from flyball.core.service.sources import SignalQuality, SignalSource
from flyball.core.spec import WorkloadSpec
from flyball.telemetry.histograms import BadHistogram
from flyball.telemetry.overrides import READINGS
from flyball.telemetry.stages import NO_HISTOGRAMS, Histograms, query_name
from flyball.telemetry.stages_query import Wanted, wanted

SEGMENTS = "Segments"
"""Latencies by segment, as signals name them where they could not be read."""
_NOTHING = frozenset({SignalState.ABSENT, SignalState.INVALID})


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a query: whether it gave any series, and when (epoch seconds) the oldest sample behind them was
    taken, where that is known.
    """

    series: bool
    sampled_at: float | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What became of a workload's own signals at a time `at` (epoch seconds).

    `failures` say of signals why their query gave nothing, and `queries` tell of those that have one of their own.
    `histograms` are those over the rate window.
    """

    at: float = 0.0
    failures: Mapping[str, str] = field(default_factory=dict)
    queries: Mapping[str, Told] = field(default_factory=dict)
    histograms: Histograms = NO_HISTOGRAMS


def sources(spec: WorkloadSpec, signals: WorkloadSignals, named: Named) -> Iterator[SignalSource]:
    """Each signal that users name, or a gateway measures; of one that is named twice, what counts comes last."""
    for indicator, source in spec.telemetry.latencies:
        yield _histogram(spec, str(indicator), source, _states(spec, str(indicator), signals), named)
    for stage in spec.telemetry.stages:
        yield _stage(spec, stage, signals, named)
    for name, _ in spec.telemetry.overrides:
        yield _query(name, f"telemetry.overrides.{name}", _states(spec, name, signals), named)
    if failure := named.failures.get(SEGMENTS):
        yield SignalSource(SEGMENTS, failure, SignalQuality.MISSING)


def _stage(spec: WorkloadSpec, stage: Stage, signals: WorkloadSignals, named: Named) -> SignalSource:
    signal = query_name(stage.name)
    states = [signals.objective(o.name).state for o in spec.objectives if o.stage == stage.name]
    if stage.source.query:
        return _query(signal, f"telemetry.stages[{stage.name}].query", states, named)
    return _histogram(spec, signal, stage.source, states, named)


def _query(signal: str, text: str, states: Iterable[SignalState], named: Named) -> SignalSource:
    told = named.queries.get(signal, Told(series=True))
    return _judged(signal, text, states if told.series else [SignalState.ABSENT], named, told.sampled_at)


def _histogram(
    spec: WorkloadSpec, signal: str, source: LatencySource, states: Iterable[SignalState], named: Named
) -> SignalSource:
    labels = ",".join(f"{name}={value}" for name, value in source.labels)
    text = f"{' or '.join(name for name, _ in source.metrics)}{{{labels}}}"
    histogram = wanted(spec, source)
    found = list(states) or [_state(histogram, named.histograms)]
    return _judged(signal, text, found, named, named.histograms.sampled_at(histogram))


def _state(histogram: Wanted, histograms: Histograms) -> SignalState:
    """What became of a histogram that no objective is counted from."""
    try:
        histograms.of(histogram)
    except BadHistogram:
        return SignalState.INVALID
    return SignalState.ABSENT if histograms.sampled_at(histogram) is None else SignalState.OK


def _judged(
    signal: str, text: str, found: Iterable[SignalState], named: Named, sampled_at: float | None
) -> SignalSource:
    if failure := named.failures.get(signal):
        return SignalSource(signal, f"{text}: {failure}", SignalQuality.MISSING)
    states = set(found)
    if states and states <= _NOTHING:
        why = "gives no usable number" if SignalState.INVALID in states else "gives no series"
        return SignalSource(signal, f"{text} {why}", SignalQuality.MISSING)
    age = None if sampled_at is None else max(0.0, named.at - sampled_at)
    return SignalSource(signal, text, SignalQuality.EXACT, age)


def _states(spec: WorkloadSpec, signal: str, signals: WorkloadSignals) -> Iterator[SignalState]:
    """What became of the signal where it is read: at every target, or in every objective."""
    if signal in READINGS:
        yield from (getattr(variant, READINGS[signal].field).state for variant in signals.variants)
    yield from (signals.objective(o.name).state for o in spec.objectives if str(o.indicator) == signal)
    if signal == ACTIVE_SESSIONS and all(each.measured != ACTIVE_SESSIONS for each in signals.segments):
        yield SignalState.ABSENT
