"""Where a workload's signals come from: profiles, selectors, overrides, request stages and segments."""

from typing import Annotated

from pydantic import Field

from flyball.api.model import ApiModel, ListMap, ListSet, rule
from flyball.api.scalars import Duration, LabelName, LabelValue, PromQL, cel_is_positive, is_positive
from flyball.api.v1alpha1.latency import RequestLatency, RequestStage
from flyball.api.v1alpha1.own_counts import CacheSpec, RequestEventSpec, TokenCountSpec
from flyball.api.v1alpha1.words import EngineProfile, GatewayProfile, Signal

_SIGNALS = ", ".join(f"'{signal}'" for signal in Signal)


class SeriesSelector(ApiModel):
    """Which of the engine's or gateway's series belong to this workload."""

    match_labels: Annotated[dict[str, LabelValue], Field(min_length=1, max_length=16)]
    """Labels that the series carry beside namespace and pod, such as `model_name: llama-3-8b`."""

    @rule(
        cel="self.matchLabels.all(k, k.matches('^[a-zA-Z_][a-zA-Z0-9_]{0,62}$'))",
        field=".matchLabels",
        problem="a key of matchLabels is no Prometheus label name",
        fix="use letters, digits and underscores, such as model_name",
    )
    def _keys_are_label_names(self) -> bool:
        return all(key.isascii() and key.isidentifier() and len(key) <= 63 for key in self.match_labels)


class Telemetry(ApiModel):
    """Where the workload's signals come from."""

    engine: EngineProfile | None = None
    """Metric names of the inference engine, for saturation and latency. Left out, each target's engine is recognized by
    what its pods export; VLLM until they do."""
    gateway: GatewayProfile | None = None
    """Metric names of the gateway in front of it: EndToEnd objectives are counted there, and TimeToFirstToken and
    QueueTime where the engine exports none."""
    selector: SeriesSelector | None = None
    """Narrows the series to this workload where its pods serve more than one."""
    gateway_selector: SeriesSelector | None = None
    """Which of the gateway's series are this workload's. Defaults to selector."""
    overrides: Annotated[dict[str, PromQL], Field(max_length=16)] = Field(default_factory=dict)
    """PromQL in place of the profile's, by signal: requests Running and Waiting; Completions, PromptTokens and
    OutputTokens per second; KVCacheUsage, GPUUtilization and CachedPromptShare from 0 to 1; the means
    PromptTokensPerRequest, OutputTokensPerRequest and SecondsPerOutputToken; TimeToFirstToken, InterTokenLatency,
    EndToEnd and QueueTime as rates by le, in seconds; and ActiveSessions, which no profile has: a number by the labels
    of segmentBy, such as `sum by (tier) (chat_sessions_open)`."""
    latencies: Annotated[tuple[RequestLatency, ...], Field(max_length=3), ListMap("indicator")] = ()
    """Latencies that objectives count at a gateway or in an application, in place of the engine's own."""
    stages: Annotated[tuple[RequestStage, ...], Field(max_length=16), ListMap("name")] = ()
    """Stages of a request's path that are measured one by one."""
    segment_by: Annotated[tuple[LabelName, ...], Field(max_length=8), ListSet()] = ()
    """Labels of the series of latencies and stages by which they are split, such as model, tenant, prompt_template,
    route, tier or deployment_version."""
    request_events: Annotated[tuple[RequestEventSpec, ...], Field(max_length=12), ListMap("event")] = ()
    """How requests end, as your own metrics count it; the engine's are known where its profile has them."""
    tokens: Annotated[tuple[TokenCountSpec, ...], Field(max_length=5), ListMap("count")] = ()
    """What requests are made of, by prompt template; without it, the engine's means are shown."""
    caches: Annotated[tuple[CacheSpec, ...], Field(max_length=8), ListMap("name")] = ()
    """Caches whose hit rates, and what they are worth, are to be told."""
    stale_after: Duration | None = None
    """Age past which a sample is no longer believed. Defaults to 60s."""

    @rule(
        cel=f"!has(self.overrides) || self.overrides.all(k, k in [{_SIGNALS}])",
        field=".overrides",
        problem="overrides names an unknown signal",
        fix=f"use {', '.join(Signal)}",
    )
    def _overrides_name_signals(self) -> bool:
        return all(name in set(Signal) for name in self.overrides)

    @rule(
        cel=f"!has(self.staleAfter) || {cel_is_positive('self.staleAfter')}",
        field=".staleAfter",
        problem="staleAfter is zero, so that every sample would be stale",
        fix="write at least two scrape intervals, such as 60s",
    )
    def _stale_after_some_time(self) -> bool:
        return self.stale_after is None or is_positive(self.stale_after)

    @rule(
        cel="!has(self.engine) || self.engine != 'Custom' || (has(self.overrides) && size(self.overrides) > 0)",
        field=".overrides",
        problem="engine is Custom but overrides holds no query",
        fix="name the PromQL of each signal under overrides, or choose a profile",
        reason="FieldValueRequired",
    )
    def _custom_brings_queries(self) -> bool:
        return self.engine is not EngineProfile.CUSTOM or bool(self.overrides)

    @rule(
        cel="!has(self.gateway) || self.gateway == 'Custom' || has(self.gatewaySelector) || has(self.selector)",
        field=".gatewaySelector",
        problem="a gateway serves many models, and nothing says which of its series are this workload's",
        fix="write labels that they carry, such as matchLabels: {model_name: llama-3-8b}",
        reason="FieldValueRequired",
    )
    def _gateway_is_narrowed(self) -> bool:
        narrowed = self.gateway_selector is not None or self.selector is not None
        return narrowed or self.gateway in (None, GatewayProfile.CUSTOM)
