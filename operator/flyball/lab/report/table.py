"""The terminal's table of a scenario, and its twin in JSON."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flyball.core.units import counted, format_duration
from flyball.lab.report.sentences import findings, objectives_text
from flyball.lab.suite.conclusion import BOUNDS, FLOOR, FLYBALL, Conclusion
from flyball.lab.suite.results import Pooled, knob_text

_SHORT = {"TimeToFirstToken": "TTFT", "InterTokenLatency": "ITL", "EndToEnd": "E2E"}
_DAY_SECONDS = 86_400.0


def print_conclusion(console: Console, conclusion: Conclusion) -> None:
    """One scenario: what it is, a line for each policy, and what it showed."""
    console.print()
    console.print(Text(conclusion.name, style="bold"))
    if conclusion.skipped:
        console.print(Text(f"Skipped: {conclusion.skipped}."))
        return
    console.print(Text(f"{conclusion.about}; {objectives_text(conclusion)}; {counted(conclusion.seeds, 'seed')}."))
    if conclusion.standings:
        console.print(standings_table(conclusion))
    for sentence in findings(conclusion):
        console.print(Text(sentence))
    if conclusion.not_counted:
        console.print(Text(f"Not counted: {conclusion.not_counted}."))
    for fault in conclusion.faults:
        console.print(Text(f"Failed: {fault}", style="red"))


def standings_table(conclusion: Conclusion) -> Table:
    """A line for each policy; costs are those of the span after warm-up."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("policy", no_wrap=True)
    table.add_column("met")
    indicators = [objective.indicator for objective in conclusion.objectives]
    for heading in (*(f"{_SHORT.get(name, name)} %" for name in indicators), "GPU-h", "$", "÷ floor", "÷ oracle"):
        table.add_column(heading, justify="right")
    for heading in ("flyball ÷", "TTFT p95", "worst hour %", "5m met %", "changes/day"):
        table.add_column(heading, justify="right")
    ours = conclusion.line(FLYBALL)
    for line in conclusion.standings:
        bound = line.policy == FLOOR
        table.add_row(
            line.policy,
            "" if bound else "yes" if line.meets else "NO",
            *("" if bound else f"{line.attainment[name] * 100:.2f}" for name in indicators),
            f"{line.gpu_hours:.2f}",
            f"{line.cost:.2f}",
            _ratio(line.floor_ratio),
            _ratio(line.oracle_ratio),
            equal_attainment(ours, line.policy),
            "" if bound or line.ttft_p95 is None else format_duration(line.ttft_p95),
            "" if bound else f"{line.worst_hour * 100:.1f}",
            "" if bound else f"{line.windows_met * 100:.0f}",
            "" if bound else f"{line.actions * _DAY_SECONDS / max(_counted_seconds(conclusion), 1.0):.0f}",
            style="bold" if line.policy == FLYBALL else "dim" if line.policy in BOUNDS else "",
        )
    return table


def equal_attainment(ours: Pooled | None, rival: str) -> str:
    """Flyball's cost ÷ the rival's where both are as good, or that one of them never is."""
    if ours is None:
        return ""
    if rival in ours.cost_ratio:
        return f"{ours.cost_ratio[rival]:.2f}"
    if rival in ours.not_reached_by:
        return "it: never"
    return "we: never" if rival in ours.not_reached else ""


def conclusion_json(conclusion: Conclusion) -> dict[str, Any]:
    """The table's twin."""
    return {
        "scenario": conclusion.name,
        "about": conclusion.about,
        "objectives": [
            {"indicator": o.indicator, "thresholdSeconds": o.threshold_seconds, "target": o.target}
            for o in conclusion.objectives
        ],
        "seeds": conclusion.seeds,
        "skipped": conclusion.skipped or None,
        "counted": not conclusion.not_counted and not conclusion.skipped,
        "notCounted": conclusion.not_counted or None,
        "traffic": None if conclusion.kind is None else conclusion.kind.words,
        "variation": None if conclusion.kind is None else conclusion.kind.variation,
        "dailyCorrelation": None if conclusion.kind is None else conclusion.kind.daily_correlation,
        "policies": [line.model_dump(mode="json", by_alias=True) for line in conclusion.standings],
        "findings": findings(conclusion),
        "faults": list(conclusion.faults),
    }


def tuned_knobs(conclusion: Conclusion) -> list[str]:
    """What hindsight chose for each rival."""
    return [f"{line.policy}: {knob_text(line.knobs)}" for line in conclusion.standings if line.policy.endswith("*")]


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _counted_seconds(conclusion: Conclusion) -> float:
    return conclusion.span_seconds - conclusion.warmup_seconds
