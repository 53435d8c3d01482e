"""Who asks for a workload, seen without any of its own pods: at zero replicas those export nothing. Pure.

By the user's own query, whose series are added up, and at the target that serves meanwhile, whose pods are read with
the workload's engine profile: requests running or waiting there, and those that finish. Either is enough to wake.
"""

from collections.abc import Mapping, Sequence

from flyball.core.observation import ABSENT, Reading, ok
from flyball.core.spec import TargetRef, Variant, WorkloadSpec
from flyball.telemetry import queries
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.freshness import Freshness, freshness, total
from flyball.telemetry.signals import Answers

QUERY = "WakeUp"
"""The name under which a workload's own query is asked."""


def read_wanted(spec: WorkloadSpec, answers: Answers, own: Mapping[str, Answer]) -> Reading:
    """Above 0 while somebody asks; what cannot be read is no zero, unless another signal tells that somebody does."""
    declared = spec.scaling.to_zero
    readings = []
    if declared is not None and declared.query:
        readings.append(total(row.value for row in own.get(QUERY, Answer()).rows))
    if declared is not None and declared.fallback_target is not None:
        readings.append(_at(declared.fallback_target, spec, answers))
    asking = [reading for reading in readings if reading.ok and reading.value > 0]
    unread = [reading for reading in readings if not reading.ok]
    return next(iter((*asking, *unread, *readings)), ABSENT)


def _at(target: TargetRef, spec: WorkloadSpec, answers: Answers) -> Reading:
    """Requests at all of a target's pods, whatever the selector: it serves a model of its own."""
    variant = Variant(target.name, target, 0, 1)
    gauges, rates = answers.table(queries.GAUGES), answers.table(queries.RATES)
    times = gauges.of_target(spec, variant, queries.SAMPLED_AT)
    fresh = freshness(times, answers.at, spec.telemetry.stale_after_seconds)
    parts = (
        total(_of(fresh, gauges.of_target(spec, variant, queries.RUNNING))),
        total(_of(fresh, gauges.of_target(spec, variant, queries.WAITING))),
        total(row.value for row in rates.of_target(spec, variant, queries.COMPLETIONS)),
    )
    unread = next((part for part in parts if not part.ok), None)
    return fresh.judged(unread or ok(sum(part.value for part in parts)))


def _of(fresh: Freshness, rows: Sequence[Row]) -> list[float]:
    return [row.value for row in rows if row.labels.get("pod", "") in fresh.pods]
