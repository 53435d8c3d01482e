"""From a modelled scraper to the operator's own signals: the answers that Prometheus would give, read by the same code.

`flyball.telemetry.queries` says what is asked, `flyball.telemetry.signals` reads the answers; only Prometheus itself,
which computes rates and increases over what was scraped, is modelled here, by `History`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from flyball.core.names import Indicator
from flyball.core.observation import (
    ABSENT,
    Observation,
    Reading,
    VariantState,
    WorkloadSignals,
    WorkloadState,
    ok,
)
from flyball.core.spec import WorkloadSpec
from flyball.lab.fleet.model import ReplicaCounts
from flyball.lab.fleet.samples import (
    END_TO_END,
    FIRST_TOKEN,
    QUEUE_TIME,
    TOKEN_TIME,
    Column,
    HistogramColumns,
    History,
)
from flyball.telemetry import bucket_queries, queries
from flyball.telemetry.answers import Answer, Row, Table
from flyball.telemetry.objectives import EngineLatencies, needed_edges
from flyball.telemetry.pods import GROUP_LABEL, groups_of
from flyball.telemetry.profiles import ENGINES
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.signals import Answers, read_workload

EPOCH = 1_767_571_200.0
"""What the beginning of a trace is taken to be: Monday, 2026-01-05T00:00:00Z."""
RATE_WINDOW_SECONDS = 60.0

_HISTOGRAMS = {
    Indicator.TIME_TO_FIRST_TOKEN: FIRST_TOKEN,
    Indicator.INTER_TOKEN_LATENCY: TOKEN_TIME,
    Indicator.END_TO_END: END_TO_END,
    Indicator.QUEUE_TIME: QUEUE_TIME,
}
_GAUGES = (
    (queries.RUNNING, Column.RUNNING),
    (queries.WAITING, Column.WAITING),
    (queries.KV_CACHE, Column.KV_USAGE),
)
_RATES = (
    (queries.COMPLETIONS, Column.FINISHED),
    (queries.PROMPT_TOKENS, Column.PROMPT_TOKENS),
    (queries.OUTPUT_TOKENS, Column.GENERATED_TOKENS),
    (f"{queries.PROMPT_LENGTH}_sum", Column.FINISHED_PROMPT_TOKENS),
    (f"{queries.PROMPT_LENGTH}_count", Column.FINISHED),
    (f"{queries.OUTPUT_LENGTH}_sum", Column.FINISHED_OUTPUT_TOKENS),
    (f"{queries.OUTPUT_LENGTH}_count", Column.FINISHED),
    (f"{queries.DECODE}_sum", Column.DECODE_SUM),
    (f"{queries.DECODE}_count", Column.FINISHED),
    (f"{queries.token_time(0)}_sum", Column.TOKEN_TIME_SUM),
    (f"{queries.token_time(0)}_count", Column.FINISHED),
    (queries.cached(0, "part"), Column.CACHED_TOKENS),
    (queries.cached(0, "whole"), Column.PROMPT_TOKENS),
)
_COUNTS = (
    (queries.COMPLETIONS, Column.FINISHED),
    (queries.PROMPT_TOKENS, Column.PROMPT_TOKENS),
    (queries.OUTPUT_TOKENS, Column.GENERATED_TOKENS),
)


class LabTelemetry:
    """Reads one workload's signals from a `History`, as the operator reads them from Prometheus.

    Variants of the spec are the fleet's, in its order.
    """

    def __init__(self, spec: WorkloadSpec) -> None:
        self._spec = spec
        self._profile = ENGINES["VLLM"]
        self._plan = queries.plan([spec], RATE_WINDOW_SECONDS)
        self._groups = [groups_of(variant.target)[0] for variant in spec.variants]

    def read(self, history: History) -> WorkloadSignals:
        """The signals at the history's `now`."""
        first = {
            queries.GAUGES: self._table(self._gauges(history)),
            queries.RATES: self._table(self._counted(history, _RATES, RATE_WINDOW_SECONDS, per_second=True)),
            queries.GPUS: self._table(self._gpus(history)),
        }
        for indicator in self._plan.latencies:
            part = bucket_queries.buckets(indicator, 0)
            first[part] = self._table(self._buckets(history, indicator, RATE_WINDOW_SECONDS, None))
        latencies = EngineLatencies(self._spec, self._profile, first)
        edges = needed_edges([latencies])
        further = {
            window: self._table(self._over(history, window, {i: {float(e) for e in t} for (i, _), t in edges.items()}))
            for window in self._plan.further_windows()
        }
        answers = Answers(EPOCH + history.now, first, further)
        return replace(read_workload(latencies, self._profile, self._plan, answers), wanted=self._wanted(history))

    def _wanted(self, history: History) -> Reading:
        """What a query for the gateway gives: arrivals per second, and the requests that it holds."""
        samples = history.within(RATE_WINDOW_SECONDS) if self._spec.scaling.to_zero else []
        if len(samples) < 2:
            return ABSENT
        arriving = (samples[-1].arrived - samples[0].arrived) / (samples[-1].at - samples[0].at)
        return ok(samples[-1].held + arriving, history.now - samples[-1].at)

    @staticmethod
    def _table(rows: Iterable[Row]) -> Table:
        return Table(Answer(tuple(rows)))

    def _row(self, part: str, variant: int, value: float, **labels: str) -> Row:
        own = {SERIES_LABEL: part, "namespace": self._spec.key.namespace, GROUP_LABEL: self._groups[variant]}
        return Row(own | labels, value)

    def _gauges(self, history: History) -> Iterator[Row]:
        sample = history.latest
        if sample is None:
            return
        for row, (variant, replica) in enumerate(zip(sample.variants.tolist(), sample.replicas.tolist(), strict=True)):
            pod = str(replica)
            yield self._row(queries.SAMPLED_AT, variant, EPOCH + sample.at, pod=pod)
            for part, column in _GAUGES:
                yield self._row(part, variant, float(sample.values[row, column]), pod=pod)

    def _gpus(self, history: History) -> Iterator[Row]:
        sample = history.latest
        if sample is None:
            return
        for variant in sorted(set(sample.variants.tolist())):
            replicas = int((sample.variants == variant).sum())
            used = history.rate(Column.BUSY_SECONDS, RATE_WINDOW_SECONDS, variant) / replicas
            yield self._row(queries.SAMPLED_AT, variant, EPOCH + sample.at, pod="all")
            yield self._row(queries.UTILIZATION, variant, min(1.0, used), pod="all")

    def _counted(
        self, history: History, parts: Sequence[tuple[str, Column]], window: float, *, per_second: bool
    ) -> Iterator[Row]:
        for variant in self._seen(history, window):
            found = history.increases([int(column) for _, column in parts], window, variant)
            for (part, _), value in zip(parts, found.tolist(), strict=True):
                yield self._row(part, variant, value / window if per_second else value)

    def _over(self, history: History, window: float, edges: dict[Indicator, set[float]]) -> Iterator[Row]:
        for indicator, wanted in self._plan.latencies.items():
            if window in wanted and edges.get(indicator):
                yield from self._buckets(history, indicator, window, edges[indicator])
        if window in self._plan.counts:
            yield from self._counted(history, _COUNTS, window, per_second=False)

    def _buckets(
        self, history: History, indicator: Indicator, window: float, edges: set[float] | None
    ) -> Iterator[Row]:
        columns: HistogramColumns = _HISTOGRAMS[indicator]
        part = bucket_queries.buckets(indicator, 0)
        for variant in self._seen(history, window):
            counts = history.increases(slice(columns.start, columns.stop), window, variant).cumsum().tolist()
            for edge, count in zip((*columns.edges, float("inf")), counts, strict=True):
                if edges is None or edge in edges:
                    yield self._row(part, variant, count, le="+Inf" if edge == float("inf") else repr(edge))

    @staticmethod
    def _seen(history: History, window: float) -> list[int]:
        """The variants with series in the window: those that the newest or the oldest sample of it shows."""
        samples = history.within(window)
        return sorted({*samples[-1].variants.tolist(), *samples[0].variants.tolist()}) if samples else []


def observe(
    spec: WorkloadSpec, telemetry: LabTelemetry, history: History, counts: Sequence[ReplicaCounts]
) -> Observation:
    """One observation, as a tick of the operator makes it."""
    states = tuple(
        VariantState(
            name=variant.name,
            replicas=count.asked,
            ready=count.ready,
            starting=count.starting,
            unschedulable=count.pending,
            accelerator=variant.accelerator,
            gpus_per_replica=variant.gpus_per_replica,
        )
        for variant, count in zip(spec.variants, counts, strict=True)
    )
    return Observation(spec.key, EPOCH + history.now, telemetry.read(history), WorkloadState(states))
