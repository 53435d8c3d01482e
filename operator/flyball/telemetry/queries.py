"""The batch of queries for all workloads of one engine profile: their number depends on no number of workloads.

One query each for the gauges per pod, the rates, the GPUs, every latency's buckets over the rate window, and one for
every further window; now and then some more, for edges that not all pods have and for pods that lack a latency's best
histogram. The parts of a query are told apart by a label. Pure.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flyball.core.names import COUNTED_INDICATORS, Indicator
from flyball.core.spec import WorkloadSpec
from flyball.telemetry import bucket_queries, reliability, windows
from flyball.telemetry.profiles import EngineProfile, GpuProfile
from flyball.telemetry.profiles.model import Counter, Gauge, Histogram, Selector
from flyball.telemetry.promql import Scope, duration, either, folded, grouped, series, tagged

# How long a pod is remembered that no longer exports, so that it is told from one that never did; and how finely.
GONE_AFTER_SECONDS = 900
GONE_RESOLUTION_SECONDS = 30

GAUGES, RATES, LATER_RATES, GPUS = "gauges", "rates", "later_rates", "gpus"
SAMPLED_AT, RUNNING, WAITING, KV_CACHE = "sampled_at", "running", "waiting", "kv_cache"
COMPLETIONS, PROMPT_TOKENS, OUTPUT_TOKENS = "completions", "prompt_tokens", "output_tokens"
PROMPT_LENGTH, OUTPUT_LENGTH, DECODE = "prompt_length", "output_length", "decode"
UTILIZATION = "utilization"

Edges = Mapping[tuple[Indicator, int], Iterable[str]]
"""Spellings of `le` by a latency's histogram, which its rank names."""


def token_time(rank: int) -> str:
    """The part of the rates with the `rank`th histogram of seconds per output token."""
    return f"token_time_{rank}"


def cached(rank: int, side: str) -> str:
    """The part of the rates with the `rank`th ratio of cached prompt tokens; `side` is part or whole."""
    return f"cached_{rank}_{side}"


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

    @property
    def events(self) -> frozenset[float]:
        """The windows beside the rate window over which it is asked how requests ended."""
        declared = (self.latencies.get(indicator, frozenset()) for indicator in COUNTED_INDICATORS)
        always = {windows.SHORT_SECONDS, windows.LONG_SECONDS} & self.counts
        return frozenset(always).union(*declared) - {self.rate_window_seconds}

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
            _selected(workloads),
        ),
        rate_window_seconds=rate_window_seconds,
        windows=asked,
        latencies=latencies,
        counts=frozenset(asked[seconds] for seconds in counted),
    )


def _selected(workloads: Sequence[WorkloadSpec]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    pairs = {pair for spec in workloads for pair in spec.telemetry.selector}
    return tuple((name, tuple(sorted(v for n, v in pairs if n == name))) for name in sorted({n for n, _ in pairs}))


def first_queries(profile: EngineProfile | None, gpu: GpuProfile, plan: Plan) -> dict[str, str]:
    """The queries over the rate window, by name. Without an engine profile, the GPUs' alone.

    Of each latency the best histogram: later ones only matter to workloads without it (see `later_queries`).
    """
    queries = {GPUS: gpus_query(gpu, plan)}
    if profile is None:
        return queries
    queries[GAUGES] = _gauges(profile, plan.scope)
    queries[RATES] = _rates(profile, plan)
    return queries | _bucket_queries(profile, plan, ((i, 0) for i in plan.latencies if profile.latencies.get(i)))


def later_queries(profile: EngineProfile, plan: Plan, lacking: Iterable[Indicator]) -> dict[str, str]:
    """Over the rate window the other histograms of latencies whose best some workload lacks, by name."""
    ranks = ((i, rank) for i in lacking for rank in range(1, len(profile.latencies.get(i, ()))))
    return _bucket_queries(profile, plan, ranks)


def _bucket_queries(profile: EngineProfile, plan: Plan, ranks: Iterable[tuple[Indicator, int]]) -> dict[str, str]:
    window = plan.rate_window_seconds
    return {
        bucket_queries.buckets(indicator, rank): bucket_queries.counts(profile, plan.scope, indicator, rank, window)
        for indicator, rank in ranks
    }


def edges_query(profile: EngineProfile, plan: Plan) -> str:
    """How many series have which edge now, by namespace, of all histograms that may be asked for."""
    return either(
        bucket_queries.having(profile, plan.scope, indicator, rank) for indicator, rank in _all(profile, plan)
    )


def all_buckets(profile: EngineProfile, plan: Plan) -> frozenset[str]:
    """The names of all histograms that may be asked for."""
    return frozenset(bucket_queries.buckets(indicator, rank) for indicator, rank in _all(profile, plan))


def _all(profile: EngineProfile, plan: Plan) -> list[tuple[Indicator, int]]:
    return [(i, rank) for i in plan.latencies for rank in range(len(profile.latencies.get(i, ())))]


def covered_queries(profile: EngineProfile, plan: Plan, names: Iterable[str]) -> dict[str, str]:
    """The queries that go with those over the rate window, by name: what edges are shares of that some series lack."""
    wanted = set(names)
    window = plan.rate_window_seconds
    return {
        bucket_queries.covered(name): bucket_queries.differing(profile, plan.scope, indicator, rank, window)
        for indicator, rank in _all(profile, plan)
        if (name := bucket_queries.buckets(indicator, rank)) in wanted
    }


def window_query(
    profile: EngineProfile, plan: Plan, window: float, edges: Edges, even: Container[str] = frozenset()
) -> str:
    """The query over one further window. `edges` are the spellings of `le` that each histogram needs: not all, since
    long windows are dear. All series of those that are `even` have the same edges, so that nothing else is asked of
    them.
    """
    parts = [
        text
        for (indicator, rank), texts in sorted(edges.items())
        if window in plan.latencies.get(indicator, ())
        for text in bucket_queries.at_edges(
            profile,
            plan.scope,
            indicator,
            rank,
            window,
            sorted(texts),
            even=bucket_queries.buckets(indicator, rank) in even,
        )
    ]
    if window in plan.counts:
        for part, counter in (
            (COMPLETIONS, profile.completions),
            (PROMPT_TOKENS, profile.prompt_tokens),
            (OUTPUT_TOKENS, profile.output_tokens),
        ):
            parts += _counted(part, counter, profile, plan.scope, "increase", window)
    if window in plan.events:
        parts += reliability.parts(profile, plan.scope, window)
    return either(parts)


def _gauges(profile: EngineProfile, scope: Scope) -> str:
    """Per pod: requests running and waiting, KV cache, and when the pod was last sampled."""
    times = [f"timestamp({series(s, scope.matcher())})" for s in profile.running.selectors]
    past = f"[{duration(GONE_AFTER_SECONDS)}:{duration(GONE_RESOLUTION_SECONDS)}]"
    seen = either((*times, *(f"max_over_time({time}{past})" for time in times)))
    by = scope.by("pod")
    parts = [tagged(f"max by ({by}) ({grouped(scope.narrowed(seen))})", SAMPLED_AT)]
    parts += per_pod(RUNNING, profile.running, profile, scope)
    parts += per_pod(WAITING, profile.waiting, profile, scope)
    parts += per_pod(KV_CACHE, profile.kv_cache_usage, profile, scope, aggregation="avg")
    return either(parts)


def per_pod(
    part: str, gauge: Gauge | None, profile: EngineProfile, scope: Scope, *more: str, aggregation: str = "sum"
) -> list[str]:
    """A part with one value now for each pod (and each of the further labels): the first series that it exports.

    No part where the profile has no such gauge.
    """
    if gauge is None:
        return []

    def found(selector: Selector) -> str:
        return folded(series(selector, scope.matcher()), scope, profile.repeated, *more, aggregation=aggregation)

    value = either(found(selector) for selector in gauge.selectors)
    if gauge.plus:
        terms = (tagged(f"({value})", "0"), *(tagged(found(s), str(n)) for n, s in enumerate(gauge.plus, 1)))
        value = f"sum by ({scope.by('pod', *more)}) ({either(terms)})"
    return [tagged(_scaled(f"({value})", gauge.unit.scale), part)]


def _rates(profile: EngineProfile, plan: Plan) -> str:
    scope, window = plan.scope, plan.rate_window_seconds
    counters: list[tuple[str, Counter | None]] = [
        (COMPLETIONS, profile.completions),
        (PROMPT_TOKENS, profile.prompt_tokens),
        (OUTPUT_TOKENS, profile.output_tokens),
        *_means(PROMPT_LENGTH, profile.prompt_tokens_per_request),
        *_means(OUTPUT_LENGTH, profile.output_tokens_per_request),
        *_means(DECODE, profile.decode_seconds),
    ]
    counters += [*_ratios(profile)[:2], *(() if profile.decode_seconds else _token_times(profile))]
    found = [text for part, counter in counters for text in _counted(part, counter, profile, scope, "rate", window)]
    return either((*found, *reliability.parts(profile, scope, window)))


def later_rates(profile: EngineProfile, plan: Plan) -> str:
    """The rates for what the first ones do not tell of some workload: the time per token by other histograms than that
    of decode, and the share of cached tokens by other counters than the best.
    """
    counters = [*_ratios(profile)[2:], *(_token_times(profile) if profile.decode_seconds else ())]
    window = plan.rate_window_seconds
    return either(text for part, each in counters for text in _counted(part, each, profile, plan.scope, "rate", window))


def _token_times(profile: EngineProfile) -> list[tuple[str, Counter]]:
    return [pair for rank, h in enumerate(profile.seconds_per_output_token) for pair in _means(token_time(rank), h)]


def _ratios(profile: EngineProfile) -> list[tuple[str, Counter]]:
    ratios = enumerate(profile.cached_prompt_share)
    return [
        (cached(rank, side), counter) for rank, r in ratios for side, counter in (("part", r.part), ("whole", r.whole))
    ]


def _means(part: str, histogram: Histogram | None) -> list[tuple[str, Counter]]:
    if histogram is None:
        return []
    return [(f"{part}_sum", histogram.suffixed("_sum")), (f"{part}_count", histogram.suffixed("_count"))]


def _counted(
    part: str, counter: Counter | None, profile: EngineProfile, scope: Scope, function: str, window: float
) -> list[str]:
    """A part with the events by group of pods: of each pod those of the first name that it exports. None without it."""
    if counter is None:
        return []
    ranges = (f"{function}({series(s, scope.matcher())}[{duration(window)}])" for s in counter.selectors)
    found = either(folded(text, scope, profile.repeated) for text in ranges)
    return [tagged(_scaled(f"sum by ({scope.by()}) ({found})", counter.unit.scale), part)]


def gpus_query(profile: GpuProfile, plan: Plan) -> str:
    """Per pod: mean utilization of its GPUs over the rate window, and when they were last sampled.

    An exporter whose own pod and namespace labels won has the workload's as exported_pod and exported_namespace.
    Values above 1 are the exporter's "no value".
    """
    scope = Scope(plan.scope.namespaces)
    used, times = [], []
    for gauge in profile.utilization:
        for matchers in ((scope.matcher("exported_namespace"),), (scope.matcher(), 'exported_namespace=""')):
            for found in (series(selector, *matchers) for selector in gauge.selectors):
                mean = _scaled(f"avg_over_time({found}[{duration(plan.rate_window_seconds)}])", gauge.unit.scale)
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


def _scaled(expression: str, scale: float) -> str:
    return expression if scale == 1.0 else f"{expression} * {scale!r}"
