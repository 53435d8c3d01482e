"""Histograms of durations that are measured outside of the engine: of any metric, or of OpenTelemetry spans."""

from typing import Annotated, Literal

from pydantic import Field

from flyball.api.model import ApiModel, rule
from flyball.api.scalars import LabelValue, MetricName, PromQL, SpanName, StageName
from flyball.core.names import Indicator

Labels = Annotated[dict[str, LabelValue], Field(max_length=8)]
_NAMES = "k.matches('^[a-zA-Z_][a-zA-Z0-9_]{0,62}$') && k != 'le' && k != '__name__'"
MEASURED_OUTSIDE = (Indicator.TIME_TO_FIRST_TOKEN, Indicator.END_TO_END, Indicator.QUEUE_TIME)
"""Indicators whose latency may be measured outside of the engine."""
ENGINE_STAGES = frozenset({"Queue", "Prefill", "Decode", "Generation"})
"""Stages whose time is spent by the engine's replicas, unless `engine` says otherwise."""


def _are_label_names(labels: dict[str, str]) -> bool:
    names = (name for name in labels if name not in ("le", "__name__"))
    return len(labels) == sum(name.isascii() and name.isidentifier() and len(name) <= 63 for name in names)


class HistogramSource(ApiModel):
    """A classic histogram of durations in Prometheus, of the workload's own namespace."""

    metric: MetricName
    """Name of the histogram without `_bucket`, such as rag_stage_duration_seconds."""
    unit: Literal["Seconds", "Milliseconds"] = "Seconds"
    """Unit of its bucket edges."""
    match_labels: Labels = Field(default_factory=dict)
    """Labels that its series carry, such as `stage: retrieval`."""

    @rule(
        cel=f"!has(self.matchLabels) || self.matchLabels.all(k, {_NAMES})",
        field=".matchLabels",
        problem="a key of matchLabels is no Prometheus label name that series can be chosen by",
        fix="use letters, digits and underscores, such as stage",
    )
    def _keys_are_label_names(self) -> bool:
        return _are_label_names(self.match_labels)


class SpanSource(ApiModel):
    """Durations of spans, as the span metrics connector of an OpenTelemetry Collector exports them."""

    service: Annotated[str, Field(min_length=1, max_length=253)]
    """The `service.name` of the spans."""
    name: SpanName
    """The spans' name."""
    match_labels: Labels = Field(default_factory=dict)
    """Further dimensions of the connector that the series carry, under their names in Prometheus."""

    @rule(
        cel=f"!has(self.matchLabels) || self.matchLabels.all(k, {_NAMES})",
        field=".matchLabels",
        problem="a key of matchLabels is no Prometheus label name that series can be chosen by",
        fix="use letters, digits and underscores, such as deployment_environment for deployment.environment",
    )
    def _keys_are_label_names(self) -> bool:
        return _are_label_names(self.match_labels)


class RequestStage(ApiModel):
    """One stage of a request's path that is measured on its own, from one of histogram, span or query."""

    name: StageName
    """Name of the stage: Authentication, Queue, Retrieval, Rerank, PromptAssembly, Prefill, Decode, PostProcessing,
    Moderation, Serialization, Logging, Delivery, or one of your own."""
    histogram: HistogramSource | None = None
    """The stage's latency as a histogram of any metric."""
    span: SpanSource | None = None
    """The stage's latency as the duration of OpenTelemetry spans."""
    query: PromQL | None = None
    """PromQL of the stage's latency histogram (a rate by `le`, in seconds), where the other two do not fit. It costs a
    query of its own."""
    engine: bool | None = None
    """Whether the engine's replicas spend this time, so that more of them can shorten it. Defaults to true for Queue,
    Prefill, Decode and Generation, and to false for all others."""

    @rule(
        cel="[has(self.histogram), has(self.span), has(self.query)].filter(x, x).size() == 1",
        problem="a stage is measured by exactly one of histogram, span and query",
        fix="keep the one that fits; histogram and span are asked for together with all other workloads' stages",
    )
    def _has_one_source(self) -> bool:
        return sum(source is not None for source in (self.histogram, self.span, self.query)) == 1


class RequestLatency(ApiModel):
    """A latency that objectives count where users feel it, at a gateway or in an application, not in the engine."""

    indicator: Indicator
    """What is measured: TimeToFirstToken, EndToEnd or QueueTime."""
    histogram: HistogramSource | None = None
    """The latency as a histogram of any metric."""
    span: SpanSource | None = None
    """The latency as the duration of OpenTelemetry spans."""

    @rule(
        cel="has(self.histogram) != has(self.span)",
        problem="a latency is measured by exactly one of histogram and span",
        fix="keep the one that fits",
    )
    def _has_one_source(self) -> bool:
        return (self.histogram is None) != (self.span is None)

    @rule(
        cel=f"self.indicator in [{', '.join(repr(str(each)) for each in MEASURED_OUTSIDE)}]",
        field=".indicator",
        problem="only latencies of whole requests are measured outside of the engine",
        fix=f"use {', '.join(MEASURED_OUTSIDE)}",
        reason="FieldValueInvalid",
    )
    def _is_measured_outside(self) -> bool:
        return self.indicator in MEASURED_OUTSIDE
