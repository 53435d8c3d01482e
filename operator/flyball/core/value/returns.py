"""ROI targets that the ledger tells: value from outcomes, cost in full, KPIs, and what is relative to a baseline.

    ValueCostRatio = worth / (bill + labour)
    CostToServe = (bill + labour) / requests    CostPerRequest = bill / requests

The bill is taken as exact; what chance moves are the numbers of requests and outcomes. Without a baseline nothing is
said of a relative target, and without enough evidence for a guard nothing of the worth that it guards: Unproven.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from flyball.core.decision import Cause, RoiReport
from flyball.core.money.books import Account, Books, PathAccount, Window
from flyball.core.money.currency import DEFAULT_CURRENCY, money
from flyball.core.names import RoiMetric
from flyball.core.spec import RoiTarget
from flyball.core.units import format_duration
from flyball.core.value import baseline, roi
from flyball.core.value.baseline import Baseline
from flyball.core.value.decomposition import Factor, decompose, dollars_per_request, value_per_dollar
from flyball.core.value.kpi import LOWER_IS_BETTER, TIMES, KpiLine, Worth
from flyball.core.value.roi import Estimate, falling, growing
from flyball.core.values import dataclass, replace

_NOUNS = {Factor.VOLUME: "volume", Factor.MIX: "mix", Factor.COST: "cost", Factor.VALUE: "value"}


@dataclass(frozen=True, slots=True)
class Unjudged:
    """Why a target has no figure: a state and a sentence."""

    state: str
    why: str


def judge_booked(target: RoiTarget, books: Books | None, fingerprint: str, before: str | None) -> RoiReport:
    """One target's state. `fingerprint` is of the prices and KPIs declared now, `before` what was told last."""
    blank = RoiReport(target.name, roi.INSUFFICIENT, None, None, None, target.amount, booked=True)
    goal, found = _goal(target, books, fingerprint), _figure(target, books, before)
    if isinstance(goal, Unjudged):
        return replace(blank, state=goal.state, why=goal.why)
    if isinstance(found, Unjudged):
        return replace(blank, state=found.state, why=found.why, target=goal)
    estimate_, window = found
    state = estimate_.state(float(goal), before, at_least=sense(target, window.now))
    judged = replace(blank, state=state, value=estimate_.value, low=estimate_.low, high=estimate_.high, target=goal)
    currency = books.currency if books else DEFAULT_CURRENCY
    return replace(explained(target, judged, books), advice=advise(target, window.now, goal, estimate_, currency))


def explained(target: RoiTarget, judged: RoiReport, books: Books | None) -> RoiReport:
    """A report with what moved its figure, where the ledger can tell."""
    window = books.window(target.window_seconds) if books else None
    moved = cause(target, window, books.baseline) if books and window else None
    return replace(judged, cause=moved.text, cause_code=moved.code) if moved else judged


def sense(target: RoiTarget, account: Account) -> bool:
    """Whether the figure is to be at least the amount; else at most."""
    if target.metric is RoiMetric.KPI:
        line = _line(account, target.kpi)
        return line is None or line.kpi.kind not in LOWER_IS_BETTER
    return target.metric is RoiMetric.VALUE_COST_RATIO


def estimate(metric: RoiMetric, account: Account, kpi: str = "") -> Estimate | None:
    """A figure of an account with its bounds; None where there is nothing to divide by."""
    requests, full = float(account.requests), float(account.full)
    labor = account.labor_share_variance
    if metric is RoiMetric.KPI:
        line = _line(account, kpi)
        return None if line is None else _of_kpi(line)
    if metric is RoiMetric.VALUE_COST_RATIO:
        if full <= 0 or account.value <= 0:
            return None
        return growing(float(account.value) / full, 1.0 / (1.0 / account.value_events + labor))
    if requests <= 0 or account.dollars <= 0:
        return None
    if metric is RoiMetric.COST_PER_REQUEST:
        return falling(float(account.dollars) / requests, requests)
    return falling(full / requests, 1.0 / (1.0 / requests + labor))


def cause(target: RoiTarget, window: Window, recorded_: Baseline | None) -> Cause | None:
    """Why the figure moved, the factor that moved it most the wrong way first; None where that cannot be told.

    A target that is relative to a baseline is told since that baseline, any other since as long before. A baseline that
    was recorded without what its figures were made of cannot be told by; then that is said.
    """
    before, now = window.before, window.now
    since = f"in the {format_duration(window.seconds)} before"
    if target.relative and recorded_ is not None:
        known = account_of(recorded_)
        since = f"in the baseline of {_days(recorded_)}" if known else f"{since} (the baseline does not tell its parts)"
        before = known or before
    if before is None or not before.whole or before.unpriced or target.metric is RoiMetric.KPI:
        return None
    if target.metric is RoiMetric.VALUE_COST_RATIO:
        parts = decompose(before, now, value_per_dollar)
    else:
        parts = decompose(before, now, dollars_per_request, labor=target.metric is RoiMetric.COST_TO_SERVE)
    figures = [estimate(target.metric, each) for each in (before, now)]
    if parts is None or None in figures:
        return None
    bad = -1 if target.metric is RoiMetric.VALUE_COST_RATIO else 1
    ordered = sorted(parts.items(), key=lambda item: -bad * item[1])
    worst, by = ordered[0]
    code = _code(worst, by * bad > 0, now.requests > before.requests)
    moves = ", ".join(f"{_NOUNS[factor]} {_signed(part)}" for factor, part in ordered)
    old, new = (found.value for found in figures if found is not None)
    text = f"from {_figure_text(old)} {since} to {_figure_text(new)}: {moves}"
    return Cause(code, text, tuple((_NOUNS[factor], float(part)) for factor, part in parts.items()))


def advise(target: RoiTarget, account: Account, goal: Decimal, found: Estimate, currency: str) -> str:
    """Retire, re-architect or scale, with the arithmetic; empty where none of the three follows."""
    if target.metric is not RoiMetric.VALUE_COST_RATIO or not account.requests:
        return ""
    serving = account.serving + account.worth.labor
    value, full, fixed = account.value, account.full, account.fixed
    at_best = float(value) * found.high / found.value if found.value else 0.0
    days = Decimal(account.end - account.begin) / 86_400_000
    span = f"in {days.normalize():f} days"
    if at_best < float(serving):
        return (
            f"Retire: {span} the answers were worth {money(value, currency)}, and serving them, with people's work, "
            f"cost {money(serving, currency)}: without it {money(full - value, currency)} would be left over"
        )
    if found.high < float(goal) and serving > 0 and float(value / serving) >= float(goal):
        return (
            f"Re-architect: {span} {money(fixed, currency)} of {money(full, currency)} went to what no request causes "
            f"(idle and loading GPUs, hourly components); without it a dollar brings {float(value / serving):.2f}, "
            f"the target is {float(goal):.2f}"
        )
    if found.low > float(goal) and serving > 0:
        each, cost = value / account.requests, serving / account.requests
        return (
            f"Scale: a request is worth {money(each, currency, 4)} and causes {money(cost, currency, 4)}: a tenth more "
            f"of them would bring about {money((value - serving) / 10, currency)} {span}"
        )
    return ""


def recorded(account: Account, made_at: int, fingerprint: str, note: str) -> Baseline:
    """The baseline that an account makes."""
    ratio = estimate(RoiMetric.VALUE_COST_RATIO, account)
    figures = ((line.kpi.name, line.figure) for line in account.worth.lines if not line.denied)
    return Baseline(
        account.begin,
        account.end,
        made_at,
        fingerprint,
        account.requests,
        account.dollars / account.requests,
        account.full / account.requests,
        ratio.value if ratio else None,
        tuple((name, figure) for name, figure in figures if figure is not None),
        note,
        tuple((path.path, path.requests, path.dollars) for path in account.paths),
        account.fixed,
        account.worth.labor,
        account.value,
    )


def account_of(known: Baseline) -> Account | None:
    """The account that a baseline was made of, as far as its figures need it; None where it was not kept."""
    if not known.paths:
        return None
    paths = tuple(PathAccount(*path) for path in known.paths)
    return Account(known.begin, known.end, paths, known.fixed, Worth(known.value, known.labor, float(known.value)))


def _figure(target: RoiTarget, books: Books | None, before: str | None) -> tuple[Estimate, Window] | Unjudged:
    if books is None:
        return Unjudged(roi.INSUFFICIENT, "it needs a ledger that was read: see ledger.enabled of the chart")
    window = books.window(target.window_seconds)
    if window is None:
        return Unjudged(roi.INSUFFICIENT, "the ledger was not read yet")
    now = window.now
    if now.unpriced:
        return Unjudged(roi.PRICE_MISSING, f"nobody knows what {', '.join(now.unpriced)} cost")
    if not now.whole:
        return Unjudged(roi.INSUFFICIENT, f"the ledger holds less than {format_duration(window.seconds)}")
    if now.worth.unknown and target.metric is not RoiMetric.COST_PER_REQUEST:
        return Unjudged(roi.INSUFFICIENT, "; ".join(now.worth.unknown))
    if now.worth.unproven and target.metric in (RoiMetric.VALUE_COST_RATIO, RoiMetric.KPI):
        return Unjudged(roi.UNPROVEN, "; ".join(now.worth.unproven))
    if float(now.requests) < roi.fewest(before):
        return Unjudged(roi.INSUFFICIENT, f"{now.requests:.0f} requests are too few")
    found = estimate(target.metric, now, target.kpi)
    if found is None and target.metric is RoiMetric.VALUE_COST_RATIO and now.full > 0:
        found = Estimate(0.0, 0.0, 0.0, 0.0, 0.0)  # no outcome counts: no worth, beyond doubt
    return (found, window) if found else Unjudged(roi.INSUFFICIENT, "there is nothing to divide by")


def _goal(target: RoiTarget, books: Books | None, fingerprint: str) -> Decimal | Unjudged:
    """The amount to reach, or not to exceed; of a relative target it is so many times the baseline's figure."""
    if not target.relative or books is None:
        return target.amount
    known = books.baseline
    if known is None:
        return Unjudged(roi.UNPROVEN, "no baseline is recorded: run flyball baseline record before the change")
    if why := baseline.stale(known, fingerprint, round(books.at * 1000)):
        return Unjudged(roi.UNPROVEN, f"the baseline cannot be compared with: {why}")
    figures: Mapping[RoiMetric, Decimal | float | None] = {
        RoiMetric.COST_PER_REQUEST: known.cost_per_request,
        RoiMetric.COST_TO_SERVE: known.cost_to_serve,
        RoiMetric.VALUE_COST_RATIO: known.value_cost_ratio,
        RoiMetric.KPI: known.kpi(target.kpi),
    }
    figure = figures[target.metric]
    if figure is None:
        return Unjudged(roi.UNPROVEN, f"the baseline tells no {target.kpi or target.metric}")
    return target.amount * (figure if isinstance(figure, Decimal) else Decimal(str(figure)))


def _of_kpi(line: KpiLine) -> Estimate | None:
    if line.denied or line.figure is None:
        return None
    if line.kpi.kind not in TIMES:
        return Estimate(line.figure, *line.counted.share_bounds(), *line.counted.share_bounds(1.0))
    events = line.events
    return growing(line.figure, events) if events else None


def _line(account: Account, kpi: str) -> KpiLine | None:
    return next((line for line in account.worth.lines if line.kpi.name == kpi), None)


def _code(factor: Factor, worse: bool, more_requests: bool) -> str:
    if factor is Factor.MIX:
        return "MixShift"
    if factor is Factor.VOLUME:
        return "VolumeUp" if more_requests else "VolumeDown"
    up = worse if factor is Factor.COST else not worse
    return f"{factor}{'Up' if up else 'Down'}"


def _days(known: Baseline) -> str:
    begin, end = (datetime.fromtimestamp(at / 1000, UTC) for at in (known.begin, known.end))
    return f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}"


def _signed(part: Fraction) -> str:
    return f"{float(part):+.3g}"


def _figure_text(value: float) -> str:
    return f"{value:.3g}"
