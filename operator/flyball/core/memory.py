"""What a workload's next decision must know of the last ones: frozen, small, rebuilt from status after a restart."""

from decimal import Decimal

from flyball.core.fleet.capacity import CapacityFit, RequestShape
from flyball.core.fleet.economics import Choice, Stakes
from flyball.core.fleet.misses import MissCurve
from flyball.core.names import FallbackState, Period
from flyball.core.traffic.forecast import ForecastMemory
from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True)
class BacklogSample:
    """Requests running or waiting in all replicas at one time (seconds since the epoch)."""

    at: float
    requests: float


@dataclass(frozen=True, slots=True)
class VariantMemory:
    """One variant's fitted capacity, its recent needs (time, replicas) and when its ready count last moved.

    Of one on spot capacity, `reclaims` counts the replicas seen lost; `lost` and `watched_seconds` (of one replica) are
    those and the time in which they were, decayed, as of `watched_at`.
    """

    name: str
    fit: CapacityFit | None = None
    needs: tuple[tuple[float, int], ...] = ()
    ready: int = -1
    ready_changed_at: float = 0.0
    reclaims: int = 0
    lost: float = 0.0
    watched_seconds: float = 0.0
    watched_at: float | None = None


@dataclass(frozen=True, slots=True)
class FallbackMemory:
    """Where the fallback stands: since when, and since when a trigger or relief is seen without a break.

    `since` is 0 until it was ever active. `level` is the share of all traffic that is meant to overflow and `parts` the
    share of each route's own traffic that does, in the order of the spec; `share` is the share of all traffic that this
    comes to. `stepped_at` is when the level last changed, `moved_before` the share that overflowed until `moved_at`.
    `whole` says that all of the traffic is meant to move, since the primary is about to go. `relapses` counts returns
    that did not last, until one does; `returned_at` is when the last one was complete.
    """

    state: FallbackState = FallbackState.PRIMARY
    level: float = 0.0
    share: float = 0.0
    parts: tuple[float, ...] = ()
    since: float = 0.0
    stepped_at: float = 0.0
    triggered_since: float | None = None
    relieved_since: float | None = None
    cause: str = ""
    moved_before: float = 0.0
    moved_at: float = 0.0
    whole: bool = False
    relapses: int = 0
    returned_at: float = 0.0

    @property
    def active(self) -> bool:
        """Whether weights are Flyball's now."""
        return self.state is not FallbackState.PRIMARY

    @property
    def moved(self) -> float:
        """The share of the traffic that overflows now."""
        return self.share if self.active else 0.0

    def moved_over(self, at: float, window_seconds: float) -> float:
        """The mean share that overflowed in the trailing window: what rates over that window have missed."""
        passed = 1.0 if window_seconds <= 0 else min(1.0, max(0.0, (at - self.moved_at) / window_seconds))
        return self.moved_before + (self.moved - self.moved_before) * passed


@dataclass(frozen=True, slots=True)
class ZeroMemory:
    """Where scaling to zero stands. Times are seconds since the epoch.

    `asked_at` is when somebody last asked for the workload, or may have without being seen; `looked_at` is the last
    look. `asleep_since` is since when no replica is meant to be kept, `blind_since` since when nobody could have been
    seen without the workload's own pods. `gaps` are the last stretches, in seconds, in which nobody asked, newest last;
    `requests` were served in the `busy_seconds` in which somebody did, both decayed.
    """

    asked_at: float | None = None
    looked_at: float | None = None
    asleep_since: float | None = None
    blind_since: float | None = None
    gaps: tuple[float, ...] = ()
    requests: float = 0.0
    busy_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SpendRate:
    """What is spent from `since` (seconds since the epoch) on: dollars per hour of replicas, of overflow, and of the
    components that every request or hour costs beside them.

    `overflow_per_second` are the requests per second that the fallback serves for that money.
    """

    since: float
    replicas: Decimal
    overflow: Decimal = Decimal(0)
    overflow_per_second: float = 0.0
    components: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """Dollars per hour in all."""
        return self.replicas + self.overflow + self.components


@dataclass(frozen=True, slots=True)
class SpendMemory:
    """Money spent, exact while the rate is constant between ticks.

    `month` is `YYYY-MM` and `day` `YYYY-MM-DD` (UTC); `rates` are the changes of rate, oldest first, covering the
    longest window.
    """

    as_of: float | None = None
    month: str = ""
    month_to_date: Decimal = Decimal(0)
    rates: tuple[SpendRate, ...] = ()
    day: str = ""
    day_to_date: Decimal = Decimal(0)

    def to_date(self, period: Period) -> Decimal:
        """Dollars since the day or month began."""
        return self.day_to_date if period is Period.DAY else self.month_to_date


@dataclass(frozen=True, slots=True)
class HeldPace:
    """What a ceiling of a day or month leaves from `at` on: the share of what is wanted beyond the minimum, what may be
    added to it, and the most of both together, in dollars per hour. `amount` is None where there is no ceiling.

    `forecast` is what the whole period costs if all demand is served; `known` says that a day's load stands behind it.
    """

    period: Period
    amount: Decimal | None
    at: float
    forecast: Decimal
    known: bool
    share: float
    surplus_per_hour: float
    most_per_hour: float


@dataclass(frozen=True, slots=True)
class PacingMemory:
    """What pacing knows as of `at`: the paces in force, and the dollars per hour wanted, then and as a multiple of what
    the arrivals alone call for (None: not known yet).
    """

    at: float = 0.0
    margin: float | None = None
    wanted_per_hour: float = 0.0
    held: tuple[HeldPace, ...] = ()


@dataclass(frozen=True, slots=True)
class TollMemory:
    """What ceilings spared in dollars this month (`YYYY-MM`, UTC) until `at`, and how many requests missed an objective
    for it; and both per hour from then on.
    """

    month: str = ""
    at: float = 0.0
    spared: Decimal = Decimal(0)
    missed: float = 0.0
    spared_per_hour: Decimal = Decimal(0)
    missed_per_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class BurnedBudget:
    """Requests that missed an objective, and all requests, decayed."""

    objective: str
    missed: float = 0.0
    requests: float = 0.0


@dataclass(frozen=True, slots=True)
class Foregone:
    """What was lost until `at` by not changing the counts yet, in dollars per hour × seconds. `more` says whether that
    change would add capacity; None where none is waited for.
    """

    at: float = 0.0
    more: bool | None = None
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The cheapest replicas by variant, and what they were found for."""

    choices: tuple[Choice, ...]
    stakes: Stakes
    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything remembered of one workload.

    `forecast` and `curve` are what was learned of arrivals and of misses; None before the first look. `burned` are, for
    each objective, the missed and all requests as of `burned_at`, decayed: how much of its budget burned lately.
    `unavoidable` is the multiple of the budget that burns at whatever load.
    `states` are the last announced state of each subject (an objective, a ceiling, an ROI target, telemetry …): Events
    are written when one changes.
    `plan` are the counts last searched for, and `foregone` is what waiting with a change of counts has cost.
    `shape` are the decayed mean tokens per request, of `shape_weight` requests as of `shaped_at`.
    """

    generation: int = 0
    started_at: float | None = None
    backlog: tuple[BacklogSample, ...] = ()
    variants: tuple[VariantMemory, ...] = ()
    shape: RequestShape | None = None
    shape_weight: float = 0.0
    shaped_at: float = 0.0
    forecast: ForecastMemory | None = None
    curve: MissCurve | None = None
    burned: tuple[BurnedBudget, ...] = ()
    burned_at: float = 0.0
    unavoidable: float = 0.0
    fallback: FallbackMemory = FallbackMemory()
    zero: ZeroMemory = ZeroMemory()
    spend: SpendMemory = SpendMemory()
    pacing: PacingMemory = PacingMemory()
    toll: TollMemory = TollMemory()
    plan: Plan | None = None
    foregone: Foregone = Foregone()
    states: tuple[tuple[str, str], ...] = ()

    def variant(self, name: str) -> VariantMemory:
        """What is remembered of that variant; a blank where there is nothing."""
        for known in self.variants:
            if known.name == name:
                return known
        return VariantMemory(name)

    def burned_of(self, objective: str) -> BurnedBudget:
        """What burned of that objective's budget; a blank where nothing was counted."""
        for known in self.burned:
            if known.objective == objective:
                return known
        return BurnedBudget(objective)

    def state(self, subject: str) -> str | None:
        """The last announced state of a subject."""
        for name, state in self.states:
            if name == subject:
                return state
        return None
