"""KPIs in experiments: what they mean as it was registered, how a block stands by them, and guards by them.

A KPI is a share of cases or minutes for each outcome (`core.value.kpi`). Shares are compared as logarithms of their
ratio, with half a one more, so that none has a logarithm; those that are claimed in percentage points as they are.
Outcomes whose user came back, or whose answer failed a check, are in the cases and not in the outcomes.

Pairs of blocks are what is compared, however many cases they hold: a small sample makes pairs scatter, and nothing
else. It is the sums of all of them that a KPI's own quality guard is held against, on as many cases as that wants.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from flyball.core.evidence.experiment import GuardState, Measured, Plan
from flyball.core.evidence.sequential import mean_surely_above, surely_above
from flyball.core.names import KpiKind
from flyball.core.units import format_ratio
from flyball.core.value.kpi import LOWER_IS_BETTER, TIMES, Guard
from flyball.core.value.outcomes import Counted
from flyball.core.values import dataclass

FEWEST_CASES = 30.0
"""Cases that a KPI without a quality guard of its own needs in each arm."""
COVERED = 0.8
"""The least share of treated blocks in which a guard must have been measured."""


@dataclass(frozen=True, slots=True)
class Defined:
    """What a KPI means, as it was registered: its kind, and the guard of its quality."""

    kind: KpiKind
    guard: Guard | None = None

    @property
    def minutes(self) -> bool:
        """Whether its figure is minutes for each outcome, and not a share of cases."""
        return self.kind in TIMES


Definitions = Mapping[str, Defined]
"""KPIs by the name under which blocks hold them."""


@dataclass(frozen=True, slots=True)
class KpiReport:
    """How a KPI's guard stands: its figures in treated and baseline blocks, None where unknown, and what is wanted.

    Figures are shares of cases, or minutes where `minutes` says so.
    """

    kpi: str
    state: GuardState
    wanted: str
    treatment: float | None
    baseline: float | None
    cases: float
    minutes: bool = False


def figure(defined: Defined, counted: Counted) -> float | None:
    """The share of cases or the minutes for each outcome; None where there is nothing to divide by."""
    over = counted.outcomes if defined.minutes else counted.cases
    of = counted.minutes if defined.minutes else counted.outcomes
    return float(of / over) if over > 0 else None


def lacking(defined: Defined, counted: Counted | None) -> str:
    """Why a block cannot be compared by a KPI; empty where it can."""
    if counted is None:
        return "was not measured"
    if defined.minutes:
        return "" if counted.outcomes > 0 and counted.minutes > 0 else "has no minutes of any outcome"
    return "" if counted.cases > 0 else "has no cases"


def comparable(defined: Defined, counted: Counted) -> float:
    """What a ratio is made of: minutes for each outcome, or a share with half a one more."""
    if defined.minutes:
        return float(counted.minutes / counted.outcomes)
    return (float(counted.outcomes) + 0.5) / (float(counted.cases) + 1.0)


def difference(defined: Defined, base: Counted, treated: Counted, points: bool) -> float:
    """The effect of one pair."""
    if points:
        return float(treated.outcomes / treated.cases - base.outcomes / base.cases)
    return math.log(comparable(defined, treated) / comparable(defined, base))


def not_worse(
    plan: Plan, known: Definitions, pairs: Sequence[tuple[Measured, Measured]], alpha: float
) -> tuple[KpiReport, ...]:
    """The guards that KPIs do not get worse. `alpha` is how often one may be called breached by chance."""
    return tuple(
        _not_worse(each.kpi, each.worse_by, known[each.kpi], pairs, alpha)
        for each in plan.kpi_guards
        if each.kpi in known
    )


def quality(
    name: str, known: Definitions, pairs: Sequence[tuple[Measured, Measured]], alpha: float
) -> KpiReport | None:
    """How the hypothesis' own KPI stands by its quality guard in treated blocks, or by the size of its sample."""
    defined = known.get(name)
    if defined is None:
        return None
    guard = defined.guard
    if guard is None:
        base, treated = _sums(pairs, name, 0), _sums(pairs, name, 1)
        cases = float(min(base.cases, treated.cases))
        state = GuardState.HELD if cases >= FEWEST_CASES else GuardState.UNKNOWN
        wanted = f"{FEWEST_CASES:g} cases or more in each arm"
        return KpiReport(name, state, wanted, figure(defined, treated), figure(defined, base), cases,
                         defined.minutes)  # fmt: skip
    base, treated = _sums(pairs, guard.kpi, 0), _sums(pairs, guard.kpi, 1)
    sense = "at least" if guard.at_least else "at most"
    share = _share(treated)
    return KpiReport(
        guard.kpi, _quality(guard, pairs, treated, share, alpha),
        f"{sense} {format_ratio(guard.limit)} of {guard.fewest:g} cases or more (guard {guard.name})",
        share, _share(base), float(treated.cases),
    )  # fmt: skip


def _not_worse(
    name: str, worse_by: float, defined: Defined, pairs: Sequence[tuple[Measured, Measured]], alpha: float
) -> KpiReport:
    both = [
        (base.kpis[name], treated.kpis[name])
        for base, treated in pairs
        if not lacking(defined, base.kpis.get(name)) and not lacking(defined, treated.kpis.get(name))
    ]
    base, treated = _sums(pairs, name, 0), _sums(pairs, name, 1)
    cases = float(min(base.cases, treated.cases))
    lower = defined.kind in LOWER_IS_BETTER
    bound = math.log1p(worse_by) if lower else -math.log1p(-worse_by)
    worsened = [(1.0 if lower else -1.0) * difference(defined, *pair, points=False) for pair in both]
    if surely_above(worsened, bound, alpha):
        state = GuardState.BREACHED
    elif len(both) < COVERED * max(1, len(pairs)) or cases < FEWEST_CASES:
        state = GuardState.UNKNOWN
    else:
        state = GuardState.HELD if fmean(worsened) <= bound else GuardState.MISSED
    wanted = f"not worse by more than {format_ratio(worse_by)}" if worse_by else "not worse"
    return KpiReport(name, state, wanted, figure(defined, treated), figure(defined, base), cases, defined.minutes)


def _quality(
    guard: Guard, pairs: Sequence[tuple[Measured, Measured]], treated: Counted, share: float | None, alpha: float
) -> GuardState:
    """By the share of each treated block, which is bounded: those that break an upper limit, or lack to a lower one."""
    found = [each for _, block in pairs if (each := block.kpis.get(guard.kpi)) is not None and each.cases > 0]
    shares = [float(each.outcomes / each.cases) for each in found]
    bad = [1.0 - each for each in shares] if guard.at_least else shares
    if mean_surely_above(bad, 1.0 - guard.limit if guard.at_least else guard.limit, alpha):
        return GuardState.BREACHED
    if share is None or float(treated.cases) < guard.fewest or len(found) < COVERED * max(1, len(pairs)):
        return GuardState.UNKNOWN
    held = share >= guard.limit if guard.at_least else share <= guard.limit
    return GuardState.HELD if held else GuardState.MISSED


def _sums(pairs: Sequence[tuple[Measured, Measured]], name: str, side: int) -> Counted:
    total = Counted()
    for pair in pairs:
        if (found := pair[side].kpis.get(name)) is not None:
            total = total.plus(found)
    return total


def _share(counted: Counted) -> float | None:
    return float(counted.outcomes / counted.cases) if counted.cases > 0 else None
