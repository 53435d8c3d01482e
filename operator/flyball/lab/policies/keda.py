"""KEDA's ScaledObject with a Prometheus trigger: two clocks, two controllers.

Restated from pkg/scaling/executor/scale_scaledobjects.go and pkg/scalers/prometheus_scaler.go. The operator polls every
30 s and moves between zero and one only; an autoscaler that KEDA owns asks KEDA's metrics server every 15 s and moves
between one and many. `cooldown` delays the step to zero alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flyball.lab.fleet.model import ReplicaCounts
from flyball.lab.policies.hpa import SYNC_SECONDS
from flyball.lab.policies.hpa_metrics import ExternalAverage
from flyball.lab.policies.hpa_policies import autoscalers
from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import in_flight, variant_shares


def keda_milli(value: float) -> int:
    """A quantity in thousandths, to the nearest: KEDA prints its values with three digits."""
    return round(round(value, 3) * 1000)


@dataclass(frozen=True, slots=True)
class Activation:
    """When a ScaledObject wakes its target and when it puts it to sleep (seconds)."""

    min_replicas: int
    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    initial_cooldown_seconds: float = 0.0
    threshold: float = 0.0


class Executor:
    """The operator's own loop between zero and one."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self._created: float | None = None
        self._polled: float | None = None
        self._last_active: float | None = None

    def poll(self, replicas: int, value: float | None, now: float) -> int:
        """Replicas after this instant; unchanged between polls. `value` None is an error, which changes nothing."""
        rules = self.activation
        if self._created is None:
            self._created = now
        if self._polled is not None and now - self._polled < rules.polling_seconds - 1e-6:
            return replicas
        self._polled = now
        if value is None:
            return replicas
        if value > rules.threshold:
            self._last_active = now
            return replicas or max(rules.min_replicas, 1)
        if replicas > 0 and rules.min_replicas == 0 and self._cooled(now, self._created):
            return 0
        return max(replicas, rules.min_replicas)

    def _cooled(self, now: float, created: float) -> bool:
        if self._last_active is None:
            return created + self.activation.initial_cooldown_seconds < now
        return self._last_active + self.activation.cooldown_seconds < now


class ConcurrencyKeda:
    """sum(vllm:num_requests_running + vllm:num_requests_waiting), AverageValue.

    The threshold has no default; it is `target_share` of the requests in flight at the capacity test's load. With
    `ignore_null_values`, the default, an empty answer reads as zero: replicas that vanish from Prometheus scale the
    target down.
    """

    name = "keda-concurrency"
    period_seconds = SYNC_SECONDS
    collector_seconds: float | None = None

    def __init__(
        self,
        setting: Setting,
        *,
        target_share: float = 0.7,
        stabilization_seconds: float | None = None,
        cooldown_seconds: float = 300.0,
        ignore_null_values: bool = True,
    ) -> None:
        self._setting = setting
        self._targets = [keda_milli(target_share * concurrency) for concurrency in setting.concurrency_per_replica]
        self._null_value = 0.0 if ignore_null_values else None
        self._executors = [
            Executor(Activation(variant.min_replicas, cooldown_seconds=cooldown_seconds))
            for variant in setting.variants
        ]
        self._hpas = autoscalers(setting, stabilization_seconds)

    def decide(self, view: View) -> Mapping[int, int]:
        shares = variant_shares(view, self._setting)
        return {
            variant: self._replicas(variant, counts, in_flight(view, variant, shares[variant]), view.now)
            for variant, counts in enumerate(view.counts)
        }

    def _replicas(self, variant: int, counts: ReplicaCounts, load: float | None, now: float) -> int:
        value = self._null_value if load is None else load
        polled = self._executors[variant].poll(counts.asked, value, now)
        if polled == 0 or counts.asked == 0:
            return polled
        metric = ExternalAverage(self._targets[variant], None if value is None else keda_milli(value))
        return self._hpas[variant].step(counts, [metric], now)
