"""The lab's rivals beside a live workload: the operator's samples as the history that policies read in the simulator.

Every look is one sample, whatever the rival's own collector would take, and a rival whose clock is faster than the
looks decides as often as it would have, on the same sample. What it asks for is not done: the counts that it sees are
those of the fleet that runs. Knows neither numba nor scipy, which the operator's image lacks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

import numpy as np

from flyball.core.advice.shadow import LONGEST_GAP_SECONDS, ReplicaSample, ReplicaSignal, RivalReply, Sight
from flyball.core.fleet.capacity import start_fit
from flyball.core.fleet.sizing import ASSUMED_STARTUP_SECONDS
from flyball.core.names import Indicator
from flyball.core.spec import WorkloadSpec
from flyball.core.units import format_duration
from flyball.lab.backtest.fitting import engine_of
from flyball.lab.fleet.model import FleetVariant, ReplicaCounts
from flyball.lab.fleet.samples import COLUMNS, FIRST_TOKEN, TOKEN_TIME, Column, HistogramColumns, History, Sample
from flyball.lab.policies import registry
from flyball.lab.policies.model import Objective, Policy, Setting, View

KEPT_SECONDS = 600.0
"""No rival looks back farther than 300 s (WVA's lengths of requests)."""
LOST_SECONDS = 300.0
"""After as long without a look Prometheus would have forgotten the samples: everybody begins anew."""
CLOCK_SLACK_SECONDS = 1.0
"""Looks come late or early by less than this; a rival due within it, or within a tenth of its period, decides now."""

_S = ReplicaSignal
_COLUMNS = (
    (_S.RUNNING, Column.RUNNING),
    (_S.WAITING, Column.WAITING),
    (_S.KV_CACHE, Column.KV_USAGE),
    (_S.COMPLETIONS, Column.FINISHED),
    (_S.PROMPT_LENGTH, Column.FINISHED_PROMPT_TOKENS),
    (_S.OUTPUT_LENGTH, Column.FINISHED_OUTPUT_TOKENS),
)
_HISTOGRAMS = ((_S.FIRST_TOKEN, FIRST_TOKEN), (_S.TOKEN_TIME, TOKEN_TIME))


@dataclass(frozen=True, slots=True)
class Needs:
    """What a rival cannot be asked without: signals of replicas, and a target that its user takes from a load test.

    `never` is a metric that no supported engine exports.
    """

    signals: tuple[ReplicaSignal, ...]
    load_test: bool = False
    never: str = ""


_LOAD = (_S.RUNNING, _S.WAITING)
NEEDS: Mapping[str, Needs] = MappingProxyType(
    {
        "hpa-gpu": Needs((_S.GPU,)),
        "hpa-queue": Needs((_S.WAITING,)),
        "keda-concurrency": Needs(_LOAD, load_test=True),
        "llmd-keda": Needs((_S.FIRST_TOKEN, _S.TOKEN_TIME)),
        "llmd-queue": Needs(_LOAD),
        "kpa": Needs(_LOAD, load_test=True),
        "kpa-default": Needs(_LOAD),
        "aibrix-apa": Needs((_S.KV_CACHE,)),
        "wva-v2": Needs((_S.KV_CACHE, _S.WAITING, _S.COMPLETIONS, _S.PROMPT_LENGTH, _S.OUTPUT_LENGTH)),
        "dynamo": Needs((_S.RUNNING, _S.KV_CACHE), never="queued prompt tokens (its workers' forward-pass metrics)"),
        "ray": Needs(_LOAD, load_test=True),
        "ray-default": Needs(_LOAD),
        "skyserve": Needs((_S.RUNNING, _S.WAITING, _S.COMPLETIONS), load_test=True),
    }
)
"""The rivals that can be asked about a fleet that others scale. WVA's first version cannot: it stands still until its
own last count is reached."""


class LabRivals:
    """Implements `flyball.core.ports.Rivals`."""

    def beside(self, spec: WorkloadSpec) -> "RivalsBeside":
        """Fresh rivals for one workload."""
        return RivalsBeside(spec)


@dataclass(slots=True)
class _Pod:
    """A replica's number, what its counter said last, and the GPU seconds that its utilization adds up to."""

    number: int
    finished: float
    busy_seconds: float = 0.0


@dataclass(slots=True)
class _Playing:
    """A rival at work: when it last decided, and what it asks for."""

    policy: Policy
    decided_at: float
    desired: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Seen:
    """What was seen of the fleet: its history, the last look, its pods by variant and name, and all that has finished
    and arrived since the first look.
    """

    history: History = field(default_factory=lambda: History(KEPT_SECONDS))
    sight: Sight | None = None
    pods: dict[tuple[str, str], _Pod] = field(default_factory=dict)
    numbered: int = 0
    finished: float = 0.0
    arrived: int = 0


class RivalsBeside:
    """The rivals of one workload over one history; implements `flyball.core.ports.RivalsOfOne`."""

    def __init__(self, spec: WorkloadSpec) -> None:
        self._names = [variant.name for variant in spec.variants]
        self._seen = _Seen()
        self._playing: dict[str, _Playing] = {}

    def see(self, sight: Sight) -> None:
        """Take in what is there now."""
        if self._seen.sight is not None and sight.at - self._seen.sight.at > LOST_SECONDS:
            self._seen, self._playing = _Seen(), {}
        self._seen.history.add(_sample(self._seen, sight, self._names))
        self._seen.history.now = sight.at
        self._seen.sight = sight

    def ask(self, rival: str) -> RivalReply:
        """What that rival asks for; raises ValueError for one that cannot be asked."""
        if rival not in NEEDS:
            raise ValueError(f"{rival!r} cannot be run beside a workload; choose from {', '.join(NEEDS)}")
        sight, needs = self._seen.sight, NEEDS[rival]
        if sight is None:
            return RivalReply(None, waits_for="nothing was seen yet")
        if missing := _missing(needs, sight):
            return RivalReply(None, missing=missing)
        if not sight.samples and any(variant.ready for variant in sight.state.variants):
            return RivalReply(None, waits_for="no replica exports metrics yet")
        if needs.load_test and rival not in self._playing and None in sight.load_tests:
            return RivalReply(None, waits_for="its target is what one replica carries, which is not measured yet")
        playing = self._playing.get(rival)
        if playing is None:
            playing = self._playing[rival] = _begin(rival, sight)
        self._decide(playing, sight)
        desired = tuple((name, playing.desired[index]) for index, name in enumerate(self._names))
        return RivalReply(desired, note=_note(playing.policy, needs))

    def _decide(self, playing: _Playing, sight: Sight) -> None:
        """Decide as often as the rival's clock has struck since; first at once."""
        period = playing.policy.period_seconds
        since, slack = sight.at - playing.decided_at, min(CLOCK_SLACK_SECONDS, period / 10)
        times = 1 if math.isinf(since) else math.floor((since + slack) / period)
        if times < 1:
            return
        on_time = math.isinf(since) or abs(since - times * period) <= slack
        playing.decided_at = sight.at if on_time else playing.decided_at + times * period
        view = View(sight.at, _counts(sight), self._seen.history)
        for _ in range(min(times, math.ceil(LONGEST_GAP_SECONDS / period))):
            for index, replicas in playing.policy.decide(view).items():
                variant = sight.spec.variants[index]
                playing.desired[index] = min(max(replicas, variant.min_replicas), variant.max_replicas)


def _sample(seen: _Seen, sight: Sight, names: Sequence[str]) -> Sample:
    """The look as a scrape; counters of a pod that began anew, or was gone for a while, are another replica's."""
    pods: dict[tuple[str, str], _Pod] = {}
    elapsed = sight.at - seen.sight.at if seen.sight is not None else 0.0
    for sample in sight.samples:
        name = (sample.variant, sample.replica)
        finished = sample.values.get(_S.COMPLETIONS, 0.0)
        known = seen.pods.get(name)
        if known is None or finished < known.finished:
            known = _Pod(seen.numbered, finished)
            seen.numbered += 1
        seen.finished += finished - known.finished
        known.finished = finished
        known.busy_seconds += elapsed * sample.values.get(_S.GPU, 0.0)
        pods[name] = known
    seen.pods = pods
    in_flight = sum(s.values.get(_S.RUNNING, 0.0) + s.values.get(_S.WAITING, 0.0) for s in sight.samples)
    seen.arrived = max(seen.arrived, round(seen.finished + in_flight))
    rows = [_row(sample, pods[sample.variant, sample.replica].busy_seconds) for sample in sight.samples]
    return Sample(
        at=sight.at,
        variants=np.array([names.index(sample.variant) for sample in sight.samples], dtype=np.int64),
        replicas=np.array([pod.number for pod in pods.values()], dtype=np.int64),
        values=np.array(rows).reshape(len(rows), COLUMNS),
        held=0,
        arrived=seen.arrived,
    )


def _row(sample: ReplicaSample, busy_seconds: float) -> np.ndarray:
    row = np.zeros(COLUMNS)
    for signal, column in _COLUMNS:
        row[column] = sample.values.get(signal, 0.0)
    row[Column.BUSY_SECONDS] = busy_seconds
    for signal, histogram in _HISTOGRAMS:
        if signal in sample.buckets:
            row[histogram.start : histogram.stop] = _rebucketed(sample.buckets[signal], histogram)
    return row


def _rebucketed(buckets: Sequence[tuple[float, float]], histogram: HistogramColumns) -> np.ndarray:
    """Counts within the lab's edges of a histogram with other ones: in a straight line within a bucket, as
    `histogram_quantile` has it.
    """
    edges = np.array([0.0, *(edge for edge, _ in buckets if math.isfinite(edge))])
    counts = np.array([0.0, *(count for edge, count in buckets if math.isfinite(edge))])
    below = np.interp(np.array(histogram.edges), edges, counts)
    return np.diff(np.array([0.0, *below, buckets[-1][1]]))


def _missing(needs: Needs, sight: Sight) -> tuple[str, ...]:
    """What none of the replicas exports, though some report; of latencies only those that an objective is set on."""
    if needs.never:
        return (needs.never,)
    if not sight.samples:
        return ()
    exported = frozenset[ReplicaSignal]().union(*(sample.signals for sample in sight.samples))
    return tuple(str(signal) for signal in _wanted(needs, sight.spec) if signal not in exported)


def _wanted(needs: Needs, spec: WorkloadSpec) -> Sequence[ReplicaSignal]:
    declared = {objective.indicator for objective in spec.objectives}
    latencies = {_S.FIRST_TOKEN: Indicator.TIME_TO_FIRST_TOKEN, _S.TOKEN_TIME: Indicator.INTER_TOKEN_LATENCY}
    if declared.isdisjoint(latencies.values()):
        return needs.signals
    return [signal for signal in needs.signals if latencies.get(signal) in (None, *declared)]


def _begin(rival: str, sight: Sight) -> _Playing:
    """A fresh rival; its published defaults, and where it has none a target by the load test."""
    asked = tuple(counts.asked for counts in _counts(sight))
    setting = Setting(
        variants=tuple(_fleet_variant(sight, index) for index in range(len(sight.spec.variants))),
        objectives=tuple(
            Objective(str(o.indicator), o.threshold_seconds, o.target)
            for o in sight.spec.objectives
            if o.threshold_seconds is not None
        ),
        initial_replicas=asked,
        capacity_per_replica=tuple(test.requests_per_second if test else 1.0 for test in sight.load_tests),
        concurrency_per_replica=tuple(test.in_flight if test else 1.0 for test in sight.load_tests),
        acting=False,
    )
    return _Playing(registry.build(rival, setting), -math.inf, dict(enumerate(asked)))


def _fleet_variant(sight: Sight, index: int) -> FleetVariant:
    variant = sight.spec.variants[index]
    fit = sight.memory.variant(variant.name).fit or start_fit(variant.engine)
    return FleetVariant(
        name=variant.name,
        engine=engine_of(fit, fit.prior.kv_cache_tokens),
        startup_seconds=variant.startup_seconds or ASSUMED_STARTUP_SECONDS,
        price_per_gpu_hour=variant.price_per_gpu_hour or Decimal(0),
        gpus_per_replica=variant.gpus_per_replica or sight.state.variant(variant.name).gpus_per_replica or 1,
        min_replicas=variant.min_replicas,
        max_replicas=variant.max_replicas,
    )


def _counts(sight: Sight) -> tuple[ReplicaCounts, ...]:
    states = (sight.state.variant(variant.name) for variant in sight.spec.variants)
    return tuple(ReplicaCounts(s.replicas, s.ready, s.starting, s.unschedulable, 0) for s in states)


def _note(policy: Policy, needs: Needs) -> str:
    """What a reader must know of how it was asked."""
    notes = []
    if policy.collector_seconds is not None and policy.collector_seconds < 15.0:
        notes.append(f"its own collector reads every {format_duration(policy.collector_seconds)}, here each tick does")
    if needs.load_test:
        notes.append("its target is set by what Flyball measured of one replica when it began")
    return "; ".join(notes)
