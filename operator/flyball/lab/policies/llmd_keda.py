"""llm-d's recommended path: KEDA on recording rules, SLO-aware or by queue.

Restated from llm-d's guides/workload-autoscaling (README.slo-aware.md and the queue blueprint). Users of the first
read the router's P90 latencies against two objectives, of the second the queue's length and what runs. The law's
replica count passes through an autoscaler as a metric with target 1, and so through its 10% tolerance.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from flyball.lab.fleet.samples import FIRST_TOKEN, TOKEN_TIME, Column
from flyball.lab.policies.hpa import DEFAULT_DOWN, SYNC_SECONDS, Behavior, Hpa, HpaSpec, RateLimit, ScalingRules, Unit
from flyball.lab.policies.hpa_metrics import ExternalAverage
from flyball.lab.policies.keda import keda_milli
from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import variant_shares, waiting

_FIRST_TOKEN_SECONDS, _TOKEN_SECONDS = 3.0, 0.1
_RULES_SECONDS = 15.0
_CLAMP = 2.0
_QUANTILE, _RATE_SECONDS = 0.9, 60.0
_UP = ScalingRules((RateLimit(Unit.PERCENT, 100, 60.0), RateLimit(Unit.PODS, 4, 60.0)), 30.0)
_DOWN = ScalingRules((RateLimit(Unit.PODS, 1, 120.0),), 180.0)


def slo_replicas(
    pressure: float, replicas: int, ready: int, *, up: float = 0.55, down: float = 0.40, fixed: bool = False
) -> int:
    """Replicas asked for at a smoothed pressure (latency over objective).

    Replicas that load are credited, by ready/replicas, before a step up. As in source the credit can turn a step up
    into a step down (pressure 0.6 with 2 of 8 ready asks for 3); `fixed` stops it at the present count.
    """
    if pressure > up:
        credit = ready / replicas if 0 < ready < replicas else 1.0
        step = math.ceil(round(replicas * (pressure * credit / up - 1), 9))
        return replicas + (max(0, step) if fixed else step)
    if pressure < down:
        return replicas - math.floor(round(replicas * (1 - pressure / down), 9))
    return replicas


class SloKeda:
    """P90 of time to first token and of time per output token over a minute, relative to the scenario's thresholds.

    An objective that the scenario lacks is left out; without either, the guide's 3 s and 100 ms hold. No traffic and
    missing metrics both read as no pressure, which asks for the least, as the guide states.
    """

    period_seconds = _RULES_SECONDS
    collector_seconds: float | None = None

    def __init__(
        self,
        setting: Setting,
        *,
        name: str = "llmd-keda",
        up: float = 0.55,
        down: float = 0.40,
        smoothing_seconds: float = 45.0,
        fixed: bool = False,
    ) -> None:
        self.name = name
        self._up, self._down, self._fixed = up, down, fixed
        thresholds = {objective.indicator: objective.threshold_seconds for objective in setting.objectives}
        self._first_token = thresholds.get("TimeToFirstToken")
        self._token_time = thresholds.get("InterTokenLatency")
        if self._first_token is None and self._token_time is None:
            self._first_token, self._token_time = _FIRST_TOKEN_SECONDS, _TOKEN_SECONDS
        kept = max(1, round(smoothing_seconds / _RULES_SECONDS))
        self._pressures: list[deque[float]] = [deque(maxlen=kept) for _ in setting.variants]
        self._hpas = [
            Hpa(
                HpaSpec(max(1, variant.min_replicas), max(1, variant.max_replicas), Behavior(_UP, _DOWN)),
                acting=setting.acting,
            )
            for variant in setting.variants
        ]

    def decide(self, view: View) -> Mapping[int, int]:
        asked = {}
        for variant, counts in enumerate(view.counts):
            pressures = self._pressures[variant]
            pressures.append(min(self._pressure(view, variant), _CLAMP))
            smoothed = sum(pressures) / len(pressures)
            replicas = slo_replicas(
                smoothed, counts.asked, counts.ready, up=self._up, down=self._down, fixed=self._fixed
            )
            metric = ExternalAverage(keda_milli(1), keda_milli(max(0, replicas)))
            asked[variant] = self._hpas[variant].step(counts, [metric], view.now)
        return asked

    def _pressure(self, view: View, variant: int) -> float:
        pressure = 0.0
        for histogram, threshold in ((FIRST_TOKEN, self._first_token), (TOKEN_TIME, self._token_time)):
            if threshold is not None:
                latency = view.history.quantile(histogram, _QUANTILE, _RATE_SECONDS, variant)
                pressure = pressure if math.isnan(latency) else max(pressure, latency / threshold)
        return pressure


class QueueKeda:
    """The queue blueprint: the greater of queue size over 1 and running requests over 16, both per replica.

    The numbers are the blueprint's, whatever the model. An empty answer reads as zero, as KEDA does by default.
    """

    name = "llmd-queue"
    period_seconds = SYNC_SECONDS
    collector_seconds: float | None = None

    def __init__(
        self,
        setting: Setting,
        *,
        queue_target: float = 1.0,
        running_target: float = 16.0,
        stabilization_seconds: float = 300.0,
    ) -> None:
        self._setting = setting
        self._queue_target, self._running_target = keda_milli(queue_target), keda_milli(running_target)
        up = ScalingRules((RateLimit(Unit.PERCENT, 100, 15.0),), 0.0)
        behavior = Behavior(up, replace(DEFAULT_DOWN, stabilization_seconds=stabilization_seconds))
        self._hpas = [
            Hpa(HpaSpec(max(1, variant.min_replicas), max(1, variant.max_replicas), behavior), acting=setting.acting)
            for variant in setting.variants
        ]

    def decide(self, view: View) -> Mapping[int, int]:
        shares = variant_shares(view, self._setting)
        asked = {}
        for variant, counts in enumerate(view.counts):
            queue = waiting(view, variant, shares[variant]) or 0.0
            running = float(view.history.gauge(Column.RUNNING, variant).sum())
            metrics = [
                ExternalAverage(self._queue_target, keda_milli(queue)),
                ExternalAverage(self._running_target, keda_milli(running)),
            ]
            asked[variant] = self._hpas[variant].step(counts, metrics, view.now)
        return asked
