"""From answers to the signals of a workload. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from flyball.core.observation import ABSENT, Reading, SignalState, VariantSignals, WorkloadSignals, ok
from flyball.core.service.own_counts import OwnReadings
from flyball.core.service.reliability import EventCounts
from flyball.core.spec import Variant, WorkloadSpec
from flyball.telemetry import queries, reliability, windows
from flyball.telemetry.answers import Answer, Row, Table
from flyball.telemetry.freshness import Freshness, freshness, mean_share, quotient, total
from flyball.telemetry.objectives import EngineLatencies, read_objective
from flyball.telemetry.pace import token_seconds
from flyball.telemetry.profiles import EngineProfile
from flyball.telemetry.queries import Plan

_NO_ANSWER = Table(Answer())


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers of one read: those over the rate window by query name, the others by window (seconds)."""

    at: float
    first: Mapping[str, Table]
    further: Mapping[float, Table]

    def table(self, query: str) -> Table:
        """The answer to that query; empty where it was not asked."""
        return self.first.get(query, _NO_ANSWER)


def read_workload(
    latencies: EngineLatencies, profile: EngineProfile | None, plan: Plan, answers: Answers
) -> WorkloadSignals:
    """What the answers say of the workload with these latencies. Without a profile, only its GPUs and its objectives'
    names are known.
    """
    spec = latencies.spec
    fresh = {variant.name: _freshness(spec, variant, answers) for variant in spec.variants}
    whole = Freshness(
        {f"{name}/{pod}": age for name, one in fresh.items() for pod, age in one.ages.items()},
        spec.telemetry.stale_after_seconds,
    )
    return WorkloadSignals(
        objectives=tuple(read_objective(latencies, o, plan, answers.further, whole) for o in spec.objectives),
        variants=tuple(_variant(latencies, v, profile, answers, fresh[v.name]) for v in spec.variants),
        completions=_by_window(spec, plan, answers, (queries.COMPLETIONS,)),
        tokens=_by_window(spec, plan, answers, (queries.PROMPT_TOKENS, queries.OUTPUT_TOKENS)),
        window_seconds=plan.rate_window_seconds,
        own=OwnReadings(events=tuple(_events(spec, profile, plan, answers)) if profile and whole.pods else ()),
    )


def _events(spec: WorkloadSpec, profile: EngineProfile, plan: Plan, answers: Answers) -> Iterator[EventCounts]:
    yield reliability.counts(spec, profile, answers.table(queries.RATES), plan.rate_window_seconds)
    for window in sorted(plan.events & answers.further.keys()):
        yield reliability.counts(spec, profile, answers.further[window], window)


def _freshness(spec: WorkloadSpec, variant: Variant, answers: Answers) -> Freshness:
    rows = answers.table(queries.GAUGES).of_variant(spec, variant, queries.SAMPLED_AT)
    return freshness(rows, answers.at, spec.telemetry.stale_after_seconds)


def _variant(
    latencies: EngineLatencies, variant: Variant, profile: EngineProfile | None, answers: Answers, fresh: Freshness
) -> VariantSignals:
    spec = latencies.spec
    gpu = VariantSignals(variant.name, gpu_utilization=_gpu(spec, variant, answers))
    if profile is None:
        return gpu
    gauges = answers.table(queries.GAUGES)

    def values(part: str) -> list[float]:
        return _of_pods(gauges.of_variant(spec, variant, part), fresh.pods)

    rate, judged = partial(latencies.rates.of, variant), fresh.judged
    return replace(
        gpu,
        running=judged(total(values(queries.RUNNING))),
        waiting=judged(total(values(queries.WAITING))),
        kv_cache_usage=judged(mean_share(values(queries.KV_CACHE))),
        completions_per_second=judged(rate(queries.COMPLETIONS)),
        prompt_tokens_per_second=judged(rate(queries.PROMPT_TOKENS)),
        output_tokens_per_second=judged(rate(queries.OUTPUT_TOKENS)),
        prompt_tokens_per_request=judged(_mean(queries.PROMPT_LENGTH, rate)),
        output_tokens_per_request=judged(_mean(queries.OUTPUT_LENGTH, rate)),
        seconds_per_output_token=judged(_token_time(profile, rate)),
        decoding=judged(rate(f"{queries.DECODE}_sum")),
        cached_prompt_share=judged(_cached_share(profile, rate)),
        reporting_replicas=Reading(float(len(fresh.pods)), SignalState.OK) if fresh.ages else ABSENT,
    )


def _of_pods(rows: Sequence[Row], pods: frozenset[str]) -> list[float]:
    return [row.value for row in rows if row.labels.get("pod", "") in pods]


def _mean(part: str, rate: Callable[[str], Reading]) -> Reading:
    return quotient(rate(f"{part}_sum"), rate(f"{part}_count"))


def _token_time(profile: EngineProfile, rate: Callable[[str], Reading]) -> Reading:
    """By whole requests' time in decode and their tokens after the first, else the mean of the first histogram there
    is.
    """
    pace = token_seconds(rate)
    if pace is not None:
        return pace
    found = (_mean(queries.token_time(rank), rate) for rank in range(len(profile.seconds_per_output_token)))
    return next((reading for reading in found if reading.state is not SignalState.ABSENT), ABSENT)


def _cached_share(profile: EngineProfile, rate: Callable[[str], Reading]) -> Reading:
    """The first ratio that is exported; Invalid where more was cached than there was."""
    for rank in range(len(profile.cached_prompt_share)):
        part, whole = rate(queries.cached(rank, "part")), rate(queries.cached(rank, "whole"))
        if part.state is not SignalState.ABSENT and whole.state is not SignalState.ABSENT:
            share = quotient(part, whole)
            return mean_share((share.value,)) if share.ok else share
    return ABSENT


def _gpu(spec: WorkloadSpec, variant: Variant, answers: Answers) -> Reading:
    """Mean over all the target's pods, whatever the selector: a GPU knows no model."""
    table = answers.table(queries.GPUS)
    times = table.of_target(spec, variant, queries.SAMPLED_AT)
    fresh = freshness(times, answers.at, spec.telemetry.stale_after_seconds)
    used = table.of_target(spec, variant, queries.UTILIZATION)
    return fresh.judged(mean_share(_of_pods(used, fresh.pods)))


def _by_window(
    spec: WorkloadSpec, plan: Plan, answers: Answers, parts: tuple[str, ...]
) -> tuple[tuple[float, float], ...]:
    """Events of all parts by declared window (seconds); a window without an answer or numbers is left out.

    A window that was rounded has its count scaled to the declared length.
    """
    declared_ = {target.window_seconds for target in spec.roi_targets}
    wanted = sorted(set(plan.windows) & {windows.SHORT_SECONDS, windows.LONG_SECONDS, *declared_})
    found = []
    for declared in wanted:
        table = answers.further.get(plan.windows[declared], _NO_ANSWER)
        sums = [total(row.value for row in table.of_workload(spec, part)) for part in parts]
        if all(reading.ok for reading in sums):
            count = ok(sum(reading.value for reading in sums) * declared / plan.windows[declared])
            found += [(declared, count.value)] if count.ok else []
    return tuple(found)
