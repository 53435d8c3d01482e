"""What a scenario showed, in sentences: for captions, and for those who read no tables."""

from flyball.core.units import conjoin, counted, format_duration, format_ratio
from flyball.lab.suite.conclusion import BOUNDS, FLOOR, FLYBALL, ORACLE, STATIC_PEAK, Conclusion
from flyball.lab.suite.results import Pooled


def objectives_text(conclusion: Conclusion) -> str:
    """The objectives as one phrase."""
    return conjoin(
        [
            f"{objective.indicator} within {format_duration(objective.threshold_seconds)} "
            f"for {objective.target * 100:.6g}%"
            for objective in conclusion.objectives
        ]
    )


def spent(line: Pooled, conclusion: Conclusion) -> str:
    """GPU-hours, or dollars where variants differ in price."""
    return f"${line.cost:.2f}" if conclusion.by_cost else f"{line.gpu_hours:.1f} GPU-hours"


def findings(conclusion: Conclusion, policy: str = FLYBALL) -> list[str]:
    """What one policy did here, against the yardsticks and its rivals, whoever won."""
    ours = conclusion.line(policy)
    if ours is None:
        return []
    return [
        _service(ours, conclusion),
        *_bounds(ours, conclusion),
        *_against(ours),
        *_winner(ours, conclusion),
    ]


def _service(ours: Pooled, conclusion: Conclusion) -> str:
    shares = conjoin([f"{format_ratio(ours.attainment[o.indicator])} {o.indicator}" for o in conclusion.objectives])
    verdict = "met the objectives" if ours.meets else f"missed the objectives by {-ours.margin * 100:.2f} points"
    return f"{ours.policy} {verdict} ({shares}) for {spent(ours, conclusion)}."


def _bounds(ours: Pooled, conclusion: Conclusion) -> list[str]:
    found = []
    if ours.floor_ratio is not None:
        found.append(f"That is {ours.floor_ratio:.2f} × the floor, a bound that no policy can beat")
    oracle = conclusion.line(ORACLE)
    if ours.oracle_ratio is not None and oracle is not None:
        more = (ours.oracle_ratio - 1) * 100
        place = f"within {more:.0f}% of" if more >= 0 else f"{-more:.0f}% below"
        found.append(f"{place} the best known clairvoyant plan")
    peak = conclusion.line(STATIC_PEAK)
    if peak is not None and peak.meets and peak.cost > 0:
        saved = (1 - ours.cost / peak.cost) * 100
        found.append(f"{saved:.0f}% {'less' if saved >= 0 else 'more'} than the smallest static fleet".replace("-", ""))
    return [", ".join(found) + "."] if found else []


def _against(ours: Pooled) -> list[str]:
    """At equal attainment, against rivals tuned in hindsight."""
    tuned = {name: ratio for name, ratio in ours.cost_ratio.items() if name.endswith("*")}
    found = []
    if tuned:
        ordered = sorted(tuned.items(), key=lambda entry: entry[1])
        parts = [f"{ratio:.2f} × {name}" for name, ratio in ordered]
        found.append(f"At equal attainment, against rivals tuned in hindsight, it cost {conjoin(parts)}.")
    for words, names in (
        ("No setting of {} attained as much as it", [n for n in ours.not_reached_by if n.endswith("*")]),
        ("It attained at no setting as much as {}", [n for n in ours.not_reached if n.endswith("*")]),
    ):
        if names:
            found.append(words.format(conjoin(names)) + ".")
    return found


def _winner(ours: Pooled, conclusion: Conclusion) -> list[str]:
    rivals = [line for line in conclusion.standings if line.policy not in (*BOUNDS, FLOOR, ours.policy)]
    cheaper = [line for line in rivals if line.meets and (line.cost < ours.cost or not ours.meets)]
    if not rivals:
        return []
    if not cheaper:
        met = counted(sum(line.meets for line in rivals), "rival")
        return [f"It was the cheapest that met them; {met} of {len(rivals)} met them too."] if ours.meets else []
    best = min(cheaper, key=lambda line: line.cost)
    worst = format_ratio(min(best.attainment[objective.indicator] for objective in conclusion.objectives))
    bill = spent(best, conclusion)
    return [f"{best.policy} won this scenario: it met the objectives for {bill} ({worst} in its worst objective)."]
