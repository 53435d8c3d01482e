"""`make bench-simulator`: how far the simulator can be trusted.

    python -m e2e.bench.validate [server] [rows] [published] [--minutes 4] [--rows FILE] [--trace TRACE] [-o json]

`server` plays one trace against real model servers on loopback and through the simulator, and lays the latencies side
by side. `rows` fits the iteration's law to measured engines and predicts rows that the fit has not seen; without the
rows at hand it says so and is left out. `published` does the same with measurements published elsewhere, and predicts
them from coefficients of another source. Results go to docs/benchmarks/simulator.md, but for rows or a trace of your
own, which are only printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from e2e.bench import validate_prose as prose
from e2e.bench import validate_text as text
from e2e.bench.report import machine, today, write_section
from e2e.story.kit import RECORDED_TRACE, REPOSITORY

from flyball.lab.generate import open_trace
from flyball.lab.load.progress import ProgressLine
from flyball.lab.presets import preset
from flyball.lab.trace import InvalidTraceError, Trace
from flyball.lab.validation.distributions import compare
from flyball.lab.validation.judgement import LEAST_ROWS, TPOT_TARGET, judge
from flyball.lab.validation.published import PUBLISHED, elsewhere, predict_from_elsewhere
from flyball.lab.validation.replay import serve, simulate
from flyball.lab.validation.results import Found, error_figures, row_figures, summarize
from flyball.lab.validation.rows import InvalidRowsError, by_engine, read_rows

REPORT = REPOSITORY / "docs" / "benchmarks" / "simulator.md"
RECORDED_ROWS = REPOSITORY.parent / "shared" / "engines" / "silicon_llama_qwen32b_agg.csv.gz"
GENERATED_TRACE = "generate:conversation?rate=6&duration=20m&seed=1"

CASES = (("l4_8b", 1, 0.7), ("l4_8b", 3, 2.1), ("h100_8b", 1, 6.0))
"""Engine preset, replicas, and requests per second: the first two near what they can bear, with queues of seconds."""


def main() -> int:
    """Run the parts asked for, print them, and rewrite the report's sections."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.validate", description="Validate the simulator.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' or '.join(PARTS)}; all when none is named")
    parser.add_argument("--minutes", type=float, default=4.0, help="of the trace, for each case of `server`")
    parser.add_argument("--trace", default="", help="of `server`  [default: the recorded one, else a generated one]")
    parser.add_argument("--rows", type=Path, default=RECORDED_ROWS, help="of `rows`, measured engines")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: no such part; there are {', '.join(PARTS)}")
    if options.minutes <= 0:
        parser.error(f"--minutes is {options.minutes:g}; give more than 0")
    found: dict[str, Found] = {}
    try:
        for name in options.parts or PARTS:
            found[name] = PARTS[name](options)
            if options.output == "text":
                print("\n".join(text.LINES[name](found[name])), flush=True)
            own = {"server": bool(options.trace), "rows": options.rows != RECORDED_ROWS}
            if "skipped" not in found[name] and not own.get(name):
                body = f"{today()}, {machine()}\n\n" + "\n".join(text.MARKDOWN[name](found[name]))
                write_section(REPORT, prose.HEAD, prose.TITLES[name], body)
    except (InvalidRowsError, InvalidTraceError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; what was done before is in the report.", file=sys.stderr)
        return 130
    if options.output == "json":
        print(json.dumps({"schema": 1, "date": today(), "machine": machine()} | found, indent=2))
    missed = [name for name, part in found.items() if part.get("tpotMedianError", 0.0) > TPOT_TARGET]
    return int(bool(missed) or any(part.get("failed", 0) for part in found.values()))


def server(options: argparse.Namespace) -> Found:
    """The same trace against model servers and through the simulator."""
    cases = []
    whole = open_trace(options.trace or (str(RECORDED_TRACE) if RECORDED_TRACE.exists() else GENERATED_TRACE))
    for name, replicas, rate in CASES:
        trace = _part(whole, rate, options.minutes * 60)
        print(f"{replicas} × {name}: {len(trace)} requests in real time", file=sys.stderr, flush=True)
        engine = preset(name)
        line = ProgressLine(sys.stderr)
        served = asyncio.run(serve(trace, engine, replicas, line.show, line.every_seconds))
        simulated = simulate(trace, engine, replicas)
        latencies = {
            key: asdict(compare(getattr(served.latencies, key), getattr(simulated, key)))
            for key in ("first_token", "per_output_token", "end_to_end")
        }
        case = {"engine": name, "replicas": replicas, "requestsPerSecond": rate, "requests": len(trace)}
        noise = {
            "sendLagP99Seconds": served.send_lag_seconds,
            "serverPeakLagSeconds": served.server_lag_seconds,
            "loadAverage": os.getloadavg()[0],
        }
        cases.append(case | {"failed": served.failed, "latencies": latencies} | noise)
    return {
        "trace": whole.name,
        "minutes": options.minutes,
        "cases": cases,
        "failed": sum(case["failed"] for case in cases),
    }


def rows(options: argparse.Namespace) -> Found:
    """Measured engines, each row predicted by coefficients that have not seen it."""
    if options.rows == RECORDED_ROWS and not RECORDED_ROWS.exists():
        where = RECORDED_ROWS.relative_to(REPOSITORY.parent)
        return {"skipped": f"the measured rows are not at hand (../{where}); give a file with --rows"}
    measured = by_engine(read_rows(options.rows))
    judgements, unjudged = [], []
    for number, (engine, members) in enumerate(measured.items(), start=1):
        began = time.monotonic()
        judgement = judge(engine, members)
        if judgement is None:
            unjudged.append({"engine": str(engine), "rows": len(members)})
        else:
            judgements.append(judgement)
        took = time.monotonic() - began
        print(f"{number}/{len(measured)} {engine}: {len(members)} rows, {took:.1f} s", file=sys.stderr, flush=True)
    if not judgements:
        return {"skipped": f"no engine in {options.rows.name} has {LEAST_ROWS} rows that fit its KV cache"}
    return summarize(judgements) | {"file": options.rows.name, "notJudged": unjudged}


def published(_options: argparse.Namespace) -> Found:
    """Published measurements, predicted unseen, and predicted from another source."""
    measured = by_engine(read_rows(PUBLISHED))
    judgements = [found for engine, members in measured.items() if (found := judge(engine, members)) is not None]
    across = []
    for engine, members in measured.items():
        if (known := elsewhere(engine)) is not None:
            predicted = predict_from_elsewhere(members, known)
            across.append(
                {"engine": str(engine), "source": known.source, "rows": [row_figures(row) for row in predicted]}
                | error_figures("fitting", [row for row in predicted if row.fits])
                | error_figures("shortOfCache", [row for row in predicted if not row.fits])
            )
    return summarize(judgements) | {"acrossSources": across}


def _part(whole: Trace, rate: float, seconds: float) -> Trace:
    """That long a part of the trace, at that rate."""
    return whole.slice(0.0, seconds).scaled(rate * seconds / len(whole.slice(0.0, seconds)), seed=1)


PARTS = {"server": server, "rows": rows, "published": published}

if __name__ == "__main__":
    sys.exit(main())
