"""What a suite showed as a whole: flyball against the bounds and every rival, over the counted scenarios."""

import math
import statistics
from collections.abc import Iterable, Sequence

from flyball.core.units import conjoin, counted
from flyball.lab.suite.conclusion import BOUNDS, FLYBALL, ORACLE, STATIC_PEAK, Conclusion
from flyball.lab.suite.results import Pooled, Role

HPA_AND_KEDA = ("hpa-gpu*", "hpa-queue*", "keda-concurrency*", "llmd-keda*", "llmd-keda-fixed*", "llmd-queue*")


def verdict(conclusions: Sequence[Conclusion]) -> list[str]:
    """The suite in sentences."""
    runnable = [c for c in conclusions if c.runs and not c.not_counted]
    played = [c for c in runnable if c.line(FLYBALL) is not None]
    found = [f"{counted(len(runnable), 'scenario')} counted of {len(conclusions)}."]
    if not played:
        return [*found, "flyball was not played."] if runnable else found
    return [*found, *_met(played), *_ratios(played), *_bounds(played), *_lost(played)]


def _ours(conclusion: Conclusion) -> Pooled:
    ours = conclusion.line(FLYBALL)
    assert ours is not None  # noqa: S101 - verdict() keeps scenarios that flyball played
    return ours


def _met(played: Sequence[Conclusion]) -> list[str]:
    met = [c for c in played if _ours(c).meets]
    found = [f"flyball met the objectives of {len(met)}."]
    with_oracle = [c for c in played if (line := c.line(ORACLE)) is not None and line.meets]
    if with_oracle:
        both = sum(_ours(c).meets for c in with_oracle)
        found.append(f"Of the {len(with_oracle)} that the clairvoyant plan meets it met {both}.")
    for c in played:
        able = [line.policy for line in _defaults(c) if line.meets]
        if able and not _ours(c).meets:
            found.append(f"It missed {c.name}, which {conjoin(able)} met with their defaults.")
    return found


def _ratios(played: Sequence[Conclusion]) -> list[str]:
    """Costs at equal attainment: every rival tuned in hindsight, HPA and KEDA apart from the others."""
    groups = {"HPA and KEDA": [], "the other rivals": []}  # type: dict[str, list[tuple[float, str, str]]]
    for c in played:
        for name, ratio in _ours(c).cost_ratio.items():
            if name.endswith("*"):
                groups["HPA and KEDA" if name in HPA_AND_KEDA else "the other rivals"].append((ratio, name, c.name))
    found = []
    for words, ratios in groups.items():
        if ratios:
            worst, name, scenario = max(ratios)
            middle = statistics.median(ratio for ratio, _, _ in ratios)
            found.append(
                f"At equal attainment, against {words} tuned in hindsight, it cost {middle:.2f} × in the median and "
                f"{worst:.2f} × at worst ({name}, {scenario})."
            )
    never = sum(name.endswith("*") for c in played for name in _ours(c).not_reached_by)
    if never:
        found.append(f"In {counted(never, 'pairing')} no setting of the rival attained as much as flyball's lowest.")
    return found


def _bounds(played: Sequence[Conclusion]) -> list[str]:
    found = []
    for words, values in (
        ("the floor", [_ours(c).floor_ratio for c in played]),
        ("the best known clairvoyant plan", [_ours(c).oracle_ratio for c in played]),
    ):
        known = [value for value in values if value is not None]
        if known:
            found.append(f"It cost {_spread(known)} × {words}.")
    peaks = [(c, line) for c in played if (line := c.line(STATIC_PEAK)) is not None and line.meets]
    if peaks:
        found.append(
            f"It cost {_spread([_ours(c).cost / line.cost for c, line in peaks])} × the smallest static fleet."
        )
    return found


def _lost(played: Sequence[Conclusion]) -> list[str]:
    """Scenarios that a rival won: none less attained, and fewer GPU-hours, by more than chance between seeds."""
    found = []
    for c in played:
        dominating = [line.policy for line in _defaults(c) if dominates(c, line.policy, FLYBALL)]
        if dominating:
            found.append(f"{c.name}: {conjoin(dominating)} with its defaults attained no less for fewer GPU-hours.")
    return found


def dominates(conclusion: Conclusion, better: str, worse: str) -> bool:
    """Whether one policy attains no less and costs less, in the means over paired seeds, its saving beyond their 95%
    interval (of the normal distribution with Student's correction for so few seeds; any saving where there is one).
    """
    pairs = []
    others = {run.seed: run for run in conclusion.runs if run.policy == worse and run.role is Role.DEFAULT}
    for run in conclusion.runs:
        other = others.get(run.seed)
        if run.policy == better and run.role is not Role.SWEEP and other is not None:
            pairs.append(((run.margin_min or -1.0) - (other.margin_min or -1.0), other.cost - run.cost))
    if not pairs:
        return False
    margins, savings = zip(*pairs, strict=True)
    return statistics.fmean(margins) >= 0 and statistics.fmean(savings) > _half_interval(savings)


# Student's t, 97.5%, for 1 to 9 degrees of freedom; beyond, the normal distribution's 1.96 is near enough.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)


def _half_interval(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    t = _T[len(values) - 2] if len(values) - 2 < len(_T) else 1.96
    return t * statistics.stdev(values) / math.sqrt(len(values))


def _defaults(conclusion: Conclusion) -> Iterable[Pooled]:
    return (
        line for line in conclusion.standings if line.role is Role.DEFAULT and line.policy not in (*BOUNDS, FLYBALL)
    )


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.median(values):.2f} (median; {min(values):.2f} to {max(values):.2f})"
