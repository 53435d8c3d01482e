"""What one tick may know about one workload: readings with their state and age, and the cluster's state.

`flyball.telemetry` and `flyball.cluster` (or the lab) fill these values; `core.decide` reads nothing else. A value
that is not known is a state, never a zero.
"""

import math
from enum import StrEnum

from flyball.core.money.books import Books
from flyball.core.names import WorkloadKey
from flyball.core.service.latency import SegmentsReading, StageReading, WholeReading
from flyball.core.service.own_counts import OwnReadings
from flyball.core.service.sources import SignalSource
from flyball.core.traffic.demand_events import DemandWindow
from flyball.core.values import dataclass

# No gauge or rate of one workload comes near this (requests, tokens, per second): what is larger is a broken exporter.
LARGEST_BELIEVABLE = 1e12


class SignalState(StrEnum):
    """Whether a reading may be believed."""

    OK = "Ok"
    STALE = "Stale"
    ABSENT = "Absent"
    INSUFFICIENT = "Insufficient"
    INVALID = "Invalid"


@dataclass(frozen=True, slots=True)
class Reading:
    """One number with its state, and its age in seconds at the time of the observation."""

    value: float
    state: SignalState
    age_seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the number may be used."""
        return self.state is SignalState.OK and believable(self.value)

    def otherwise(self, value: float) -> float:
        """The number if it may be used, else `value`."""
        return self.value if self.ok else value


ABSENT = Reading(math.nan, SignalState.ABSENT)


def believable(value: float) -> bool:
    """Whether a gauge, rate or count can be what it says: not NaN, infinite, negative or absurdly large."""
    return 0 <= value <= LARGEST_BELIEVABLE


def ok(value: float, age_seconds: float = 0.0) -> Reading:
    """A reading to believe, or an Invalid one where the number cannot be."""
    return Reading(value, SignalState.OK if believable(value) else SignalState.INVALID, age_seconds)


@dataclass(frozen=True, slots=True)
class WindowShare:
    """How many events of a trailing window were good, of how many in all."""

    window_seconds: float
    good: float
    total: float

    @property
    def usable(self) -> bool:
        """Whether both counts can be what they say."""
        return believable(self.good) and believable(self.total)

    @property
    def bad_share(self) -> float:
        """The share of bad events; 0 for a window without events."""
        return min(1.0, max(0.0, 1.0 - self.good / self.total)) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class BucketEdges:
    """Where a threshold lies among its histogram's bucket edges (seconds). `exact` when it is an edge.

    `lower` is 0 below the first edge; `upper` is infinite above the last: then the threshold cannot be measured.
    """

    exact: bool
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latency percentiles in seconds over the short window; for display, never for decisions.

    The bounds say where p50 and p95 may lie for all that the window's events tell, three deviations either way.
    """

    p50: float
    p95: float
    p99: float
    p50_bounds: tuple[float, float] = (0.0, math.inf)
    p95_bounds: tuple[float, float] = (0.0, math.inf)


@dataclass(frozen=True, slots=True)
class ObjectiveReading:
    """One objective's events over several trailing windows, shortest first, the objective's own window last.

    A window that the history does not cover yet is left out. `state` speaks for the shortest window.
    """

    name: str
    state: SignalState
    shares: tuple[WindowShare, ...] = ()
    percentiles: Percentiles | None = None
    edges: BucketEdges | None = None
    estimated: bool = False
    age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class VariantSignals:
    """What one variant's replicas report, summed over them (gauges: KV cache and GPU utilization are means, 0 to 1).

    Rates are per second over the telemetry window. `seconds_per_output_token` is the mean over the output tokens after
    the first of requests finished in that window, `decoding` the mean number of requests that were past their first
    token, and the two `_per_request` are mean token counts.
    """

    name: str
    running: Reading = ABSENT
    waiting: Reading = ABSENT
    completions_per_second: Reading = ABSENT
    prompt_tokens_per_second: Reading = ABSENT
    output_tokens_per_second: Reading = ABSENT
    prompt_tokens_per_request: Reading = ABSENT
    output_tokens_per_request: Reading = ABSENT
    seconds_per_output_token: Reading = ABSENT
    kv_cache_usage: Reading = ABSENT
    gpu_utilization: Reading = ABSENT
    cached_prompt_share: Reading = ABSENT
    reporting_replicas: Reading = ABSENT
    decoding: Reading = ABSENT


@dataclass(frozen=True, slots=True)
class WorkloadSignals:
    """Everything that telemetry tells about one workload.

    `completions` and `tokens` count finished requests and their tokens by trailing window in seconds (for ROI and unit
    costs). `wanted` is above 0 while somebody asks for the workload, seen without any of its own pods: at zero replicas
    it is all there is. `stages` are those of the request's path, measured one by one, and `wholes` say what part the
    engine has in objectives that are measured outside of it; `segments` are latencies by segment. `own`
    are events, tokens and caches as users count them, and events as the engine does. `sources` say where each signal
    comes from. `problem` is a sentence where the source itself failed (down, slow, unauthorized), and then everything
    else is Absent.
    """

    objectives: tuple[ObjectiveReading, ...] = ()
    variants: tuple[VariantSignals, ...] = ()
    completions: tuple[tuple[float, float], ...] = ()
    tokens: tuple[tuple[float, float], ...] = ()
    wanted: Reading = ABSENT
    window_seconds: float = 60.0
    problem: str = ""
    stages: tuple[StageReading, ...] = ()
    wholes: tuple[WholeReading, ...] = ()
    segments: tuple[SegmentsReading, ...] = ()
    own: OwnReadings = OwnReadings()
    sources: tuple[SignalSource, ...] = ()

    def objective(self, name: str) -> ObjectiveReading:
        """The reading of that objective, Absent where there is none."""
        for known in self.objectives:
            if known.name == name:
                return known
        return ObjectiveReading(name, SignalState.ABSENT)

    def variant(self, name: str) -> VariantSignals:
        """The signals of that variant, all Absent where there are none."""
        for known in self.variants:
            if known.name == name:
                return known
        return VariantSignals(name)

    def whole(self, objective: str) -> WholeReading | None:
        """How long that objective's requests took in all and in the engine; None where that was not measured."""
        return next((found for found in self.wholes if found.objective == objective), None)

    def completed(self, window_seconds: float) -> float | None:
        """Requests finished in that trailing window; None where unknown."""
        return _counted(self.completions, window_seconds)

    def generated(self, window_seconds: float) -> float | None:
        """Tokens of the requests finished in that trailing window; None where unknown."""
        return _counted(self.tokens, window_seconds)


def _counted(counts: tuple[tuple[float, float], ...], window_seconds: float) -> float | None:
    return next((count for window, count in counts if window == window_seconds and believable(count)), None)


@dataclass(frozen=True, slots=True)
class PodSpan:
    """A pod that holds its GPUs: since when, and since when it has been ready (None while it is not)."""

    uid: str
    held_from: float
    ready_from: float | None = None


@dataclass(frozen=True, slots=True)
class VariantState:
    """What the cluster says of one variant's target.

    `exists` and `scalable` (has a scale subresource) decide whether it can be acted on. `replicas` is the spec's count,
    `ready` the ready pods; `starting` are pods scheduled but not ready, `unschedulable` pods that found no node.
    `contender` names another autoscaler or person that owns the replica count. `startup_seconds` are the times from
    creation to ready of the target's recent pods, and `pods` those that hold GPUs now, being deleted or not.
    """

    name: str
    exists: bool = True
    scalable: bool = True
    replicas: int = 0
    ready: int = 0
    starting: int = 0
    unschedulable: int = 0
    accelerator: str | None = None
    gpus_per_replica: int | None = None
    contender: str | None = None
    startup_seconds: tuple[float, ...] = ()
    pods: tuple[PodSpan, ...] = ()

    @property
    def manageable(self) -> bool:
        """Whether Flyball may scale it: it is there, can be scaled, and is nobody else's."""
        return self.exists and self.scalable and self.contender is None


@dataclass(frozen=True, slots=True)
class RouteState:
    """What the cluster says of one fallback route's rule: the two weights, and who else writes them.

    `problem` is a sentence when the route, rule or a backend cannot be found unambiguously. `original_weights` are the
    user's own (primary, fallback), remembered before the first write. `applied_weights` are the last that Flyball
    wrote; `foreign` is what else somebody moved since, as `weights to 3:1 with priorities 0:1`. Ready endpoints are
    counted for both backends.
    """

    route: str
    primary_weight: int = 1
    fallback_weight: int = 0
    original_weights: tuple[int, int] | None = None
    applied_weights: tuple[int, int] | None = None
    primary_ready_endpoints: int = 0
    fallback_ready_endpoints: int = 0
    problem: str = ""
    foreign: str = ""


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """What the cluster says of one workload. `problem` is a sentence where the API server could not be asked."""

    variants: tuple[VariantState, ...] = ()
    routes: tuple[RouteState, ...] = ()
    problem: str = ""

    def variant(self, name: str) -> VariantState:
        """The state of that variant, missing where there is none."""
        for known in self.variants:
            if known.name == name:
                return known
        return VariantState(name, exists=False, scalable=False)


@dataclass(frozen=True, slots=True)
class Observation:
    """One workload at one instant. `at` is seconds since the epoch, UTC.

    `expected` is the load that DemandEvents announce for it, now and later. `gpus_short` says what GPUPools granted
    less than was asked for when it was last decided, and is empty where they granted everything. `books` are what the
    ledger said when it was last read; None where there is none.
    """

    key: WorkloadKey
    at: float
    signals: WorkloadSignals
    state: WorkloadState
    expected: tuple[DemandWindow, ...] = ()
    gpus_short: str = ""
    books: Books | None = None
