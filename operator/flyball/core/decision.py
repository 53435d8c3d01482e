"""What a tick decided for one workload, with its reasons as data: status, Events, logs and text are made of it."""

from decimal import Decimal

from flyball.core.names import ConditionType, EventReason, FallbackState, GpuVerdict, Mode, WorkloadKey
from flyball.core.service.efficiency_report import Efficiency
from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for a decision: a CamelCase code, a sentence for people, and the numbers that it speaks of."""

    code: str
    text: str
    numbers: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition before it is merged with its history; `status` is True, False or None for Unknown."""

    type: ConditionType
    status: bool | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth telling the owner. `warning` decides the Event's type."""

    reason: EventReason
    message: str
    action: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class VariantDecision:
    """How many replicas one variant should have, and why. `limited_by` names the bound that held it, if one did."""

    name: str
    current: int
    desired: int
    ready: int
    causes: tuple[Cause, ...]
    limited_by: str = ""


@dataclass(frozen=True, slots=True)
class SpotReport:
    """One spot variant: the share of its replicas that is expected to be missing, and the reclaims that were seen."""

    name: str
    risk: float
    reclaims: int


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """The weights that one fallback route should have; None to give the user's own back."""

    route: str
    weights: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class ObjectiveReport:
    """One objective as measured now: shares as ratios, latencies in seconds, burn as multiples of the allowed rate.

    `state` is Met, Burning, Breached, Insufficient, Absent, Stale, Invalid or Unmeasurable. `burns_now` says that the
    short window burns beyond doubt, where `state` may still speak of what was announced before. Of one that burns,
    `because` names the stage of the request to blame, where stages are measured, and `elsewhere` says that what it
    misses is explained without the engine: more GPUs would not help.
    """

    name: str
    state: str
    attained: float | None
    burn_short: float | None
    burn_long: float | None
    budget_left: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    burns_now: bool = False
    because: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage of a request's path: percentiles in seconds, and its p95 as a share of that of the whole request (None:
    unknown). Shares need not add up to 1: not every request is slow in all of its stages. A percentile of no more than
    `least` is not known any better than that.
    """

    name: str
    p50: float
    p95: float
    p99: float
    share: float | None
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class GpuReport:
    """The GPU verdict and the numbers it came from; utilization and KV cache usage as ratios, None where unknown.

    Waiting and running are requests per replica, `tokens` the output tokens per second and GPU. At the knee, the
    largest batch within the objectives, these are `knee_tokens` and a replica runs `knee_batch`.
    """

    verdict: GpuVerdict
    utilization: float | None
    kv_cache_usage: float | None
    waiting: float | None
    running: float | None
    tokens: float | None = None
    knee_tokens: float | None = None
    knee_batch: float | None = None


@dataclass(frozen=True, slots=True)
class CostReport:
    """Dollars. None where a price is missing or where there were no requests to divide by.

    `month_to_date` and `day_to_date` are exact as of the observation's time and grow by `per_hour`; `month_forecast` is
    what the month costs if all demand is served, nine times of ten between `month_low` and `month_high` (None while too
    few days are known), and `month_record` says how such ranges fared. `spared` are the dollars that ceilings held back
    this month, `missed` the requests that missed an objective for it.
    `requests` is the number that `per_request` was divided by.
    """

    per_hour: Decimal | None
    month_to_date: Decimal
    month_forecast: Decimal | None
    per_request: Decimal | None
    per_million_tokens: Decimal | None
    requests: float | None = None
    day_to_date: Decimal = Decimal(0)
    month_low: Decimal | None = None
    month_high: Decimal | None = None
    month_record: str = ""
    spared: Decimal = Decimal(0)
    missed: float = 0.0


@dataclass(frozen=True, slots=True)
class RoiReport:
    """One ROI target: the value now with its 95% interval, and Met, AtRisk, Breached, Insufficient, PriceMissing or
    Unproven.

    `why` says why there is no value, `cause` (with a code) what moved it, and `advice` what follows from it; empty
    where that is not known. `booked` values come from the ledger.
    """

    name: str
    state: str
    value: float | None
    low: float | None
    high: float | None
    target: Decimal
    why: str = ""
    cause: str = ""
    cause_code: str = ""
    advice: str = ""
    booked: bool = False


@dataclass(frozen=True, slots=True)
class FallbackReport:
    """The fallback's state, the share of the traffic that overflows, and why; `flows` are the shares by backend."""

    state: FallbackState
    share: float
    since: float
    cause: str
    flows: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One segment of the traffic: its requests in the window, their p95 in seconds, and the share that met what is
    promised to all (None: unknown).
    """

    name: str
    requests: float
    p95: float
    attained: float | None


@dataclass(frozen=True, slots=True)
class SegmentsReport:
    """One latency by segment, the largest first and what is left of the traffic last; `count` is how many there are.

    `worst` names the one that surely misses most; empty where none surely misses more than is allowed.
    """

    measured: str
    count: int
    segments: tuple[SegmentReport, ...]
    worst: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything decided for one workload in one tick. `at` is seconds since the epoch."""

    id: str
    key: WorkloadKey
    at: float
    mode: Mode
    variants: tuple[VariantDecision, ...]
    routes: tuple[RouteDecision, ...]
    conditions: tuple[Condition, ...]
    events: tuple[Event, ...]
    objectives: tuple[ObjectiveReport, ...]
    gpu: GpuReport
    cost: CostReport
    roi: tuple[RoiReport, ...]
    fallback: FallbackReport | None
    summary: str
    arrivals_per_second: float | None = None
    capacity_per_replica: float | None = None
    spot: tuple[SpotReport, ...] = ()
    stages: tuple[StageReport, ...] = ()
    segments: tuple[SegmentsReport, ...] = ()
    efficiency: Efficiency = Efficiency()
