"""Runs scenarios and writes what came of them: results.json, report.html, and a table as each one ends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from flyball import __version__
from flyball.lab.report.page import page
from flyball.lab.scenario import Scenario
from flyball.lab.suite.choices import DEFAULT_POLICIES
from flyball.lab.suite.conclusion import Conclusion
from flyball.lab.suite.course import Effort, about, scenario_course
from flyball.lab.suite.pool import Progress, run_courses
from flyball.lab.suite.results import results_of
from flyball.lab.suite.store import Store

PLAIN_SECONDS = 15.0


class Suite:
    """Scenarios on their way; `conclusions` are those that have ended, in the order of the scenarios."""

    def __init__(self, scenarios: Sequence[Scenario], effort: Effort, out: Path, command: str) -> None:
        self._scenarios = [replace(s, policies=s.policies or DEFAULT_POLICIES) for s in scenarios]
        self._effort, self._out, self._command = effort, out, command
        self._ended: dict[str, Conclusion] = {}
        self._store = Store(out / "kept")

    @property
    def conclusions(self) -> list[Conclusion]:
        return [self._ended[s.name] for s in self._scenarios if s.name in self._ended]

    def run(self, workers: int, console: Console, on_end: Callable[[Conclusion], None]) -> None:
        """Run everything that is not done yet. Raises StoppedError on Ctrl-C; what has ended is written in any case."""
        played = []
        for scenario in self._scenarios:
            missing = missing_trace(scenario)
            if missing:
                self._end(_skipped(scenario, missing), on_end)
            else:
                played.append(scenario)
        with _Display(console) as display:
            run_courses(
                [scenario_course(scenario, self._effort) for scenario in played],
                self._store,
                workers,
                display.show,
                lambda conclusion: self._end(conclusion, on_end),
            )

    def _end(self, conclusion: Conclusion, on_end: Callable[[Conclusion], None]) -> None:
        self._ended[conclusion.name] = conclusion
        self.write()
        on_end(conclusion)

    def write(self) -> None:
        """Write results.json and report.html of what has ended."""
        date = datetime.now(UTC)
        runs = [run for conclusion in self.conclusions for run in conclusion.runs]
        document = results_of(runs, self._command, date)
        _replace(self._out / "results.json", document.model_dump_json(by_alias=True, indent=1) + "\n")
        html = page(self.conclusions, self._command, date.strftime("%Y-%m-%d %H:%M UTC"), __version__)
        _replace(self._out / "report.html", html)


def missing_trace(scenario: Scenario) -> str:
    """A sentence where a trace file is not at hand."""
    for source in (scenario.trace, scenario.history):
        if source is not None and not source.generated and not Path(source.path).is_file():
            return f"its trace {source.path} is not at hand; put it there, or name another one"
    return ""


def _skipped(scenario: Scenario, why: str) -> Conclusion:
    return Conclusion(scenario.name, about(scenario), scenario.objectives, scenario.seeds, skipped=why)


def _replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


class _Display:
    """Live progress: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said_at = self._began = time.monotonic()
        self._bar = Bar(
            TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        now = " · ".join(progress.running[:2])
        if self._console.is_terminal:
            self._bar.update(self._task, completed=progress.done, total=progress.known, description=now)
        elif time.monotonic() - self._said_at >= PLAIN_SECONDS:
            self._said_at = time.monotonic()
            elapsed = self._said_at - self._began
            kept = f", {progress.kept} of them from before" if progress.kept else ""
            text = f"{elapsed:.0f} s: {progress.done} of {progress.known} runs known so far are done{kept}; now {now}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
