"""A load of single requests at random times, counted and extrapolated as Prometheus would show it at its scrapes.

Where `FakeMetrics` gives means, this gives what few requests really look like: windows with two of them and with nine,
a 95th percentile that is one request's, and a batch that is empty at every other look.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from support.fakes import FakeCluster

from flyball.core.names import Indicator, WorkloadKey
from flyball.core.observation import (
    ObjectiveReading,
    Reading,
    SignalState,
    VariantSignals,
    WindowShare,
    WorkloadSignals,
    ok,
)
from flyball.core.spec import Objective, WorkloadSpec
from flyball.telemetry.freshness import quotient
from flyball.telemetry.histograms import Buckets, bracket, good_events, percentiles
from flyball.telemetry.objectives import FEWEST_EVENTS

SCRAPE_SECONDS = 5.0
WINDOW_SECONDS = 20.0
HISTORY_SECONDS = 3600.0
PROMPT_TOKENS, OUTPUT_TOKENS, SECONDS_PER_TOKEN = 1155.0, 211.0, 0.033
FIRST_TOKEN_EDGES = (0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, np.inf)
TOKEN_GAP_EDGES = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, np.inf)

Rate = Callable[[np.ndarray], np.ndarray]
"""By seconds since the world's start, at any number of times at once."""


class Counter:
    """Events at their times, by upper edge of their value; how many in a stretch of time costs no loop."""

    def __init__(self, times: np.ndarray, values: np.ndarray, edges: tuple[float, ...]) -> None:
        order = np.argsort(times)
        self.edges = edges
        self._times = times[order]
        within = values[order][:, None] <= np.array(edges)[None, :]
        self._counts = np.vstack([np.zeros(len(edges)), np.cumsum(within, axis=0)])

    def increase(self, at: float, window: float) -> Buckets:
        """What `increase` tells: events between the first and last scrape of the window, stretched to its length."""
        last = at - at % SCRAPE_SECONDS
        first = at - window + SCRAPE_SECONDS - (at - window) % SCRAPE_SECONDS
        since, until = np.searchsorted(self._times, (first, last), side="right")
        counts = (self._counts[until] - self._counts[since]) * window / (last - first)
        return Buckets(self.edges, tuple(float(count) for count in counts))


@dataclass(frozen=True)
class Load:
    """Poisson arrivals: `rate` requests/s, the `slow` share of which waits ten times as long for its first token."""

    rate: Rate
    slow: Rate = np.zeros_like


class SingleRequests:
    """Implements the Metrics port for one workload: a load that lasts so many seconds after an hour's history."""

    def __init__(self, cluster: FakeCluster, start: float, seconds: float, load: Load, seed: int = 1) -> None:
        self._cluster = cluster
        dice = np.random.default_rng(seed)
        most = float(np.max(load.rate(np.arange(0.0, seconds, 1.0)))) * 1.01
        count = dice.poisson(most * (HISTORY_SECONDS + seconds))
        at = np.sort(dice.uniform(-HISTORY_SECONDS, seconds, count))
        at = at[dice.uniform(0, most, count) < load.rate(np.maximum(at, 0.0))]
        n = len(at)
        prompt = PROMPT_TOKENS * dice.lognormal(-0.5, 1.0, n)
        output = OUTPUT_TOKENS * dice.lognormal(-0.32, 0.8, n)
        waited = 0.05 + 0.00015 * prompt
        waited *= np.where(dice.uniform(size=n) < load.slow(at), 10.0, 1.0)
        gap = SECONDS_PER_TOKEN * dice.uniform(0.95, 1.1, n)
        self._begin = start + at
        self._end = np.sort(self._begin + waited + gap * output)
        self._first = Counter(self._begin + waited, waited, FIRST_TOKEN_EDGES)
        self._gaps = Counter(self._begin + waited + gap * output, gap, TOKEN_GAP_EDGES)

    async def read(self, workloads: Sequence[WorkloadSpec], at: float) -> Mapping[WorkloadKey, WorkloadSignals]:
        return {spec.key: self._signals(spec, at) for spec in workloads}

    def _signals(self, spec: WorkloadSpec, at: float) -> WorkloadSignals:
        windows = {300.0, 3600.0, *(target.window_seconds for target in spec.roi_targets)}
        counts = tuple((window, self._gaps.increase(at, window).total) for window in sorted(windows))
        return WorkloadSignals(
            tuple(self._objective(objective, at) for objective in spec.objectives),
            tuple(self._variant(spec, variant.name, variant.target.name, at) for variant in spec.variants),
            counts,
            tuple((window, count * (PROMPT_TOKENS + OUTPUT_TOKENS)) for window, count in counts),
            WINDOW_SECONDS,
        )

    def _objective(self, objective: Objective, at: float) -> ObjectiveReading:
        counter = self._first if objective.indicator is Indicator.TIME_TO_FIRST_TOKEN else self._gaps
        threshold = objective.threshold_seconds or 0.0
        edges = bracket(counter.edges, threshold)
        found = {w: counter.increase(at, w) for w in (WINDOW_SECONDS, 300.0, objective.window_seconds)}
        shares = tuple(WindowShare(w, good_events(b, edges, threshold) or 0.0, b.total) for w, b in found.items())
        newest = found[WINDOW_SECONDS]
        state = SignalState.OK if newest.total >= FEWEST_EVENTS else SignalState.INSUFFICIENT
        return ObjectiveReading(objective.name, state, shares, percentiles(newest), edges)

    def _variant(self, spec: WorkloadSpec, name: str, target: str, at: float) -> VariantSignals:
        ready = self._cluster.deployments[spec.key.namespace, target].replicas
        scraped = at - at % SCRAPE_SECONDS
        running = float(np.searchsorted(self._begin, scraped) - np.searchsorted(self._end, scraped))
        rate = self._gaps.increase(at, WINDOW_SECONDS).total / WINDOW_SECONDS

        def mean(value: float) -> Reading:
            return quotient(ok(rate * value), ok(rate))

        return VariantSignals(
            name, running=ok(running), waiting=ok(0.0), completions_per_second=ok(rate),
            prompt_tokens_per_second=ok(rate * PROMPT_TOKENS), output_tokens_per_second=ok(running * 30.0),
            prompt_tokens_per_request=mean(PROMPT_TOKENS), output_tokens_per_request=mean(OUTPUT_TOKENS),
            seconds_per_output_token=mean(SECONDS_PER_TOKEN), kv_cache_usage=ok(min(1.0, 0.06 * running / ready)),
            gpu_utilization=ok(min(1.0, running / ready)), cached_prompt_share=ok(0.0),
            reporting_replicas=ok(float(ready)),
        )  # fmt: skip
