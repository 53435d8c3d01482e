"""The horizontal autoscaler as people who serve models set it up: on GPU utilization, or on waiting requests.

One autoscaler for each variant. It never wakes a target from zero, so its least is one replica.
"""

from collections.abc import Mapping

from flyball.lab.policies.hpa import SYNC_SECONDS, Hpa, HpaSpec, with_stabilization
from flyball.lab.policies.hpa_metrics import ExternalAverage, PodsMetric, milli
from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import busy_percents, variant_shares, waiting


def autoscalers(setting: Setting, stabilization_seconds: float | None) -> list[Hpa]:
    """One for each variant, with its bounds and the given window for steps down (None: no `behavior`)."""
    behavior = with_stabilization(stabilization_seconds)
    return [
        Hpa(HpaSpec(max(1, v.min_replicas), max(1, v.max_replicas), behavior), acting=setting.acting)
        for v in setting.variants
    ]


class GpuHpa:
    """DCGM_FI_DEV_GPU_UTIL through the Prometheus adapter: a Pods metric, AverageValue 80 (percent).

    Loading replicas count as running pods without a sample, which the source takes for idle before a step up and for
    on target before a step down: kinder than the near-zero utilization that DCGM may report for them. The source leaves
    out pods that are being deleted; of samples older than a step down the busiest are those of the pods that stay, for
    the idlest go first.
    """

    name = "hpa-gpu"
    period_seconds = SYNC_SECONDS
    collector_seconds: float | None = None

    def __init__(
        self, setting: Setting, *, target_percent: float = 80.0, stabilization_seconds: float | None = None
    ) -> None:
        self._target = milli(target_percent)
        self._hpas = autoscalers(setting, stabilization_seconds)

    def decide(self, view: View) -> Mapping[int, int]:
        asked = {}
        for variant, (hpa, counts) in enumerate(zip(self._hpas, view.counts, strict=True)):
            busy = sorted(busy_percents(view.history, variant), reverse=True)
            samples = tuple(1000 * percent for percent in busy[: counts.ready])
            missing = max(0, counts.ready - len(samples)) + counts.starting
            metric = PodsMetric(self._target, samples, missing=missing, unready=counts.pending)
            asked[variant] = hpa.step(counts, [metric], view.now)
        return asked


class QueueHpa:
    """vllm:num_requests_waiting (and the gateway's queue) with an AverageValue target of 5 requests per replica.

    The target is the one of vLLM production-stack's autoscaling guide. An empty queue asks for nothing, so that the
    windows alone keep replicas: this is how it is used, and why its stabilization is searched.
    """

    name = "hpa-queue"
    period_seconds = SYNC_SECONDS
    collector_seconds: float | None = None

    def __init__(self, setting: Setting, *, target: float = 5.0, stabilization_seconds: float | None = None) -> None:
        self._setting = setting
        self._target = milli(target)
        self._hpas = autoscalers(setting, stabilization_seconds)

    def decide(self, view: View) -> Mapping[int, int]:
        shares = variant_shares(view, self._setting)
        asked = {}
        for variant, (hpa, counts) in enumerate(zip(self._hpas, view.counts, strict=True)):
            queue = waiting(view, variant, shares[variant])
            metric = ExternalAverage(self._target, None if queue is None else milli(queue))
            asked[variant] = hpa.step(counts, [metric], view.now)
        return asked
