"""`make bench-control`: how well flyball controls, against every rival, on scenarios of docs/scenarios.

    python -m e2e.bench.control [--full] [--only NAME]... [--work FOLDER]

Without --full a representative part: shorter stretches and two seeds, within an hour on two cores. With it everything.
Either goes on where it was stopped, and writes docs/benchmarks/control.md. Scenarios whose trace is not at hand are
skipped, and say so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from e2e.bench.report import machine
from e2e.story.kit import REPOSITORY
from rich.console import Console

from flyball.core.units import counted, format_duration
from flyball.lab.report.sentences import objectives_text, spent
from flyball.lab.report.table import equal_attainment
from flyball.lab.report.verdict import HPA_AND_KEDA, dominates, verdict
from flyball.lab.scenario import Scenario, read_scenario
from flyball.lab.suite.choices import known_policies
from flyball.lab.suite.conclusion import BOUNDS, FLYBALL, STATIC_PEAK, Conclusion
from flyball.lab.suite.course import Effort
from flyball.lab.suite.pool import StoppedError, usable_cores
from flyball.lab.suite.results import Pooled, Role
from flyball.lab.suite.run import Suite

SCENARIOS = REPOSITORY / "docs" / "scenarios"
REPORT = REPOSITORY / "docs" / "benchmarks" / "control.md"
DAY_SECONDS = 86_400.0

# Scenario → what is played of it: every trace, quick and slow starts, and stress, an hour's work in all.
REPRESENTATIVE: Mapping[str, Mapping[str, Any]] = {
    "development/azure2023-conv-l4-2m": {},
    "development/azure2023-conv-l4-5m": {},
    "development/azure2023-conv-a100-30s": {},
    "development/azure2024-code-l4-2m": {"trace.start": "8h", "trace.duration": "4h"},
    "development/taxi-conv-l4-2m": {"trace.start": "30h", "trace.duration": "8h"},
    "development/servegen-large-l4-5m": {"trace.start": "30h", "trace.duration": "8h"},
    "development/mooncake-a100-2m": {},
    "development/burstgpt-l4-30s-to-zero": {"trace.start": "30h", "trace.duration": "12h"},
    "stress/step-x3": {},
    "stress/length-shift": {},
    "stress/failed-starts": {},
    "stress/metrics-lost": {},
}
QUICK = Effort(sweep_points=4, sweep_seeds=1, oracle_seconds=60.0)
FULL = Effort(sweep_points=6, sweep_seeds=1, oracle_seconds=600.0)


def main() -> int:
    """Play the scenarios, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.control", description="Measure control quality.")
    parser.add_argument("--full", action="store_true", help="all scenarios, on all their seeds")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="of these, the scenario of that name; repeatable"
    )
    parser.add_argument("--work", type=Path, help="folder of what is done  [default: build/bench-control…]")
    options = parser.parse_args()
    name = "bench-control-full" if options.full else "bench-control"
    work = options.work or REPOSITORY / "build" / name
    work.mkdir(parents=True, exist_ok=True)
    scenarios = everything() if options.full else representative()
    command = f"make {name}"
    if options.only:
        command = " ".join(
            ["python -m e2e.bench.control", *["--full"] * options.full, *(f"--only {n}" for n in options.only)]
        )
        if unknown := set(options.only) - {scenario.name for scenario in scenarios}:
            parser.error(
                f"{', '.join(sorted(unknown))}: no such scenario; there are {', '.join(s.name for s in scenarios)}"
            )
        scenarios = [scenario for scenario in scenarios if scenario.name in options.only]
    suite = Suite(scenarios, FULL if options.full else QUICK, work, command)
    began = time.monotonic()
    try:
        suite.run(usable_cores(), Console(stderr=True), lambda c: print(f"{c.name}: {c.skipped or 'done'}", flush=True))
    except StoppedError:
        print(f"Stopped. What is done is kept in {work}; `{command}` goes on from there.", file=sys.stderr)
        return 130
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(report(suite.conclusions, command, time.monotonic() - began), encoding="utf-8")
    print(f"Wrote {REPORT.relative_to(REPOSITORY)}; pictures are in {work / 'report.html'}.")
    return int(any(conclusion.faults for conclusion in suite.conclusions))


def representative() -> list[Scenario]:
    """An hour's worth of scenarios."""
    return [
        read_scenario(SCENARIOS / f"{name}.yaml", {"seeds": 2, **changes}, known_policies())
        for name, changes in REPRESENTATIVE.items()
    ]


def everything() -> list[Scenario]:
    """Every development and stress scenario."""
    files = [file for folder in ("development", "stress") for file in sorted((SCENARIOS / folder).glob("*.yaml"))]
    return [read_scenario(file, {}, known_policies()) for file in files]


def report(conclusions: Sequence[Conclusion], command: str, seconds: float) -> str:
    """The report in Markdown."""
    played = [conclusion for conclusion in conclusions if conclusion.runs]
    runs = sum(len(conclusion.runs) for conclusion in played)
    lines = [
        "# Control quality",
        "",
        _preamble(command, runs, seconds),
        "",
        *(f"- {sentence}" for sentence in verdict(conclusions)),
        "",
        "## Targets",
        "",
        "| target | asked | found |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in targets(played)),
        "",
        "## Scenarios",
        *(line for conclusion in played for line in _section(conclusion)),
    ]
    if skipped := [conclusion for conclusion in conclusions if not conclusion.runs]:
        lines += ["", "## Not run", "", *(f"- {c.name}: {_tidy(c.skipped)}." for c in skipped)]
    return "\n".join(lines) + "\n"


def _preamble(command: str, runs: int, seconds: float) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    took = format_duration(max(round(seconds), 1))
    return (
        f"Written by `{command}` on {when}, {machine()}; {counted(runs, 'run')}, {took} since it was last begun. All "
        "figures are simulated; NAME* is a rival tuned in hindsight on the very trace; docs/lab.md has the words."
    )


def targets(played: Sequence[Conclusion]) -> list[tuple[str, str, str]]:
    """EVALUATION's targets that such runs can show, what they ask for, and what was found."""
    ours = [(c, line) for c in played if not c.not_counted and (line := c.line(FLYBALL)) is not None]
    if not ours:
        return []
    tuned = [(name, r) for _, line in ours for name, r in line.cost_ratio.items() if name.endswith("*")]
    classic = [ratio for name, ratio in tuned if name in HPA_AND_KEDA]
    others = [ratio for name, ratio in tuned if name not in HPA_AND_KEDA]
    missed = [c.name for c, line in ours if not line.meets and any(d.meets for d in _defaults(c))]
    daily = [
        1 - line.cost / peak.cost
        for c, line in ours
        if c.kind is not None and c.kind.daily and (peak := c.line(STATIC_PEAK)) is not None and peak.meets
    ]
    oracle = [line.oracle_ratio for c, line in ours if line.oracle_ratio is not None and line.meets]
    dominated = [f"{c.name} by {d.policy}" for c, _ in ours for d in _defaults(c) if dominates(c, d.policy, FLYBALL)]
    coverage = [
        abs(run.forecast_coverage[level] - float(level))
        for c in played
        for run in c.runs
        if run.policy == FLYBALL and run.role is Role.DEFAULT and c.span_seconds >= 2 * DAY_SECONDS
        for level in run.forecast_coverage
    ]
    actions = [line.actions * DAY_SECONDS / max(c.counted_seconds, 1.0) for c, line in ours]
    return [
        ("T1: meets what a rival meets with its defaults", "every scenario", ", ".join(missed) or "every one"),
        ("T2: cost against HPA and KEDA, tuned", "median 0.85, worst 0.95", _median_worst(classic)),
        ("T2: cost against the other rivals, tuned", "median 1.00", _median_worst(others)),
        ("T3: saved against the smallest static fleet, daily patterns", "35%", _shares(daily)),
        ("T4: cost ÷ best known clairvoyant plan", "1.15 to 1.25", _median_worst(oracle)),
        ("T6: coverage off its nominal quantile, 48 h and more", "2 points", _points(coverage)),
        ("T9: dominated by a rival with its defaults", "nowhere", ", ".join(dominated) or "nowhere"),
        (
            "T10: scale actions a day",
            "150 at most",
            f"median {statistics.median(actions):.0f}, most {max(actions):.0f}",
        ),
    ]


def _section(conclusion: Conclusion) -> list[str]:
    ours = conclusion.line(FLYBALL)
    asked = f"Objectives: {objectives_text(conclusion)}."
    lines = ["", f"### {conclusion.name}", "", f"{conclusion.about}. Traffic: {_kind(conclusion)}. {asked}"]
    if conclusion.not_counted:
        lines.append(f"Not counted: {conclusion.not_counted}.")
    lines += [f"Failed: {fault}" for fault in conclusion.faults]
    names = [objective.indicator for objective in conclusion.objectives]
    heads = ["policy", "meets", *(f"{name}, good" for name in names), "cost", "÷ floor", "÷ oracle", "flyball ÷ it"]
    lines += ["", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for line in conclusion.standings:
        shares = [f"{line.attainment[name] * 100:.2f}%" for name in names]
        ratios = ["" if r is None else f"{r:.2f}" for r in (line.floor_ratio, line.oracle_ratio)]
        meets = "yes" if line.meets else "NO"
        cells = [line.policy, meets, *shares, spent(line, conclusion), *ratios, equal_attainment(ours, line.policy)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _kind(conclusion: Conclusion) -> str:
    return "unknown" if conclusion.kind is None else conclusion.kind.words


def _defaults(conclusion: Conclusion) -> list[Pooled]:
    rivals = (*BOUNDS, FLYBALL)
    return [line for line in conclusion.standings if line.role is Role.DEFAULT and line.policy not in rivals]


def _median_worst(ratios: Sequence[float]) -> str:
    return (
        f"median {statistics.median(ratios):.2f}, worst {max(ratios):.2f} of {len(ratios)}" if ratios else "not played"
    )


def _shares(values: Sequence[float]) -> str:
    return (
        f"median {statistics.median(values):.0%}, least {min(values):.0%} of {len(values)}" if values else "not played"
    )


def _points(values: Sequence[float]) -> str:
    return (
        f"median {statistics.median(values):.1%}, most {max(values):.1%} of {len(values)}" if values else "not played"
    )


def _tidy(sentence: str) -> str:
    """Without the paths of this machine."""
    return sentence.replace(f"{REPOSITORY.parent}/", "../").replace(str(Path.home()), "~")


if __name__ == "__main__":
    sys.exit(main())
