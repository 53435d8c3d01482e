"""Ray Serve's autoscaling: ongoing requests per replica, and timers of consecutive agreement.

Restated from python/ray/serve/autoscaling_policy.py. Its users set target_ongoing_requests. The control loop runs
every 0.1 s and counts how often in a row it wanted a change; between two metric pushes, 10 s apart, it sees the same
number, so that its ticks are counted in one go without changing what it decides. The handles' records (0.5 s apart,
mean over 30 s) are approximated by samples two seconds apart.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import LoadWindow

PUSH_SECONDS = 10.0
LOOP_SECONDS = 0.1
_SAMPLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Target requests in flight per replica, delays in seconds, factors on the wanted step."""

    target_ongoing: float = 2.0
    min_replicas: int = 1
    max_replicas: int = 100
    upscale_delay_seconds: float = 30.0
    downscale_delay_seconds: float = 600.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0


def wanted_replicas(options: RayOptions, running: int, total: float) -> int:
    """What one loop wants, before its timers, with `running` replicas and `total` requests in flight or waiting."""
    raw = total / options.target_ongoing
    factor = options.upscaling_factor if raw > running else options.downscaling_factor
    wanted = math.ceil(round(running + factor * (raw - running), 9))
    if math.ceil(round(raw, 9)) < running and wanted == running:
        wanted -= 1
    return min(max(wanted, options.min_replicas), options.max_replicas)


class AgreementTimer:
    """The decision counter: a change takes effect with the tick after `delay / 0.1 s` that agree on its direction, and
    takes the last wanted value. One contrary tick starts over.
    """

    def __init__(self, options: RayOptions) -> None:
        self._options = options
        self._counter = 0

    def advance(self, target: int, wanted: int, ticks: int) -> int:
        """The target after `ticks` loops that want the same."""
        while ticks > 0 and wanted != target:
            up = wanted > target
            if (self._counter < 0) == up:
                self._counter = 0
            # Only the last replica may go to zero, on its own.
            goal = wanted if up or target <= 1 else max(wanted, 1)
            delay = self._options.upscale_delay_seconds if up else self._options.downscale_delay_seconds
            left = int(delay / LOOP_SECONDS) + 1 - abs(self._counter)
            if ticks < left:
                self._counter += ticks if up else -ticks
                return target
            ticks -= left
            self._counter = 0
            target = goal
        if ticks > 0:
            self._counter = 0
        return target


class _Deployment:
    def __init__(self, options: RayOptions, initial: int) -> None:
        self._options = options
        self._timer = AgreementTimer(options)
        self._target = initial
        self._wanted = initial

    def decide(self, running: int, total: float | None, ticks: int) -> int:
        """`ticks` loops passed since the last push; the last of them is the first that sees this `total`."""
        self._target = self._timer.advance(self._target, self._wanted, ticks - 1)
        if total is None:
            return self._target
        if running == 0:
            if total > 0:
                self._target = max(math.ceil(self._options.upscaling_factor), self._target)
            self._wanted = self._target
            return self._target
        self._wanted = wanted_replicas(self._options, running, total)
        self._target = self._timer.advance(self._target, self._wanted, 1)
        return self._target


class RayServe:
    """Requests ongoing and queued. The published target, 2 per replica, fits no engine that batches; by default it is
    `target_share` of the requests in flight at the capacity test's load. `target_ongoing` sets it outright.
    """

    period_seconds = PUSH_SECONDS
    collector_seconds: float | None = _SAMPLE_SECONDS

    def __init__(
        self,
        setting: Setting,
        *,
        name: str = "ray",
        target_share: float = 0.7,
        target_ongoing: float | None = None,
        upscale_delay_seconds: float = 30.0,
        downscale_delay_seconds: float = 600.0,
        look_back_seconds: float = 30.0,
    ) -> None:
        self.name = name
        self._window = LoadWindow(setting, look_back_seconds)
        self._deployments = [
            _Deployment(
                RayOptions(
                    target_share * concurrency if target_ongoing is None else target_ongoing,
                    variant.min_replicas,
                    variant.max_replicas,
                    upscale_delay_seconds,
                    downscale_delay_seconds,
                ),
                initial,
            )
            for variant, concurrency, initial in zip(
                setting.variants, setting.concurrency_per_replica, setting.initial_replicas, strict=True
            )
        ]
        self._ticks = round(PUSH_SECONDS / LOOP_SECONDS)

    def decide(self, view: View) -> Mapping[int, int]:
        self._window.read(view)
        return {
            variant: deployment.decide(counts.ready, self._window.mean(variant), self._ticks)
            for variant, (deployment, counts) in enumerate(zip(self._deployments, view.counts, strict=True))
        }
