"""The Kubernetes horizontal autoscaler's decision: metrics combined, windows, rate limits, bounds.

Restated from pkg/controller/podautoscaler/horizontal.go, as a pure step from a state to the next. The two branches
differ and both are kept: without `behavior` the greatest recommendation of the last 300 s counts and a step up is
limited to twice the replicas or 4; with it, both windows always apply and the rate limits are the user's. Windows
compare as in the source: without behavior a recommendation exactly as old as the window still counts, with it not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from flyball.lab.fleet.model import ReplicaCounts
from flyball.lab.policies.hpa_metrics import Metric, Scale, Tolerance

SYNC_SECONDS = 15.0


class Unit(StrEnum):
    PODS = "Pods"
    PERCENT = "Percent"


class Select(StrEnum):
    """Which of several rate limits counts: the one that allows the greatest change, the least, or none at all."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `value` pods or percent of change within `period_seconds`."""

    unit: Unit
    value: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """One direction of `behavior`; the tolerance is the controller's where it is None."""

    limits: tuple[RateLimit, ...]
    stabilization_seconds: float
    select: Select = Select.MAX
    tolerance: float | None = None


# The API's defaults for what a user's `behavior` leaves out (apis/autoscaling/v2/defaults.go).
DEFAULT_UP = ScalingRules((RateLimit(Unit.PODS, 4, 15.0), RateLimit(Unit.PERCENT, 100, 15.0)), 0.0)
DEFAULT_DOWN = ScalingRules((RateLimit(Unit.PERCENT, 100, 15.0),), 300.0)


@dataclass(frozen=True, slots=True)
class Behavior:
    up: ScalingRules = DEFAULT_UP
    down: ScalingRules = DEFAULT_DOWN


@dataclass(frozen=True, slots=True)
class HpaSpec:
    """One HorizontalPodAutoscaler and the controller's flags."""

    min_replicas: int
    max_replicas: int
    behavior: Behavior | None = None
    tolerance: float = 0.1
    downscale_stabilization_seconds: float = 300.0

    @property
    def tolerances(self) -> Tolerance:
        up = self.behavior.up.tolerance if self.behavior else None
        down = self.behavior.down.tolerance if self.behavior else None
        return Tolerance(self.tolerance if up is None else up, self.tolerance if down is None else down)


@dataclass(frozen=True, slots=True)
class HpaState:
    """What the controller remembers: raw recommendations, and replicas added and removed, each as (when, how many)."""

    recommendations: tuple[tuple[float, int], ...] = ()
    added: tuple[tuple[float, int], ...] = ()
    removed: tuple[tuple[float, int], ...] = ()


def recommend(
    spec: HpaSpec, state: HpaState, scale: Scale, metrics: Sequence[Metric], now: float
) -> tuple[HpaState, int]:
    """One reconciliation at `now` (seconds): the next state, and the replicas to write (those of `scale` for none)."""
    if not state.recommendations:
        state = replace(state, recommendations=((now, scale.spec),))
    current = scale.spec
    if current == 0 and spec.min_replicas != 0:
        return state, 0
    if current > spec.max_replicas:
        return _scaled(spec, state, current, spec.max_replicas, now)
    if current < spec.min_replicas:
        return _scaled(spec, state, current, spec.min_replicas, now)
    raw = combine([metric.propose(scale, spec.tolerances) for metric in metrics], current)
    if raw is None:
        return state, current
    if spec.behavior is None:
        replicas = _without_behavior(spec, state, current, raw, now)
    else:
        replicas = _with_behavior(spec, spec.behavior, state, current, raw, now)
    remembered = _remember(spec, state, raw, now)
    return _scaled(spec, remembered, current, replicas, now)


def combine(proposals: Sequence[int | None], current: int) -> int | None:
    """The greatest proposal; None (no change) where all failed, or where some failed and the rest asks for less."""
    valid = [proposal for proposal in proposals if proposal is not None]
    if not valid:
        return None
    greatest = max(valid)
    return None if len(valid) < len(proposals) and greatest < current else greatest


def _without_behavior(spec: HpaSpec, state: HpaState, current: int, raw: int, now: float) -> int:
    since = now - spec.downscale_stabilization_seconds
    stabilized = max([raw, *(replicas for at, replicas in state.recommendations if at >= since)])
    highest = min(spec.max_replicas, max(2 * current, 4))
    return min(max(stabilized, spec.min_replicas), highest)


def _with_behavior(spec: HpaSpec, behavior: Behavior, state: HpaState, current: int, raw: int, now: float) -> int:
    low = min([raw, *_within(state.recommendations, now - behavior.up.stabilization_seconds)])
    high = max([raw, *_within(state.recommendations, now - behavior.down.stabilization_seconds)])
    # Both windows apply whatever the direction: move only as far as needed to lie between them.
    stabilized = min(max(current, low), high)
    if stabilized > current:
        return min(stabilized, spec.max_replicas, up_limit(behavior.up, state, current, now))
    if stabilized < current:
        return max(stabilized, spec.min_replicas, down_limit(behavior.down, state, current, now))
    return stabilized


def up_limit(rules: ScalingRules, state: HpaState, current: int, now: float) -> int:
    """The most replicas that the rate limits allow."""
    if rules.select is Select.DISABLED:
        return current
    allowed = []
    for limit in rules.limits:
        base = _at_period_start(limit, state, current, now)
        pods = limit.unit is Unit.PODS
        allowed.append(base + limit.value if pods else math.ceil(base * (1 + limit.value / 100)))
    choose = min if rules.select is Select.MIN else max
    return max(current, choose(allowed, default=current))


def down_limit(rules: ScalingRules, state: HpaState, current: int, now: float) -> int:
    """The fewest replicas that the rate limits allow."""
    if rules.select is Select.DISABLED:
        return current
    allowed = []
    for limit in rules.limits:
        base = _at_period_start(limit, state, current, now)
        pods = limit.unit is Unit.PODS
        allowed.append(base - limit.value if pods else int(base * (1 - limit.value / 100)))
    choose = max if rules.select is Select.MIN else min
    return min(current, choose(allowed, default=current))


def _at_period_start(limit: RateLimit, state: HpaState, current: int, now: float) -> int:
    since = now - limit.period_seconds
    return current - sum(_within(state.added, since)) + sum(_within(state.removed, since))


def _within(events: tuple[tuple[float, int], ...], since: float) -> list[int]:
    return [count for at, count in events if at > since]


def _remember(spec: HpaSpec, state: HpaState, raw: int, now: float) -> HpaState:
    """The raw recommendation joins those that a window can still reach."""
    keep = spec.downscale_stabilization_seconds
    if spec.behavior is not None:
        keep = max(spec.behavior.up.stabilization_seconds, spec.behavior.down.stabilization_seconds)
    kept = tuple(entry for entry in state.recommendations if entry[0] >= now - keep)
    return replace(state, recommendations=(*kept, (now, raw)))


def _scaled(spec: HpaSpec, state: HpaState, current: int, replicas: int, now: float) -> tuple[HpaState, int]:
    """Only with `behavior` are the steps remembered: its rate limits alone need them."""
    if spec.behavior is None or replicas == current:
        return state, replicas
    if replicas > current:
        return replace(state, added=_stored(state.added, spec.behavior.up, replicas - current, now)), replicas
    return replace(state, removed=_stored(state.removed, spec.behavior.down, current - replicas, now)), replicas


def _stored(
    events: tuple[tuple[float, int], ...], rules: ScalingRules, change: int, now: float
) -> tuple[tuple[float, int], ...]:
    """As in the source a step takes the place of the last one beyond its own direction's longest period, even where
    the other direction's limits still counted that one.
    """
    since = now - max((limit.period_seconds for limit in rules.limits), default=0.0)
    outdated = [index for index, (at, _) in enumerate(events) if at < since]
    if not outdated:
        return (*events, (now, change))
    return (*events[: outdated[-1]], (now, change), *events[outdated[-1] + 1 :])


def scale_of(counts: ReplicaCounts) -> Scale:
    """A variant's counts as the controller reads them; pods being deleted are not counted."""
    return Scale(counts.asked, counts.present, counts.ready)


def with_stabilization(seconds: float | None) -> Behavior | None:
    """No `behavior` at all, the way most manifests are written, or one that sets only the window for steps down."""
    return None if seconds is None else Behavior(down=replace(DEFAULT_DOWN, stabilization_seconds=seconds))


class Hpa:
    """One autoscaler that remembers, for the policies that scale through it.

    Where it is not `acting` it remembers no steps: the source stores one after the scale was written.
    """

    def __init__(self, spec: HpaSpec, *, acting: bool = True) -> None:
        self.spec = spec
        self._state = HpaState()
        self._acting = acting

    def step(self, counts: ReplicaCounts, metrics: Sequence[Metric], now: float) -> int:
        self._state, replicas = recommend(self.spec, self._state, scale_of(counts), metrics, now)
        if not self._acting:
            self._state = HpaState(self._state.recommendations)
        return replicas
