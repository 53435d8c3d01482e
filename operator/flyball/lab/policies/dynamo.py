"""NVIDIA Dynamo's planner for aggregated engines: a slow loop by predicted traffic, a fast one by each worker's load.

Restated from components/src/dynamo/planner (core/throughput_scaling.py, core/load_scaling.py). Its users give it the
objectives as SLA, which it compares with means. The throughput loop (180 s) sets a lower bound for the load loop (5 s),
which moves one replica at a time: up when all workers are estimated to break an SLA, down when all leave room. Three
rules for "room" exist, in order of age: `flat80` (estimates below 80% of the SLA), `consolidation` (as estimated with
N/(N-1) of the load, and that load fits the KV cache), and, the newest default, `easy`, which ignores the SLA and reads
KV use alone. The GPU budget is left unlimited. The profile is perfect, which no user's is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from flyball.lab.fleet.model import ReplicaCounts
from flyball.lab.fleet.samples import Column
from flyball.lab.policies.dynamo_predictors import PREDICTORS, Predictor
from flyball.lab.policies.dynamo_profile import Profile, Sla, Traffic, WorkerLoad
from flyball.lab.policies.model import Setting, View
from flyball.lab.policies.signals import variant_shares

LOAD_SECONDS = 5.0
THROUGHPUT_SECONDS = 180.0
_LENGTHS_SECONDS = 60.0
_EASY = {"throughput": (1.0, 0.6), "latency": (0.4, 0.1)}
"""KV use above which a replica is added, and below which one goes, by optimization target."""

Rule = Literal["flat80", "consolidation", "easy"]
RULES: tuple[Rule, ...] = ("flat80", "consolidation", "easy")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """`sensitivity` is the share of the SLA that must be left free before a step down (0.8 published)."""

    sla: Sla
    rule: Rule = "consolidation"
    sensitivity: float = 0.8
    easy_target: str = "throughput"


def load_step(options: LoadOptions, profile: Profile, workers: Sequence[WorkerLoad], traffic: Traffic) -> int:
    """+1, 0 or -1 for the workers' number; up if either latency asks for it, down only if both allow it."""
    if options.rule == "easy":
        usages = [(each.kv_tokens + each.queued_tokens) / profile.engine.kv_tokens for each in workers]
        up, down = _EASY[options.easy_target]
        if any(usage > up for usage in usages):
            return 1
        return -1 if len(workers) > 1 and all(usage < down for usage in usages) else 0
    prefill = traffic.rate * traffic.computed / len(workers)
    first_tokens = [profile.first_token(each, traffic) for each in workers]
    token_times = [profile.token_time(each, prefill) for each in workers]
    sla = options.sla
    if min(first_tokens) > sla.first_token or min(token_times) > sla.token_time:
        return 1
    if len(workers) == 1:
        return 0
    if options.rule == "flat80":
        room = options.sensitivity
        calm = max(first_tokens) < sla.first_token * room and max(token_times) < sla.token_time * room
        return -1 if calm else 0
    return -1 if all(_survives(options, profile, each, traffic, prefill, len(workers)) for each in workers) else 0


def _survives(
    options: LoadOptions, profile: Profile, worker: WorkerLoad, traffic: Traffic, prefill: float, workers: int
) -> bool:
    """Whether a worker would keep the SLA with its share of a removed one's load. The sensitivity applies to what the
    queue adds to the first token, since a request's own prefill does not shrink with more workers.
    """
    factor = workers / (workers - 1)
    after = worker.scaled(factor)
    own = profile.first_token(WorkerLoad(after.decoding, after.kv_tokens, 0.0), traffic)
    budget = (options.sla.first_token - own) * options.sensitivity
    queued = profile.first_token(after, traffic) - own
    if budget <= 0 or queued >= budget:
        return False
    combined = after.kv_tokens + after.queued_tokens
    if combined >= profile.engine.kv_tokens:
        return False
    full = WorkerLoad(after.decoding, combined, 0.0)
    return profile.token_time(full, prefill * factor) < options.sla.token_time * options.sensitivity


class _Planner:
    """One deployment: its predictors, its lower bound and its profile."""

    def __init__(self, profile: Profile, options: LoadOptions, predictor: str) -> None:
        self._profile = profile
        self._options = options
        kind = PREDICTORS[predictor]
        self._predictors: tuple[Predictor, Predictor, Predictor] = (kind(), kind(), kind())
        self._lower_bound = 1
        self._traffic: Traffic | None = None

    @property
    def mean_prompt(self) -> float:
        return self._traffic.prompt if self._traffic else 0.0

    def see(self, traffic: Traffic | None) -> None:
        """What the load loop estimates with; lengths stay as they were where nothing finished."""
        if traffic is not None:
            self._traffic = traffic
        elif self._traffic is not None:
            self._traffic = replace(self._traffic, rate=0.0)

    def observe(self, traffic: Traffic | None) -> None:
        """One throughput interval's traffic; one without any is skipped, as metrics that are not numbers are."""
        if traffic is None:
            return
        for predictor, value in zip(
            self._predictors, (traffic.rate * THROUGHPUT_SECONDS, traffic.prompt, traffic.output), strict=True
        ):
            predictor.add(value)

    def throughput(self) -> int | None:
        """Replicas for the predicted traffic; None (keep) while there was none to predict from."""
        requests, prompt, output = (predictor.predict() for predictor in self._predictors)
        if requests is None or not prompt or not output or self._traffic is None:
            return None
        missed = self._traffic.computed / self._traffic.prompt if self._traffic.prompt > 0 else 1.0
        predicted = Traffic(prompt, output, prompt * missed, requests / THROUGHPUT_SECONDS)
        best = self._profile.best_rate(predicted, self._options.sla)
        self._lower_bound = max(1, math.ceil(round(predicted.rate / best, 9)))
        return self._lower_bound

    def load(self, counts: ReplicaCounts, workers: Sequence[WorkerLoad], bounded: bool) -> int | None:
        """The load loop's count; None (keep) while a change is under way or not every worker reports."""
        if self._traffic is None or not workers or counts.asked != counts.ready or len(workers) != counts.ready:
            return None
        replicas = counts.asked + load_step(self._options, self._profile, workers, self._traffic)
        return max(replicas, self._lower_bound if bounded else 1)


class Dynamo:
    """Frontend request counts and token means, and each worker's forward-pass metrics every 5 s.

    `sla_scale` stretches the SLA that the planner is told. `loops` is "both", or "throughput" alone. With the rule
    `easy` the throughput loop is off, as its defaults have it, and `easy_target` is "throughput" or "latency".
    """

    period_seconds = LOAD_SECONDS
    collector_seconds: float | None = LOAD_SECONDS

    def __init__(
        self,
        setting: Setting,
        *,
        name: str = "dynamo",
        rule: Rule = "consolidation",
        loops: str = "both",
        predictor: str = "kalman",
        sensitivity: float = 0.8,
        sla_scale: float = 1.0,
        easy_target: str = "throughput",
    ) -> None:
        for field, value, known in (
            ("rule", rule, RULES),
            ("loops", loops, ("both", "throughput")),
            ("predictor", predictor, tuple(PREDICTORS)),
            ("easy_target", easy_target, tuple(_EASY)),
        ):
            if value not in known:
                raise ValueError(f"dynamo: {field} is {value!r}; choose one of {', '.join(known)}")
        self.name = name
        self._setting = setting
        self._by_traffic = rule != "easy"
        self._by_load = loops == "both" or rule == "easy"
        thresholds = {objective.indicator: objective.threshold_seconds for objective in setting.objectives}
        sla = Sla(
            sla_scale * thresholds.get("TimeToFirstToken", math.inf),
            sla_scale * thresholds.get("InterTokenLatency", math.inf),
        )
        options = LoadOptions(sla, rule, sensitivity, easy_target)
        self._planners = [_Planner(Profile(variant.engine), options, predictor) for variant in setting.variants]
        self._clock, self._throughput_clock = _Clock(), _Clock()

    def decide(self, view: View) -> Mapping[int, int]:
        asked = {}
        if self._clock.due(view.now, _LENGTHS_SECONDS / 2):
            for variant, planner in enumerate(self._planners):
                planner.see(_traffic(view, variant, _LENGTHS_SECONDS))
        if self._throughput_clock.due(view.now, THROUGHPUT_SECONDS):
            for variant, planner in enumerate(self._planners):
                planner.observe(_traffic(view, variant, THROUGHPUT_SECONDS))
                replicas = planner.throughput() if self._by_traffic else None
                if replicas is not None and not self._by_load:
                    asked[variant] = replicas
        if self._by_load:
            shares = variant_shares(view, self._setting)
            for variant, (planner, counts) in enumerate(zip(self._planners, view.counts, strict=True)):
                workers = self._workers(view, variant, shares[variant])
                replicas = planner.load(counts, workers, self._by_traffic)
                if replicas is not None:
                    asked[variant] = replicas
        return asked

    def _workers(self, view: View, variant: int, share: float) -> list[WorkerLoad]:
        """Each worker's load; requests held at the gateway count as queued, evenly, by the mean prompt."""
        sample = view.history.latest
        if sample is None:
            return []
        rows = sample.values[sample.variants == variant]
        kv_tokens = self._setting.variants[variant].engine.kv_tokens
        held = sample.held * share * self._planners[variant].mean_prompt / max(1, len(rows))
        return [
            WorkerLoad(
                float(row[Column.RUNNING]),
                float(row[Column.KV_USAGE]) * kv_tokens,
                float(row[Column.QUEUED_PROMPT_TOKENS]) + held,
            )
            for row in rows
        ]


class _Clock:
    """Ticks first one period after its first question."""

    def __init__(self) -> None:
        self._last: float | None = None

    def due(self, now: float, period: float) -> bool:
        if self._last is None:
            self._last = now
            return False
        if now - self._last < period - 1e-6:
            return False
        self._last = now
        return True


def _traffic(view: View, variant: int, window: float) -> Traffic | None:
    """The window's finished requests and their means: completions, as the source counts them. None without any."""
    columns = (
        Column.FINISHED,
        Column.FINISHED_PROMPT_TOKENS,
        Column.FINISHED_OUTPUT_TOKENS,
        Column.PROMPT_TOKENS,
        Column.CACHED_TOKENS,
    )
    finished, prompt, output, seen, cached = view.history.increases(columns, window, variant)
    if finished <= 0:
        return None
    mean = float(prompt / finished)
    missed = 1 - float(cached / seen) if seen > 0 else 1.0
    return Traffic(mean, float(output / finished), mean * missed, float(finished) / window)
