"""The words of the domain: keys, modes, conditions and Event reasons. They are the API's words too."""

from enum import StrEnum

from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True, order=True)
class WorkloadKey:
    """A WorkloadSLO's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Mode(StrEnum):
    """What Flyball may do with a workload: act, only show, or nothing at all."""

    AUTO = "Auto"
    RECOMMEND = "Recommend"
    PAUSED = "Paused"


class Precedence(StrEnum):
    """Which of the two yields when an objective and a cost ceiling collide."""

    SLO = "SLO"
    COST = "Cost"


class Indicator(StrEnum):
    """What an objective measures."""

    TIME_TO_FIRST_TOKEN = "TimeToFirstToken"  # noqa: S105 - a latency, not a secret
    INTER_TOKEN_LATENCY = "InterTokenLatency"  # noqa: S105 - a latency, not a secret
    END_TO_END = "EndToEnd"
    QUEUE_TIME = "QueueTime"
    STAGE = "Stage"
    AVAILABILITY = "Availability"
    TRUNCATION = "Truncation"
    RETRIEVAL = "Retrieval"
    TIMEOUTS = "Timeouts"
    RATE_LIMITS = "RateLimits"
    FALLBACKS = "Fallbacks"
    RETRIES = "Retries"


COUNTED_INDICATORS = frozenset(
    {
        Indicator.AVAILABILITY,
        Indicator.TRUNCATION,
        Indicator.RETRIEVAL,
        Indicator.TIMEOUTS,
        Indicator.RATE_LIMITS,
        Indicator.FALLBACKS,
        Indicator.RETRIES,
    }
)
"""Indicators whose good events are told by how requests end, not by how long they take: more GPUs do not mend them."""
TIMED_INDICATORS = frozenset(Indicator) - COUNTED_INDICATORS
"""The others: they are nothing without a threshold, and what sizes are chosen by."""
FALLBACK_MENDS = TIMED_INDICATORS | {Indicator.AVAILABILITY, Indicator.TIMEOUTS}
"""Indicators that overflow to a fallback mends: it truncates, retrieves and retries as the primary does."""


class Period(StrEnum):
    """What a ceiling is counted over."""

    HOUR = "Hour"
    DAY = "Day"
    MONTH = "Month"
    REQUEST = "Request"
    MILLION_TOKENS = "MillionTokens"


class Enforcement(StrEnum):
    """What a reached ceiling does."""

    ALERT = "Alert"
    CLAMP = "Clamp"
    FALLBACK = "Fallback"


class RoiMetric(StrEnum):
    """What an ROI target is set on. A ratio is to be reached, a cost not to be exceeded."""

    VALUE_COST_RATIO = "ValueCostRatio"
    COST_PER_REQUEST = "CostPerRequest"
    COST_TO_SERVE = "CostToServe"
    KPI = "KPI"


class FallbackState(StrEnum):
    """Where the fallback stands: no traffic overflows, part of it does, all of it; and the two ways back."""

    PRIMARY = "Primary"
    SHEDDING = "Shedding"
    FALLBACK = "Fallback"
    PROBING = "Probing"
    RETURNING = "Returning"


class FallbackKind(StrEnum):
    """What answers in place of the primary."""

    SMALLER_MODEL = "SmallerModel"
    HOSTED_MODEL = "HostedModel"
    RULES = "Rules"
    HUMAN_QUEUE = "HumanQueue"


class RouteKind(StrEnum):
    """The kinds of routes whose weights move."""

    HTTP = "HTTPRoute"
    GRPC = "GRPCRoute"
    AI_GATEWAY = "AIGatewayRoute"


class KpiKind(StrEnum):
    """A business outcome of answered requests."""

    CONTAINMENT = "Containment"
    DEFLECTION = "Deflection"
    ESCALATION = "Escalation"
    POST_BOT_CONTACT = "PostBotContact"
    TASK_COMPLETION = "TaskCompletion"
    REWORK = "Rework"
    ADOPTION = "Adoption"
    CONVERSION = "Conversion"
    RETENTION = "Retention"
    TIME_SAVED = "TimeSaved"
    TIME_TO_ANSWER = "TimeToAnswer"
    HANDLE_TIME = "HandleTime"
    CUSTOM = "Custom"


class GpuVerdict(StrEnum):
    """GPU utilization read with its queue."""

    SATURATED = "Saturated"
    EFFICIENT = "Efficient"
    HEADROOM = "Headroom"
    IDLE = "Idle"
    STARVED = "Starved"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """The conditions of a WorkloadSLO. The last five exist only while they hold, ScaleToZero while it is declared."""

    READY = "Ready"
    SLO_MET = "SLOMet"
    WITHIN_BUDGET = "WithinBudget"
    ROI_MET = "ROIMet"
    BASELINE_RECORDED = "BaselineRecorded"
    TELEMETRY_HEALTHY = "TelemetryHealthy"
    PRICE_TRUSTED = "PriceTrusted"
    CAPACITY_AVAILABLE = "CapacityAvailable"
    SCALING_ACTIVE = "ScalingActive"
    SCALE_TO_ZERO = "ScaleToZero"
    FALLBACK_ACTIVE = "FallbackActive"
    CONTENDED = "Contended"
    ROUTE_CONFLICT = "RouteConflict"
    DECLARED_NOT_ACTED_ON = "DeclaredNotActedOn"
    THRESHOLD_BETWEEN_EDGES = "ThresholdBetweenEdges"


class EventReason(StrEnum):
    """The reasons of the Events that Flyball writes."""

    SCALED_UP = "ScaledUp"
    SCALED_DOWN = "ScaledDown"
    SCALE_BLOCKED = "ScaleBlocked"
    SCALE_TO_ZERO_REFUSED = "ScaleToZeroRefused"
    SLO_BREACHED = "SLOBreached"
    SLO_RECOVERED = "SLORecovered"
    ERROR_BUDGET_LOW = "ErrorBudgetLow"
    ERROR_BUDGET_EXHAUSTED = "ErrorBudgetExhausted"
    BUDGET_CEILING_APPROACHING = "BudgetCeilingApproaching"
    BUDGET_CEILING_REACHED = "BudgetCeilingReached"
    BUDGET_RECOVERED = "BudgetRecovered"
    FALLBACK_ACTIVATED = "FallbackActivated"
    FALLBACK_RETURNING = "FallbackReturning"
    FALLBACK_CLEARED = "FallbackCleared"
    FALLBACK_BLOCKED = "FallbackBlocked"
    ROUTE_CONFLICT = "RouteConflict"
    ROI_TARGET_AT_RISK = "ROITargetAtRisk"
    ROI_TARGET_BREACHED = "ROITargetBreached"
    ROI_TARGET_MET = "ROITargetMet"
    EXPERIMENT_STARTED = "ExperimentStarted"
    EXPERIMENT_DECIDED = "ExperimentDecided"
    TELEMETRY_STALE = "TelemetryStale"
    TELEMETRY_RECOVERED = "TelemetryRecovered"
    PRICE_MISSING = "PriceMissing"
    TARGET_MISSING = "TargetMissing"
    CONTENDED = "Contended"
    INVALID_SPEC = "InvalidSpec"
