"""Outcomes in hours in which requests overflowed to the fallback, beside those of all other hours.

An observation and no cause: hours with overflow are busy hours, and differ from others by more than who answered.
"""

from collections.abc import Mapping
from decimal import Decimal

from flyball.core.value.outcomes import Counted
from flyball.core.values import dataclass

LEAST_SHARE = Decimal("0.01")
"""An hour of which a smaller share overflowed tells nothing of the fallback."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of one hour, and how many of them the fallback answered."""

    requests: Decimal = Decimal(0)
    moved: Decimal = Decimal(0)

    @property
    def overflowed(self) -> bool:
        """Whether enough of them did."""
        return self.requests > 0 and self.moved >= LEAST_SHARE * self.requests


@dataclass(frozen=True, slots=True)
class Beside:
    """Outcomes of hours with and without overflow, and how many hours these were."""

    hours_with: int
    hours_without: int
    with_: Counted
    without: Counted


def beside(traffic: Mapping[int, Traffic], outcomes: Mapping[int, Counted]) -> Beside:
    """What was counted in either kind of hour; hours of whose traffic nothing is known are left out."""
    sums = {True: Counted(), False: Counted()}
    for hour, counted in outcomes.items():
        if hour in traffic:
            kind = traffic[hour].overflowed
            sums[kind] = sums[kind].plus(counted)
    hours = sum(each.overflowed for each in traffic.values())
    return Beside(hours, len(traffic) - hours, sums[True], sums[False])
