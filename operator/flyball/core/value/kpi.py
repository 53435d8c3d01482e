"""What business outcomes are worth and cost, as far as their guards allow, and how sure that is.

    worth  = Σ outcomes × dollars each + minutes saved × dollars per minute
    labour = Σ outcomes × dollars of people's work each + minutes handled × dollars per minute

An outcome with a guard counts only while the guard holds over the same window on a sample that is large enough: a
deflection whose users come back is none. How far chance may move a sum is told by the number of equally large
independent events that would vary as much, (Σ v)² / Σ v², so that bounds of a count serve sums of money, too.
"""

from collections.abc import Mapping
from decimal import Decimal

from flyball.core.names import KpiKind
from flyball.core.units import format_ratio
from flyball.core.value.outcomes import Counted
from flyball.core.values import dataclass

LOWER_IS_BETTER = frozenset(
    {KpiKind.ESCALATION, KpiKind.POST_BOT_CONTACT, KpiKind.REWORK, KpiKind.TIME_TO_ANSWER, KpiKind.HANDLE_TIME}
)
TIMES = frozenset({KpiKind.TIME_SAVED, KpiKind.TIME_TO_ANSWER, KpiKind.HANDLE_TIME})
"""KPIs whose figure is minutes for each outcome; that of all others is the share of cases with the outcome."""
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Kpi:
    """A declared KPI: `query` yields outcomes per second; where it is empty, they are pushed or imported.

    In dollars: `worth` and `labor` of one outcome, `worth_per_minute` and `labor_per_minute` of the minutes reported.
    `missing` says which rate is not known, in a sentence.
    """

    name: str
    kind: KpiKind
    query: str = ""
    worth: Decimal = NOTHING
    worth_per_minute: Decimal = NOTHING
    labor: Decimal = NOTHING
    labor_per_minute: Decimal = NOTHING
    guard: str = ""
    missing: str = ""

    @property
    def in_dollars(self) -> bool:
        """Whether its outcomes are worth, or cost, anything."""
        return any((self.worth, self.worth_per_minute, self.labor, self.labor_per_minute))


@dataclass(frozen=True, slots=True)
class Guard:
    """A share to hold, by PromQL or as that of a KPI: at least or at most `limit`, on `fewest` cases or more."""

    name: str
    limit: float
    at_least: bool = True
    query: str = ""
    kpi: str = ""
    fewest: float = 30.0


@dataclass(frozen=True, slots=True)
class Value:
    """What a workload's answers are said to bring."""

    kpis: tuple[Kpi, ...] = ()
    guards: tuple[Guard, ...] = ()

    @property
    def in_dollars(self) -> bool:
        """Whether some KPI has a worth, which then stands in place of value.perRequest."""
        return any(kpi.worth or kpi.worth_per_minute for kpi in self.kpis)


@dataclass(frozen=True, slots=True)
class KpiLine:
    """One KPI over a window: what was counted, what that is worth and cost, and why it has no credit (empty: it has).

    `unproven` says that the credit is lacking for want of evidence, not because a guard failed.
    """

    kpi: Kpi
    counted: Counted
    worth: Decimal = NOTHING
    labor: Decimal = NOTHING
    denied: str = ""
    unproven: bool = False

    @property
    def figure(self) -> float | None:
        """The share of cases with the outcome, or minutes for each; None where there is nothing to divide by."""
        sums = self.counted
        if self.kpi.kind in TIMES:
            return float(sums.minutes / sums.outcomes) if sums.outcomes else None
        return float(sums.outcomes / sums.cases) if sums.cases else None

    @property
    def events(self) -> float:
        """So many independent events stand behind the figure."""
        if self.kpi.kind in TIMES:
            return events(float(self.counted.minutes), self.counted.squares)
        return float(self.counted.outcomes)


@dataclass(frozen=True, slots=True)
class Worth:
    """What all KPIs together are worth and cost in dollars over a window; `variance` is of the first minus the second.

    `unknown` are KPIs in dollars of which nothing is known in the window, in sentences.
    """

    dollars: Decimal = NOTHING
    labor: Decimal = NOTHING
    worth_squares: float = 0.0
    labor_squares: float = 0.0
    lines: tuple[KpiLine, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def unproven(self) -> tuple[str, ...]:
        """Why outcomes have no credit for want of evidence."""
        return tuple(f"{line.kpi.name}: {line.denied}" for line in self.lines if line.unproven)


def worth(value: Value, sums: Mapping[str, Counted], shares: Mapping[str, float]) -> Worth:
    """What was counted of each KPI (by name) in dollars; `shares` are those of guards with a query, by guard."""
    lines, unknown = [], []
    worth_squares = labor_squares = 0.0
    guards = {guard.name: guard for guard in value.guards}
    for kpi in value.kpis:
        counted = sums.get(kpi.name)
        if kpi.missing:
            unknown.append(kpi.missing)
        elif counted is None and kpi.in_dollars:
            unknown.append(f"no outcome of KPI {kpi.name} is reported")
        counted = counted or Counted()
        guard = guards.get(kpi.guard)
        denied, unproven = _denied(guard, counted, sums, shares) if guard and counted.outcomes else ("", False)
        credit = NOTHING if denied else counted.outcomes * kpi.worth + counted.minutes * kpi.worth_per_minute
        labor = counted.outcomes * kpi.labor + counted.minutes * kpi.labor_per_minute
        lines.append(KpiLine(kpi, counted, credit, labor, denied, unproven))
        if not denied:
            worth_squares += _squares(counted, kpi.worth, kpi.worth_per_minute)
        labor_squares += _squares(counted, kpi.labor, kpi.labor_per_minute)
    return Worth(
        sum((line.worth for line in lines), NOTHING),
        sum((line.labor for line in lines), NOTHING),
        worth_squares,
        labor_squares,
        tuple(lines),
        tuple(unknown),
    )


def events(total: float, squares: float) -> float:
    """The number of equally large independent events whose sum varies as this one does."""
    return total * total / squares if squares > 0 else 0.0


def _squares(counted: Counted, each: Decimal, per_minute: Decimal) -> float:
    """Σ v² of dollars: outcomes of one worth each, and minutes record by record."""
    return float(counted.outcomes) * float(each) ** 2 + counted.squares * float(per_minute) ** 2


def _denied(
    guard: Guard, counted: Counted, sums: Mapping[str, Counted], shares: Mapping[str, float]
) -> tuple[str, bool]:
    """Why outcomes do not count, and whether for want of evidence; empty where they do."""
    sample = sums.get(guard.kpi, Counted()) if guard.kpi else counted
    cases = float(sample.cases)
    if cases < guard.fewest:
        return f"guard {guard.name} has {cases:g} cases, fewer than {guard.fewest:g}", True
    share = float(sample.outcomes / sample.cases) if guard.kpi else shares.get(guard.name)
    if share is None:
        return f"guard {guard.name} gives no share", True
    if (share >= guard.limit) if guard.at_least else (share <= guard.limit):
        return "", False
    sense = "at least" if guard.at_least else "at most"
    return f"guard {guard.name} is at {format_ratio(share)}, not {sense} {format_ratio(guard.limit)}", False
