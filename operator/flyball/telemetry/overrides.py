"""Users' own PromQL in place of a profile's: one query per override and workload, at the time of the read. Pure.

What the queries give: Running and Waiting requests; Completions, PromptTokens and OutputTokens per second;
KVCacheUsage, GPUUtilization and CachedPromptShare as shares from 0 to 1; PromptTokensPerRequest, OutputTokensPerRequest
and SecondsPerOutputToken as means, of which those of several series are averaged; the latencies as rates by `le`, in
seconds, which are judged over the rate window alone; ActiveSessions as a number by whatever labels tell segments apart
(see `sessions`). With several targets each series, but for latencies and sessions, needs a label `variant` with the
target's name. Prometheus' own lookback decides how old a sample may be, since the age of an arbitrary expression cannot
be known (see `sampled` for the few of which it is told).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flyball.core.names import Indicator
from flyball.core.observation import (
    ABSENT,
    ObjectiveReading,
    Reading,
    SignalState,
    VariantSignals,
    WindowShare,
    WorkloadSignals,
)
from flyball.core.service.latency import ACTIVE_SESSIONS
from flyball.core.spec import Objective, Variant, WorkloadSpec
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.freshness import mean, mean_share, quotient, total
from flyball.telemetry.histograms import BadHistogram, bracket, good_events, merge, percentiles
from flyball.telemetry.objectives import FEWEST_EVENTS

VARIANT_LABEL = "variant"


@dataclass(frozen=True, slots=True)
class Target:
    """Which field of VariantSignals an override fills, and how its series become one number."""

    field: str
    fold: Callable[[Iterable[float]], Reading]


READINGS: Mapping[str, Target] = {
    "Running": Target("running", total),
    "Waiting": Target("waiting", total),
    "Completions": Target("completions_per_second", total),
    "PromptTokens": Target("prompt_tokens_per_second", total),
    "OutputTokens": Target("output_tokens_per_second", total),
    "KVCacheUsage": Target("kv_cache_usage", mean_share),
    "GPUUtilization": Target("gpu_utilization", mean_share),
    "PromptTokensPerRequest": Target("prompt_tokens_per_request", mean),
    "OutputTokensPerRequest": Target("output_tokens_per_request", mean),
    "SecondsPerOutputToken": Target("seconds_per_output_token", mean),
    "CachedPromptShare": Target("cached_prompt_share", mean_share),
}
"""What overrides fill for each target."""
_LATENCIES = (
    Indicator.TIME_TO_FIRST_TOKEN,
    Indicator.INTER_TOKEN_LATENCY,
    Indicator.END_TO_END,
    Indicator.QUEUE_TIME,
)
NAMES = (*READINGS, *_LATENCIES, ACTIVE_SESSIONS)
"""The signals that may be overridden."""

_REQUIRED = ("Running", "Waiting", "Completions")
"""Without these nothing is decided, so that their failure is the whole workload's."""


def problem(spec: WorkloadSpec, answers: Mapping[str, Answer]) -> str:
    """A sentence where an override keeps the workload from being read; empty where none does."""
    for name in _REQUIRED:
        answer = answers.get(name)
        if answer and answer.failure:
            return f"telemetry.overrides.{name}: {answer.failure}"
    if len(spec.variants) > 1:
        for name, answer in answers.items():
            if name in READINGS and any(VARIANT_LABEL not in row.labels for row in answer.rows):
                return (
                    f"telemetry.overrides.{name}: its series do not say which target they are about; "
                    f"add a label `{VARIANT_LABEL}` with the target's name, as label_replace can"
                )
    return ""


def apply(
    spec: WorkloadSpec, signals: WorkloadSignals, answers: Mapping[str, Answer], rate_window_seconds: float
) -> WorkloadSignals:
    """The signals with the overridden ones replaced; what an override gives no answer for is Absent."""
    variants = tuple(_variant(spec, variant, signals.variant(variant.name), answers) for variant in spec.variants)
    objectives = tuple(
        _objective(o, answers[o.indicator].rows, rate_window_seconds)
        if o.indicator in answers
        else signals.objective(o.name)
        for o in spec.objectives
    )
    return replace(signals, variants=variants, objectives=objectives)


def _variant(
    spec: WorkloadSpec, variant: Variant, signals: VariantSignals, answers: Mapping[str, Answer]
) -> VariantSignals:
    replaced: dict[str, Any] = {}
    for name, target in READINGS.items():
        if name in answers:
            rows = answers[name].rows
            unsaid = variant.name if len(spec.variants) == 1 else None
            mine = [row for row in rows if row.labels.get(VARIANT_LABEL, unsaid) == variant.name]
            replaced[target.field] = target.fold(row.value for row in mine)
    signals = replace(signals, **replaced)
    return replace(
        signals,
        prompt_tokens_per_request=_per_request(
            signals.prompt_tokens_per_request, signals.prompt_tokens_per_second, signals
        ),
        output_tokens_per_request=_per_request(
            signals.output_tokens_per_request, signals.output_tokens_per_second, signals
        ),
    )


def _per_request(known: Reading, tokens_per_second: Reading, signals: VariantSignals) -> Reading:
    """The profile's mean, else the quotient of the two rates."""
    if known.state is not SignalState.ABSENT:
        return known
    return quotient(tokens_per_second, signals.completions_per_second)


def _objective(objective: Objective, rows: Sequence[Row], rate_window_seconds: float) -> ObjectiveReading:
    if objective.threshold_seconds is None:
        return ObjectiveReading(objective.name, SignalState.ABSENT)
    try:
        buckets = merge((float(row.labels.get("le", "nan")), row.value * rate_window_seconds) for row in rows)
    except (BadHistogram, ValueError):
        return ObjectiveReading(objective.name, SignalState.INVALID)
    if buckets is None:
        return ObjectiveReading(objective.name, ABSENT.state)
    edges = bracket(buckets.edges, objective.threshold_seconds)
    good = good_events(buckets, edges, objective.threshold_seconds)
    share = WindowShare(rate_window_seconds, min(good or 0.0, buckets.total), buckets.total)
    return ObjectiveReading(
        objective.name,
        SignalState.OK if buckets.total >= FEWEST_EVENTS else SignalState.INSUFFICIENT,
        (share,) if good is not None else (),
        percentiles(buckets),
        edges,
    )
