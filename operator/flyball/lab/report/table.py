"""The terminal's table of a scenario, and its twin in JSON."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flyball.core.units import counted, format_duration
from flyball.lab.report.sentences import findings, objectives_text
from flyball.lab.suite.conclusion import BOUNDS, FLOOR, FLYBALL, Conclusion
from flyball.lab.suite.results import Pooled

SHORT = {"TimeToFirstToken": "TTFT", "InterTokenLatency": "ITL", "EndToEnd": "E2E"}
_DAY_SECONDS = 86_400.0
_WIDE = 125
"""Columns of a terminal that hold the wide table."""


def print_conclusion(console: Console, conclusion: Conclusion) -> None:
    """One scenario: what it is, a line for each policy, and what it showed."""

    def say(text: str, style: str = "") -> None:
        # Not wrapped here: a terminal does it by itself, and a file wants whole sentences.
        console.print(Text(text, style=style), soft_wrap=True)

    say("")
    say(conclusion.name, "bold")
    if conclusion.skipped:
        say(f"Skipped: {conclusion.skipped}.")
        return
    say(f"{conclusion.about}; {objectives_text(conclusion)}; {counted(conclusion.seeds, 'seed')}.")
    if conclusion.standings:
        console.print(standings_table(conclusion, wide=console.width >= _WIDE))
    for sentence in findings(conclusion):
        say(sentence)
    if conclusion.not_counted:
        say(f"Not counted: {conclusion.not_counted}.")
    for fault in conclusion.faults:
        say(f"Failed: {fault}", "red")


def standings_table(conclusion: Conclusion, *, wide: bool) -> Table:
    """A line for each policy; a `wide` one has more about how evenly it served. Costs are of the span after warm-up."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    table.add_column("met", no_wrap=True)
    names = [objective.indicator for objective in conclusion.objectives]
    headings = [*(f"{SHORT[name]} %" for name in names), "GPU-h", "÷floor", "÷oracle", "flyball÷it", "TTFT p95"]
    for heading in [*headings, *(("acts/day", "worst h %", "5m met %", "dip pts", "$") if wide else ())]:
        table.add_column(heading, justify="right", no_wrap=True)
    ours = conclusion.line(FLYBALL)
    for line in conclusion.standings:
        cells = [
            line.policy,
            "yes" if line.meets else "NO",
            *(f"{line.attainment[name] * 100:.2f}" for name in names),
            f"{line.gpu_hours:.1f}",
            _ratio(line.floor_ratio),
            _ratio(line.oracle_ratio),
            equal_attainment(ours, line.policy),
            "" if line.ttft_p95 is None else short_duration(line.ttft_p95),
            f"{line.actions * _DAY_SECONDS / max(conclusion.counted_seconds, 1.0):.0f}",
            f"{line.worst_hour * 100:.1f}",
            f"{line.windows_met * 100:.0f}",
            f"{line.worst_dip * 100:.1f}",
            f"{line.cost:.2f}",
        ]
        if line.policy == FLOOR:
            known = {0, 2 + len(names), 3 + len(names), 4 + len(names), len(cells) - 1}
            cells = [cell if place in known else "" for place, cell in enumerate(cells)]
        style = "bold" if line.policy == FLYBALL else "dim" if line.policy in BOUNDS else ""
        table.add_row(*cells[: len(table.columns)], style=style)
    return table


def short_duration(seconds: float) -> str:
    """A latency with no more digits than say something."""
    return format_duration(seconds if seconds < 1 else round(seconds, 1) if seconds < 60 else round(seconds))


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


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
