"""`make faults`: break what Flyball stands on, one thing at a time, and write down what came of it.

    python -m e2e.faults [NAME ...] [--fresh] [--minutes 12] [--keep] [-o json]

Needs the embedded cluster (it starts it). Every fault is played under load, with two replicas of the operator. What was
measured is kept in build/faults/, so that a run that was stopped, or whose minutes were over, goes on with the next
one; `--fresh` forgets it. The table goes to docs/benchmarks/faults.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from e2e.bench.report import machine, today, write_section
from e2e.faults.cases import FAULTS, Fault
from e2e.faults.stage import Seen, Stage
from e2e.story import kit as tools

if TYPE_CHECKING:
    from pathlib import Path

STORE = tools.REPOSITORY / "build" / "faults"
REPORT = tools.REPOSITORY / "docs" / "benchmarks" / "faults.md"
HEAD = """# Faults

Written by `make faults`: with two replicas of the operator, a tick of 5 s and a lease of 8 s, one thing is broken at a
time while clients send a request per second through the gateway. *Taken over* is the time from the beginning of the
fault until another replica held the Lease, where one did; while nobody reaches the API server, nobody can take it.
*Decided again* is the time from the end of the fault, or from its beginning where it ends at once, until a change of a
spec was acted on; a tick is part of it. *Flapping* are writes to the scale or the route of a workload whose load asked
for none, *twice* those beyond the one that was asked for, *stray* those of a replica that did not hold the Lease, from
the API server's audit log.
"""


def main() -> int:
    """Play the faults that were not played yet, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m e2e.faults", description="Break things, and see what comes of it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(f.name for f in FAULTS)}; all by default")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no fault after so many minutes")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if unknown := set(options.names) - {fault.name for fault in FAULTS}:
        parser.error(f"{', '.join(sorted(unknown))}: no such fault; there are {', '.join(f.name for f in FAULTS)}")
    wanted = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    if options.fresh:
        for fault in wanted:
            _file(fault).unlink(missing_ok=True)
    deadline = time.monotonic() + options.minutes * 60
    missing = [fault for fault in wanted if not _file(fault).exists()]
    if missing:
        _play(missing, deadline, keep=options.keep)
    found = {fault: Seen(**json.loads(_file(fault).read_text())) for fault in FAULTS if _file(fault).exists()}
    if options.output == "json":
        print(json.dumps({fault.name: asdict(seen) for fault, seen in found.items()}, indent=2))
    else:
        print("\n".join(_table(found)))
    heading = f"{_days([_file(fault) for fault in found])}, {machine()}"
    write_section(REPORT, HEAD, "one fault at a time", f"{heading}\n\n" + "\n".join(_table(found)))
    return 0 if all(_sound(fault, seen) for fault, seen in found.items()) else 1


def _play(faults: list[Fault], deadline: float, *, keep: bool) -> None:
    try:
        stage = Stage(tools.with_image(tools.cluster_up()))
        stage.set_up("replicaCount=2")
        for number, fault in enumerate(faults, 1):
            if time.monotonic() > deadline:
                print(f"the minutes are over; {len(faults) - number + 1} are left for the next run", file=sys.stderr)
                break
            print(f"[{number}/{len(faults)}] {fault.name}: {fault.what}", file=sys.stderr, flush=True)
            seen = fault.run(stage)
            print(f"    decided again after {seen.recovery} s; {asdict(seen)}", file=sys.stderr, flush=True)
            STORE.mkdir(parents=True, exist_ok=True)
            _file(fault).write_text(json.dumps(asdict(seen)))
        stage.tear_down()
    finally:
        if not keep:
            tools.cluster_down()


def _sound(fault: Fault, seen: Seen) -> bool:
    return seen.sound and (fault.in_path or not seen.lost)


def _table(found: dict[Fault, Seen]) -> list[str]:
    lines = [
        "| fault | requests sent | lost | taken over | decided again | flapping | twice | stray | restarts |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for fault, seen in found.items():
        kinds = ", ".join(f"{kind} × {count}" for kind, count in seen.errors.items())
        cells = [
            fault.what,
            seen.sent,
            f"{seen.lost} ({kinds})" if seen.lost else 0,
            "" if seen.takeover is None else f"{seen.takeover:g} s",
            f"{seen.recovery:g} s",
            seen.scaled + seen.moved,
            seen.repeated,
            seen.stray,
            seen.restarts,
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _days(files: list[Path]) -> str:
    """From when to when they were written."""
    days = [datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%d") for file in files] or [today()]
    return " to ".join(sorted({min(days), max(days)}))


def _file(fault: Fault) -> Path:
    return STORE / f"{fault.name.replace(' ', '-')}.json"


if __name__ == "__main__":
    sys.exit(main())
