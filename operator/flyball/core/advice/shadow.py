"""Rival policies beside Flyball: what they see, what they ask for, and what that would have cost. Nobody acts on it.

A rival is asked at its own times, about the fleet that runs and its metrics: from here, how many replicas? What it asks
for is counted as if it had been paid for, beside what Flyball asked for in the same time. What its own fleet would have
done to users, and so to its next wish, nobody can know from here: that is what the lab simulates. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from enum import StrEnum

from flyball.core.fleet.capacity import ReplicaCapacity, RequestShape, first_token_slack, replica_capacity
from flyball.core.fleet.misses import carried, prior
from flyball.core.memory import Memory
from flyball.core.observation import WorkloadState
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.demand import limits_of
from flyball.core.values import dataclass, replace

SLOT_SECONDS = 300.0
"""Costs are kept by slots of this length, so that a window's end is off by one of them at most."""
HOUR_SECONDS, DAY_SECONDS = 3_600.0, 86_400.0
LONGEST_GAP_SECONDS = 60.0
"""What is asked for holds until the next look. Four looks of 15 s without an answer, and nobody knows any more."""


class ReplicaSignal(StrEnum):
    """What a replica exports and rivals read: gauges, counters since its start, and histograms of seconds."""

    RUNNING = "requests running"
    WAITING = "requests waiting"
    KV_CACHE = "KV cache usage"
    GPU = "GPU utilization"
    COMPLETIONS = "finished requests"
    PROMPT_LENGTH = "prompt tokens of finished requests"
    OUTPUT_LENGTH = "output tokens of finished requests"
    FIRST_TOKEN = "time to first token"  # noqa: S105 - a latency, not a secret
    TOKEN_TIME = "time per output token"  # noqa: S105 - a latency, not a secret


@dataclass(frozen=True, slots=True)
class ReplicaSample:
    """One replica as a collector saw it. Shares are 0 to 1; `buckets` hold (upper edge, cumulative count) ascending."""

    variant: str
    replica: str
    values: Mapping[ReplicaSignal, float]
    buckets: Mapping[ReplicaSignal, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    @property
    def signals(self) -> frozenset[ReplicaSignal]:
        """What it exports."""
        return frozenset((*self.values, *self.buckets))


@dataclass(frozen=True, slots=True)
class LoadTest:
    """What a user of a rival would have found with a load test of one replica: the load (requests/s) at which it just
    meets the objectives, and the requests in flight then.
    """

    requests_per_second: float
    in_flight: float


@dataclass(frozen=True, slots=True)
class Sight:
    """All that rivals may know of one workload at `at` (epoch seconds).

    `load_tests` and the fitted `memory` are by variant, in the spec's order; a load test is None while it is not known.
    """

    at: float
    spec: WorkloadSpec
    state: WorkloadState
    memory: Memory
    load_tests: tuple[LoadTest | None, ...]
    samples: tuple[ReplicaSample, ...]


@dataclass(frozen=True, slots=True)
class RivalReply:
    """Replicas by variant that a rival asks for; None where it was not asked, and `missing` or `waits_for` says why."""

    desired: tuple[tuple[str, int], ...] | None
    missing: tuple[str, ...] = ()
    waits_for: str = ""
    note: str = ""


class RivalState(StrEnum):
    """How a rival stands."""

    RUNNING = "Running"
    WAITING = "Waiting"
    METRIC_MISSING = "MetricMissing"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Bill:
    """Replica-hours and dollars of a window, of a rival and of Flyball in the same time.

    `covered_seconds` is how much of the window is known. Dollars are None where a price is missing.
    """

    covered_seconds: float
    replica_hours: float
    own_replica_hours: float
    dollars: Decimal | None
    own_dollars: Decimal | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Replicas by variant that somebody asks for, as a number and as dollars an hour (None without a price)."""

    replicas: int
    per_hour: Decimal | None


@dataclass(frozen=True, slots=True)
class _Slot:
    index: int
    seconds: float = 0.0
    replica_seconds: float = 0.0
    own_replica_seconds: float = 0.0
    dollars: Decimal | None = Decimal(0)
    own_dollars: Decimal | None = Decimal(0)


@dataclass(frozen=True, slots=True)
class Account:
    """What a rival and Flyball asked for over the last day, by slots, oldest first; `asked` hold since `at`."""

    at: float | None = None
    asked: Asked | None = None
    own: Asked | None = None
    slots: tuple[_Slot, ...] = ()

    def advanced(self, at: float, asked: Asked | None, own: Asked) -> "Account":
        """The account at a later time, from which on these are asked for; None where the rival asks for nothing known.

        A stretch without a look that is longer than LONGEST_GAP_SECONDS counts for neither.
        """
        slots = list(self.slots)
        if self.at is not None and self.asked and self.own and 0 < at - self.at <= LONGEST_GAP_SECONDS:
            index = int(at // SLOT_SECONDS)
            last = slots.pop() if slots and slots[-1].index == index else _Slot(index)
            slots.append(_grown(last, at - self.at, self.asked, self.own))
            slots = _since(slots, at - DAY_SECONDS)
        return Account(at, asked, own, tuple(slots))

    def bill(self, window_seconds: float) -> Bill:
        """What was asked for in the trailing window, in slots that lie wholly within it."""
        slots = _since(self.slots, (self.at or 0.0) - window_seconds)
        return Bill(
            covered_seconds=sum(slot.seconds for slot in slots),
            replica_hours=sum(slot.replica_seconds for slot in slots) / HOUR_SECONDS,
            own_replica_hours=sum(slot.own_replica_seconds for slot in slots) / HOUR_SECONDS,
            dollars=_sum([slot.dollars for slot in slots]),
            own_dollars=_sum([slot.own_dollars for slot in slots]),
        )


def asked(spec: WorkloadSpec, state: WorkloadState, replicas: Mapping[str, int]) -> Asked:
    """What so many replicas by variant are and cost. A variant whose GPUs are not known is reckoned with one each."""
    per_hour: Decimal | None = Decimal(0)
    for variant in spec.variants:
        count = replicas.get(variant.name, 0)
        gpus = variant.gpus_per_replica or state.variant(variant.name).gpus_per_replica or 1
        if count and (per_hour is None or variant.price_per_gpu_hour is None):
            per_hour = None
        elif per_hour is not None:
            per_hour += count * gpus * (variant.price_per_gpu_hour or 0)
    return Asked(sum(replicas.values()), per_hour)


def load_tests(spec: WorkloadSpec, memory: Memory) -> tuple[LoadTest | None, ...]:
    """What a load test of each variant would give, by what was learned of it; None before that can be told."""
    shape = memory.shape
    return tuple(_load_test(spec, memory, variant.name, shape) if shape else None for variant in spec.variants)


def _load_test(spec: WorkloadSpec, memory: Memory, name: str, shape: RequestShape) -> LoadTest | None:
    fit = memory.variant(name).fit
    if fit is None or not fit.confident:
        return None
    limits = limits_of(spec)
    capacity: ReplicaCapacity = replica_capacity(fit, shape, limits)
    curve = memory.curve or prior(first_token_slack(fit, shape, limits))
    rate = carried(curve, 1, capacity.requests_per_second)
    # In flight by Little's law: decode of a batch whose iterations are linear in it, and the prefill before it.
    idle, one = (
        sum(t * x for t, x in zip(fit.terms, shape.regressors(batch).tolist(), strict=True)) for batch in (0, 1)
    )
    busy = rate * max(1.0, shape.output_tokens)
    decoding = min(capacity.batch, busy * idle / max(1e-9, 1.0 - busy * (one - idle)))
    return LoadTest(rate, decoding + rate * (fit.terms[0] + fit.terms[3] * shape.prefill_tokens))


def _since(slots: Sequence[_Slot], begin: float) -> list[_Slot]:
    return [slot for slot in slots if slot.index * SLOT_SECONDS >= begin]


def _grown(slot: _Slot, seconds: float, rival: Asked, own: Asked) -> _Slot:
    hours = Decimal(seconds) / Decimal(HOUR_SECONDS)
    return replace(
        slot,
        seconds=slot.seconds + seconds,
        replica_seconds=slot.replica_seconds + seconds * rival.replicas,
        own_replica_seconds=slot.own_replica_seconds + seconds * own.replicas,
        dollars=_sum([slot.dollars, None if rival.per_hour is None else rival.per_hour * hours]),
        own_dollars=_sum([slot.own_dollars, None if own.per_hour is None else own.per_hour * hours]),
    )


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None
