"""What each replica exports now, raw: for rival policies, which read pods where Flyball reads targets.

Asked only for workloads that have rivals beside them, and beside the ticks: two queries for each engine profile, whose
answers grow with those workloads' pods.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from flyball.core.advice.shadow import ReplicaSample, ReplicaSignal
from flyball.core.names import Indicator, WorkloadKey
from flyball.core.ports import Unavailable
from flyball.core.spec import Variant, WorkloadSpec
from flyball.telemetry import queries
from flyball.telemetry.answers import Answer, Row, Table
from flyball.telemetry.discovery import Engines
from flyball.telemetry.profiles import ENGINES, GPU, EngineProfile
from flyball.telemetry.profiles.model import Gauge, Histogram
from flyball.telemetry.promql import Scope, either
from flyball.telemetry.refusal import refusal
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

_LATENCIES = (
    (ReplicaSignal.FIRST_TOKEN, Indicator.TIME_TO_FIRST_TOKEN),
    (ReplicaSignal.TOKEN_TIME, Indicator.INTER_TOKEN_LATENCY),
)
_COUNTED = (ReplicaSignal.COMPLETIONS, ReplicaSignal.PROMPT_LENGTH, ReplicaSignal.OUTPUT_LENGTH)
_SHARES = (ReplicaSignal.KV_CACHE, ReplicaSignal.GPU)


class ReplicaMetrics:
    """Reads the replicas' own metrics; implements `flyball.core.ports.ReplicaTelemetry`."""

    def __init__(self, settings: PrometheusSettings, engines: Engines | None = None) -> None:
        self._settings = settings
        self._engines = engines or Engines()
        self._client = PrometheusClient(settings)

    async def read_replicas(
        self, workloads: Sequence[WorkloadSpec], at: float
    ) -> Mapping[WorkloadKey, Sequence[ReplicaSample]]:
        """The samples of all replicas that Prometheus shows at that time (epoch seconds). Raises Unavailable."""
        found: dict[WorkloadKey, Sequence[ReplicaSample]] = {}
        for name, profile in ENGINES.items():
            mine = self._engines.running(name, (spec for spec in workloads if not refusal(spec)))
            if mine:
                plan = queries.plan(mine, self._settings.rate_window_seconds)
                texts = (replicas_query(profile, plan.scope), queries.first_queries(None, GPU, plan)[queries.GPUS])
                engine, gpus = await asyncio.gather(*(self._ask(text, at) for text in texts))
                for spec in mine:
                    samples = tuple(samples_of(spec, profile, Table(engine), Table(gpus)))
                    found[spec.key] = (*found.get(spec.key, ()), *samples)
        return found

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    async def _ask(self, text: str, at: float) -> Answer:
        answer = await asyncio.to_thread(self._client.ask, text, at, self._settings.timeout_seconds)
        if answer.failure:
            raise Unavailable(answer.failure)
        return answer


def replicas_query(profile: EngineProfile, scope: Scope) -> str:
    """Each pod's gauges, counters since its start and buckets, by part."""
    lengths = (profile.prompt_tokens_per_request, profile.output_tokens_per_request)
    counters = (profile.completions, *(histogram.suffixed("_sum") if histogram else None for histogram in lengths))
    parts = queries.per_pod(ReplicaSignal.RUNNING, profile.running, profile, scope)
    parts += queries.per_pod(ReplicaSignal.WAITING, profile.waiting, profile, scope)
    parts += queries.per_pod(ReplicaSignal.KV_CACHE, profile.kv_cache_usage, profile, scope, aggregation="avg")
    for signal, counter in zip(_COUNTED, counters, strict=True):
        parts += queries.per_pod(signal, Gauge(counter.selectors) if counter else None, profile, scope)
    for signal, indicator in _LATENCIES:
        for rank, histogram in enumerate(profile.latencies.get(indicator, ())):
            parts += queries.per_pod(f"{signal}/{rank}", _buckets(histogram), profile, scope, "le")
    return either(parts)


def samples_of(spec: WorkloadSpec, profile: EngineProfile, engine: Table, gpus: Table) -> Iterator[ReplicaSample]:
    """The samples of the pods of all the workload's variants; a pod without a running gauge is none of its engines."""
    for variant in spec.variants:
        values: dict[str, dict[ReplicaSignal, float]] = defaultdict(dict)
        for signal in (ReplicaSignal.RUNNING, ReplicaSignal.WAITING, ReplicaSignal.KV_CACHE, *_COUNTED):
            _take(values, signal, engine.of_variant(spec, variant, signal))
        pods = [pod for pod, found in values.items() if ReplicaSignal.RUNNING in found]
        _take(values, ReplicaSignal.GPU, gpus.of_target(spec, variant, queries.UTILIZATION))
        for pod in sorted(pods):
            yield ReplicaSample(variant.name, pod, values[pod], _histograms(spec, variant, profile, engine, pod))


def _take(values: dict[str, dict[ReplicaSignal, float]], signal: ReplicaSignal, rows: Sequence[Row]) -> None:
    """Believable values only: of shares not above 1, and what is no number is not there."""
    for row in rows:
        if math.isfinite(row.value) and row.value >= 0:
            values[row.labels.get("pod", "")][signal] = min(1.0, row.value) if signal in _SHARES else row.value


def _histograms(
    spec: WorkloadSpec, variant: Variant, profile: EngineProfile, engine: Table, pod: str
) -> dict[ReplicaSignal, tuple[tuple[float, float], ...]]:
    """Of each latency the first histogram that the pod exports."""
    found = {}
    for signal, indicator in _LATENCIES:
        for rank in range(len(profile.latencies.get(indicator, ()))):
            rows = engine.of_variant(spec, variant, f"{signal}/{rank}")
            buckets = sorted((float(row.labels["le"]), row.value) for row in rows if row.labels.get("pod") == pod)
            if buckets and math.isinf(buckets[-1][0]):
                found[signal] = tuple(buckets)
                break
    return found


def _buckets(histogram: Histogram) -> Gauge:
    return Gauge(histogram.suffixed("_bucket").selectors)
