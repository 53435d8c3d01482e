"""What reviews are made of: a workload's figures in a period, what else is known of it, and how figures are written.

Dollars are decimal strings, shares and changes are ratios. What is not known is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from flyball.core.evidence.review_segments import Split
from flyball.core.money.segment_bill import SegmentUse
from flyball.core.money.statement import Statement
from flyball.core.units import format_money
from flyball.core.values import dataclass

Document = dict[str, Any]


class Kind(StrEnum):
    """Weekly reviews are of operations, monthly ones of what to scale, change or retire."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Figures:
    """One workload in one period. `objectives` are good and all requests, `outcomes` those and all cases by KPI, and
    `minutes`, of KPIs that report times, those and their outcomes. `segments` is what each segment of the traffic
    caused, by label.
    """

    begin: int
    end: int
    statement: Statement
    objectives: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    outcomes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    minutes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    segments: Mapping[str, Sequence[SegmentUse]] = field(default_factory=dict)

    @property
    def split(self) -> Split:
        """Its bill with what segments of its traffic caused."""
        return Split(self.statement, self.segments)

    @property
    def days(self) -> float:
        """How long the period is."""
        return (self.end - self.begin) / 86_400_000

    @property
    def per_request(self) -> Decimal | None:
        """Dollars per request in full."""
        return self.statement.per_request

    def gpu_ms(self, *states: str) -> int:
        """GPU-milliseconds in these states. A database may have made decimals of their sums."""
        return sum(int(getattr(path.use, f"{state}_ms")) for path in self.statement.paths for state in states)

    @property
    def utilization(self) -> float | None:
        """The share of ready GPU time in which it served; None where nothing says."""
        ready = self.gpu_ms("serving", "idle")
        return self.gpu_ms("serving") / ready if ready else None

    @property
    def tokens(self) -> Decimal:
        """Tokens in and out."""
        return sum((p.use.prompt_tokens + p.use.output_tokens for p in self.statement.paths), Decimal(0))


@dataclass(frozen=True, slots=True)
class Known:
    """What a review is told of one workload beside its figures, which are oldest first.

    `targets` are the shares of good requests that objectives want. `advice` is what its return speaks for, in words
    that begin with Scale, Re-architect or Retire; empty where nothing follows. `unproven` says why no return is known,
    `routes` what those of its routes speak for. `forecast` is what the month was first forecast to cost: expected, low
    and high.
    """

    figures: Sequence[Figures]
    targets: Mapping[str, float] = field(default_factory=dict)
    advice: str = ""
    unproven: str = ""
    value: Decimal | None = None
    routes: Document | None = None
    forecast: tuple[float, float, float] | None = None


def shares(now: Figures) -> dict[str, tuple[float, float]]:
    """Outcomes and cases of the KPIs that are shares."""
    return {name: counts for name, counts in now.outcomes.items() if name not in now.minutes}


def change(values: Sequence[Decimal | None]) -> float | None:
    """The relative change of the last value against the one before it."""
    if len(values) < 2 or not values[-2] or values[-1] is None:
        return None
    return round(float(values[-1] / values[-2]) - 1.0, 4)


def mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def amount(dollars: Decimal) -> str:
    return format_money(dollars)


def number(count: Decimal) -> float:
    return round(float(count), 3)


def ratio(share: float | None) -> float | None:
    return None if share is None else round(share, 6)
