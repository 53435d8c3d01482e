"""The status of a WorkloadSLO: what is, what was decided, and why. Numbers with a fraction are strings."""

from typing import Annotated, Literal

from flyball.api.model import ApiModel, ListMap
from flyball.api.v1alpha1.advice import PlanStatus, RivalStatus
from flyball.api.v1alpha1.efficiency import CacheStatus, PromptTrendStatus, ReliabilityStatus, TokenStatus


class StatusCondition(ApiModel):
    """One condition, as Kubernetes knows them."""

    type: str
    """Ready, SLOMet, WithinBudget, ROIMet, TelemetryHealthy, PriceTrusted, CapacityAvailable, ScalingActive; others
    only while they hold."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """Why, in one CamelCase word."""
    message: str
    """Why, in a sentence."""
    last_transition_time: str
    """When the status last changed (RFC 3339, UTC)."""
    observed_generation: int | None = None
    """Generation of the spec that the condition speaks of."""


class StatusSummary(ApiModel):
    """The columns of `kubectl get`."""

    slo: str | None = None
    """How many objectives are met: `2/2 met`."""
    budget: str | None = None
    """What is left of the scarcest error budget: `63%`."""
    cost: str | None = None
    """Dollars per hour, and the hourly ceiling: `$12.30/h of $20`."""
    replicas: str | None = None
    """Current and desired replicas over all targets: `3→5`."""
    roi: str | None = None
    """Worth per dollar, or the first ROI target: `3.4x`."""
    fallback: str | None = None
    """State of the fallback and the share it takes: `Fallback 30%`."""
    reason: str | None = None
    """What the last decision was made of."""


class ObjectiveStatus(ApiModel):
    """One objective as measured."""

    name: str
    """Name of the objective."""
    indicator: str
    """What is measured."""
    threshold: str | None = None
    """Latency that a good request does not exceed."""
    target: str
    """Share of requests that must be good."""
    window: str | None = None
    """Period over which the share is promised."""
    state: str
    """Met, Burning, Breached, Insufficient, Absent, Stale or Unmeasurable."""
    attained: str | None = None
    """Share of good requests over the window, or as much of it as there is history."""
    p50: str | None = None
    """Median over the last minutes. For display: decisions use shares."""
    p95: str | None = None
    """95th percentile over the last minutes. For display: decisions use shares."""
    p99: str | None = None
    """99th percentile over the last minutes. For display: decisions use shares."""
    burn_rate_short: str | None = None
    """How many times faster than allowed the error budget burns over the short window."""
    burn_rate_long: str | None = None
    """How many times faster than allowed the error budget burns over the long window."""
    budget_left: str | None = None
    """Share of the window's error budget that is left; negative when overdrawn."""
    slow_because_of: str | None = None
    """While it burns, the stage of the request to blame, of telemetry.stages or of the engine's own."""


class StageStatus(ApiModel):
    """One stage of a request's path as measured over the last minutes."""

    name: str
    """Name of the stage."""
    p50: str | None = None
    """Median; `under 300ms` where the histogram tells nothing apart below that."""
    p95: str | None = None
    """95th percentile."""
    p99: str | None = None
    """99th percentile."""
    share_of_p95: str | None = None
    """The stage's p95 as a share of that of the whole request. Shares need not add up to 100%: not every request is
    slow in all of its stages."""


class SegmentStatus(ApiModel):
    """One segment of the traffic over the last five minutes."""

    name: str
    """Its label values, or `other` for the requests of all segments that are not listed."""
    requests: int | None = None
    """Requests."""
    sessions: int | None = None
    """Sessions that are open now, where they are what is measured."""
    p95: str | None = None
    """95th percentile of the latency."""
    attained: str | None = None
    """Share of requests that met the first objective of the same indicator that is promised to all."""


class SegmentsStatus(ApiModel):
    """One latency, or the active sessions, by segment."""

    measured: str
    """Indicator of telemetry.latencies, or ActiveSessions."""
    count: int
    """How many segments had requests or sessions."""
    worst: str | None = None
    """The segment that surely misses most of what is promised to all; absent where none surely misses too much."""
    largest: Annotated[tuple[SegmentStatus, ...], ListMap("name")] = ()
    """The ten with most requests or sessions, and `other` where there are more."""


class TargetStatus(ApiModel):
    """One target as it is and as it should be."""

    name: str
    """Name of the target."""
    current: int
    """Replicas that the target object asks for."""
    desired: int
    """Replicas that it should ask for."""
    ready: int | None = None
    """Replicas that serve."""
    reason: str | None = None
    """Why that many."""
    limited_by: str | None = None
    """The bound that held the count, if one did."""
    accelerator: str | None = None
    """Accelerator of each replica."""
    price_per_gpu_hour: str | None = None
    """Dollars per GPU and hour that are reckoned with; absent where no price is known."""
    price_source: str | None = None
    """Where the price comes from."""
    startup_time: str | None = None
    """Time until a new replica serves, as measured or declared."""
    spot_risk: str | None = None
    """On spot capacity, the share of replicas that is reckoned to be missing: as declared, or as reclaims amount to."""
    reclaims: int | None = None
    """On spot capacity, the replicas that were seen to go without having been asked to."""


class GpuStatus(ApiModel):
    """GPU utilization read with its queue."""

    verdict: str
    """Saturated, Efficient, Headroom, Idle, Starved or Unknown."""
    utilization: str | None = None
    """Mean utilization of the GPUs."""
    queue: str | None = None
    """Requests waiting per replica."""
    running: str | None = None
    """Requests being served per replica: the batch."""
    knee_running: str | None = None
    """The batch at the knee: the largest within the objectives and the KV cache. Known once measured."""
    kv_cache_usage: str | None = None
    """Mean share of the KV cache in use."""
    tokens_per_second: str | None = None
    """Output tokens per second and GPU."""
    knee_tokens_per_second: str | None = None
    """Output tokens per second and GPU at the knee. Known once measured."""


class CostStatus(ApiModel):
    """What the workload costs. Dollars stand for the currency."""

    currency: str | None = None
    """The currency that Flyball reckons in (ISO 4217)."""
    per_hour: str | None = None
    """Dollars per hour now; absent where a price is missing."""
    month_to_date: str | None = None
    """Dollars since the month began (UTC), exact as of `asOf`."""
    day_to_date: str | None = None
    """Dollars since the day began (UTC), exact as of `asOf`."""
    as_of: str | None = None
    """When monthToDate and dayToDate were exact (RFC 3339, UTC); they grow by perHour."""
    month_forecast: str | None = None
    """Dollars that the whole month costs if all demand is served: what a ceiling holds back is not taken off."""
    month_low: str | None = None
    """Dollars below which the month stays one time in twenty, by how days differed so far."""
    month_high: str | None = None
    """Dollars that the month exceeds one time in twenty."""
    forecast_record: str | None = None
    """How past forecasts and their ranges fared."""
    ceilings_spared: str | None = None
    """Dollars that ceilings held back since the month began."""
    ceilings_missed: str | None = None
    """Requests that missed an objective for it, by the learned curve of misses."""
    per_request: str | None = None
    """Dollars per served request."""
    per_million_tokens: str | None = None
    """Dollars per million tokens, in and out."""


class RoiStatus(ApiModel):
    """One ROI target as measured."""

    name: str
    """Name of the target."""
    metric: str | None = None
    """What the target is set on."""
    value: str | None = None
    """The figure over the window."""
    low: str | None = None
    """Lower bound of its 95% interval."""
    high: str | None = None
    """Upper bound of its 95% interval."""
    target: str
    """The amount to reach or not to exceed; of a relative target, in the figure's own unit."""
    state: str
    """Met, AtRisk, Breached, Insufficient, PriceMissing or Unproven."""
    why: str | None = None
    """Why there is no figure."""
    cause: str | None = None
    """What moved the figure since as long before: Cost, Value, Volume or Mix, with what each makes of the move."""
    advice: str | None = None
    """To retire, re-architect or scale the workload, with the arithmetic."""


class OriginalWeights(ApiModel):
    """The user's own weights of one route, to be restored."""

    http_route: str | None = None
    """Name of the HTTPRoute."""
    grpc_route: str | None = None
    """Name of the GRPCRoute."""
    ai_gateway_route: str | None = None
    """Name of the AIGatewayRoute."""
    rule_name: str | None = None
    """Name of the rule, where it has one."""
    primary: int
    """Weight of the primary backend."""
    fallback: int
    """Weight of the fallback backend; 0 where it stands behind the primary by its priority."""


class FallbackStatus(ApiModel):
    """State of the fallback."""

    state: str
    """Primary, Shedding, Fallback, Probing or Returning."""
    weight: str | None = None
    """Share of the traffic on the fallback."""
    since: str | None = None
    """When the state began (RFC 3339, UTC)."""
    reason: str | None = None
    """Why."""
    original_weights: tuple[OriginalWeights, ...] = ()
    """The user's own weights, while Flyball's differ."""


class SignalStatus(ApiModel):
    """Where a signal comes from, and how good that is."""

    name: str
    """What is measured, as overrides name it; of a declared stage `stages.NAME`."""
    source: str | None = None
    """The profile and the series, or the field with the query, that it is read from; of one that is missing, why."""
    quality: str | None = None
    """Exact, Estimated (near what is meant, but not it), Stale or Missing."""
    age: str | None = None
    """An upper bound of the age of its oldest sample in use; `unknown` of a query that is more than a selector of one
    metric. It changes in steps, so that a steady state writes nothing."""


class LastDecision(ApiModel):
    """The last decision that changed something."""

    id: str
    """Identifier, as in logs, Events and `flyball replay`."""
    time: str
    """When it was made (RFC 3339, UTC)."""
    summary: str | None = None
    """What was decided and why."""


class WorkloadSLOStatus(ApiModel):
    """What is, what was decided, and why."""

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    mode: str | None = None
    """The mode acted on."""
    summary: StatusSummary | None = None
    """The columns of `kubectl get`."""
    conditions: Annotated[tuple[StatusCondition, ...], ListMap("type")] = ()
    """Conditions; Ready means reconciled, not that objectives are met."""
    objectives: Annotated[tuple[ObjectiveStatus, ...], ListMap("name")] = ()
    """Each objective as measured, defaults included."""
    stages: Annotated[tuple[StageStatus, ...], ListMap("name")] = ()
    """Each stage of telemetry.stages through which requests passed, then Queue, Prefill and Decode by the engine's own
    histograms. Where prefill is not told apart, FirstToken is it with the queue."""
    segments: Annotated[tuple[SegmentsStatus, ...], ListMap("measured")] = ()
    """Each latency of telemetry.latencies by the labels of telemetry.segmentBy."""
    targets: Annotated[tuple[TargetStatus, ...], ListMap("name")] = ()
    """Each target as it is and as it should be."""
    gpu: GpuStatus | None = None
    """GPU utilization read with its queue."""
    reliability: ReliabilityStatus | None = None
    """How requests ended."""
    tokens: TokenStatus | None = None
    """What requests are made of."""
    prompt_trend: PromptTrendStatus | None = None
    """Whether prompts grow."""
    caches: Annotated[tuple[CacheStatus, ...], ListMap("name")] = ()
    """Hit rates of caches, and what they are worth."""
    cost: CostStatus | None = None
    """Dollars."""
    roi: Annotated[tuple[RoiStatus, ...], ListMap("name")] = ()
    """Each ROI target as measured."""
    fallback: FallbackStatus | None = None
    """State of the fallback."""
    signals: Annotated[tuple[SignalStatus, ...], ListMap("name")] = ()
    """Each signal: where it comes from, how good it is and how old."""
    plan: PlanStatus | None = None
    """How many GPUs of what kind will be needed by when, from the last weeks' load."""
    shadow: Annotated[tuple[RivalStatus, ...], ListMap("name")] = ()
    """What each rival policy of spec.shadow would have asked for, and at what cost."""
    last_decision: LastDecision | None = None
    """The last decision that changed something."""
