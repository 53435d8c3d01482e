"""Advice beside the decisions: what nobody acts on, and people read in the status and in the metrics.

An adviser is shown every tick when all is decided and written, works beside the loop, and is asked in later ticks for
what it has to say by then. What it raises is a defect of its own, and touches no decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from flyball.core.decision import Decision
from flyball.core.memory import Memory
from flyball.core.observation import Observation
from flyball.core.spec import WorkloadSpec
from flyball.runtime.news import Figures, Status

log = structlog.get_logger("flyball.tick")

DEFECT = "a defect of Flyball, please report it: an adviser is not heard"

Sample = tuple[str, tuple[str, ...], float | None]
"""A sample of /metrics: the family's name, its labels beside the workload's, the value."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One workload as a tick saw and decided it, within what GPUPools grant; `memory` is what it remembers of it."""

    spec: WorkloadSpec
    observation: Observation
    memory: Memory
    decision: Decision


@dataclass(frozen=True, slots=True)
class Advice:
    """What is to be said of one workload: parts of its status, samples, and what of it is worth a write.

    `states` are written at once where one changes, `figures` where one moved far (runtime/news.py).
    """

    status: Status = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()


class Adviser(Protocol):
    """Somebody with something to say beside the decisions."""

    def look(self, at: float, seen: Sequence[Seen]) -> None:
        """Take in a finished tick. Returns at once."""
        ...

    def advice(self, spec: WorkloadSpec, before: Status) -> Advice:
        """What is to be said of a workload now; `before` is the status that it has."""
        ...

    async def settled(self) -> None:
        """Wait until what was taken in is worked off."""
        ...

    async def aclose(self) -> None:
        """Stop."""
        ...


class Advisers:
    """All of them, each alone with its defects."""

    def __init__(self, *advisers: Adviser) -> None:
        self._advisers = advisers

    def look(self, at: float, seen: Sequence[Seen]) -> None:
        """Show all of them a finished tick."""
        for adviser in self._advisers:
            try:
                adviser.look(at, seen)
            except Exception:
                log.exception(DEFECT)

    def advice(self, spec: WorkloadSpec, before: Status) -> Advice:
        """What all of them have to say of a workload."""
        given = []
        for adviser in self._advisers:
            try:
                given.append(adviser.advice(spec, before))
            except Exception:
                log.exception(DEFECT, workload=str(spec.key))
        return Advice(
            status={name: part for each in given for name, part in each.status.items()},
            states={name: state for each in given for name, state in each.states.items()},
            figures={name: figure for each in given for name, figure in each.figures.items()},
            samples=tuple(sample for each in given for sample in each.samples),
        )

    async def settled(self) -> None:
        """Wait until all of them have worked off what they were shown."""
        for adviser in self._advisers:
            await adviser.settled()

    async def aclose(self) -> None:
        """Stop all of them."""
        for adviser in self._advisers:
            await adviser.aclose()
