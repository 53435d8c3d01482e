"""What a recording file holds: who printed it, by which recipe, and the exposition. Pure but for reading it."""

import hashlib
from pathlib import Path

from e2e.exporters.stacks import Stack

RECORDINGS = Path(__file__).parents[2] / "tests" / "telemetry" / "recordings"
LEFT_OUT = ("python_", "process_", "go_")
"""Families of languages' runtimes, whose figures differ by run."""


def recorded(stack: Stack, exposition: str) -> str:
    """The file. Three lines of comments come first, of which no parser of expositions makes anything."""
    head = f"# {stack.software}\n# {stack.note}\n# recipe {recipe(stack)}\n"
    return head + kept(exposition)


def kept(exposition: str) -> str:
    """Without the families of the language's runtime and without times of creation."""
    lines = []
    for line in exposition.splitlines():
        name = line.split()[2] if line.startswith("#") else line.split("{")[0].split(" ")[0]
        if not name.startswith(LEFT_OUT) and not name.endswith("_created"):
            lines.append(line)
    return "\n".join([*lines, ""])


def recipe(stack: Stack) -> str:
    """Changes with what is run and with the versions of what it is run on."""
    files = [stack.source] if stack.source.is_file() else sorted(stack.source.iterdir())
    parts = [*stack.packages, *stack.alone, *stack.sources, *(path.read_text(encoding="utf-8") for path in files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def is_current(stack: Stack) -> bool:
    """Whether there is a recording by this recipe."""
    path = RECORDINGS / f"{stack.name}.prom"
    return path.exists() and f"# recipe {recipe(stack)}\n" in path.read_text(encoding="utf-8")
