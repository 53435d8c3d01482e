"""AIBrix's application pod autoscaler (APA), as in source and with its cooldown put right.

Restated from pkg/controller/podautoscaler (algorithm/apa.go, podautoscaler_controller.go). Its documentation scales on
the pods' KV cache usage with a target of 0.5. The present count is the scale's, whether or not pods are ready, so that
it compounds while replicas load. Steps are capped to twice and half.

As in source the cooldown of 300 s is reversed against the horizontal autoscaler's: a step down takes the *least*
recommendation of the window, so that it is immediate and may follow an old dip. `fixed` takes the greatest for a step
down and the least for a step up.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from flyball.lab.fleet.samples import Column
from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import mean_gauge

RESYNC_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ApaOptions:
    """Relative tolerances, rates as factors, cooldowns in seconds."""

    target: float = 0.5
    up_tolerance: float = 0.1
    down_tolerance: float = 0.1
    max_up_rate: float = 2.0
    max_down_rate: float = 2.0
    up_cooldown_seconds: float = 0.0
    down_cooldown_seconds: float = 300.0
    fixed: bool = False


def apa_replicas(options: ApaOptions, current: int, usage: float) -> int:
    """Replicas for a mean usage per pod."""
    ratio = usage / options.target
    wanted = math.ceil(round(current * ratio, 9))
    if ratio > 1 + options.up_tolerance:
        return min(wanted, math.ceil(options.max_up_rate * current))
    if ratio < 1 - options.down_tolerance:
        return max(wanted, math.floor(current / options.max_down_rate))
    return current


class Cooldown:
    """The recommendations of the cooldown windows, and which of them is followed."""

    def __init__(self, options: ApaOptions) -> None:
        self._options = options
        self._recent: deque[tuple[float, int]] = deque()

    def apply(self, current: int, recommended: int, now: float) -> int:
        options = self._options
        self._recent.append((now, recommended))
        longest = max(options.up_cooldown_seconds, options.down_cooldown_seconds)
        while self._recent[0][0] < now - longest:
            self._recent.popleft()
        if recommended == current:
            return current
        down = recommended < current
        window = options.down_cooldown_seconds if down else options.up_cooldown_seconds
        within = [count for at, count in self._recent if at >= now - window]
        return max(within) if down == options.fixed else min(within)


class Apa:
    """vLLM's KV cache usage, mean over the pods that answer; without an answer nothing changes.

    Scale to zero is off by default, and without pods there is no metric to come back by.
    """

    period_seconds = RESYNC_SECONDS
    collector_seconds: float | None = RESYNC_SECONDS

    def __init__(
        self,
        setting: Setting,
        *,
        name: str = "aibrix-apa",
        target: float = 0.5,
        down_cooldown_seconds: float = 300.0,
        fixed: bool = False,
    ) -> None:
        self.name = name
        self._options = ApaOptions(target=target, down_cooldown_seconds=down_cooldown_seconds, fixed=fixed)
        self._bounds = [(max(1, variant.min_replicas), variant.max_replicas) for variant in setting.variants]
        self._cooldowns = [Cooldown(self._options) for _ in setting.variants]

    def decide(self, view: View) -> Mapping[int, int]:
        asked = {}
        for variant, counts in enumerate(view.counts):
            usage = mean_gauge(view, Column.KV_USAGE, variant)
            if usage is None:
                continue
            least, most = self._bounds[variant]
            recommended = min(max(apa_replicas(self._options, counts.asked, usage), least), most)
            asked[variant] = self._cooldowns[variant].apply(counts.asked, recommended, view.now)
        return asked
