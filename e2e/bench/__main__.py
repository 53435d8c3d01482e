"""`make bench`: speed, memory and quiet, as ratios against a floor measured in the same run.

    python -m e2e.bench [decide] [gpuagent] [ledger] [outcomes] [reading] [simulator] [steady] [tenants] [--minutes 10]

`decide` times the decision core for a fleet, against the floor of copying its inputs. `ledger` says what a year of a
thousand workloads takes, and how long its queries do, in both databases; with `--whole` of all the year's rows.
`segments` says the same of costs by segment. `simulator` times the lab's day of traffic, against the plain engine.
`reading` measures what a tick's read takes of a real Prometheus' processor, and of the operator's, against one query
for the same series. `tenants` has a gateway's label take a million values (`--rows`), with the memory of some GB that
takes. `outcomes` imports so many business outcomes (`--rows`) into both databases. `ledger` and
`outcomes` need PYTHONPATH=e2e/cluster. `gpuagent` measures what the agent takes of a core, against the percent that it
may take. `steady` needs the cluster (it starts it): a calm load for ten minutes, and the operator's writes to the API
server counted from its audit log, against what an HPA's controller writes for the same Deployment's twin. Results go
to docs/benchmarks/first-path.md.
"""

from __future__ import annotations

import argparse
import json
import sys

from e2e.bench import decide, gpuagent, ledger, modelserver, outcomes, reading, segments, simulator, steady, tenants
from e2e.bench.report import machine, today, write_section
from e2e.story.kit import REPOSITORY

REPORT = REPOSITORY / "docs" / "benchmarks" / "first-path.md"
PARTS = {
    "decide": decide.measure,
    "gpuagent": gpuagent.measure,
    "ledger": ledger.measure,
    "modelserver": modelserver.measure,
    "outcomes": outcomes.measure,
    "reading": reading.measure,
    "segments": segments.measure,
    "simulator": simulator.measure,
    "steady": steady.measure,
    "tenants": tenants.measure,
}


def main() -> int:
    """Measure the parts asked for, print them, and rewrite the report's sections."""
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description="Measure, as ratios against a floor.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' or '.join(PARTS)}; all when none is named")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long `steady` watches")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="how many records `outcomes` imports, and values `tenants` has"
    )
    parser.add_argument(
        "--whole", action="store_true", help="fill the whole year of `ledger`, no sample: 15 million rows"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: no such part; there are {', '.join(PARTS)}")
    found = {
        name: PARTS[name](minutes=options.minutes, rows=options.rows, whole=options.whole)
        for name in options.parts or PARTS
    }
    if options.output == "json":
        print(json.dumps(found, indent=2))
    for name, rows in found.items():
        if options.output == "text":
            print(f"{name}\n" + "\n".join(f"  {key:<52} {value}" for key, value in rows.items()))
        _write(name, rows)
    return 0


def _write(name: str, rows: dict[str, str]) -> None:
    head = "# Benchmarks of the first path\n\nWritten by `make bench`; every section says when and on what.\n"
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    write_section(REPORT, head, name, f"{today()}, {machine()}\n\n| figure | value |\n| --- | --- |\n{table}")


if __name__ == "__main__":
    sys.exit(main())
