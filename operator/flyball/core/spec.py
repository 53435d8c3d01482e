"""What a user declared for one workload, with every default and price resolved: the core's view of a WorkloadSLO.

`flyball.api.convert` makes these values; nothing in here knows the wire format. Durations are seconds, shares are
ratios between 0 and 1, money is Decimal dollars.
"""

from dataclasses import field
from decimal import Decimal
from enum import StrEnum

from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.core.money.node_prices import NodePriceRule
from flyball.core.names import (
    Enforcement,
    FallbackKind,
    Indicator,
    Mode,
    Period,
    Precedence,
    RoiMetric,
    RouteKind,
    WorkloadKey,
)
from flyball.core.service.latency import LatencySource, Stage
from flyball.core.service.own_counts import OwnCounts
from flyball.core.traffic.forecast import LEVELS
from flyball.core.value.kpi import Value
from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True)
class EnginePrior:
    """A published or declared guess at one replica's iteration time, from which online fitting starts.

    Seconds per iteration = base + per_sequence × sequences + per_context_token × context tokens held
    + per_prefill_token × prefill tokens in it.
    """

    base_seconds: float
    per_sequence_seconds: float
    per_context_token_seconds: float
    per_prefill_token_seconds: float
    kv_cache_tokens: float
    max_sequences: int


@dataclass(frozen=True, slots=True)
class TargetRef:
    """An object of the workload's namespace that has a `scale` subresource."""

    api_version: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to serve the workload's traffic, scaled as one object.

    `price_per_gpu_hour` is None where no price is known: never zero. `by_book` says that it stands in the PriceBook,
    and holds when that does; `node_price` that OpenCost knows it. `gpus_per_replica` and `accelerator` are None where
    the pod template must tell. `startup_seconds` is None where it must be measured. `spot` capacity may be taken back
    at any time; `spot_risk` is the share of its replicas that the user expects to be missing for that.
    """

    name: str
    target: TargetRef
    min_replicas: int
    max_replicas: int
    accelerator: str | None = None
    gpus_per_replica: int | None = None
    price_per_gpu_hour: Decimal | None = None
    price_source: str = ""
    startup_seconds: float | None = None
    engine: EnginePrior | None = None
    by_book: bool = False
    spot: bool = False
    spot_risk: float = 0.0
    node_price: NodePriceRule | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """At least `target` of the requests of a window are within `threshold_seconds`.

    `threshold_seconds` is None for indicators that count events (Availability, Truncation). `segment` are label values
    that narrow it to some requests.
    """

    name: str
    indicator: Indicator
    threshold_seconds: float | None
    target: float
    window_seconds: float
    stage: str | None = None
    segment: tuple[tuple[str, str], ...] = ()

    @property
    def budget(self) -> float:
        """The share of requests that may miss the threshold."""
        return 1.0 - self.target


@dataclass(frozen=True, slots=True)
class Ceiling:
    """At most `amount` of `currency` per period, request or million tokens. `source` names the budget that it is part
    of.
    """

    period: Period
    amount: Decimal
    enforcement: Enforcement
    source: str = ""
    currency: str = DEFAULT_CURRENCY


@dataclass(frozen=True, slots=True)
class RoiTarget:
    """A ratio to reach or a cost not to exceed, over a window.

    `kpi` is the one that the metric KPI means. A `relative` amount is so many times the recorded baseline's figure.
    `by_ledger` says that only the ledger knows the figure.
    """

    name: str
    metric: RoiMetric
    amount: Decimal
    window_seconds: float
    kpi: str = ""
    relative: bool = False
    by_ledger: bool = False


@dataclass(frozen=True, slots=True)
class FallbackRoute:
    """One rule of a route and the two backends between which its weights may move.

    `rule_name` is None when the route has a single rule that holds both backends. Traffic of a lower `order` overflows
    first. `traffic_share` is the share of the workload's traffic that comes through this rule; None where it was not
    declared.
    """

    route: str
    primary: str
    fallback: str
    rule_name: str | None = None
    kind: RouteKind = RouteKind.HTTP
    order: int = 0
    traffic_share: float | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.route}"


@dataclass(frozen=True, slots=True)
class FallbackBackend:
    """What stands behind a fallback backend: what it is, and what a request costs there.

    `max_requests_per_second` is what it can take; None where nobody said. What the PriceBook knows of its price is in
    `Prices`.
    """

    name: str
    kind: FallbackKind
    price_per_request: Decimal | None = None
    labor_cost_per_request: Decimal | None = None
    max_requests_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """When traffic may move to the fallback backends, how much of it, and for how long at least.

    `max_overflow` is the largest share that may leave the primary. `on_objectives`, `on_capacity` and `on_ceiling` are
    the triggers. `steps` are the shares by which traffic moves, ascending; without them it moves as far as is needed.
    `max_cost_per_hour` is what overflow may cost, labour included. `price_per_request` and `labor_cost_per_request`
    hold for backends that `backends` does not list.
    """

    routes: tuple[FallbackRoute, ...]
    on_objectives: bool = True
    on_capacity: bool = True
    on_ceiling: bool = True
    max_overflow: float = 0.5
    trigger_for_seconds: float = 30.0
    min_hold_seconds: float = 120.0
    return_hold_seconds: float = 60.0
    steps: tuple[float, ...] = ()
    price_per_request: Decimal | None = None
    labor_cost_per_request: Decimal | None = None
    backends: tuple[FallbackBackend, ...] = ()
    max_cost_per_hour: Decimal | None = None

    def backend(self, name: str) -> FallbackBackend | None:
        """What is declared of that backend."""
        return next((backend for backend in self.backends if backend.name == name), None)


@dataclass(frozen=True, slots=True)
class ToZero:
    """That an idle workload may have no replica at all.

    `idle_after_seconds` is for how long nobody must have asked for it, `min_hold_seconds` for how long it then stays at
    zero whoever asks. Who asks is seen by `query` (PromQL, above 0 while somebody does) or at `fallback_target`, which
    serves meanwhile: without either nobody would ever be heard.
    """

    idle_after_seconds: float
    min_hold_seconds: float = 0.0
    query: str = ""
    fallback_target: TargetRef | None = None


@dataclass(frozen=True, slots=True)
class Scaling:
    """Limits on how replica counts move.

    `down_stabilization_seconds` is None where economics decide (the time a replica takes to come back).
    `headroom` is the share of the load that is staffed for on top of what is expected, and `max_insurance` the highest
    quantile of what may arrive that is staffed for. Without `to_zero` one replica always stays.
    """

    up_stabilization_seconds: float = 0.0
    up_max_step: int | None = None
    down_stabilization_seconds: float | None = None
    down_max_step: int | None = None
    headroom: float = 0.0
    max_insurance: float = LEVELS[-1]
    to_zero: ToZero | None = None


class Unit(StrEnum):
    """What a component of a request's cost is charged by."""

    REQUEST = "Request"
    MILLION_TOKENS = "MillionTokens"
    HOUR = "Hour"


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a request's cost beside the GPUs: `price` dollars per `unit`. `kind` says what it pays for."""

    name: str
    kind: str
    unit: Unit
    price: Decimal


@dataclass(frozen=True, slots=True)
class HostedModel:
    """Dollars per million prompt tokens and per million generated tokens of a hosted model."""

    name: str
    per_million_input: Decimal
    per_million_output: Decimal


@dataclass(frozen=True, slots=True)
class BackendPrice:
    """What a PriceBook says of one fallback backend: the hosted model that it is, and the labour of a request there."""

    name: str
    hosted: HostedModel | None = None
    labor_per_request: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """What a workload's spec and PriceBook say of costs beside the GPUs.

    `hosted` is the model that its fallback overflows to, `backends` what is known of fallback backends by their names.
    From `effective_at` on the book's prices hold (seconds since the epoch; None: always), from `stale_at` on they are
    no longer trusted. `missing` are sentences about prices that were looked up in vain, `old` and `doubtful` about
    those of OpenCost that were last seen too long ago, and that are too far from the book's or each other's.
    """

    book: str = ""
    components: tuple[Component, ...] = ()
    hosted: HostedModel | None = None
    effective_at: float | None = None
    stale_at: float | None = None
    missing: tuple[str, ...] = ()
    backends: tuple[BackendPrice, ...] = ()
    old: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()

    def backend(self, name: str) -> BackendPrice:
        """What is known of that backend; a blank where nothing is."""
        return next((price for price in self.backends if price.name == name), BackendPrice(name))


@dataclass(frozen=True, slots=True)
class TelemetrySource:
    """Where a workload's signals come from.

    `selector` are label equalities that its series carry beside namespace and target. `overrides` maps a signal's name
    to the user's own PromQL. `stale_after_seconds` is the age past which a sample teaches nothing. `latencies` are
    measured outside of the engine (at a gateway, in an application), by what they measure, `stages` are those of a
    request's path, and `segment_by` the labels that split them. `only_split` are told by segment, and no objective is
    counted from them. `own` is what the user counts. An empty `engine` is
    recognized by what the pods export. `gateway` names the profile of what stands before the workload, if anything
    does, and `gateway_selector` are label equalities of its series.
    """

    engine: str = ""
    selector: tuple[tuple[str, str], ...] = ()
    overrides: tuple[tuple[str, str], ...] = ()
    stale_after_seconds: float = 60.0
    latencies: tuple[tuple[Indicator, LatencySource], ...] = ()
    stages: tuple[Stage, ...] = ()
    segment_by: tuple[str, ...] = ()
    only_split: tuple[tuple[Indicator, LatencySource], ...] = ()
    own: OwnCounts = OwnCounts()
    gateway: str = ""
    gateway_selector: tuple[tuple[str, str], ...] = ()

    @property
    def split(self) -> tuple[tuple[Indicator, LatencySource], ...]:
        """The latencies that are told by segment."""
        return (*self.latencies, *self.only_split) if self.segment_by else ()

    def latency(self, objective: Objective) -> LatencySource | None:
        """The histogram that an objective is counted from; None where it is the engine's own."""
        if objective.indicator is Indicator.STAGE:
            found = next((stage.source for stage in self.stages if stage.name == objective.stage), None)
        else:
            found = dict(self.latencies).get(objective.indicator)
        return found.narrowed(objective.segment) if found is not None else None


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """Everything declared for one workload. All of its money is in `currency`."""

    key: WorkloadKey
    uid: str
    generation: int
    workload_type: str
    mode: Mode
    precedence: Precedence
    priority: int
    variants: tuple[Variant, ...]
    objectives: tuple[Objective, ...]
    telemetry: TelemetrySource = TelemetrySource()
    ceilings: tuple[Ceiling, ...] = ()
    value_per_request: Decimal | None = None
    value: Value = field(default_factory=Value)
    roi_targets: tuple[RoiTarget, ...] = ()
    fallback: Fallback | None = None
    scaling: Scaling = Scaling()
    prices: Prices = Prices()
    not_acted_on: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()
    currency: str = DEFAULT_CURRENCY

    def ceiling(self, period: Period) -> Ceiling | None:
        """The ceiling of that period, of which there is at most one."""
        return next((ceiling for ceiling in self.ceilings if ceiling.period is period), None)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a spec: the field's path, what is wrong, and what to write instead."""

    path: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; {self.fix}"


@dataclass(frozen=True, slots=True)
class Invalid:
    """A WorkloadSLO that cannot be acted on: data, so that one bad object never stops the loop."""

    key: WorkloadKey
    uid: str
    generation: int
    errors: tuple[FieldError, ...]

    def __str__(self) -> str:
        return "; ".join(str(error) for error in self.errors)
