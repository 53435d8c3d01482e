"""Limits on how replica counts move."""

from flyball.api.model import ApiModel, rule
from flyball.api.scalars import Count, Duration, Percent, WholePercent, cel_is_positive, is_positive
from flyball.api.v1alpha1.words import ForecastMethod


class ScalingDirection(ApiModel):
    """How fast replica counts move in one direction."""

    stabilization: Duration | None = None
    """How long a change must be wanted before it is made. Up: defaults to 0s. Down: defaults to what economics say,
    from the time that a replica takes to come back."""
    max_step: Count | None = None
    """Most replicas that one change adds or removes, over all targets. Unlimited when left out."""


class ScaleToZero(ApiModel):
    """Removing the last replica of an idle workload."""

    idle_after: Duration
    """How long no request must have come before the last replica goes."""


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
    """Lets the last replica of an idle workload go. Without it one replica always stays."""
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
