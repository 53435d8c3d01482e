"""Knative's pod autoscaler: a stable and a panic window over concurrency, every two seconds.

Restated from pkg/autoscaler/scaling/autoscaler.go, multiscaler.go and the reconciler's scale-to-zero. Its users set a
target concurrency per replica. The one-second buckets of its collector are approximated by samples two seconds apart;
the activator's buffered requests, which its metric includes, are those held at the gateway.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from flyball.lab.fleet.model import ReplicaCounts
from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import LoadWindow

TICK_SECONDS = 2.0
_MAX_UP_RATE, _MAX_DOWN_RATE = 1000.0, 2.0
_GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class KpaOptions:
    """`target` requests in flight per replica; the panic window as a share of the stable one (seconds)."""

    target: float
    stable_seconds: float = 60.0
    panic_share: float = 0.10
    panic_threshold: float = 2.0
    scale_down_delay_seconds: float = 0.0


class Decider:
    """One revision's scaler. It starts in panic at the present count where there is more than one replica, as the
    controller does after a restart.
    """

    def __init__(self, options: KpaOptions, ready: int, now: float) -> None:
        self._options = options
        self._panic_since: float | None = now if ready > 1 else None
        self._panic_peak = ready if ready > 1 else 0
        self._delayed: deque[tuple[float, int]] = deque()

    @property
    def panicking(self) -> bool:
        return self._panic_since is not None

    def scale(self, stable: float, panic: float, ready_pods: int, now: float) -> int:
        """Replicas wanted at these window averages of the concurrency."""
        options = self._options
        ready = max(1, ready_pods)
        most, least = math.ceil(_MAX_UP_RATE * ready), math.floor(ready / _MAX_DOWN_RATE)
        panic_raw = math.ceil(panic / options.target)
        stable_count = min(max(math.ceil(stable / options.target), least), most)
        panic_count = min(max(panic_raw, least), most)
        if panic_raw / ready >= options.panic_threshold:
            self._panic_since = now
        elif self._panic_since is not None and self._panic_since + options.stable_seconds < now:
            self._panic_since, self._panic_peak = None, 0
        replicas = stable_count
        if self._panic_since is not None:
            self._panic_peak = max(self._panic_peak, stable_count, panic_count)
            replicas = self._panic_peak
        return self._after_delay(replicas, now)

    def _after_delay(self, replicas: int, now: float) -> int:
        """The greatest count of the scale-down delay."""
        if self._options.scale_down_delay_seconds <= 0:
            return replicas
        self._delayed.append((now, replicas))
        while self._delayed[0][0] < now - self._options.scale_down_delay_seconds:
            self._delayed.popleft()
        return max(count for _, count in self._delayed)


class ZeroGate:
    """Lets a revision go to zero only after it was active for the stable window and idle for the grace period."""

    def __init__(self, stable_seconds: float) -> None:
        self._stable_seconds = stable_seconds
        self._active_since: float | None = None
        self._idle_since: float | None = None

    def apply(self, replicas: int, current: int, now: float) -> int:
        if replicas > 0 or current == 0:
            self._idle_since = None
            if replicas == 0:
                self._active_since = None
            elif self._active_since is None:
                self._active_since = now
            return replicas
        if self._active_since is None:
            self._active_since = now
        if now - self._active_since < self._stable_seconds:
            return 1
        if self._idle_since is None:
            self._idle_since = now
        return 0 if now - self._idle_since >= _GRACE_SECONDS else 1


class _Revision:
    """One variant: its decider and its gate."""

    def __init__(self, options: KpaOptions, min_replicas: int) -> None:
        self._options = options
        self._min_replicas = min_replicas
        self._decider: Decider | None = None
        self._gate = ZeroGate(options.stable_seconds)

    def decide(self, stable: float, panic: float, counts: ReplicaCounts, now: float) -> int:
        if self._decider is None:
            self._decider = Decider(self._options, counts.ready, now)
        replicas = self._decider.scale(stable, panic, counts.ready, now)
        if self._min_replicas > 0:
            return max(replicas, self._min_replicas)
        return self._gate.apply(replicas, counts.asked, now)


class Kpa:
    """Concurrency per replica. The published target, 70 (100 at a utilization of 70%), fits no model; by default it
    is `target_share` of the requests in flight at the capacity test's load. `target` sets it outright.
    """

    period_seconds = TICK_SECONDS
    collector_seconds: float | None = TICK_SECONDS

    def __init__(
        self,
        setting: Setting,
        *,
        name: str = "kpa",
        target_share: float = 0.7,
        target: float | None = None,
        stable_seconds: float = 60.0,
        panic_share: float = 0.10,
        scale_down_delay_seconds: float = 0.0,
    ) -> None:
        self.name = name
        self._panic_seconds = stable_seconds * panic_share
        self._window = LoadWindow(setting, stable_seconds)
        self._revisions = [
            _Revision(
                KpaOptions(
                    target_share * concurrency if target is None else target,
                    stable_seconds=stable_seconds,
                    panic_share=panic_share,
                    scale_down_delay_seconds=scale_down_delay_seconds,
                ),
                variant.min_replicas,
            )
            for variant, concurrency in zip(setting.variants, setting.concurrency_per_replica, strict=True)
        ]

    def decide(self, view: View) -> Mapping[int, int]:
        self._window.read(view)
        asked = {}
        for variant, (revision, counts) in enumerate(zip(self._revisions, view.counts, strict=True)):
            stable = self._window.mean(variant)
            panic = self._window.mean(variant, view.now - self._panic_seconds)
            # Without data in either window the scale is kept.
            if stable is not None and panic is not None:
                asked[variant] = revision.decide(stable, panic, counts, view.now)
        return asked
