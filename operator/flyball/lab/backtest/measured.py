"""A workload's past as arrays: what arrived, what ran, what was attained. One entry for each step.

Arrivals of a step are its completions plus the growth of the backlog over it: while replicas are saturated, users pile
up and completions show nothing of it (core/traffic/arrivals.py). Where a step measured nothing, the number is NaN;
short holes are bridged by their neighbours, long ones stay and count on no side. Whatever was missing or odd is said
in `notes`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flyball.core.observation import Reading, SignalState, VariantSignals, WorkloadSignals
from flyball.core.service.slo import unmeasurable
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.arrivals import backlog_of
from flyball.core.units import counted, format_duration, format_ratio
from flyball.telemetry.history import WorkloadHistory

Numbers = npt.NDArray[np.float64]

LONGEST_BRIDGE_SECONDS = 900.0
"""Arrivals hardly change their level in a quarter of an hour; what they did in more is not known."""
LENGTHS_REQUESTS = 100.0
"""Mean lengths are taken over so many requests at least, so that their mean is known to about a tenth of it."""
LENGTHS_WINDOW_SECONDS = 1800.0
"""… but over no more than this, however few requests it holds (CONTROL.md: lengths have half-lives of 30 minutes)."""


class NothingMeasured(Exception):
    """The range holds nothing to play; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Step `n` covers `ends[n] − step_seconds` to `ends[n]` (epoch seconds).

    `arrivals` are requests of a step, NaN where unknown. `prompt_tokens`, `output_tokens` and `cached_share` are means
    of a request, known everywhere. `replicas` has a row for each variant: those that reported. `known` marks the steps
    that were measured. `judged` are good and all events of each objective in each step.
    """

    spec: WorkloadSpec
    step_seconds: float
    ends: Numbers
    arrivals: Numbers
    prompt_tokens: Numbers
    output_tokens: Numbers
    cached_share: Numbers
    replicas: Numbers
    known: npt.NDArray[np.bool_]
    judged: Mapping[str, tuple[Numbers, Numbers]]
    signals: tuple[WorkloadSignals, ...]
    notes: tuple[str, ...]

    @property
    def start(self) -> float:
        """Where the first step begins (epoch seconds)."""
        return float(self.ends[0] - self.step_seconds)

    @property
    def span_seconds(self) -> float:
        """The length of the whole."""
        return len(self.ends) * self.step_seconds

    def last(self, seconds: float) -> "Measured":
        """The newest part of it, so long at most."""
        steps = slice(max(0, len(self.ends) - max(1, round(seconds / self.step_seconds))), None)
        return replace(
            self,
            ends=self.ends[steps],
            arrivals=self.arrivals[steps],
            prompt_tokens=self.prompt_tokens[steps],
            output_tokens=self.output_tokens[steps],
            cached_share=self.cached_share[steps],
            replicas=self.replicas[:, steps],
            known=self.known[steps],
            judged={name: (good[steps], total[steps]) for name, (good, total) in self.judged.items()},
            signals=self.signals[steps],
        )


def measure(history: WorkloadHistory) -> Measured:
    """The arrays of a history, without the steps before the first and after the last that was measured.

    Raises NothingMeasured.
    """
    spec, step = history.spec, history.step_seconds
    signals = [one.signals for one in history.steps]
    known = np.array([_backlog(spec, one) is not None for one in signals])
    if not known.any():
        raise NothingMeasured(_nothing(spec, signals, history))
    first, last = int(np.argmax(known)), len(known) - int(np.argmax(known[::-1]))
    ends = np.array([one.at for one in history.steps[first:last]])
    signals, known = signals[first:last], known[first:last]
    notes = _trimmed(first, len(history.steps) - last, step)
    backlog = np.array([_or_nan(_backlog(spec, one)) for one in signals])
    completions = np.array([_completions(spec, one) for one in signals]) * step
    known &= ~np.isnan(completions)
    if not known.any():
        raise NothingMeasured(
            f"no step of {format_duration(step)} holds two samples of the completions: give a --step of at least four "
            "scrape intervals"
        )
    arrivals, more = _arrivals(completions, backlog, known)
    notes += more
    arrivals, more = _bridged(arrivals, known, step)
    notes += more
    if history.counter_resets:
        notes.append(f"counters began anew {history.counter_resets:.0f} times (engines restarted): reckoned with")
    prompt, output, cached, more = _lengths(spec, signals, completions, step)
    notes += more
    judged, more = _judged(spec, signals)
    notes += more
    return Measured(
        spec=spec,
        step_seconds=step,
        ends=ends,
        arrivals=arrivals,
        prompt_tokens=prompt,
        output_tokens=output,
        cached_share=cached,
        replicas=_replicas(spec, signals, known),
        known=known,
        judged=judged,
        signals=tuple(signals),
        notes=tuple(notes),
    )


def _variants(spec: WorkloadSpec, signals: WorkloadSignals) -> tuple[VariantSignals, ...]:
    return tuple(signals.variant(variant.name) for variant in spec.variants)


def _backlog(spec: WorkloadSpec, signals: WorkloadSignals) -> float | None:
    return backlog_of(_variants(spec, signals))


def _completions(spec: WorkloadSpec, signals: WorkloadSignals) -> float:
    """Completions per second over the variants that report; NaN where one of those has none."""
    reporting = [one for one in _variants(spec, signals) if one.running.ok]
    rates = [one.completions_per_second for one in reporting]
    return sum(rate.value for rate in rates) if rates and all(rate.ok for rate in rates) else math.nan


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _nothing(spec: WorkloadSpec, signals: Sequence[WorkloadSignals], history: WorkloadHistory) -> str:
    invalid = any(one.running.state is SignalState.INVALID for s in signals for one in _variants(spec, s))
    span = format_duration(len(signals) * history.step_seconds)
    targets = " and ".join(str(variant.target) for variant in spec.variants)
    if invalid:
        return f"the metrics of {targets} hold no usable number in these {span}: look at the exporter"
    return (
        f"Prometheus holds nothing of {targets} in namespace {spec.key.namespace} in these {span}: check the range "
        "against its retention, the namespace, telemetry.engine and telemetry.selector"
    )


def _trimmed(before: int, after: int, step: float) -> list[str]:
    notes = []
    if before:
        notes.append(f"nothing was measured in the first {format_duration(before * step)} of the range: left out")
    if after:
        notes.append(f"nothing was measured in the last {format_duration(after * step)} of the range: left out")
    return notes


def _arrivals(completions: Numbers, backlog: Numbers, known: npt.NDArray[np.bool_]) -> tuple[Numbers, list[str]]:
    """Requests that came in each known step; NaN elsewhere. What a step has too little is owed by the next."""
    arrivals = np.full(len(completions), math.nan)
    owed = lost = 0.0
    for index in np.flatnonzero(known):
        before = index - 1
        growth = backlog[index] - backlog[before] if before >= 0 and known[before] else 0.0
        if before >= 0 and not known[before]:
            lost += owed  # it cannot be carried over a hole
            owed = 0.0
        came = completions[index] + growth + owed
        owed = min(0.0, came)
        arrivals[index] = max(0.0, came)
    total = float(np.nansum(arrivals))
    unpaid = -(owed + lost)
    if unpaid > max(1.0, 0.01 * total):
        share = format_ratio(unpaid / max(total, 1.0))
        left = f"{unpaid:.0f} requests left the queues without being completed ({share} of the arrivals)"
        return arrivals, [f"{left}: aborted by clients or lost with their replica"]
    return arrivals, []


def _bridged(arrivals: Numbers, known: npt.NDArray[np.bool_], step: float) -> tuple[Numbers, list[str]]:
    """The arrivals with short holes filled by a line between their neighbours."""
    holes = _runs(~known)
    if not holes:
        return arrivals, []
    filled = arrivals.copy()
    short = [(begin, end) for begin, end in holes if (end - begin) * step <= LONGEST_BRIDGE_SECONDS]
    steps = np.arange(len(arrivals))
    for begin, end in short:
        filled[begin:end] = np.interp(steps[begin:end], steps[known], arrivals[known])
    missing = sum(end - begin for begin, end in holes)
    bridged = sum(end - begin for begin, end in short)
    longest = max(end - begin for begin, end in holes)
    part = f"{missing} of {counted(len(arrivals), 'step')} ({format_ratio(missing / len(arrivals))})"
    gaps = f"{counted(len(holes), 'gap')} of {format_duration(longest * step)} at most"
    note = f"{part} measured nothing, in {gaps}: {bridged} bridged by their neighbours"
    if missing > bridged:
        note += f", {missing - bridged} in longer gaps taken as without requests and counted on no side"
    return filled, [note]


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The stretches of true values, as [begin, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _lengths(
    spec: WorkloadSpec, signals: Sequence[WorkloadSignals], completions: Numbers, step: float
) -> tuple[Numbers, Numbers, Numbers, list[str]]:
    """Mean prompt tokens, output tokens and cached share around each step, weighted by requests."""
    widest = max(1, round(LENGTHS_WINDOW_SECONDS / step / 2))
    found = []
    for name in ("prompt_tokens_per_request", "output_tokens_per_request", "cached_prompt_share"):
        values = np.array([_mean(spec, one, name) for one in signals])
        found.append(_smoothed(values, np.nan_to_num(completions), widest))
    prompt, output, cached = found
    missing = [name for name, values in (("prompt", prompt), ("output", output)) if np.isnan(values).all()]
    if missing:
        raise NothingMeasured(
            f"the {' and '.join(missing)} tokens per request are not in Prometheus: without them no load can be made; "
            "set telemetry.overrides PromptTokens and OutputTokens"
        )
    notes = []
    if np.isnan(cached).all():
        notes.append("no prefix cache metrics: every prompt token is taken as computed")
    return _filled(prompt), _filled(output), np.clip(np.nan_to_num(_filled(cached)), 0.0, 1.0), notes


def _mean(spec: WorkloadSpec, signals: WorkloadSignals, name: str) -> float:
    """The mean over variants, weighted by their completions; NaN where none is known."""
    weighted = total = 0.0
    for one in _variants(spec, signals):
        reading: Reading = getattr(one, name)
        weight = one.completions_per_second.otherwise(0.0)
        if reading.ok and weight > 0:
            weighted, total = weighted + weight * reading.value, total + weight
    return weighted / total if total > 0 else math.nan


def _smoothed(values: Numbers, weights: Numbers, widest: int) -> Numbers:
    """The weighted mean over the fewest steps either way that hold enough requests; NaN where nothing is near."""
    weights = np.where(np.isnan(values), 0.0, weights)
    total = np.concatenate(([0.0], np.cumsum(weights)))
    summed = np.concatenate(([0.0], np.cumsum(weights * np.nan_to_num(values))))
    steps = np.arange(len(values))
    means = np.full(len(values), math.nan)
    half = 0
    while True:
        first, last = np.maximum(0, steps - half), np.minimum(len(values), steps + half + 1)
        held = total[last] - total[first]
        wanted = np.isnan(means) & (held >= (LENGTHS_REQUESTS if half < widest else 1e-9))
        means[wanted] = (summed[last] - summed[first])[wanted] / held[wanted]
        if half >= widest:
            return means
        half = min(widest, max(1, 2 * half))


def _filled(values: Numbers) -> Numbers:
    """The values with every hole filled from the nearest known ones."""
    known = ~np.isnan(values)
    if not known.any():
        return values
    steps = np.arange(len(values))
    return np.asarray(np.interp(steps, steps[known], values[known]))


def _replicas(spec: WorkloadSpec, signals: Sequence[WorkloadSignals], known: npt.NDArray[np.bool_]) -> Numbers:
    counts = [
        [one.variant(variant.name).reporting_replicas.otherwise(math.nan) for one in signals]
        for variant in spec.variants
    ]
    # With another variant measured in the same step, one that reports nothing had no replicas.
    return np.asarray(np.where(np.isnan(counts) & known, 0.0, counts))


def _judged(
    spec: WorkloadSpec, signals: Sequence[WorkloadSignals]
) -> tuple[dict[str, tuple[Numbers, Numbers]], list[str]]:
    judged: dict[str, tuple[Numbers, Numbers]] = {}
    notes = []
    for objective in spec.objectives:
        readings = [one.objective(objective.name) for one in signals]
        shares = [r.shares[0] if r.shares and r.shares[0].usable else None for r in readings]
        good = np.array([share.good if share else 0.0 for share in shares])
        total = np.array([share.total if share else 0.0 for share in shares])
        judged[objective.name] = (good, total)
        if total.any():
            continue
        outside = any(unmeasurable(reading) for reading in readings)
        why = "its threshold lies outside of all buckets" if outside else "no events of it are in Prometheus"
        notes.append(f"objective {objective.name}: {why}: not measured")
    return judged, notes
