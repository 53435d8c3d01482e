"""Inputs by their number: each is made from the seed, its kind and its number alone, so that it can be had again."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from e2e.fuzz import answers, outcomes, pushes, routes, specs
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS: Mapping[str, Callable[[Random], str]] = {
    "specs": specs.try_one,
    "answers": answers.try_one,
    "routes": routes.try_one,
    "outcomes": outcomes.try_one,
    "pushes": pushes.try_one,
}
"""Each tries one input and says in a few words what became of it; whatever it raises is a finding."""

SHOWN = 20
"""Findings that are kept of a kind: the first ones."""


@dataclass(slots=True)
class Found:
    """What came of the inputs of one kind: how many, by what became of them, and what was found by number."""

    inputs: int = 0
    became: dict[str, int] = field(default_factory=dict)
    findings: dict[int, str] = field(default_factory=dict)
    failed: int = 0
    seconds: float = 0.0

    def add(self, other: Found) -> None:
        """Both together; `other` came later."""
        self.inputs += other.inputs
        self.failed += other.failed
        self.seconds += other.seconds
        for name, count in other.became.items():
            self.became[name] = self.became.get(name, 0) + count
        for number, text in other.findings.items():
            if len(self.findings) < SHOWN:
                self.findings[number] = text


def try_range(kind: str, seed: int, first: int, count: int) -> Found:
    """Try the inputs first, first + 1, …; never raises for what an input does."""
    found = Found(inputs=count)
    for number in range(first, first + count):
        try:
            with capture_logs():  # what is logged of bad input is nobody's to read here
                became = try_number(kind, seed, number)
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            found.failed += 1
            if len(found.findings) < SHOWN:
                found.findings[number] = traceback.format_exc(limit=-6)
        else:
            found.became[became] = found.became.get(became, 0) + 1
    return found


def try_number(kind: str, seed: int, number: int) -> str:
    """Try one input."""
    return KINDS[kind](Random(f"{seed}/{kind}/{number}"))
