"""What the operator's replicas say of themselves, sampled all along, and what must hold of the samples."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e2e.faults.stage import SYSTEM
from e2e.story import kit as tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e2e.story.kit import Kit

SAMPLE_SECONDS = 10.0
TICK_SECONDS = 5.0
# Ticks that a busy machine may be late by before one counts as missed.
LATE_TICKS = 2
NAMES = {
    "flyball_leader": "leads",
    "flyball_ticks_total": "ticks",
    "flyball_ticks_failed_total": "failed",
    "flyball_defects_total": "defects",
    "flyball_tasks": "tasks",
    "process_resident_memory_bytes": "memory",
    "process_open_fds": "files",
}
_LINE = re.compile(rf"^({'|'.join(NAMES)}) ([0-9.e+-]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One replica's metrics at a time (epoch seconds); a container that was restarted is another process."""

    at: float
    process: str
    values: dict[str, float]


@dataclass
class Probe:
    """Samples every replica every ten seconds while its context lasts."""

    kit: Kit
    samples: list[Sample] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Sample in a thread."""
        over = threading.Event()
        thread = threading.Thread(target=self._run, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _run(self, over: threading.Event) -> None:
        while not over.wait(SAMPLE_SECONDS):
            with contextlib.suppress(tools.ToolError, ValueError):
                self._sample()

    def _sample(self) -> None:
        selector = "app.kubernetes.io/component=operator"
        for pod in self.kit.get("-n", SYSTEM, "pods", "-l", selector, "--request-timeout=5s")["items"]:
            name, states = pod["metadata"]["name"], pod["status"].get("containerStatuses", ())
            path = f"/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/metrics"
            with contextlib.suppress(tools.ToolError):
                text = self.kit.kubectl("get", "--raw", path, "--request-timeout=5s")
                values = {NAMES[found[0]]: float(found[1]) for found in _LINE.findall(text)}
                self.samples.append(Sample(time.time(), f"{name}/{sum(s['restartCount'] for s in states)}", values))


def by_process(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The samples of each process, oldest first."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.at):
        found[sample.process].append(sample)
    return dict(found)


def missed_ticks(samples: Sequence[Sample], faults: Sequence[tuple[float, float]]) -> int:
    """Ticks that were due between two samples of a process that led at both, away from faults, and were not made."""
    missed = 0
    for own in by_process(samples).values():
        for before, after in itertools.pairwise(own):
            led = before.values.get("leads") == after.values.get("leads") == 1.0
            if not led or any(begin - 1 <= after.at and before.at <= end + 30 for begin, end in faults):
                continue
            due = int((after.at - before.at) / TICK_SECONDS) - LATE_TICKS
            missed += max(0, due - int(after.values["ticks"] - before.values["ticks"]))
    return missed


def growth(samples: Sequence[Sample], what: str, warm_seconds: float) -> float:
    """The most by which a figure of one process grew after its first `warm_seconds`, mean of the last quarter over
    that of the first; 0 where no process lived long enough to say.
    """
    worst = 0.0
    for own in by_process(samples).values():
        values = [s.values[what] for s in own if s.at - own[0].at >= warm_seconds and what in s.values]
        quarter = len(values) // 4
        if quarter >= 3:
            worst = max(worst, (sum(values[-quarter:]) - sum(values[:quarter])) / quarter)
    return worst
