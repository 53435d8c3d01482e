"""The parts of a WorkloadSLO's status that nobody acts on: the capacity plan, and rival policies beside Flyball."""

from typing import Annotated

from flyball.api.model import ApiModel, ListMap


class PlannedLoad(ApiModel):
    """Requests per second over the history."""

    mean: str
    """The mean."""
    steady: str
    """The median of the hours: the steady state."""
    busy: str
    """The 95th percentile of the hours."""
    peak: str
    """The highest five minutes."""


class PlannedNeed(ApiModel):
    """What one target alone would need at a day's peak; ranges are `expected (low to high)`."""

    target: str
    """Name of the target."""
    accelerator: str | None = None
    """Its accelerator."""
    day: str
    """The day (UTC), marked `*` where it lies farther ahead than the history reaches back."""
    why: str
    """now, growth or event."""
    requests_per_second: str
    """Peak demand, with its range."""
    replicas: str
    """Replicas for it, with their range."""
    gpus: str
    """GPUs for it, with their range."""
    cost_per_month: str | None = None
    """Dollars for keeping the expected replicas for 30 days; absent without a price."""


class PlannedLimit(ApiModel):
    """When a target's maxReplicas no longer carries the peak."""

    target: str
    """Name of the target."""
    expected: str | None = None
    """The day (UTC) at the expected growth; absent where it is not within 90 days."""
    earliest: str
    """The day (UTC) at the high end of growth and peaks."""


class PlannedPurchase(ApiModel):
    """Buying for the peak against scaling, 30 days of each, on the target that is cheapest at the peak."""

    target: str
    """Name of the target."""
    peak_replicas: int
    """Replicas that the highest five minutes of the history need: bought, they are kept all the time."""
    scaled_replicas: str
    """Replicas that each hour's highest five minutes need, on average."""
    buying: str | None = None
    """Dollars for the peak replicas; absent without a price."""
    scaling: str | None = None
    """Dollars for each hour's; absent without a price."""


class PlanStatus(ApiModel):
    """How many GPUs of what kind will be needed by when. Made anew every few hours, told anew where it changed."""

    state: str
    """Known, Insufficient or Unavailable."""
    message: str | None = None
    """What is missing, or what to know before it is acted on."""
    as_of: str | None = None
    """End of the history that it is made of (RFC 3339, UTC)."""
    history: str | None = None
    """How much of the last four weeks is known."""
    load: PlannedLoad | None = None
    """Peak and steady state."""
    growth_per_day: str | None = None
    """Growth of the daily mean, with its 95% range; absent before five full days are known."""
    prompt_drift_per_day: str | None = None
    """Growth of the mean prompt's length, with its 95% range; absent before five full days are known."""
    patterns: tuple[str, ...] = ()
    """Daily and weekly patterns that the load follows."""
    needs: tuple[PlannedNeed, ...] = ()
    """What each target alone would need, today and later."""
    limits: Annotated[tuple[PlannedLimit, ...], ListMap("target")] = ()
    """Targets whose maxReplicas will not do within 90 days."""
    purchase: PlannedPurchase | None = None
    """Buying for the peak against scaling, as money."""


class RivalTarget(ApiModel):
    """What a rival asks for of one target."""

    name: str
    """Name of the target."""
    desired: int
    """Replicas."""


class RivalBill(ApiModel):
    """What a rival asked for in a window, and what Flyball asked for in the same time."""

    covered: str
    """How much of the window is known."""
    replica_hours: str
    """The rival's replica-hours."""
    flyball_replica_hours: str
    """Flyball's replica-hours in the same time."""
    cost: str | None = None
    """Dollars of the rival's; absent where a price is missing."""
    flyball_cost: str | None = None
    """Dollars of Flyball's; absent where a price is missing."""


class RivalStatus(ApiModel):
    """One rival policy: what it would have done. Nobody does it."""

    name: str
    """Its name in spec.shadow."""
    state: str
    """Running, Waiting, MetricMissing or Failed."""
    message: str | None = None
    """Why it is not running, or what to know of how it is asked."""
    missing: tuple[str, ...] = ()
    """Metrics that its users give it and that no replica exports."""
    since: str | None = None
    """Since when it has been asked without a break (RFC 3339, UTC); a restart of the operator begins anew."""
    targets: Annotated[tuple[RivalTarget, ...], ListMap("name")] = ()
    """What it asks for now, of the fleet that runs."""
    last_hour: RivalBill | None = None
    """What it asked for over the last hour."""
    last_day: RivalBill | None = None
    """What it asked for over the last day."""
