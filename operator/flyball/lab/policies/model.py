"""What a scaling policy is to the lab, and all that it may see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flyball.lab.fleet.model import FleetVariant, ReplicaCounts
from flyball.lab.fleet.samples import History


@dataclass(frozen=True, slots=True)
class Objective:
    """At least `target` of the requests meet `threshold_seconds`; `indicator` as in the API, e.g. TimeToFirstToken."""

    indicator: str
    threshold_seconds: float
    target: float


@dataclass(frozen=True, slots=True)
class View:
    """What a policy sees at `now` (seconds since the trace's beginning): replica counts by variant, and samples.

    `history` holds what the policy's own collector has: the scenario's scrapes, or the policy's own finer ones.
    """

    now: float
    counts: tuple[ReplicaCounts, ...]
    history: History


class Policy(Protocol):
    """Decides replica counts. One instance plays one run, and is never told the trace.

    `period_seconds` is the time between two calls of `decide`. `collector_seconds` is the period of the policy's own
    collector (read without delay), None where it reads the scenario's scrapes.
    """

    @property
    def name(self) -> str: ...

    @property
    def period_seconds(self) -> float: ...

    @property
    def collector_seconds(self) -> float | None: ...

    def decide(self, view: View) -> Mapping[int, int]:
        """Replicas asked for by variant index; a variant left out keeps what it has. Bounds are applied after it."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy may be built from: the declared scenario, never its trace.

    `capacity_per_replica` is the load in requests/s at which one replica just meets the objectives (a capacity test,
    EVALUATION.md "Policies"), by variant; `concurrency_per_replica` the requests in flight at that load. `seed` is the
    run's. Without `acting` nobody does what is asked for: the policy is only asked what it would do.
    """

    variants: tuple[FleetVariant, ...]
    objectives: tuple[Objective, ...]
    initial_replicas: tuple[int, ...]
    capacity_per_replica: tuple[float, ...]
    concurrency_per_replica: tuple[float, ...]
    seed: int = 0
    acting: bool = True
