"""Killed at every write of a story, before and after it: runs the test that plays them all, and writes down the table.

    python -m e2e.faults.crashes [--fresh]

What was played is kept in build/faults/, so that a run that was stopped goes on with the next death. No cluster is
needed: the test has an API server of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from e2e.bench.report import machine, today, write_section
from e2e.faults.__main__ import HEAD, REPORT, STORE
from e2e.story.kit import REPOSITORY

FOUND = STORE / "crashes.jsonl"
TEST = REPOSITORY / "tests" / "runtime" / "test_crash_on_api_server.py"


def main() -> int:
    """Play, and write the section."""
    parser = argparse.ArgumentParser(prog="python -m e2e.faults.crashes", description="Die at every write.")
    parser.add_argument("--fresh", action="store_true", help="forget what was played before")
    if parser.parse_args().fresh:
        FOUND.unlink(missing_ok=True)
    STORE.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "FLYBALL_FAULTS": "all", "FLYBALL_FAULTS_FOUND": str(FOUND)}
    played = subprocess.run([sys.executable, "-m", "pytest", "-q", str(TEST)], cwd=REPOSITORY, env=environment)
    table = "\n".join(_table([json.loads(line) for line in FOUND.read_text().splitlines()]))
    print(table)
    write_section(REPORT, HEAD, "killed at every write, over an API server alone", f"{today()}, {machine()}\n\n{table}")
    return played.returncode


def _table(found: list[dict[str, Any]]) -> list[str]:
    lines = ["| write | killed before one | killed after one | ended otherwise |", "| --- | --- | --- | --- |"]
    for kind in sorted({death["kind"] for death in found}):
        ours = [death for death in found if death["kind"] == kind]
        when = [sum(death["when"] == each for death in ours) for each in ("before", "after")]
        lines.append(f"| {kind} | {when[0]} | {when[1]} | {sum(bool(death['wrong']) for death in ours)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
