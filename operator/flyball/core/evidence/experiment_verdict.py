"""What the pairs of an experiment say: Supported, Refuted, Inconclusive, or that it goes on.

Whoever looks decides nothing by looking: every bound holds at all looks together (`core.evidence.sequential`). A
verdict needs the registered number of pairs and the registered time; only a guard that is surely breached ends an
experiment before.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import groupby
from statistics import fmean
from types import MappingProxyType

from flyball.core.evidence import experiment_kpi
from flyball.core.evidence.experiment import (
    Arm,
    Design,
    Direction,
    Evidence,
    Guard,
    GuardState,
    Measured,
    Metric,
    Plan,
    end_of,
)
from flyball.core.evidence.experiment_kpi import COVERED, Definitions, KpiReport
from flyball.core.evidence.sequential import coin_is_loaded, interval, mean_surely_above, surely_above, surely_below
from flyball.core.units import counted, format_ratio
from flyball.core.values import dataclass

MISMATCH_ALPHA = 0.001
"""How often a sample ratio may look wrong by chance: a verdict is lost where it does."""


class Verdict(StrEnum):
    """What became of a hypothesis."""

    RUNNING = "Running"
    SUPPORTED = "Supported"
    REFUTED = "Refuted"
    INCONCLUSIVE = "Inconclusive"


class Reason(StrEnum):
    """Why the verdict is what it is."""

    COLLECTING = "Collecting"
    EFFECT_SHOWN = "EffectShown"
    EFFECT_MISSED = "EffectMissed"
    GUARD_BREACHED = "GuardBreached"
    GUARD_MISSED = "GuardMissed"
    GUARD_UNKNOWN = "GuardUnknown"
    SAMPLE_RATIO_MISMATCH = "SampleRatioMismatch"
    TIME_OVER = "TimeOver"
    CHANGED = "ChangedAfterStart"


@dataclass(frozen=True, slots=True)
class GuardReport:
    """One guard: the share of good requests in treated blocks, and in baseline ones to compare; None where unknown."""

    objective: str
    target: float
    state: GuardState
    attained: float | None
    baseline: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known now. `effect`, `low` and `high` are relative changes: -0.18 is 18% less. `low` is -1 and `high`
    infinite where nothing was ruled out. With `points` they are differences of shares, where -1 and 1 rule nothing out.
    `unusable` counts pairs that could not be compared. `quality` is how the hypothesis' own KPI stands by its guard.
    """

    verdict: Verdict
    reason: Reason
    text: str
    evidence: Evidence
    pairs: int
    unusable: int
    effect: float | None
    low: float
    high: float
    guards: tuple[GuardReport, ...]
    kpi_guards: tuple[KpiReport, ...] = ()
    quality: KpiReport | None = None
    points: bool = False


def judge(
    plan: Plan,
    guards: Sequence[Guard],
    blocks: Sequence[Measured],
    begin: int,
    now: int,
    known: Definitions = MappingProxyType({}),
) -> Judgement:
    """The judgement of what was measured until `now`. `blocks` may hold one block of a pair whose other is to come;
    `known` are the KPIs as they were registered.
    """
    pairs, unusable, only_treated, only_one = _paired(blocks)
    differences = [_difference(plan, known, base, treated) for base, treated in pairs]
    reports = tuple(_guard(plan, guard, _guards(plan, guards), pairs) for guard in guards)
    alpha = plan.alpha / max(1, _guards(plan, guards))
    kpi_guards = experiment_kpi.not_worse(plan, known, pairs, alpha)
    quality = experiment_kpi.quality(plan.kpi, known, pairs, alpha) if plan.metric is Metric.KPI else None
    standings = _standings(reports, kpi_guards, quality)
    verdict, reason, text = _decide(plan, standings, differences, begin, now)
    mismatch = _mismatch(plan, pairs, only_treated, only_one)
    if mismatch:
        verdict, reason, text = Verdict.INCONCLUSIVE, Reason.SAMPLE_RATIO_MISMATCH, mismatch
    effect, low, high = _effect(plan, differences)
    return Judgement(
        verdict, reason, text, plan.evidence, len(pairs), unusable, effect, low, high, reports, kpi_guards, quality,
        plan.points,
    )  # fmt: skip


def bound_of(plan: Plan) -> float:
    """The hypothesis as an effect that it must be beyond: in points, or the logarithm of treatment over baseline."""
    by = -plan.by if plan.direction is Direction.DECREASE else plan.by
    return by if plan.points else math.log1p(by)


def claim_of(plan: Plan) -> str:
    """By how much, in words: `18.0%` or `3 points`."""
    return f"{plan.by * 100:g} points" if plan.points else format_ratio(plan.by)


def supports(plan: Plan, differences: Sequence[float]) -> bool:
    """Whether the effect is surely at least what was claimed."""
    sure = surely_below if plan.direction is Direction.DECREASE else surely_above
    return sure(differences, bound_of(plan), plan.alpha / 2)


def refutes(plan: Plan, differences: Sequence[float]) -> bool:
    """Whether the effect is surely less than what was claimed."""
    sure = surely_above if plan.direction is Direction.DECREASE else surely_below
    return sure(differences, bound_of(plan), plan.alpha / 2)


def _paired(blocks: Sequence[Measured]) -> tuple[list[tuple[Measured, Measured]], int, int, int]:
    """Whole usable pairs as (baseline, treatment); pairs that are not usable, and of these those of which only one
    block is not, in all and where that is the treated one.
    """
    pairs, unusable, only_treated, only_one = [], 0, 0, 0
    for _, found in groupby(sorted(blocks, key=lambda each: each.block.pair), lambda each: each.block.pair):
        both = {each.block.arm: each for each in found}
        if len(both) < 2:
            continue
        base, treated = both[Arm.BASELINE], both[Arm.TREATMENT]
        if not base.unusable and not treated.unusable:
            pairs.append((base, treated))
            continue
        unusable += 1
        if bool(base.unusable) != bool(treated.unusable):
            only_one += 1
            only_treated += bool(treated.unusable)
    return pairs, unusable, only_treated, only_one


def value_of(plan: Plan, measured: Measured, known: Definitions) -> float:
    """The metric in one block. Missed requests are counted with half a one more, so that none has a logarithm."""
    if plan.metric is Metric.KPI:
        return experiment_kpi.figure(known[plan.kpi], measured.kpis[plan.kpi]) or 0.0
    if plan.metric is Metric.MISSED_REQUESTS:
        good, total = measured.objectives[plan.objective]
        return (max(0.0, total - good) + 0.5) / (total + 1.0)
    if plan.metric is Metric.COST_PER_MILLION_TOKENS:
        return float(measured.dollars / measured.tokens) * 1e6
    return float(measured.dollars / measured.requests)


def _difference(plan: Plan, known: Definitions, base: Measured, treated: Measured) -> float:
    if plan.metric is Metric.KPI:
        return experiment_kpi.difference(known[plan.kpi], base.kpis[plan.kpi], treated.kpis[plan.kpi], plan.points)
    return math.log(value_of(plan, treated, known) / value_of(plan, base, known))


def _effect(plan: Plan, differences: Sequence[float]) -> tuple[float | None, float, float]:
    """The mean effect and its interval, as people read them."""
    low, high = interval(differences, plan.alpha)
    effect = min(max(fmean(differences), low), high) if differences else None
    if plan.points:
        return effect, max(low, -1.0), min(high, 1.0)
    return (
        None if effect is None else math.expm1(effect),
        math.expm1(low),
        math.expm1(high) if high < math.log(1e6) else math.inf,
    )


def _guards(plan: Plan, guards: Sequence[Guard]) -> int:
    """How many guards share what may be wrong by chance: those of objectives, of KPIs, and of the KPI's own quality."""
    return len(guards) + len(plan.kpi_guards) + (plan.metric is Metric.KPI)


def _standings(
    reports: Sequence[GuardReport], kpi_guards: Sequence[KpiReport], quality: KpiReport | None
) -> list[tuple[GuardState, str]]:
    """All guards by their state, and what each is about."""
    found = [(each.state, f"the objective {each.objective}") for each in reports]
    found += [(each.state, f"KPI {each.kpi}, wanted {each.wanted},") for each in kpi_guards]
    return found + ([(quality.state, f"the quality of the outcomes ({quality.wanted})")] if quality else [])


def _guard(plan: Plan, guard: Guard, guards: int, pairs: Sequence[tuple[Measured, Measured]]) -> GuardReport:
    """A guard by the treated blocks. Guards share what may be wrong by chance."""
    base, treated = (
        [each for pair in pairs if (each := pair[side].objectives.get(guard.objective))] for side in (0, 1)
    )
    if len(treated) < COVERED * max(1, len(pairs)):
        return GuardReport(guard.objective, guard.target, GuardState.UNKNOWN, None, _share(base))
    attained = _share(treated)
    missed = [min(1.0, max(0.0, 1.0 - good / total)) for good, total in treated if total > 0]
    if mean_surely_above(missed, 1.0 - guard.target, plan.alpha / guards):
        state = GuardState.BREACHED
    elif attained is None:
        state = GuardState.UNKNOWN
    else:
        state = GuardState.HELD if attained >= guard.target else GuardState.MISSED
    return GuardReport(guard.objective, guard.target, state, attained, _share(base))


def _share(counts: Sequence[tuple[float, float]]) -> float | None:
    total = math.fsum(total for _, total in counts)
    return math.fsum(good for good, _ in counts) / total if total > 0 else None


def _mismatch(plan: Plan, pairs: Sequence[tuple[Measured, Measured]], only_treated: int, only_one: int) -> str:
    """Why the arms are no fair samples of the same time; empty where nothing says so."""
    if plan.design is not Design.SWITCHBACK:
        return ""
    if coin_is_loaded(only_treated, only_one, MISMATCH_ALPHA):
        return (
            f"of {counted(only_one, 'pair')} with one unusable block, {only_treated} lost the treated one: "
            "the arms are not equally measured"
        )
    counted_ = [(_sampled(plan, base), _sampled(plan, treated)) for base, treated in pairs]
    volumes = [math.log(treated / base) for base, treated in counted_ if base > 0 and treated > 0]
    for sure, said in ((surely_above, "more"), (surely_below, "fewer")):
        if sure(volumes, 0.0, MISMATCH_ALPHA / 2):
            what = "cases" if plan.metric is Metric.KPI else "requests"
            return f"treated blocks got {said} {what} than baseline ones: the arms did not see the same traffic"
    return ""


def _sampled(plan: Plan, block: Measured) -> float:
    """What a block is a sample of."""
    return float(block.kpis[plan.kpi].cases if plan.metric is Metric.KPI else block.requests)


def _decide(
    plan: Plan, standings: Sequence[tuple[GuardState, str]], differences: Sequence[float], begin: int, now: int
) -> tuple[Verdict, Reason, str]:
    breached = [subject for state, subject in standings if state is GuardState.BREACHED]
    if breached:
        return Verdict.REFUTED, Reason.GUARD_BREACHED, f"{breached[0]} is surely missed by the treatment"
    over = now >= end_of(plan, begin)
    short = len(differences) < plan.min_pairs or (now - begin < plan.min_ms and plan.design is not Design.BEFORE_AFTER)
    if short and not over:
        return Verdict.RUNNING, Reason.COLLECTING, _collecting(plan, len(differences), begin, now)
    if short:
        text = f"{counted(len(differences), 'usable pair')} by the end, {plan.min_pairs} are needed"
        return Verdict.INCONCLUSIVE, Reason.TIME_OVER, text
    claim = f"{'a decrease' if plan.direction is Direction.DECREASE else 'an increase'} by {claim_of(plan)}"
    if refutes(plan, differences):
        return Verdict.REFUTED, Reason.EFFECT_MISSED, f"the effect is surely less than {claim}"
    if not supports(plan, differences):
        if over:
            return Verdict.INCONCLUSIVE, Reason.TIME_OVER, f"neither {claim} nor less of it could be shown in time"
        return Verdict.RUNNING, Reason.COLLECTING, f"neither {claim} nor less of it is shown yet"
    for state, reason, said in (
        (GuardState.MISSED, Reason.GUARD_MISSED, "is missed by what was counted, though not beyond doubt"),
        (GuardState.UNKNOWN, Reason.GUARD_UNKNOWN, "was measured in too few treated blocks or cases"),
    ):
        for found, subject in standings:
            if found is state:
                text = f"the effect is at least {claim}, but {subject} {said}"
                return (Verdict.INCONCLUSIVE if over else Verdict.RUNNING), reason, text
    return Verdict.SUPPORTED, Reason.EFFECT_SHOWN, f"the effect is surely at least {claim}"


def _collecting(plan: Plan, pairs: int, begin: int, now: int) -> str:
    hours = max(0, begin + plan.min_ms - now) / 3_600_000
    return f"{pairs} of at least {plan.min_pairs} pairs" + (f", {hours:.0f} h of the minimum run left" if hours else "")
