"""Limits on how replica counts move."""

from flyball.api.model import ApiModel, rule
from flyball.api.scalars import Count, Duration, Percent, PromQL, WholePercent, cel_is_positive, is_positive
from flyball.api.v1alpha1.targets import ScaleTargetRef
from flyball.api.v1alpha1.words import ForecastMethod


class ScalingDirection(ApiModel):
    """How fast replica counts move in one direction."""

    stabilization: Duration | None = None
    """How long a change must be wanted before it is made. Up: defaults to 0s. Down: defaults to what economics say,
    from the time that a replica takes to come back."""
    max_step: Count | None = None
    """Most replicas that one change adds or removes, over all targets. Unlimited when left out."""


class WakeUp(ApiModel):
    """What tells that somebody asks for the workload while it has no pod. A DemandEvent always does."""

    query: PromQL | None = None
    """PromQL that is above 0 while somebody asks and 0 while nobody does, from series that exist without the workload's
    pods: requests at the gateway, its queue, an endpoint picker's, a message queue's length."""
    fallback_target: ScaleTargetRef | None = None
    """What serves at zero, where that is an engine of the same profile in this namespace: requests there wake the
    workload."""

    @rule(
        cel="has(self.query) || has(self.fallbackTarget)",
        field=".query",
        problem="wakeUp names nothing that tells of requests",
        fix="set query or fallbackTarget",
        reason="FieldValueRequired",
    )
    def _something_tells(self) -> bool:
        return self.query is not None or self.fallback_target is not None


class ScaleToZero(ApiModel):
    """Removing the last replica of an idle workload. Flyball holds no request: at zero the fallback's routes serve, to
    which all traffic has moved before, or else the gateway answers 503 until a replica is ready."""

    idle_after: Duration
    """How long nobody must have asked for the workload, while a replica was ready, before the last one goes. It stays
    longer where keeping it costs less than the wait for a new one."""
    min_hold: Duration | None = None
    """How long it stays at zero at least, whoever asks. Defaults to 0s: who waits goes first."""
    wake_up: WakeUp | None = None
    """What tells that somebody asks. Without it scaling to zero is refused: nobody would be heard."""

    @rule(
        cel=cel_is_positive("self.idleAfter"),
        field=".idleAfter",
        problem="idleAfter is zero, so that a pause between two requests would be idleness",
        fix="write how long nobody must have asked, such as 30m",
    )
    def _idle_takes_time(self) -> bool:
        return is_positive(self.idle_after)


class Forecast(ApiModel):
    """Prediction of the load over the time that a replica needs to start."""

    method: ForecastMethod = ForecastMethod.AUTO
    """Auto uses what predicts this workload best and nothing where nothing beats persistence."""
    horizon: Duration | None = None
    """How far to look ahead. Defaults to the measured start-up time and one tick."""


class Disruption(ApiModel):
    """How much may be taken away from users at once."""

    max_removals_per_hour: Count | None = None
    """Most replicas removed in any hour, over all targets."""
    min_ready: WholePercent | None = None
    """Share of the wanted replicas that must be ready before any is removed."""


class ScalingSpec(ApiModel):
    """Limits on how replica counts move."""

    up: ScalingDirection | None = None
    """Adding replicas."""
    down: ScalingDirection | None = None
    """Removing replicas."""
    scale_to_zero: ScaleToZero | None = None
    """Lets the last replica of an idle workload go; every target's minReplicas must be 0. Without it one replica always
    stays."""
    forecast: Forecast | None = None
    """Prediction of the load."""
    max_insurance: Percent | None = None
    """Cap on the quantile of the forecast that is staffed for, such as 90%. Defaults to 98%, the highest known."""
    headroom: WholePercent | None = None
    """Share of the expected load that is staffed for on top of it. Defaults to none: what may come beyond expectation
    is insured against as far as that is worth its price."""
    disruption: Disruption | None = None
    """How much may be taken away from users at once."""

    @rule(
        cel=(
            "!has(self.maxInsurance) "
            f"|| ({cel_is_positive('self.maxInsurance')} && !self.maxInsurance.startsWith('100'))"
        ),
        field=".maxInsurance",
        problem="maxInsurance must lie between 0% and 100%, both excluded",
        fix="write a quantile such as 99%",
    )
    def _insurance_is_a_quantile(self) -> bool:
        return self.max_insurance is None or (
            is_positive(self.max_insurance) and not self.max_insurance.startswith("100")
        )
