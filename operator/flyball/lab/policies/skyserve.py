"""SkyServe's request-rate autoscaler: arrivals over the last minute, and counts of consecutive decisions.

Restated from sky/serve/autoscalers.py and constants.py. Its users set target_qps_per_replica, which has no default: it
is `target_share` of the capacity test's load. A change takes effect after 15 decisions in a row that want more, or 60
that want less, 20 s apart; a contrary one starts over. Its least is one replica, its default.
"""

import math
from collections.abc import Mapping

from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import variant_shares

DECISION_SECONDS = 20.0
_RATE_SECONDS = 60.0


class Hysteresis:
    """Counts consecutive decisions above and below the target."""

    def __init__(self, upscale_delay_seconds: float, downscale_delay_seconds: float) -> None:
        self._up_needed = math.ceil(upscale_delay_seconds / DECISION_SECONDS)
        self._down_needed = math.ceil(downscale_delay_seconds / DECISION_SECONDS)
        self._up = self._down = 0

    def apply(self, target: int, wanted: int) -> int:
        self._up = self._up + 1 if wanted > target else 0
        self._down = self._down + 1 if wanted < target else 0
        if self._up < self._up_needed and wanted > target:
            return target
        if self._down < self._down_needed and wanted < target:
            return target
        self._up = self._down = 0
        return wanted


class SkyServe:
    """Requests that arrive at its load balancer, per second."""

    name = "skyserve"
    period_seconds = DECISION_SECONDS
    collector_seconds: float | None = DECISION_SECONDS

    def __init__(
        self,
        setting: Setting,
        *,
        target_share: float = 0.7,
        upscale_delay_seconds: float = 300.0,
        downscale_delay_seconds: float = 1200.0,
    ) -> None:
        self._setting = setting
        self._rates = [target_share * capacity for capacity in setting.capacity_per_replica]
        self._targets = list(setting.initial_replicas)
        self._hysteresis = [Hysteresis(upscale_delay_seconds, downscale_delay_seconds) for _ in setting.variants]

    def decide(self, view: View) -> Mapping[int, int]:
        rate = _arrival_rate(view)
        if rate is None:
            return {}
        shares = variant_shares(view, self._setting)
        for index, variant in enumerate(self._setting.variants):
            wanted = math.ceil(round(rate * shares[index] / self._rates[index], 9))
            wanted = min(max(wanted, 1, variant.min_replicas), variant.max_replicas)
            self._targets[index] = self._hysteresis[index].apply(self._targets[index], wanted)
        return dict(enumerate(self._targets))


def _arrival_rate(view: View) -> float | None:
    """Arrivals of the last minute, per second; None before its samples span any time."""
    samples = view.history.within(_RATE_SECONDS + DECISION_SECONDS)
    if len(samples) < 2:
        return None
    newest = samples[-1]
    oldest = next((sample for sample in samples if sample.at >= newest.at - _RATE_SECONDS), newest)
    elapsed = newest.at - oldest.at
    return (newest.arrived - oldest.arrived) / elapsed if elapsed > 0 else None
