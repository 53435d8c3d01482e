"""Capacity planning: from a past of load to the replicas that will be needed, of each kind, by when, with a range.

Demand at a later day is level × growth × peak ratio (core/traffic/trends.py). The expected one takes the middle of
each, the low and the high one the ends of the growth's range and of the peaks that were seen. Prompts that grow
longer lower what a replica carries, and are carried on like the load. Announced events multiply the peak of their
days. Pure.
"""

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from flyball.core.fleet.capacity import CapacityFit, ReplicaLimits, RequestShape, first_token_slack, replica_capacity
from flyball.core.fleet.misses import prior, replicas_for
from flyball.core.traffic.demand_events import DemandWindow, multiplier
from flyball.core.traffic.trends import (
    DAY_SECONDS,
    WEEK_SECONDS,
    Levels,
    Numbers,
    Range,
    Season,
    Shape,
    Trend,
    daily,
    levels,
    peak_demand,
    season,
    shape,
    trend,
)
from flyball.core.values import dataclass, replace

MOST_REPLICAS = 100_000
HOURS_PER_MONTH = Decimal(720)
"""Thirty days, so that months can be compared."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was asked in each step: requests per second and mean prompt tokens, NaN where unknown.

    `local` are the beginnings of the steps in local seconds, `end` the end of the last in seconds since the epoch.
    `peaks` are the highest rates over five minutes within each step, where steps are longer than that.
    """

    local: Numbers
    end: float
    step_seconds: float
    rates: Numbers
    prompt_tokens: Numbers
    peaks: Numbers | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of replica that could serve the load: what it does, what it holds, what a GPU of it costs an hour."""

    name: str
    accelerator: str | None
    fit: CapacityFit
    gpus_per_replica: int
    max_replicas: int
    price_per_gpu_hour: Decimal | None


@dataclass(frozen=True, slots=True)
class Need:
    """What one kind alone would need at a day's peak.

    `infeasible` says which objective no number of replicas can meet. `extrapolated` days lie farther ahead than the
    history reaches back. `per_month` is what the expected replicas cost if they are kept for thirty days.
    """

    kind: str
    days_ahead: float
    why: str
    demand: Range
    requests_per_second: float
    replicas: Range
    gpus: Range
    per_month: Decimal | None
    infeasible: str
    extrapolated: bool


@dataclass(frozen=True, slots=True)
class Exhausted:
    """When a kind's maxReplicas no longer carries the peak: days ahead, None where not within the horizon.

    `early` is for growth at the high end of its range with the highest peaks, `late` at the low end.
    """

    kind: str
    early: int | None
    expected: int | None
    late: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan. `growth` and `prompt_drift` are None where the history is too short to tell."""

    levels: Levels
    shape: Shape
    growth: Trend | None
    prompt_drift: Trend | None
    seasons: tuple[Season, ...]
    needs: tuple[Need, ...]
    exhausted: tuple[Exhausted, ...]
    cheapest: str | None


def plan(
    past: Past,
    request: RequestShape,
    kinds: Sequence[Kind],
    limits: ReplicaLimits,
    events: Sequence[DemandWindow],
    horizon_days: int,
) -> Plan:
    """The plan of a workload. `request` is the mean one at the history's end. Raises ValueError for an empty past."""
    asked = levels(past.rates, past.step_seconds, past.peaks)
    growth = trend(*daily(past.local, past.rates, past.step_seconds))
    drift = trend(*daily(past.local, past.prompt_tokens, past.step_seconds))
    found = shape(past.local, past.rates, past.step_seconds, growth, past.peaks)
    outlook = _Outlook(request, limits, found, growth, drift)
    moments = [*_milestones(horizon_days), *_events(events, past.end, horizon_days)]
    needs = tuple(outlook.need(kind, *moment) for kind in kinds for moment in moments)
    seasons = (season(past.local, past.rates, past.step_seconds, period) for period in (DAY_SECONDS, WEEK_SECONDS))
    return Plan(
        levels=asked,
        shape=found,
        growth=growth,
        prompt_drift=drift,
        seasons=tuple(one for one in seasons if one is not None),
        needs=needs,
        exhausted=tuple(outlook.exhausted(kind, horizon_days) for kind in kinds),
        cheapest=_cheapest(needs),
    )


@dataclass(frozen=True, slots=True)
class _Outlook:
    """Everything that a later day's need follows from."""

    request: RequestShape
    limits: ReplicaLimits
    shape: Shape
    growth: Trend | None
    drift: Trend | None

    def need(self, kind: Kind, days_ahead: float, why: str, multiple: float) -> Need:
        request = self._request_at(days_ahead)
        capacity = replica_capacity(kind.fit, request, self.limits)
        curve = prior(first_token_slack(kind.fit, request, self.limits))
        usual = peak_demand(self.shape, self.growth, days_ahead)
        demand = Range(usual.low * multiple, usual.expected * multiple, usual.high * multiple)
        counts = [
            float(replicas_for(curve, rate, capacity.requests_per_second, MOST_REPLICAS))
            for rate in (demand.low, demand.expected, demand.high)
        ]
        gpus = [count * kind.gpus_per_replica for count in counts]
        price = kind.price_per_gpu_hour
        return Need(
            kind=kind.name,
            days_ahead=days_ahead,
            why=why,
            demand=demand,
            requests_per_second=capacity.requests_per_second,
            replicas=Range(*counts),
            gpus=Range(*gpus),
            per_month=None if price is None else Decimal(gpus[1]) * price * HOURS_PER_MONTH,
            infeasible=capacity.infeasible,
            extrapolated=self.growth is not None and days_ahead > self.growth.days,
        )

    def exhausted(self, kind: Kind, horizon_days: int) -> Exhausted:
        late, expected, early = (
            next(
                (
                    day
                    for day in range(horizon_days + 1)
                    if getattr(self.need(kind, day, "", 1.0).replicas, end) > kind.max_replicas
                ),
                None,
            )
            for end in ("low", "expected", "high")
        )
        return Exhausted(kind.name, early, expected, late)

    def _request_at(self, days_ahead: float) -> RequestShape:
        # Nobody buys less because prompts may go on getting shorter.
        factor = max(1.0, self.drift.factors(days_ahead).expected) if self.drift else 1.0
        return replace(
            self.request,
            prefill_tokens=self.request.prefill_tokens * factor,
            prompt_tokens=self.request.prompt_tokens * factor,
        )


def _milestones(horizon_days: int) -> list[tuple[float, str, float]]:
    """Now, and every thirty days up to the horizon."""
    days = [*range(0, horizon_days, 30), horizon_days]
    return [(float(day), "growth" if day else "now", 1.0) for day in days]


def _events(windows: Sequence[DemandWindow], end: float, horizon_days: int) -> list[tuple[float, str, float]]:
    """The days of announced events within the horizon, with the highest multiple in force during each."""
    last = end + horizon_days * DAY_SECONDS
    return [
        (
            max(0.0, (window.start - end) / DAY_SECONDS),
            "event",
            multiplier(windows, window.start, window.end - window.start),
        )
        for window in windows
        if window.end > end and window.start <= last
    ]


def _cheapest(needs: Sequence[Need]) -> str | None:
    """The kind that serves today's peak for the least; None where a price is missing or nothing is feasible."""
    now = [need for need in needs if need.days_ahead == 0 and need.why == "now" and not need.infeasible]
    priced = [(need.per_month, need.kind) for need in now if need.per_month is not None]
    return min(priced)[1] if priced and len(priced) == len(now) else None


def request_at_end(past: Past, prefill_share: float, output_tokens: float) -> RequestShape:
    """The mean request of the last day of a history. `prefill_share` of a prompt is not in the prefix cache."""
    last = past.prompt_tokens[-max(1, math.ceil(DAY_SECONDS / past.step_seconds)) :]
    prompt = float(np.nanmean(last)) if not np.isnan(last).all() else float(np.nanmean(past.prompt_tokens))
    return RequestShape(prompt * prefill_share, prompt, output_tokens)
