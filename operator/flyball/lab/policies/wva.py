"""llm-d's workload variant autoscaler (deprecated by its authors), saturation analyzers V1 and V2.

Restated from internal/saturation/analyzer.go, internal/engines/analyzers/saturation_v2 and the cost-aware optimizer.
It reads each vLLM pod's KV cache usage and waiting requests every 30 s and publishes a replica count within each
variant's bounds (as its version 0.9 has it), which an autoscaler applies every 15 s as an external metric with target
1, with the windows that its FAQ recommends (120 s up, 300 s down). As in source the autoscaler's 10% tolerance
swallows single steps from 10 replicas on, and V1, which waits for its last count to be reached, then stands still;
`tolerance` 0 is the "fixed" form, which Kubernetes allows since 1.33. Requests held at a gateway are not seen: wiring
the scheduler's queue is a TODO in the source.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flyball.lab.fleet.model import ReplicaCounts
from flyball.lab.fleet.samples import Column
from flyball.lab.policies.hpa import DEFAULT_DOWN, DEFAULT_UP, SYNC_SECONDS, Behavior, Hpa, HpaSpec
from flyball.lab.policies.hpa_metrics import ExternalAverage, milli
from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.wva_tokens import TokenAnalyzer, TokenOptions

ENGINE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SaturationOptions:
    """V1's thresholds: KV usage (0 to 1) and waiting requests of one replica, and the spare of each that triggers."""

    kv_threshold: float = 0.80
    queue_threshold: float = 5.0
    kv_spare: float = 0.10
    queue_spare: float = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """One replica's share of the KV cache in use and its waiting requests."""

    kv: float
    queue: float


def saturation_step(options: SaturationOptions, loads: Sequence[Load]) -> int:
    """+1, 0 or -1 for the model's replicas, all variants pooled."""
    unsaturated = [load for load in loads if load.kv < options.kv_threshold and load.queue < options.queue_threshold]
    count = len(unsaturated)
    kv = sum(load.kv for load in unsaturated) / count if count else options.kv_threshold
    queue = sum(load.queue for load in unsaturated) / count if count else options.queue_threshold
    if options.kv_threshold - kv < options.kv_spare or options.queue_threshold - queue < options.queue_spare:
        return 1
    if count < 2:
        return 0
    # What the others would carry with one replica less.
    rest = count / (count - 1)
    kv_fits = options.kv_threshold - kv * rest >= options.kv_spare
    return -1 if kv_fits and options.queue_threshold - queue * rest >= options.queue_spare else 0


def place_step(
    step: int, desired: Sequence[int], counts: Sequence[ReplicaCounts], costs: Sequence[float], names: Sequence[str]
) -> list[int]:
    """V1's choice of a variant: up on the cheapest without pending replicas, down on the dearest above one."""
    placed = list(desired)
    if step > 0:
        eligible = [index for index, each in enumerate(counts) if each.starting + each.pending == 0]
        if eligible:
            placed[min(eligible, key=lambda index: (costs[index], names[index]))] += 1
    elif step < 0:
        eligible = [index for index, each in enumerate(desired) if each > 1]
        if eligible:
            dearest = max(costs[index] for index in eligible)
            placed[max((index for index in eligible if costs[index] == dearest), key=lambda index: names[index])] -= 1
    return placed


class Wva:
    """`version` 1: one replica up or down each 30 s while nothing is in transition; 2: by tokens, in one step."""

    period_seconds = SYNC_SECONDS
    collector_seconds: float | None = None

    def __init__(
        self,
        setting: Setting,
        *,
        name: str = "wva",
        version: int = 1,
        kv_threshold: float = 0.80,
        queue_threshold: float = 5.0,
        kv_spare: float = 0.10,
        queue_spare: float = 3.0,
        up_threshold: float = 0.85,
        down_boundary: float = 0.70,
        up_stabilization_seconds: float = 120.0,
        down_stabilization_seconds: float = 300.0,
        tolerance: float = 0.1,
    ) -> None:
        if version not in (1, 2):
            raise ValueError(f"wva: version is {version!r}; give 1 (saturation) or 2 (tokens)")
        self.name = name
        self._version = version
        self._options = SaturationOptions(kv_threshold, queue_threshold, kv_spare, queue_spare)
        self._costs = [float(variant.price_per_gpu_hour) * variant.gpus_per_replica for variant in setting.variants]
        self._names = [variant.name for variant in setting.variants]
        token_options = TokenOptions(kv_threshold, queue_threshold, up_threshold, down_boundary)
        self._tokens = TokenAnalyzer(token_options, [variant.engine for variant in setting.variants], self._costs)
        behavior = Behavior(
            replace(DEFAULT_UP, stabilization_seconds=up_stabilization_seconds),
            replace(DEFAULT_DOWN, stabilization_seconds=down_stabilization_seconds),
        )
        self._hpas = [
            Hpa(
                HpaSpec(max(1, variant.min_replicas), max(1, variant.max_replicas), behavior, tolerance),
                acting=setting.acting,
            )
            for variant in setting.variants
        ]
        self._bounds = [(variant.min_replicas, variant.max_replicas) for variant in setting.variants]
        self._desired: list[int] = []
        self._ran = -math.inf

    def decide(self, view: View) -> Mapping[int, int]:
        if view.now - self._ran >= ENGINE_SECONDS - 1e-6:
            self._ran = view.now
            self._desired = [
                min(max(replicas, least), most)
                for replicas, (least, most) in zip(self._run(view), self._bounds, strict=True)
            ]
        return {
            variant: hpa.step(counts, [ExternalAverage(milli(1), milli(self._desired[variant]))], view.now)
            for variant, (hpa, counts) in enumerate(zip(self._hpas, view.counts, strict=True))
        }

    def _run(self, view: View) -> list[int]:
        """The engine's tick: what it publishes from now on. Without metrics it keeps to its last count."""
        current = [counts.asked for counts in view.counts]
        desired = self._desired or current
        sample = view.history.latest
        if sample is None:
            return desired
        reporting = [int((sample.variants == variant).sum()) for variant in range(len(current))]
        if self._version == 2:
            if sum(reporting) == 0:
                return desired
            return self._tokens.plan(view)
        if desired != current or reporting != current:
            return desired
        loads = [Load(float(row[Column.KV_USAGE]), float(row[Column.WAITING])) for row in sample.values]
        return place_step(saturation_step(self._options, loads), desired, view.counts, self._costs, self._names)
