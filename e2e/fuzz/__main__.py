"""`make fuzz`: specs, answers of Prometheus, HTTPRoutes, outcomes and pushes that nobody should send, by the thousand.

    python -m e2e.fuzz [KIND …] [--inputs 100000] [--seed 1] [--jobs 2]
    python -m e2e.fuzz specs --only 123        # one input again, with its traceback

Nothing may raise, and no decision may break a law of the core. It goes on where it was stopped: how far it came is kept
in build/fuzz, by seed. Results go to docs/benchmarks/fuzz.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

from e2e.bench.report import machine, today, write_section
from e2e.fuzz.runner import KINDS, Found, try_number, try_range
from e2e.story.kit import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPORT = REPOSITORY / "docs" / "benchmarks" / "fuzz.md"
STATE = REPOSITORY / "build" / "fuzz"
CHUNK = 500
HEAD = """# Fuzzing

Written by `make fuzz`: inputs that nobody should send. Every input is made from the seed, its kind and its number, so
that a failing one can be had again: `python -m e2e.fuzz KIND --only NUMBER`. Nothing may raise, and what is decided
keeps the laws of the core: never out of bounds, never down on bad data, nobody else's count or route touched, no
traffic where nobody serves, deciding twice is deciding once. `make test` tries a part of it, the same inputs every
time.
"""


def main() -> int:
    """Try what is asked for; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m e2e.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}; all when none is named")
    parser.add_argument("--inputs", type=int, default=100_000, help="how many of each kind, in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="try this one input, and show what it raises")
    options = parser.parse_args()
    kinds = options.kinds or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"{', '.join(sorted(unknown))}: no such kind; there are {', '.join(KINDS)}")
    if options.only is not None:
        for kind in kinds:
            print(f"{kind} {options.only}: {try_number(kind, options.seed, options.only)}")
        return 0
    failed = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for kind in kinds:
            found = _load(kind, options.seed)
            for _ in _further(pool, kind, options, found):
                _save(kind, options.seed, found)
                _say(kind, found, options.inputs)
            print()
            _write(kind, options.seed, found)
            failed += found.failed
            for number, text in found.findings.items():
                print(f"\n{kind} {number}:\n{text}")
    return 1 if failed else 0


def _further(pool: ProcessPoolExecutor, kind: str, options: argparse.Namespace, found: Found) -> Iterator[None]:
    """Adds to `found`, chunk by chunk of inputs."""
    begun, spent = time.monotonic(), found.seconds
    while found.inputs < options.inputs:
        ahead = range(found.inputs, min(options.inputs, found.inputs + CHUNK * options.jobs), CHUNK)
        counts = [min(CHUNK, options.inputs - first) for first in ahead]
        repeated = ([each] * len(counts) for each in (kind, options.seed))
        for part in pool.map(try_range, *repeated, ahead, counts):
            found.add(part)
        found.seconds = spent + time.monotonic() - begun
        yield


def _say(kind: str, found: Found, wanted: int) -> None:
    pace = found.inputs / found.seconds if found.seconds else 0.0
    left = (wanted - found.inputs) / pace / 60 if pace else 0.0
    line = f"{kind}: {found.inputs} of {wanted} inputs, {found.failed} failed, {pace:.0f}/s, {left:.0f} min left"
    print(f"\r{line:<100}", end="", flush=True)


def _path(kind: str, seed: int) -> Path:
    return STATE / f"{kind}-{seed}.json"


def _load(kind: str, seed: int) -> Found:
    path = _path(kind, seed)
    if not path.exists():
        return Found()
    raw = json.loads(path.read_text())
    return Found(**{**raw, "findings": {int(number): text for number, text in raw["findings"].items()}})


def _save(kind: str, seed: int, found: Found) -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    partial = _path(kind, seed).with_suffix(".part")
    partial.write_text(json.dumps(asdict(found), indent=2))
    partial.replace(_path(kind, seed))


def _write(kind: str, seed: int, found: Found) -> None:
    rows = [("inputs", f"{found.inputs}"), ("failed", f"{found.failed}")]
    rows += [(f"… {name}", f"{count}") for name, count in sorted(found.became.items())]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    pace = f"{found.inputs / found.seconds:.0f} inputs/s" if found.seconds else "no time"
    body = f"{today()}, {machine()}, seed {seed}, {pace}\n\n| what | how many |\n| --- | --- |\n{table}"
    write_section(REPORT, HEAD, kind, body)


if __name__ == "__main__":
    sys.exit(main())
