"""What the pairs of an experiment say: Supported, Refuted, Inconclusive, or that it goes on.

Whoever looks decides nothing by looking: every bound holds at all looks together (`core.sequential`). A verdict needs
the registered number of pairs and the registered time; only a guard that is surely breached ends an experiment before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from statistics import fmean

from flyball.core.experiment import Arm, Design, Direction, Evidence, Guard, Measured, Metric, Plan, end_of
from flyball.core.sequential import coin_is_loaded, interval, mean_surely_above, surely_above, surely_below
from flyball.core.units import counted, format_ratio

MISMATCH_ALPHA = 0.001
"""How often a sample ratio may look wrong by chance: a verdict is lost where it does."""
_GUARD_COVERED = 0.8


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


class GuardState(StrEnum):
    """How a guard stands: HELD and MISSED by what was counted, BREACHED beyond doubt."""

    HELD = "Held"
    MISSED = "Missed"
    BREACHED = "Breached"
    UNKNOWN = "Unknown"


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
    infinite where nothing was ruled out. `unusable` counts pairs that could not be compared.
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


def judge(plan: Plan, guards: Sequence[Guard], blocks: Sequence[Measured], begin: int, now: int) -> Judgement:
    """The judgement of what was measured until `now`. `blocks` may hold one block of a pair whose other is to come."""
    pairs, unusable, only_treated, only_one = _paired(blocks)
    differences = [_difference(plan, base, treated) for base, treated in pairs]
    low, high = interval(differences, plan.alpha)
    effect = min(max(fmean(differences), low), high) if differences else None
    reports = tuple(_guard(plan, guard, len(guards), pairs) for guard in guards)
    verdict, reason, text = _decide(plan, reports, differences, begin, now)
    mismatch = _mismatch(plan, pairs, only_treated, only_one)
    if mismatch:
        verdict, reason, text = Verdict.INCONCLUSIVE, Reason.SAMPLE_RATIO_MISMATCH, mismatch
    return Judgement(
        verdict,
        reason,
        text,
        plan.evidence,
        len(pairs),
        unusable,
        None if effect is None else math.expm1(effect),
        math.expm1(low),
        math.expm1(high) if high < math.log(1e6) else math.inf,
        reports,
    )


def bound_of(plan: Plan) -> float:
    """The hypothesis as an effect: the logarithm of treatment over baseline that it must be beyond."""
    return math.log1p(-plan.by if plan.direction is Direction.DECREASE else plan.by)


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


def value_of(plan: Plan, measured: Measured) -> float:
    """The metric in one block. Missed requests are counted with half a one more, so that none has a logarithm."""
    if plan.metric is Metric.MISSED_REQUESTS:
        good, total = measured.objectives[plan.objective]
        return (max(0.0, total - good) + 0.5) / (total + 1.0)
    if plan.metric is Metric.COST_PER_MILLION_TOKENS:
        return float(measured.dollars / measured.tokens) * 1e6
    return float(measured.dollars / measured.requests)


def _difference(plan: Plan, base: Measured, treated: Measured) -> float:
    return math.log(value_of(plan, treated) / value_of(plan, base))


def _guard(plan: Plan, guard: Guard, guards: int, pairs: Sequence[tuple[Measured, Measured]]) -> GuardReport:
    """A guard by the treated blocks. Guards share what may be wrong by chance."""
    base, treated = (
        [each for pair in pairs if (each := pair[side].objectives.get(guard.objective))] for side in (0, 1)
    )
    if len(treated) < _GUARD_COVERED * max(1, len(pairs)):
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
    volumes = [math.log(float(treated.requests / base.requests)) for base, treated in pairs]
    for sure, said in ((surely_above, "more"), (surely_below, "fewer")):
        if sure(volumes, 0.0, MISMATCH_ALPHA / 2):
            return f"treated blocks got {said} requests than baseline ones: the arms did not see the same traffic"
    return ""


def _decide(
    plan: Plan, guards: Sequence[GuardReport], differences: Sequence[float], begin: int, now: int
) -> tuple[Verdict, Reason, str]:
    breached = [each.objective for each in guards if each.state is GuardState.BREACHED]
    if breached:
        return Verdict.REFUTED, Reason.GUARD_BREACHED, f"the objective {breached[0]} is surely missed by the treatment"
    over = now >= end_of(plan, begin)
    short = len(differences) < plan.min_pairs or (now - begin < plan.min_ms and plan.design is not Design.BEFORE_AFTER)
    if short and not over:
        return Verdict.RUNNING, Reason.COLLECTING, _collecting(plan, len(differences), begin, now)
    if short:
        text = f"{counted(len(differences), 'usable pair')} by the end, {plan.min_pairs} are needed"
        return Verdict.INCONCLUSIVE, Reason.TIME_OVER, text
    claim = f"{'a decrease' if plan.direction is Direction.DECREASE else 'an increase'} by {format_ratio(plan.by)}"
    if refutes(plan, differences):
        return Verdict.REFUTED, Reason.EFFECT_MISSED, f"the effect is surely less than {claim}"
    if not supports(plan, differences):
        if over:
            return Verdict.INCONCLUSIVE, Reason.TIME_OVER, f"neither {claim} nor less of it could be shown in time"
        return Verdict.RUNNING, Reason.COLLECTING, f"neither {claim} nor less of it is shown yet"
    for state, reason, said in (
        (GuardState.MISSED, Reason.GUARD_MISSED, "is missed by what was counted, though not beyond doubt"),
        (GuardState.UNKNOWN, Reason.GUARD_UNKNOWN, "was measured in too few treated blocks"),
    ):
        for each in guards:
            if each.state is state:
                text = f"the effect is at least {claim}, but the objective {each.objective} {said}"
                return (Verdict.INCONCLUSIVE if over else Verdict.RUNNING), reason, text
    return Verdict.SUPPORTED, Reason.EFFECT_SHOWN, f"the effect is surely at least {claim}"


def _collecting(plan: Plan, pairs: int, begin: int, now: int) -> str:
    hours = max(0, begin + plan.min_ms - now) / 3_600_000
    return f"{pairs} of at least {plan.min_pairs} pairs" + (f", {hours:.0f} h of the minimum run left" if hours else "")
