"""The batch of queries for all workloads of one engine profile: their number depends on no number of workloads.

One query each for the gauges per pod, the rates, the GPUs, every latency's buckets over the rate window, and one for
every further window. The parts of a query are told apart by a label. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flyball.core.names import Indicator
from flyball.core.spec import WorkloadSpec
from flyball.telemetry import windows
from flyball.telemetry.profiles import EngineProfile, GpuProfile
from flyball.telemetry.profiles.model import Counter, Gauge, Histogram, Selector
from flyball.telemetry.promql import Scope, any_of, duration, either, grouped, series, tagged

# How long a pod is remembered that no longer exports, so that it is told from one that never did; and how finely.
GONE_AFTER_SECONDS = 900
GONE_RESOLUTION_SECONDS = 30

GAUGES, RATES, GPUS = "gauges", "rates", "gpus"
SAMPLED_AT, RUNNING, WAITING, KV_CACHE = "sampled_at", "running", "waiting", "kv_cache"
COMPLETIONS, PROMPT_TOKENS, OUTPUT_TOKENS = "completions", "prompt_tokens", "output_tokens"
PROMPT_LENGTH, OUTPUT_LENGTH, DECODE = "prompt_length", "output_length", "decode"
UTILIZATION = "utilization"


def token_time(rank: int) -> str:
    """The part of the rates with the `rank`th histogram of seconds per output token."""
    return f"token_time_{rank}"


def cached(rank: int, side: str) -> str:
    """The part of the rates with the `rank`th ratio of cached prompt tokens; `side` is part or whole."""
    return f"cached_{rank}_{side}"


def buckets(indicator: Indicator, rank: int) -> str:
    """The part, and the query over the rate window, with the `rank`th histogram of a latency."""
    return f"{indicator}_{rank}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one read asks for: `windows` maps every declared window to the one asked for (seconds).

    `latencies` and `counts` are the windows that latencies and completions are wanted over, beside the rate window.
    """

    scope: Scope
    rate_window_seconds: float
    windows: Mapping[float, float]
    latencies: Mapping[Indicator, frozenset[float]]
    counts: frozenset[float]

    def further_windows(self) -> tuple[float, ...]:
        """All windows that need a query of their own, ascending."""
        latencies = frozenset[float]().union(*self.latencies.values())
        return tuple(sorted(self.counts | (latencies - {self.rate_window_seconds})))


def plan(workloads: Sequence[WorkloadSpec], rate_window_seconds: float) -> Plan:
    """What to ask for these workloads."""
    declared = {o.window_seconds for spec in workloads for o in spec.objectives}
    counted = {windows.SHORT_SECONDS, windows.LONG_SECONDS}
    counted |= {target.window_seconds for spec in workloads for target in spec.roi_targets}
    asked = windows.plan(declared | counted, rate_window_seconds)
    latencies: dict[Indicator, frozenset[float]] = {}
    for objective in (o for spec in workloads for o in spec.objectives):
        own = windows.of_objective(asked[objective.window_seconds], rate_window_seconds)
        latencies[objective.indicator] = latencies.get(objective.indicator, frozenset()) | frozenset(own)
    return Plan(
        scope=Scope(
            tuple(sorted({spec.key.namespace for spec in workloads})),
            tuple(sorted({name for spec in workloads for name, _ in spec.telemetry.selector})),
        ),
        rate_window_seconds=rate_window_seconds,
        windows=asked,
        latencies=latencies,
        counts=frozenset(asked[seconds] for seconds in counted),
    )


def first_queries(profile: EngineProfile | None, gpu: GpuProfile, plan: Plan) -> dict[str, str]:
    """The queries over the rate window, by name. Without an engine profile, the GPUs' alone."""
    queries = {GPUS: _gpus(gpu, plan)}
    if profile is None:
        return queries
    queries[GAUGES] = _gauges(profile, plan.scope)
    queries[RATES] = _rates(profile, plan)
    for indicator in plan.latencies:
        for rank in range(len(profile.latencies.get(indicator, ()))):
            queries[buckets(indicator, rank)] = _buckets(profile, plan, indicator, rank, plan.rate_window_seconds)
    return queries


def window_query(profile: EngineProfile, plan: Plan, window: float, edges: Mapping[Indicator, Iterable[str]]) -> str:
    """The query over one further window. `edges` are the spellings of `le` that each latency needs: not all, since
    long windows are dear.
    """
    parts = [
        _buckets(profile, plan, indicator, rank, window, sorted(edges[indicator]))
        for indicator, wanted in plan.latencies.items()
        if window in wanted and edges.get(indicator)
        for rank in range(len(profile.latencies.get(indicator, ())))
    ]
    if window in plan.counts:
        parts += [
            _counted(COMPLETIONS, profile.completions, plan.scope, "increase", window),
            _counted(PROMPT_TOKENS, profile.prompt_tokens, plan.scope, "increase", window),
            _counted(OUTPUT_TOKENS, profile.output_tokens, plan.scope, "increase", window),
        ]
    return either(parts)


def _gauges(profile: EngineProfile, scope: Scope) -> str:
    """Per pod: requests running and waiting, KV cache, and when the pod was last sampled."""
    times = [f"timestamp({series(s, scope.matcher())})" for s in profile.running.selectors]
    past = f"[{duration(GONE_AFTER_SECONDS)}:{duration(GONE_RESOLUTION_SECONDS)}]"
    seen = either((*times, *(f"max_over_time({time}{past})" for time in times)))
    by = scope.by("pod")
    return either(
        (
            tagged(f"max by ({by}) ({grouped(seen)})", SAMPLED_AT),
            per_pod(RUNNING, profile.running, scope, "sum"),
            per_pod(WAITING, profile.waiting, scope, "sum"),
            per_pod(KV_CACHE, profile.kv_cache_usage, scope, "avg"),
        )
    )


def per_pod(part: str, gauge: Gauge, scope: Scope, aggregation: str, *more: str) -> str:
    """A part with one value now for each pod (and each of the further labels): the first series that it exports."""
    by = scope.by("pod", *more)
    found = (f"{aggregation} by ({by}) ({grouped(series(s, scope.matcher()))})" for s in gauge.selectors)
    return tagged(_scaled(f"({either(found)})", gauge.scale), part)


def _rates(profile: EngineProfile, plan: Plan) -> str:
    scope, window = plan.scope, plan.rate_window_seconds
    parts = [
        _counted(COMPLETIONS, profile.completions, scope, "rate", window),
        _counted(PROMPT_TOKENS, profile.prompt_tokens, scope, "rate", window),
        _counted(OUTPUT_TOKENS, profile.output_tokens, scope, "rate", window),
        *_means(PROMPT_LENGTH, profile.prompt_tokens_per_request, scope, window),
        *_means(OUTPUT_LENGTH, profile.output_tokens_per_request, scope, window),
    ]
    if profile.decode_seconds is not None:
        parts += _means(DECODE, profile.decode_seconds, scope, window)
    for rank, histogram in enumerate(profile.seconds_per_output_token):
        parts += _means(token_time(rank), histogram, scope, window)
    for rank, ratio in enumerate(profile.cached_prompt_share):
        parts.append(_counted(cached(rank, "part"), ratio.part, scope, "rate", window))
        parts.append(_counted(cached(rank, "whole"), ratio.whole, scope, "rate", window))
    return either(parts)


def _means(part: str, histogram: Histogram, scope: Scope, window: float) -> tuple[str, str]:
    return (
        _counted(f"{part}_sum", suffixed(histogram, "_sum"), scope, "rate", window, scale=histogram.scale),
        _counted(f"{part}_count", suffixed(histogram, "_count"), scope, "rate", window),
    )


def _counted(part: str, counter: Counter, scope: Scope, function: str, window: float, *, scale: float = 1.0) -> str:
    ranges = (f"{function}({series(s, scope.matcher())}[{duration(window)}])" for s in counter.selectors)
    return tagged(_scaled(f"sum by ({scope.by()}) ({grouped(either(ranges))})", scale), part)


def _buckets(
    profile: EngineProfile, plan: Plan, indicator: Indicator, rank: int, window: float, edges: Sequence[str] = ()
) -> str:
    """Events by upper edge. A later histogram only for those pods that do not export an earlier one."""
    histograms = profile.latencies[indicator]
    scope, matchers = plan.scope, [plan.scope.matcher()]
    if edges:
        matchers.append(f"le=~{any_of(edges)}")
    names = suffixed(histograms[rank], "_bucket").selectors
    found = either(f"increase({series(name, *matchers)}[{duration(window)}])" for name in names)
    if rank:
        better = (s for h in histograms[:rank] for s in suffixed(h, "_count").selectors)
        had = either(f"last_over_time({series(s, scope.matcher())}[{duration(window)}])" for s in better)
        found = f"({found}) unless on (namespace, pod) ({had})"
    return tagged(f"sum by ({scope.by('le')}) ({grouped(found)})", buckets(indicator, rank))


def _gpus(profile: GpuProfile, plan: Plan) -> str:
    """Per pod: mean utilization of its GPUs over the rate window, and when they were last sampled.

    An exporter whose own pod and namespace labels won has the workload's as exported_pod and exported_namespace.
    Values above 1 are the exporter's "no value".
    """
    scope = Scope(plan.scope.namespaces)
    used, times = [], []
    for gauge in profile.utilization:
        for matchers in ((scope.matcher("exported_namespace"),), (scope.matcher(), 'exported_namespace=""')):
            for found in (series(selector, *matchers) for selector in gauge.selectors):
                mean = _scaled(f"avg_over_time({found}[{duration(plan.rate_window_seconds)}])", gauge.scale)
                used.append(f"({mean} <= 1.01)")
                times.append(f"timestamp({found})")
    by = scope.by("pod")
    return either(
        (
            tagged(f"avg by ({by}) ({grouped(_exported(either(used)))})", UTILIZATION),
            tagged(f"max by ({by}) ({grouped(_exported(either(times)))})", SAMPLED_AT),
        )
    )


def _exported(expression: str) -> str:
    inner = f'label_replace({expression}, "namespace", "$1", "exported_namespace", "(.+)")'
    return f'label_replace({inner}, "pod", "$1", "exported_pod", "(.+)")'


def suffixed(histogram: Histogram, suffix: str) -> Counter:
    """The series of a histogram with that suffix."""
    return Counter(tuple(Selector(f"{name}{suffix}") for name in histogram.names))


def _scaled(expression: str, scale: float) -> str:
    return expression if scale == 1.0 else f"{expression} * {scale!r}"
