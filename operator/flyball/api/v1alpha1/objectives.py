"""What users are promised: shares of requests within a threshold, never averages."""

from typing import Annotated

from pydantic import Field

from flyball.api.model import ApiModel, rule
from flyball.api.scalars import Duration, ItemName, LabelValue, Percent, StageName, cel_is_positive, is_positive
from flyball.core.names import COUNTED_INDICATORS, TIMED_INDICATORS, Indicator

_COUNTED = ", ".join(f"'{indicator}'" for indicator in Indicator if indicator in COUNTED_INDICATORS)


class ObjectiveSpec(ApiModel):
    """At least `target` of the requests of a window are within `threshold`."""

    name: ItemName
    """Name of the objective in status, Events and metrics."""
    indicator: Indicator
    """What is measured. TimeToFirstToken, EndToEnd and QueueTime: seconds per request. InterTokenLatency: a request's
    mean time per output token, counted as the deadline arrival + TTFT threshold + (tokens - 1) x threshold where there
    is an objective for the first token, too. Stage: a stage of telemetry.stages. The others count how requests end, as
    the engine's metrics or telemetry.requestEvents tell, and never call for a GPU. Availability: requests without a
    timeout, rate limit or service error; clients' mistakes (4xx but 408 and 429) count neither way. Timeouts and
    RateLimits: requests without one. Truncation: answers not cut off by the token limit. Retrieval: retrievals that
    succeeded. Retries: requests that repeat no other. Fallbacks: requests that no gateway answered elsewhere."""
    threshold: Duration | None = None
    """Latency that a good request does not exceed. Best a bucket edge of the engine's histogram; else interpolated."""
    target: Percent | None = None
    """Share of requests that must be good: 95% within the threshold is a p95. Defaults to 95%."""
    window: Duration | None = None
    """Period over which the share is promised and its error budget spent. Defaults to 28d."""
    stage: StageName | None = None
    """The stage of telemetry.stages that is measured, for the indicator Stage."""
    segment: Annotated[dict[str, LabelValue], Field(max_length=8)] = Field(default_factory=dict)
    """Label values that narrow the objective to some requests; the labels must stand in telemetry.segmentBy."""

    @rule(
        cel=f"self.indicator in [{_COUNTED}] || has(self.threshold)",
        field=".threshold",
        problem="threshold is missing",
        fix="write the latency that a good request does not exceed, such as 500ms",
        reason="FieldValueRequired",
    )
    def _timed_has_threshold(self) -> bool:
        return self.indicator not in TIMED_INDICATORS or self.threshold is not None

    @rule(
        cel=f"!(self.indicator in [{_COUNTED}]) || !has(self.threshold)",
        field=".threshold",
        problem="threshold is set on an indicator that counts outcomes",
        fix="remove threshold, or use EndToEnd or Stage for a latency",
        reason="FieldValueForbidden",
    )
    def _counted_has_no_threshold(self) -> bool:
        return self.indicator not in COUNTED_INDICATORS or self.threshold is None

    @rule(
        cel=f"!has(self.threshold) || {cel_is_positive('self.threshold')}",
        field=".threshold",
        problem="threshold is zero, which no request can meet",
        fix="write a latency such as 500ms",
    )
    def _threshold_is_positive(self) -> bool:
        return self.threshold is None or is_positive(self.threshold)

    @rule(
        cel=f"!has(self.target) || ({cel_is_positive('self.target')} && !self.target.startsWith('100'))",
        field=".target",
        problem="target must lie between 0% and 100%, both excluded: 100% leaves no error budget",
        fix="write a share such as 95% or 99.9%",
    )
    def _target_leaves_a_budget(self) -> bool:
        return self.target is None or (is_positive(self.target) and not self.target.startswith("100"))

    @rule(
        cel=f"!has(self.window) || {cel_is_positive('self.window')}",
        field=".window",
        problem="window is zero",
        fix="write a period such as 28d",
    )
    def _window_is_positive(self) -> bool:
        return self.window is None or is_positive(self.window)

    @rule(
        cel="(self.indicator == 'Stage') == has(self.stage)",
        field=".stage",
        problem="stage and the indicator Stage belong together",
        fix="name the stage of an objective with indicator Stage, and remove it from any other",
    )
    def _stage_goes_with_its_indicator(self) -> bool:
        return (self.indicator is Indicator.STAGE) == (self.stage is not None)
