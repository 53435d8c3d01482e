"""Knative's pod autoscaler: a stable and a panic window over concurrency, every two seconds.

Restated from pkg/autoscaler/scaling/autoscaler.go, multiscaler.go and pkg/reconciler/autoscaling/resources. Its users
set a target concurrency per replica. What its pods report, the mean over each second, is approximated by one sample a
second; the activator's buffered requests, which its metric includes, are those held at the gateway.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from flyball.lab.policies.kpa_window import Window
from flyball.lab.policies.kpa_zero import UNKNOWN, ZeroGate
from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import in_flight_in, variant_shares

TICK_SECONDS = 2.0
REPORT_SECONDS = 1.0
UTILIZATION = 0.7
_MAX_UP_RATE, _MAX_DOWN_RATE = 1000.0, 2.0
_BURST_CAPACITY = 211.0
# Prometheus as it is mostly set up.
_SLOWEST_COLLECTOR_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class KpaOptions:
    """`target` requests in flight per replica; the panic window as a share of the stable one (seconds)."""

    target: float
    stable_seconds: float = 60.0
    panic_share: float = 0.10
    panic_threshold: float = 2.0
    scale_down_delay_seconds: float = 0.0

    @property
    def panic_seconds(self) -> int:
        """Rounded to whole seconds, of which there is at least one."""
        return max(1, math.floor(self.stable_seconds * self.panic_share + 0.5))

    @property
    def total(self) -> float:
        """What a replica takes at full utilization."""
        return self.target / UTILIZATION


class Decider:
    """One revision's scaler. It starts in panic at the present count where there is more than one replica, as the
    controller does after a restart.
    """

    def __init__(self, options: KpaOptions, ready: int, now: float) -> None:
        self._options = options
        self._panic_since: float | None = now if ready > 1 else None
        self._panic_peak = ready if ready > 1 else 0
        self._delay_ticks = math.ceil(options.scale_down_delay_seconds / TICK_SECONDS)
        self._delayed: deque[tuple[int, int]] = deque()

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
        """The greatest count of as many ticks as the scale-down delay has, this one included."""
        if self._delay_ticks == 0:
            return replicas
        tick = math.floor(now / TICK_SECONDS)
        self._delayed.append((tick, replicas))
        while tick - self._delayed[0][0] >= self._delay_ticks:
            self._delayed.popleft()
        return max(count for _, count in self._delayed)


class Revision:
    """One variant: what was reported, its decider, and its gate to zero."""

    def __init__(self, options: KpaOptions, min_replicas: int = 0) -> None:
        self.options = options
        self._min_replicas = min_replicas
        self._stable = Window(math.ceil(options.stable_seconds))
        self._panic = Window(options.panic_seconds)
        self._decider: Decider | None = None
        self._gate: ZeroGate | None = None
        self._wanted = UNKNOWN
        self._covers_burst = False

    def record(self, at: float, concurrency: float) -> None:
        """What pods and activator report together at `at`."""
        self._stable.record(at, concurrency)
        self._panic.record(at, concurrency)

    def want(self, ready: int, now: float) -> int | None:
        """The scaler's answer at a tick; None where nothing was reported within the stable window."""
        if self._decider is None:
            self._decider = Decider(self.options, ready, now)
        if self._stable.empty(now):
            return None
        panic = self._panic.mean(now)
        self._wanted = self._decider.scale(self._stable.mean(now), panic, ready, now)
        self._covers_burst = math.floor(ready * self.options.total - _BURST_CAPACITY - panic) >= 0
        return self._wanted

    def reconcile(self, ready: int, now: float) -> int | None:
        """Replicas to write at a tick, None to leave them."""
        if self._gate is None:
            self._gate = ZeroGate(self.options.stable_seconds, self._min_replicas, ready, now)
        self.want(ready, now)
        return self._gate.reconcile(self._wanted, ready, covers_burst=self._covers_burst, now=now)


class Kpa:
    """Concurrency per replica. The published target, 70 (100 at a utilization of 70%), fits no model; by default it
    is `target_share` of the requests in flight at the capacity test's load. `target` sets it outright.
    """

    period_seconds = TICK_SECONDS
    collector_seconds: float | None = REPORT_SECONDS

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
        self._setting = setting
        self._seen = -math.inf
        self._revisions = [
            Revision(
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
        self._read(view)
        asked = {}
        for variant, (revision, counts) in enumerate(zip(self._revisions, view.counts, strict=True)):
            replicas = revision.reconcile(counts.ready, view.now)
            if replicas is not None:
                asked[variant] = replicas
        return asked

    def _read(self, view: View) -> None:
        """Take in what was sampled since the last reading. Without pods only requests that wait are reported."""
        shares = variant_shares(view, self._setting)
        for sample in view.history.within(view.now - self._seen):
            apart, self._seen = sample.at - self._seen, sample.at
            for variant, revision in enumerate(self._revisions):
                load = in_flight_in(sample, variant, shares[variant])
                if load > 0 or (sample.variants == variant).any():
                    _report(revision, sample.at, load, apart)


def _report(revision: Revision, at: float, load: float, apart: float) -> None:
    """A sample stands for the seconds since the one before it, where the collector is slower than Knative's own. After
    a longer gap it stands for its own second, and the gap counts as the source counts it.
    """
    seconds = round(apart) if apart <= _SLOWEST_COLLECTOR_SECONDS else 1
    for ago in range(max(1, seconds) - 1, -1, -1):
        revision.record(at - ago, load)
