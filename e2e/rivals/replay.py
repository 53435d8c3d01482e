"""Replays recorded series on the restated rivals, as the programs under `go` do on the rivals' own code.

A series is a JSON object; each rival has its own kind, described at the top of its program. What both sides answer is
the replicas after each step.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from e2e.rivals.manifests import Json, Series, activation_of, metric_of, options_of, spec_of

from flyball.lab.policies.hpa import SYNC_SECONDS, HpaState, recommend
from flyball.lab.policies.hpa_metrics import Scale
from flyball.lab.policies.keda import Executor
from flyball.lab.policies.kpa import TICK_SECONDS, Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

Answers = list[int | None]


def hpa(series: Mapping[str, Json]) -> Answers:
    """The horizontal autoscaler: the target's scale after each reconciliation, the first after one sync period."""
    spec, state = spec_of(series["spec"], series["flags"]), HpaState()
    answers: Answers = []
    for index, (asked, existing, ready, readings) in enumerate(series["steps"]):
        metrics = [metric_of(each, reading) for each, reading in zip(series["spec"]["metrics"], readings, strict=True)]
        now = (index + 1) * SYNC_SECONDS
        state, replicas = recommend(spec, state, Scale(asked, existing, ready), metrics, now)
        answers.append(replicas)
    return answers


def kpa(series: Mapping[str, Json]) -> Answers:
    """Knative's scaler: replicas wanted at each tick, None without data."""
    revision = Revision(options_of(series["annotations"]))
    answers: Answers = []
    for second, load in enumerate(series["inFlight"]):
        if load is not None:
            revision.record(second, load)
        if second > 0 and second % TICK_SECONDS == 0:
            answers.append(revision.want(series["ready"][len(answers)], second))
    return answers


def keda(series: Mapping[str, Json]) -> Answers:
    """KEDA's executor: the target's scale after each step."""
    executor = Executor(activation_of(series["spec"], series["activationThreshold"]))
    return [executor.poll(replicas, value, at) for at, replicas, value in series["steps"]]


RESTATED: Mapping[str, Callable[[Mapping[str, Json]], Answers]] = {"hpa": hpa, "kpa": kpa, "keda": keda}


def write_lines(path: Path, documents: Iterable[Mapping[str, Json]]) -> None:
    """One compact JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in documents), encoding="utf-8")


def read_lines(path: Path) -> list[Series]:
    """What `write_lines` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
