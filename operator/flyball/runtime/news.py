"""What of a status is worth a write to the API server, and why: changes beyond what chance does to few requests.

A state that changed is written with the tick that found it. A sentence that changed, or a figure that moved far and
beyond chance, waits for a minute since the last write. Everything else is brought up to date once an hour, so that a
steady workload writes nothing, however few requests its figures are made of.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flyball.core.confidence import Z_NEWS, Z_ONE_SIDED_95, count_bounds, share_bounds
from flyball.core.decision import Decision, ObjectiveReport
from flyball.core.names import RoiMetric
from flyball.core.observation import ObjectiveReading, Observation, WindowShare
from flyball.core.service.verdict import KV_FULL, QUEUE_PER_REPLICA
from flyball.core.spec import Objective, WorkloadSpec
from flyball.core.units import parse_ratio

# What only runs on is rewritten this seldom (seconds), as are the annotations on the targets.
REFRESH_SECONDS = 3600.0
# A figure that moved by this factor either way, beyond chance, is written before that, at most once a minute.
LARGE_MOVE = 2.0
LARGE_MOVE_SECONDS = 60.0
# Figures below these are of no interest, whatever factor they moved by. A burn rate below 1 is within the budget.
SMALL_SECONDS = 0.05
SMALL_BURN_RATE = 1.0
SMALL_BUDGET_SHARE = 0.25
SMALL_DOLLARS_PER_REQUEST = 0.0005
SMALL_ROI = 0.05

Status = dict[str, Any]

# Verdicts between which a healthy workload wanders: a change among them is a figure's drift, not a state's change.
_CALM_VERDICTS = ("Efficient", "Headroom", "Idle")
# Verdicts that one instant's queue makes; four requests that wait for a replica are beyond chance.
_QUEUE_VERDICTS = ("Saturated", "Starved")
_TARGET_STATES = ("current", "desired", "ready", "limitedBy", "pricePerGpuHour")
_FALLBACK_STATES = ("state", "weight", "originalWeights")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number counted from events, the bounds that chance alone keeps it within, and what is too small to matter."""

    value: float
    low: float
    high: float
    small: float

    def moved_far(self, now: "Figure") -> bool:
        """Whether the other is another number: by a large factor, and with bounds that lie wholly beside these."""
        old, new = max(self.small, self.value), max(self.small, now.value)
        beyond_chance = now.low >= self.high or now.high <= self.low
        return beyond_chance and not 1 / LARGE_MOVE < new / old < LARGE_MOVE


Figures = Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Shown:
    """A status, the figures in it by name, and states by name that stand for parts of it (runtime/advice.py)."""

    status: Status
    figures: Figures
    states: Mapping[str, str] = field(default_factory=dict)


def news(before: Shown | None, now: Shown, seconds_since: float) -> str:
    """Why a status is worth a write, in words for a log; empty where it is not.

    `before` is the last one written by this process, None where there is none.
    """
    if before is None:
        return "the first of this process"
    if changed := list(_changed(_states(before), _states(now))):
        return "; ".join(changed)
    if seconds_since < LARGE_MOVE_SECONDS:
        return ""
    old, new = _wordings(before.status), _wordings(now.status)
    changed = [f"{name} is told in other words" for name in new if new[name] != old.get(name)]
    changed += list(_far(before.figures, now.figures))
    if changed:
        return "; ".join(changed)
    if seconds_since >= REFRESH_SECONDS and ran_on(before.status, now.status):
        return "figures ran on for an hour"
    return ""


def figures(spec: WorkloadSpec, observation: Observation, decision: Decision) -> Figures:
    """The figures of a decision that may be news, with the bounds that their events allow."""
    found: dict[str, Figure] = {}
    signals = observation.signals
    for objective, report in zip(spec.objectives, decision.objectives, strict=True):
        found |= _of_objective(objective, report, signals.objective(objective.name))
    found |= {
        f"stage {stage.name} p95": Figure(stage.p95, *stage.p95_bounds, SMALL_SECONDS)
        for stage in signals.stages
        if stage.requests > 0
    }
    found |= {f"segments by {each.measured}": _unknown(1.0, SMALL_SECONDS) for each in decision.segments}
    cost = decision.cost
    if cost.per_request is not None:
        found["cost per request"] = _per_request(float(cost.per_request), cost.requests, SMALL_DOLLARS_PER_REQUEST)
    windows = {target.name: (target.metric, target.window_seconds) for target in spec.roi_targets}
    for roi in decision.roi:
        if roi.value is not None and not roi.booked:  # the ledger is read at most a few times an hour
            metric, window = windows[roi.name]
            make = _worth if metric is RoiMetric.VALUE_COST_RATIO else _per_request
            found[f"ROI {roi.name}"] = make(roi.value, signals.completed(window), SMALL_ROI)
    return found


def _of_objective(objective: Objective, report: ObjectiveReport, reading: ObjectiveReading) -> dict[str, Figure]:
    found, seen = {}, reading.percentiles
    for name, value, bounds in (
        ("p50", report.p50, seen.p50_bounds if seen else None),
        ("p95", report.p95, seen.p95_bounds if seen else None),
    ):
        if value is not None and bounds is not None:
            found[f"{objective.name} {name}"] = Figure(value, *bounds, SMALL_SECONDS)
    if report.burn_short is not None and objective.budget > 0:
        found[f"{objective.name} burn rate"] = _burn(objective, reading.shares[0], SMALL_BURN_RATE)
    if report.budget_left is not None and objective.budget > 0:
        found[f"{objective.name} budget spent"] = _burn(objective, reading.shares[-1], SMALL_BUDGET_SHARE)
    return found


def _burn(objective: Objective, share: WindowShare, small: float) -> Figure:
    low, high = share_bounds(share.total - share.good, share.total, Z_NEWS)
    return Figure(share.bad_share / objective.budget, low / objective.budget, high / objective.budget, small)


def _worth(value: float, requests: float | None, small: float) -> Figure:
    """A figure that grows with the number of requests."""
    low, high = count_bounds(requests or 0.0, Z_NEWS)
    return Figure(value, value * low / requests, value * high / requests, small) if requests else _unknown(value, small)


def _per_request(value: float, requests: float | None, small: float) -> Figure:
    """A figure that falls with the number of requests."""
    low, high = count_bounds(requests or 0.0, Z_NEWS)
    return (
        Figure(value, value * requests / high, value * requests / low, small)
        if requests and low
        else _unknown(value, small)
    )


def _unknown(value: float, small: float) -> Figure:
    return Figure(value, 0.0, math.inf, small)


def _states(shown: Shown) -> dict[str, str]:
    """The parts of a status whose change is written at once, by name: states, counts and bounds."""
    status = shown.status
    found = {part: status.get(part) for part in ("observedGeneration", "mode")}
    for condition in status.get("conditions", ()):
        found[f"condition {condition['type']}"] = f"{condition['status']} {condition['reason']}"
    for part, kind in (("objectives", "objective"), ("roi", "ROI target")):
        found |= {f"{kind} {item['name']}": item["state"] for item in status.get(part, ())}
    found |= {f"worst segment by {item['measured']}": item.get("worst") for item in status.get("segments", ())}
    for target in status.get("targets", ()):
        found |= {f"target {target['name']} {field}": target.get(field) for field in _TARGET_STATES}
    found["GPU verdict"] = _verdict(status)
    found["cost per hour"] = status.get("cost", {}).get("perHour")
    fallback = status.get("fallback") or {}
    found |= {f"fallback {field}": fallback.get(field) for field in _FALLBACK_STATES}
    return {name: str(value) for name, value in (found | dict(shown.states)).items() if value is not None}


def _verdict(status: Status) -> str | None:
    """The GPU verdict; Calm where it is, and where one request that waits at one scrape may be all that is wrong."""
    gpu = status.get("gpu", {})
    verdict: str | None = gpu.get("verdict")
    if verdict in _QUEUE_VERDICTS and parse_ratio(gpu.get("kvCacheUsage", "0%")) < KV_FULL:
        replicas = max(1, sum(target.get("ready", 0) for target in status.get("targets", ())))
        waiting = float(gpu.get("queue", "0")) * replicas
        if count_bounds(waiting, Z_ONE_SIDED_95)[0] < QUEUE_PER_REPLICA * replicas:
            return "Calm"
    return "Calm" if verdict in _CALM_VERDICTS else verdict


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name, "none"), now.get(name, "none")
        if old != new:
            yield f"{name}: {old} → {new}"


def _wordings(status: Status) -> dict[str, str]:
    """What the conditions say, without the figures in it: a new cause is worth a write, a new count is not. And where
    signals come from, without their ages.
    """
    found = {c["type"]: re.sub(r"\d+", "#", c["message"]) for c in status.get("conditions", ())}
    signals = status.get("signals", ())
    return found | {f"signal {each['name']}": f"{each['quality']} {each.get('source', '')}" for each in signals}


def _far(before: Figures, now: Figures) -> Iterator[str]:
    """The figures that moved far. One that is unknown now is no news; one that was unknown is."""
    for name, figure in now.items():
        old = before.get(name)
        if old is None:
            yield f"{name}: {figure.value:.3g}"
        elif old.moved_far(figure):
            yield f"{name}: {old.value:.3g} → {figure.value:.3g}"


def ran_on(before: Status, now: Status) -> bool:
    """Whether a status says anything else than the one before, but for when it was made."""
    return _lasting(before) != _lasting(now)


def _lasting(status: Status) -> Status:
    """The status without what only says when it was made."""
    cost = {name: value for name, value in status.get("cost", {}).items() if name != "asOf"}
    return {**status, "lastDecision": None, "cost": cost}
