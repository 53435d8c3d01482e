"""What the ledger tells a tick of one workload: accounts over whole windows, the month's forecast, the baseline.

Read beside the ticks, now and then; a tick takes the newest. Times are milliseconds since the epoch.
"""

from dataclasses import field
from decimal import Decimal

from flyball.core.money.budgets import TrackRecord
from flyball.core.money.currency import DEFAULT_CURRENCY
from flyball.core.money.statement import Statement
from flyball.core.value.baseline import Baseline
from flyball.core.value.kpi import NOTHING, Worth, events
from flyball.core.values import dataclass


@dataclass(frozen=True, slots=True)
class PathAccount:
    """Requests of one path, and the dollars that they cause: its serving, and what is charged by requests or tokens."""

    path: str
    requests: Decimal
    dollars: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """What a workload cost and was worth from `begin` to `end`.

    `fixed` are the dollars that no request causes: GPUs that idle or load, what is charged by the hour, corrections.
    `per_request` is the declared worth of one request, which counts where no KPI has a worth. `whole` says that the
    ledger holds all of the window, `unpriced` what cost nobody knows what.
    """

    begin: int
    end: int
    paths: tuple[PathAccount, ...] = ()
    fixed: Decimal = NOTHING
    worth: Worth = field(default_factory=Worth)
    per_request: Decimal | None = None
    whole: bool = True
    unpriced: tuple[str, ...] = ()

    @property
    def requests(self) -> Decimal:
        """Requests on all paths."""
        return sum((path.requests for path in self.paths), NOTHING)

    @property
    def serving(self) -> Decimal:
        """Dollars that requests cause."""
        return sum((path.dollars for path in self.paths), NOTHING)

    @property
    def dollars(self) -> Decimal:
        """The bill."""
        return self.serving + self.fixed

    @property
    def full(self) -> Decimal:
        """The bill with the work of people that the answers caused."""
        return self.dollars + self.worth.labor

    @property
    def value(self) -> Decimal:
        """What the answers were worth in dollars."""
        return self.worth.dollars if self.per_request is None else self.per_request * self.requests

    @property
    def value_events(self) -> float:
        """So many equally large independent events stand behind the value."""
        if self.per_request is not None:
            return float(self.requests)
        return events(float(self.worth.dollars), self.worth.worth_squares)

    @property
    def labor_share_variance(self) -> float:
        """By how much chance in the labour moves the full cost: the variance of its relative error."""
        return self.worth.labor_squares / float(self.full) ** 2 if self.full > 0 else 0.0


def account(
    statement: Statement,
    begin: int,
    end: int,
    worth: Worth,
    per_request: Decimal | None,
    whole: bool,
) -> Account:
    """The account of a window from its statement of costs and the worth of its outcomes."""
    unpriced = [f"{statement.unpriced_gpu_hours:.2f} GPU hours"] if statement.unpriced_gpu_hours else []
    unpriced += [name for name, _ in statement.unpriced]
    paths = tuple(
        PathAccount(path.path, path.use.requests, path.use.serving + path.components) for path in statement.paths
    )
    fixed = statement.dollars - sum((path.dollars for path in paths), NOTHING)
    return Account(begin, end, paths, fixed, worth, per_request, whole, tuple(unpriced))


@dataclass(frozen=True, slots=True)
class Window:
    """The account of a trailing window of so many seconds, and of as long before it."""

    seconds: float
    now: Account
    before: Account | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """All that was read of one workload as of `at` (seconds since the epoch).

    `rest` are the multiples of what the rest of the month is expected to cost between which it lies nine times of ten;
    None while too few days are known. `record` is how past forecasts fared.
    """

    at: float
    windows: tuple[Window, ...] = ()
    rest: tuple[float, float] | None = None
    record: TrackRecord | None = None
    baseline: Baseline | None = None
    currency: str = DEFAULT_CURRENCY

    def window(self, seconds: float) -> Window | None:
        """The accounts of that window; None where it was not read."""
        return next((window for window in self.windows if window.seconds == seconds), None)
