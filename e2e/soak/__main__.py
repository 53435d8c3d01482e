"""`make soak`: everything together for hours, with faults at random times, and what must hold looked at all along.

    python -m e2e.soak [--minutes 120] [--seed 1] [--fresh] [--keep] [-o json]

Needs the embedded cluster (it starts it). Recorded traffic (or the generator's, where there is no record) goes through
the gateway to a workload that Flyball scales and lets overflow, with two replicas of the operator, and faults drawn by
the seed. It runs in legs of ten minutes; what each found is kept in build/soak/, so that a run that was stopped goes on
with the next leg. The report goes to docs/benchmarks/soak.md.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from e2e.bench.report import machine, today, write_section
from e2e.faults.audit import strays
from e2e.faults.cases import FAULTS
from e2e.faults.stage import LEASE, Stage
from e2e.soak.probe import Probe, growth, missed_ticks
from e2e.story import kit as tools
from e2e.story.watch import events

STORE = tools.REPOSITORY / "build" / "soak"
REPORT = tools.REPOSITORY / "docs" / "benchmarks" / "soak.md"
LEG_SECONDS, WARM_SECONDS = 600.0, 120.0
QUIET_SECONDS = (40.0, 110.0)
# Requests per second of the trace, as a share: enough for four replicas at its peaks on a machine of two cores.
SCALE = 0.3
MEMORY_BYTES, FILES, TASKS = 20e6, 20, 20
"""What a process may grow by in a leg, once warm, before it counts as a leak."""
TOLD, MOST_LOSSES = ("scheduled_seconds", "e2e_seconds", "status", "error", "detail", "backend"), 20
"""What a leg keeps of requests that were lost, to be held against when its faults were."""
HEAD = """# Soak

Written by `make soak`: recorded traffic through the gateway to a workload that Flyball scales and lets overflow, two
replicas of the operator, a tick of 5 s, and faults at random times. *Due ticks not made* leaves out the time of faults
and 30 s after each. *Unexplained* are replicas changed without an Event that says why; a process that is killed between
the two takes that Event with it, so there may be as many as there were kills.
"""


def main() -> int:
    """Run the legs that are missing, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m e2e.soak", description="Everything together, for hours.")
    parser.add_argument("--minutes", type=float, default=120.0, help="in legs of ten at most")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--fresh", action="store_true", help="forget the legs that were run with this seed")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    length = min(LEG_SECONDS, options.minutes * 60)
    folder, count = STORE / str(options.seed), round(options.minutes * 60 / length)
    files = [folder / f"{leg}.json" for leg in range(count)]
    if options.fresh:
        for file in files:
            file.unlink(missing_ok=True)
    if missing := [leg for leg, file in enumerate(files) if not file.exists()]:
        _soak(missing, length, options.seed, folder, keep=options.keep)
    legs = [json.loads(file.read_text()) for file in files]
    total = _total(legs)
    if options.output == "json":
        print(json.dumps({"total": total, "legs": legs}, indent=2))
    table = "\n".join(f"| {name} | {value} |" for name, value in total.items())
    text = f"{today()}, {machine()}\n\n| figure | value |\n| --- | --- |\n{table}"
    if options.output == "text":
        print(text)
    write_section(REPORT, HEAD, f"seed {options.seed}", text)
    return 1 if any(leg["broken"] for leg in legs) else 0


def _soak(legs: list[int], length: float, seed: int, folder: Path, *, keep: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        stage = Stage(tools.with_image(tools.cluster_up()))
        stage.set_up("replicaCount=2")
        tools.deploy_story(stage.kit)
        for number, leg in enumerate(legs, 1):
            print(f"leg {leg} ({number} of {len(legs)}), {length / 60:g} minutes", file=sys.stderr, flush=True)
            found = _leg(stage, random.Random(f"{seed}/{leg}"), leg, length)
            (folder / f"{leg}.json").write_text(json.dumps(found, indent=2))
            print(f"    {found}", file=sys.stderr, flush=True)
        stage.tear_down()
    finally:
        if not keep:
            tools.cluster_down()


def _leg(stage: Stage, dice: random.Random, leg: int, length: float) -> dict[str, Any]:
    probe, began, before = Probe(stage.kit), time.time(), _told(stage)
    start = f"{int(leg * LEG_SECONDS) % 2700}s"  # where the last leg's traffic ended
    with tempfile.TemporaryDirectory() as folder:
        with probe.running(), stage.kit.load(SCALE, start, f"{int(length) + 60}s", Path(folder)) as load:
            played = _play_faults(stage, dice, began + length)
        rows = load.rows()
    errors = Counter(row["error"] for row in rows)
    found, spans = stage.audit(began), [(begin, end) for _, begin, end in played]
    scaled = sum(w.resource == "deployments/scale" and w.namespace == "demo" and w.code < 300 for w in found)
    lost = {kind: count for kind, count in errors.items() if kind not in ("", "cancelled")}
    figures = {
        "seconds": round(time.time() - began),
        "faults": [name for name, _, _ in played],
        "faults at": [(round(begin - began), round(end - began)) for begin, end in spans],
        "requests": errors.total(),
        "lost": lost,
        "losses": [{name: row[name] for name in TOLD} for row in rows if row["error"] in lost][:MOST_LOSSES],
        "replica changes": scaled,
        "unexplained": max(0, scaled - (_told(stage) - before)),
        "stray writes": sum(write.at >= began for write in strays(stage.audit(0.0), LEASE)),
        "due ticks not made": missed_ticks(probe.samples, spans),
        "failed ticks and defects": int(
            max((s.values.get("failed", 0) + s.values.get("defects", 0) for s in probe.samples), default=0)
        ),
        "samples": len(probe.samples),
        "memory MB": round(max((s.values.get("memory", 0) for s in probe.samples), default=0) / 1e6),
        "memory grown MB": round(growth(probe.samples, "memory", WARM_SECONDS) / 1e6, 1),
        "files grown": round(growth(probe.samples, "files", WARM_SECONDS), 1),
        "tasks grown": round(growth(probe.samples, "tasks", WARM_SECONDS), 1),
        "restarts": stage.restarts(),
    }
    return figures | {"broken": _broken(figures)}


def _play_faults(stage: Stage, dice: random.Random, until: float) -> list[tuple[str, float, float]]:
    """Faults that are in nobody's path, at random times; each with when it began and when it was over."""
    played, faults = [], [fault for fault in FAULTS if not fault.in_path]
    while (quiet := dice.uniform(*QUIET_SECONDS)) < until - time.time() - 60:
        time.sleep(quiet)
        fault = dice.choice(faults)
        print(f"    {fault.name}", file=sys.stderr, flush=True)
        began = time.time()
        fault.play(stage, fault.seconds)
        stage.nudge()
        played.append((fault.name, began, time.time()))
    time.sleep(max(0.0, until - time.time()))
    return played


def _told(stage: Stage) -> int:
    """How many changes of replicas Events tell of, each with a reason."""
    return sum(
        int((event.get("series") or {}).get("count", 1))
        for event in events(stage.kit)
        if event["reason"] in ("ScaledUp", "ScaledDown") and ": " in event.get("note", "")
    )


def _broken(figures: dict[str, Any]) -> list[str]:
    """What should hold, and did not."""
    killed = sum(name.startswith("leader") for name in figures["faults"])
    checks = {
        "requests were lost": bool(figures["lost"]),
        "replicas changed without a reason": figures["unexplained"] > killed,
        "somebody wrote without the Lease": figures["stray writes"] > 0,
        "due ticks were not made": figures["due ticks not made"] > 0,
        "ticks failed": figures["failed ticks and defects"] > 0,
        "memory grew": figures["memory grown MB"] * 1e6 > MEMORY_BYTES,
        "files leaked": figures["files grown"] > FILES,
        "tasks leaked": figures["tasks grown"] > TASKS,
    }
    return [what for what, broken in checks.items() if broken]


def _total(legs: list[dict[str, Any]]) -> dict[str, Any]:
    """The legs' figures together."""
    faults = Counter(name for leg in legs for name in leg["faults"])
    summed = ("requests", "replica changes", "unexplained", "stray writes", "due ticks not made")
    worst = ("failed ticks and defects", "memory MB", "memory grown MB", "files grown", "tasks grown", "restarts")
    lost: Counter[str] = sum((Counter(leg["lost"]) for leg in legs), Counter())
    return {
        "minutes": round(sum(leg["seconds"] for leg in legs) / 60),
        "faults": f"{faults.total()}: " + ", ".join(f"{name} × {count}" for name, count in faults.most_common()),
        **{name: sum(leg[name] for leg in legs) for name in summed},
        "requests lost": f"{lost.total()}" + (f" ({dict(lost)})" if lost else ""),
        **{f"{name}, worst": max(leg[name] for leg in legs) for name in worst},
        "broken": "; ".join(sorted({what for leg in legs for what in leg["broken"]})) or "nothing",
    }


if __name__ == "__main__":
    sys.exit(main())
