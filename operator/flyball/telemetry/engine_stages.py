"""The stages of a request inside its engine, from the engine's own histograms: queue, prefill and decode.

Nobody has to declare them. They are asked for over five minutes and once a minute, beside the ticks, since they steer
nothing; and at once while an objective misses more than it may, so that the stage that is named is the one of now.
An edge that only some pods have counts too few requests: a percentile is then told too high, never too low.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from flyball.core.names import Indicator, WorkloadKey
from flyball.core.observation import WorkloadSignals
from flyball.core.service.latency import StageReading
from flyball.core.spec import WorkloadSpec
from flyball.telemetry.answers import Table
from flyball.telemetry.histograms import BadHistogram, Buckets, merge, percentiles
from flyball.telemetry.objectives import FEWEST_EVENTS
from flyball.telemetry.profiles import EngineProfile
from flyball.telemetry.profiles.model import Histogram
from flyball.telemetry.promql import Scope, duration, either, folded, series, tagged
from flyball.telemetry.slow import Ask, SlowWindows
from flyball.telemetry.windows import SHORT_SECONDS

REFRESH_SECONDS = 60.0
Batch = Callable[[Mapping[str, str], float, float], Awaitable[dict[str, Table]]]
QUEUE, PREFILL, FIRST_TOKEN, DECODE = "Queue", "Prefill", "FirstToken", "Decode"
_WHOLE = "whole"


def histograms(profile: EngineProfile) -> dict[str, Histogram]:
    """What the engine exports of its stages, by their names, in the order of a request's path.

    Where nothing tells prefill from queueing, both together are the time to the first token.
    """
    found = {
        QUEUE: _best(profile, Indicator.QUEUE_TIME),
        PREFILL: profile.prefill_seconds,
        FIRST_TOKEN: None if profile.prefill_seconds else _best(profile, Indicator.TIME_TO_FIRST_TOKEN),
        DECODE: profile.decode_seconds,
    }
    return {name: histogram for name, histogram in found.items() if histogram is not None}


def _best(profile: EngineProfile, indicator: Indicator) -> Histogram | None:
    return next(iter(profile.latencies.get(indicator, ())), None)


def query(profile: EngineProfile, scope: Scope) -> str:
    """Requests by upper edge of every stage and of whole requests; empty where the engine exports no stage."""
    stages = histograms(profile)
    whole = _best(profile, Indicator.END_TO_END)
    parts = (*stages.items(), *([(_WHOLE, whole)] if whole and stages else []))
    return either(tagged(_buckets(profile, scope, histogram), name) for name, histogram in parts)


def _buckets(profile: EngineProfile, scope: Scope, histogram: Histogram) -> str:
    span = f"[{duration(SHORT_SECONDS)}]"
    found = either(f"increase({series(s, scope.matcher())}{span})" for s in histogram.suffixed("_bucket").selectors)
    return f"sum by ({scope.by('le')}) ({folded(found, scope, profile.repeated, 'le')})"


class EngineStagesReader:
    """Asks, and remembers. `batch` asks queries by name within a deadline (monotonic seconds)."""

    def __init__(self, batch: Batch, refresh_seconds: float) -> None:
        self._batch = batch
        self._known = SlowWindows(min(REFRESH_SECONDS, refresh_seconds), Table)

    async def read(
        self, profile: EngineProfile, scope: Scope, at: float, deadline: float, ask_slowly: Ask, *, now: bool
    ) -> Table | None:
        """The answer for all workloads: as remembered from within a minute, unless it is wanted `now`."""
        text = query(profile, scope)
        if now and text:
            return (await self._batch({f"stages of {profile.name}": text}, at, deadline)).popitem()[1]
        asked = {SHORT_SECONDS: text} if text else {}
        return (await self._known.read(profile.name, asked, at, ask_slowly, 0.0)).get(SHORT_SECONDS)

    async def aclose(self) -> None:
        """Stop what runs in the background."""
        await self._known.aclose()


def burning(specs: Iterable[WorkloadSpec], signals: Mapping[WorkloadKey, WorkloadSignals]) -> bool:
    """Whether any objective misses more than it may in its newest window."""
    return any(
        shares[0].usable and shares[0].bad_share > objective.budget
        for spec in specs
        for objective in spec.objectives
        if (shares := signals[spec.key].objective(objective.name).shares)
    )


def apply(spec: WorkloadSpec, signals: WorkloadSignals, profile: EngineProfile, table: Table | None) -> WorkloadSignals:
    """The signals with the engine's stages after those that are declared. A declared stage of the same name stays."""
    if table is None or signals.problem:
        return signals
    declared = {stage.name for stage in spec.telemetry.stages}
    own = (stage for stage in read(spec, profile, table) if stage.name not in declared)
    return replace(signals, stages=(*signals.stages, *own))


def read(spec: WorkloadSpec, profile: EngineProfile, table: Table) -> Iterator[StageReading]:
    """The stages through which requests of the workload passed."""
    whole = _best(profile, Indicator.END_TO_END)
    all_of_it = _merged(spec, table, _WHOLE, whole.scale) if whole else None
    seen = percentiles(all_of_it) if all_of_it is not None and all_of_it.total >= FEWEST_EVENTS else None
    for name, histogram in histograms(profile).items():
        buckets = _merged(spec, table, name, histogram.scale)
        if buckets is not None and (stage := of_buckets(name, buckets)).requests > 0:
            yield replace(stage, measured_by_engine=True, whole_p95=seen.p95 if seen else math.nan)


def of_buckets(name: str, buckets: Buckets | None) -> StageReading:
    """A stage by its histogram. What lies in the first bucket is only known to be below its edge."""
    seen = percentiles(buckets) if buckets is not None and buckets.total >= FEWEST_EVENTS else None
    if buckets is None or seen is None:
        return StageReading(name)
    least = max(0.0, buckets.edges[0])
    return StageReading(name, seen.p50, seen.p95, seen.p99, buckets.total, seen.p95_bounds, least)


def _merged(spec: WorkloadSpec, table: Table, part: str, scale: float) -> Buckets | None:
    rows = table.of_workload(spec, part)
    try:
        return merge((float(row.labels.get("le", "nan")) * scale, row.value) for row in rows)
    except (BadHistogram, ValueError):
        return None
