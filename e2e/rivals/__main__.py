"""`make rivals`: the restated rivals against the rivals' own code, on the same series.

    make rivals RIVALS="[hpa] [kpa] [keda] [-o json]"

The series are recorded from runs of the lab and drawn at random, the same ones every time. Each rival's own code, a Go
module from the proxy, answers them and so does ours; equal and unequal series are counted, and of each unequal one the
first difference is shown. Series and the rival's own answers go to tests/lab/policies/recorded, which the unit tests
hold ours to without Go. Exit status: 0 when all are equal, 1 when not, 2 when something could not be built or run.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.rivals.draw import drawn
from e2e.rivals.harness import PROGRAMS, Harness
from e2e.rivals.record import recorded
from e2e.rivals.replay import RESTATED, write_lines
from flyball_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.rivals.manifests import Series
    from e2e.rivals.replay import Answers

FIXTURES = Path(__file__).parents[2] / "tests" / "lab" / "policies" / "recorded"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One rival: how many series and steps, and for each unequal series its first difference."""

    rival: str
    version: str
    series: int
    steps: int
    changes: int
    unequal: list[str]


def main() -> int:
    """Compare, print, write the fixtures."""
    parser = argparse.ArgumentParser(prog="python -m e2e.rivals", description="Restated rivals against the real ones.")
    parser.add_argument("rivals", nargs="*", metavar="RIVAL", help=f"{', '.join(PROGRAMS)}; all when none is named")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    if unknown := set(options.rivals) - set(PROGRAMS):
        parser.error(f"{', '.join(sorted(unknown))}: no such rival; there are {', '.join(PROGRAMS)}")
    rivals = options.rivals or list(PROGRAMS)
    try:
        harness = Harness(rivals)
        found = [_compare(harness, rival, series) for rival, series in _series(rivals).items()]
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 2
    if options.output == "json":
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        _print(found)
    return 1 if any(each.unequal for each in found) else 0


def _series(rivals: Sequence[str]) -> dict[str, list[Series]]:
    print("recording series from the lab", file=sys.stderr, flush=True)
    series: dict[str, list[Series]] = {rival: [] for rival in rivals}
    for rival, each in (*recorded(), *drawn()):
        if rival in series:
            series[rival].append(each)
    return series


def _compare(harness: Harness, rival: str, series: list[Series]) -> Comparison:
    version, theirs = harness.answers(rival, series)
    write_lines(
        FIXTURES / f"{rival}.jsonl",
        [{"version": version}, *({**each, "replicas": answers} for each, answers in zip(series, theirs, strict=True))],
    )
    unequal = []
    for each, answers in zip(series, theirs, strict=True):
        if difference := first_difference(RESTATED[rival](each), answers):
            unequal.append(f"{each['name']}: {difference}")
    changes = sum(before != after for answers in theirs for before, after in pairwise(answers))
    return Comparison(rival, version, len(series), sum(map(len, theirs)), changes, unequal)


def first_difference(ours: Answers, theirs: Answers) -> str | None:
    """Where two sequences part, None where they do not."""
    if len(ours) != len(theirs):
        return f"{len(ours)} answers of ours, {len(theirs)} of theirs"
    for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if mine != other:
            return f"step {index}: ours {mine}, theirs {other}"
    return None


def _print(found: Sequence[Comparison]) -> None:
    for each in found:
        equal = each.series - len(each.unequal)
        print(
            f"{each.rival:<5} {each.version:<34} {equal} of {each.series} series equal"
            f" ({each.steps} steps, {each.changes} changes)"
        )
        for line in each.unequal:
            print(f"      {line}")


if __name__ == "__main__":
    sys.exit(main())
