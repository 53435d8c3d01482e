"""The words that only the API knows; those that decisions are made of live in `flyball.core.names`."""

from enum import StrEnum


class WorkloadType(StrEnum):
    """What a workload is for. It sets the default objectives."""

    SUPPORT_BOT = "SupportBot"
    ASSISTANT = "Assistant"
    RESEARCH = "Research"
    AUTOMATION = "Automation"
    BATCH = "Batch"


class CapacityType(StrEnum):
    """How the GPUs under a target are paid for."""

    ON_DEMAND = "OnDemand"
    SPOT = "Spot"
    RESERVED = "Reserved"


class NodePriceBasis(StrEnum):
    """What of a node is counted as the price of its GPUs."""

    GPU = "GPU"
    NODE = "Node"


class EngineProfile(StrEnum):
    """Which inference engine's metric names to read for saturation and latency."""

    VLLM = "VLLM"
    SGLANG = "SGLang"
    TGI = "TGI"
    TRITON = "Triton"
    NIM = "NIM"
    DYNAMO = "Dynamo"
    CUSTOM = "Custom"


class GatewayProfile(StrEnum):
    """Which gateway's metric names to read for end-to-end latency, errors and segments."""

    ENDPOINT_PICKER = "EndpointPicker"
    LITELLM = "LiteLLM"
    ENVOY_AI_GATEWAY = "EnvoyAIGateway"
    OPEN_TELEMETRY = "OpenTelemetry"
    CUSTOM = "Custom"


class Signal(StrEnum):
    """What a workload is watched by, and what a PromQL override may replace."""

    RUNNING = "Running"
    WAITING = "Waiting"
    COMPLETIONS = "Completions"
    PROMPT_TOKENS = "PromptTokens"
    OUTPUT_TOKENS = "OutputTokens"
    PROMPT_TOKENS_PER_REQUEST = "PromptTokensPerRequest"
    OUTPUT_TOKENS_PER_REQUEST = "OutputTokensPerRequest"
    SECONDS_PER_OUTPUT_TOKEN = "SecondsPerOutputToken"  # noqa: S105 - a pace
    CACHED_PROMPT_SHARE = "CachedPromptShare"
    KV_CACHE_USAGE = "KVCacheUsage"
    GPU_UTILIZATION = "GPUUtilization"
    TIME_TO_FIRST_TOKEN = "TimeToFirstToken"  # noqa: S105 - a latency
    INTER_TOKEN_LATENCY = "InterTokenLatency"  # noqa: S105 - a latency
    END_TO_END = "EndToEnd"
    QUEUE_TIME = "QueueTime"
    ACTIVE_SESSIONS = "ActiveSessions"


class ShadowPolicy(StrEnum):
    """A rival to run on the live metrics without acting, by its name in the lab; docs/shadow.md says what each is."""

    HPA_GPU = "hpa-gpu"
    HPA_QUEUE = "hpa-queue"
    KEDA_CONCURRENCY = "keda-concurrency"
    LLMD_KEDA = "llmd-keda"
    LLMD_QUEUE = "llmd-queue"
    KPA = "kpa"
    KPA_DEFAULT = "kpa-default"
    AIBRIX_APA = "aibrix-apa"
    WVA_V2 = "wva-v2"
    DYNAMO = "dynamo"
    RAY = "ray"
    RAY_DEFAULT = "ray-default"
    SKYSERVE = "skyserve"


class RoiBaseline(StrEnum):
    """What an ROI target's amount is held against: itself, or a recorded baseline."""

    ABSOLUTE = "Absolute"
    RECORDED = "Recorded"


class FallbackTrigger(StrEnum):
    """What may move traffic to the fallback."""

    OBJECTIVES_BURNING = "ObjectivesBurning"
    CAPACITY_SHORT = "CapacityShort"
    CEILING_REACHED = "CeilingReached"


class ForecastMethod(StrEnum):
    """How future load is predicted."""

    AUTO = "Auto"
    OFF = "Off"
    SEASONAL = "Seasonal"
    PERSISTENCE = "Persistence"


class ComponentKind(StrEnum):
    """A part of a request's cost beside the GPUs."""

    EMBEDDING = "Embedding"
    RERANK = "Rerank"
    VECTOR_DATABASE = "VectorDatabase"
    STORAGE = "Storage"
    OBSERVABILITY = "Observability"
    EGRESS = "Egress"
    GATEWAY = "Gateway"
    OTHER = "Other"
