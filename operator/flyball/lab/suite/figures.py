"""The figures of one run, as EVALUATION's results.json has them, and the series that pictures are drawn from.

Requests count that arrive after warm-up; replicas are paid for from the end of warm-up to the last arrival, from the
moment they have their GPUs until they are gone. Seconds, GPU-hours, dollars, shares 0 to 1; None where it is not known.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flyball.lab.fleet.model import FleetVariant
from flyball.lab.fleet.outcome import Outcome, PaidReplicas, ScaleAction
from flyball.lab.scenario import Scenario
from flyball.lab.score import counts, service
from flyball.lab.trace import Trace

Values = npt.NDArray[np.float64]

SERIES_POINTS = 360
MINUTE_SECONDS = 60.0


def run_figures(scenario: Scenario, trace: Trace, outcome: Outcome) -> dict[str, Any]:
    """What a run attained and cost."""
    start, end = scenario.trace.warmup_seconds, float(trace.t_seconds[-1])
    counted = counts(trace, outcome, start)
    served = service(trace, outcome, scenario.objectives, start)
    completed = counted & ~np.isnan(outcome.finished_at)
    tokens = int((trace.input_tokens + trace.output_tokens)[completed].sum())
    variants = range(len(outcome.variants))
    gpu_hours = sum(outcome.gpu_seconds(variant, start, end) for variant in variants) / 3600
    cost = float(sum(outcome.dollars(variant, start, end) for variant in variants))
    cold = int(np.count_nonzero(outcome.cold & counted))
    if scenario.options.fallback is not None:
        cost += cold * float(scenario.options.fallback.price_per_request)
    actions = [action for action in outcome.actions if start <= action.at <= end]
    done = int(np.count_nonzero(completed))
    first_token, token_time, end_to_end = _latencies(trace, outcome, completed)
    return {
        "requests": int(np.count_nonzero(trace.t_seconds >= start)),
        "completed": done,
        "rejected": int(np.count_nonzero(outcome.rejected & (trace.t_seconds >= start))),
        "dropped": int(np.count_nonzero(outcome.dropped & counted)),
        "attainment": {name: _known(share) for name, share in served.attainment.items()},
        "marginMin": _known(served.margin),
        "windowsMet5m": _known(served.windows_met),
        "worstHour": _known(served.worst_hour),
        "worstDip": served.worst_dip,
        "dipSeconds": served.dip_seconds,
        "ttftSeconds": _percentiles(first_token),
        "itlSeconds": _percentiles(token_time),
        "e2eSeconds": _percentiles(end_to_end),
        "gpuHours": gpu_hours,
        "cost": cost,
        "costPerRequest": cost / done if done else None,
        "costPerMillionTokens": cost / tokens * 1e6 if tokens else None,
        "meanReplicas": sum(paid.seconds(start, end) for paid in outcome.paid) / (end - start) if end > start else 0.0,
        "peakReplicas": _peak(outcome.paid, start, end),
        "scaleUps": sum(action.after > action.before for action in actions),
        "scaleDowns": sum(action.after < action.before for action in actions),
        "undoneActions": undone(actions, outcome.variants),
        "coldHits": cold,
    }


def undone(actions: Sequence[ScaleAction], variants: Sequence[FleetVariant]) -> int:
    """How many actions were followed, within their variant's start-up time, by one in the other direction."""
    count = 0
    next_up = [math.inf] * len(variants)
    next_down = [math.inf] * len(variants)
    for action in reversed(actions):
        same, opposite = (next_up, next_down) if action.after > action.before else (next_down, next_up)
        count += opposite[action.variant] <= action.at + variants[action.variant].startup_seconds
        same[action.variant] = action.at
    return count


def run_series(trace: Trace, outcome: Outcome) -> dict[str, list[float | None]]:
    """Load, replicas and latency over the whole run, in at most `SERIES_POINTS` equal steps of whole minutes.

    `seconds` are the beginnings of the steps; `requestsPerSecond` come, `replicas` are paid for on average, and 95% of
    the first tokens of the step's requests come within `ttftP95Seconds`, of all requests, a missing one taken as
    infinitely late (None).
    """
    span = float(trace.t_seconds[-1])
    step = MINUTE_SECONDS * max(1, math.ceil(span / MINUTE_SECONDS / SERIES_POINTS))
    begins = np.arange(0.0, span, step) if span > 0 else np.zeros(1)
    edges = np.searchsorted(trace.t_seconds, np.append(begins, math.inf))
    waits = np.where(np.isnan(outcome.first_token_at), math.inf, outcome.first_token_at - trace.t_seconds)
    replicas, latency = [], []
    for index, begin in enumerate(begins.tolist()):
        end = min(begin + step, outcome.until)
        paid = sum(variant.seconds(begin, end) for variant in outcome.paid)
        replicas.append(round(paid / (end - begin), 3) if end > begin else None)
        part = np.sort(waits[edges[index] : edges[index + 1]])
        latency.append(_known(round(float(part[math.ceil(0.95 * len(part)) - 1]), 4)) if len(part) else None)
    rates = np.diff(edges) / np.minimum(step, np.maximum(span - begins, 1.0))
    return {
        "seconds": begins.tolist(),
        "requestsPerSecond": [round(rate, 4) for rate in rates.tolist()],
        "replicas": replicas,
        "ttftP95Seconds": latency,
    }


def _latencies(trace: Trace, outcome: Outcome, completed: npt.NDArray[np.bool_]) -> tuple[Values, Values, Values]:
    """Of the completed requests: until the first token, per output token after it, until the end."""
    first = (outcome.first_token_at - trace.t_seconds)[completed]
    whole = (outcome.finished_at - trace.t_seconds)[completed]
    decoded = trace.output_tokens[completed] - 1
    several = decoded > 0
    return first, (whole - first)[several] / decoded[several], whole


def _percentiles(values: Values) -> dict[str, float | None]:
    if not len(values):
        return {"p50": None, "p95": None, "p99": None}
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return {"p50": p50, "p95": p95, "p99": p99}


def _peak(paid: Sequence[PaidReplicas], start: float, end: float) -> int:
    """The most replicas paid for at once."""
    times = np.unique(np.concatenate([variant.times for variant in paid]))
    moments = np.append(times[(times > start) & (times <= end)], start)
    total = np.zeros(len(moments))
    for variant in paid:
        index = np.searchsorted(variant.times, moments, side="right") - 1
        total += np.where(index >= 0, variant.replicas[np.maximum(index, 0)], 0.0)
    return int(total.max())


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
