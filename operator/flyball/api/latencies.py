"""From declared latencies and stages to the core's view of them."""

from flyball.api.v1alpha1.latency import ENGINE_STAGES, HistogramSource, RequestLatency, RequestStage, SpanSource
from flyball.api.v1alpha1.telemetry import Telemetry
from flyball.core.names import Indicator
from flyball.core.service.latency import LatencySource, Stage

MILLISECOND = 0.001
SPAN_METRICS = (
    ("traces_span_metrics_duration_milliseconds", MILLISECOND),
    ("traces_span_metrics_duration_seconds", 1.0),
    ("duration_milliseconds", MILLISECOND),
    ("duration_seconds", 1.0),
)
"""What the span metrics connector calls its histogram in Prometheus: with the namespace that it has by default since
v0.109, and without; in milliseconds, and in seconds.
"""


def latencies_of(telemetry: Telemetry) -> tuple[tuple[Indicator, LatencySource], ...]:
    """The latencies that are measured outside of the engine."""
    return tuple((latency.indicator, _source(latency)) for latency in telemetry.latencies)


def stages_of(telemetry: Telemetry) -> tuple[Stage, ...]:
    """The stages of a request's path."""
    return tuple(
        Stage(stage.name, _source(stage), stage.name in ENGINE_STAGES if stage.engine is None else stage.engine)
        for stage in telemetry.stages
    )


def _source(declared: RequestLatency | RequestStage) -> LatencySource:
    if declared.histogram is not None:
        return _of_histogram(declared.histogram)
    if declared.span is not None:
        return _of_span(declared.span)
    return LatencySource(query=(declared.query or "") if isinstance(declared, RequestStage) else "")


def _of_histogram(histogram: HistogramSource) -> LatencySource:
    scale = MILLISECOND if histogram.unit == "Milliseconds" else 1.0
    return LatencySource(((histogram.metric, scale),), tuple(sorted(histogram.match_labels.items())), namespaced=True)


def _of_span(span: SpanSource) -> LatencySource:
    labels = {**span.match_labels, "service_name": span.service, "span_name": span.name}
    return LatencySource(SPAN_METRICS, tuple(sorted(labels.items())))
