"""results.json: a row of figures for each run, in EVALUATION's schema 1, validated as it is written.

Beside the fields of that schema a row has `role`: default (knobs as published), tuned (NAME*, searched in hindsight on
this very trace), sweep (a point of a frontier), bound (floor: no simulated run, so its figures of service are those
that the objectives ask for).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from flyball import __version__
from flyball.lab.policies.model import Objective
from flyball.lab.score import ALL

Knob = float | str | bool | None


class Role(StrEnum):
    """Why a run was made."""

    DEFAULT = "default"
    TUNED = "tuned"
    SWEEP = "sweep"
    BOUND = "bound"


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False, frozen=True
    )


class Percentiles(_Strict):
    """Of completed requests, seconds; None where there are none."""

    p50: float | None
    p95: float | None
    p99: float | None


class Run(_Strict):
    """One policy with one setting of its knobs on one seed. Figures that do not apply are None."""

    scenario: str
    policy: str
    role: Role
    knob: Knob
    """The value of the main knob; None where there is none, or where it has its default of none."""
    knobs: dict[str, Knob]
    """All knobs that were set, the main one among them; the others had their defaults."""
    seed: int
    counted: bool
    requests: int
    completed: int
    rejected: int
    dropped: int
    attainment: dict[str, float | None]
    margin_min: float | None
    windows_met: float | None = Field(alias="windowsMet5m")
    worst_hour: float | None
    worst_dip: float
    dip_seconds: float
    ttft_seconds: Percentiles
    itl_seconds: Percentiles
    e2e_seconds: Percentiles = Field(alias="e2eSeconds")
    gpu_hours: float
    cost: float
    cost_per_request: float | None
    cost_per_million_tokens: float | None
    mean_replicas: float
    peak_replicas: int
    floor_ratio: float | None
    oracle_ratio: float | None
    cost_ratio_equal_attainment: dict[str, float]
    """This policy's cost ÷ that of each rival, at equal attainment; a rival without overlap is left out."""
    not_reached_by: list[str] = []
    """Rivals that attain less at every setting than this policy at any."""
    not_reached: list[str] = []
    """Rivals that attain more at every setting than this policy at any."""
    scale_ups: int
    scale_downs: int
    undone_actions: int
    cold_hits: int
    forecast_coverage: dict[str, float]
    model_error: float | None = Field(alias="modelError30m")
    decide_seconds: float
    sim_seconds: float

    @property
    def weight(self) -> int:
        """Requests that its shares are of."""
        return self.requests - self.rejected


class Results(_Strict):
    """A suite."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    command: str
    date: str
    version: str
    runs: list[Run]


def results_of(runs: Iterable[Run], command: str, date: datetime | None = None) -> Results:
    """The document of some runs."""
    when = (date or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Results(command=command, date=when, version=__version__, runs=list(runs))


class Pooled(_Strict):
    """A setting of a policy over its seeds: shares of all requests together, means of the rest."""

    policy: str
    role: Role
    knob: Knob
    knobs: dict[str, Knob]
    seeds: int
    attainment: dict[str, float]
    margin: float
    meets: bool
    gpu_hours: float
    cost: float
    floor_ratio: float | None
    oracle_ratio: float | None
    windows_met: float
    worst_hour: float
    worst_dip: float
    ttft_p95: float | None
    mean_replicas: float
    peak_replicas: int
    actions: float
    undone: float
    cold_hits: float
    cost_ratio: dict[str, float]
    not_reached_by: list[str]
    not_reached: list[str]


def pooled(runs: Sequence[Run], objectives: Sequence[Objective]) -> Pooled:
    """Pool the runs of one setting over seeds."""
    first = runs[0]
    attainment = pooled_attainment(runs, objectives)
    margin = min(attainment[objective.indicator] - objective.target for objective in objectives)
    return Pooled(
        policy=first.policy,
        role=first.role,
        knob=first.knob,
        knobs=first.knobs,
        seeds=len(runs),
        attainment=attainment,
        margin=margin,
        # A share of exactly its target meets it, whatever the last bit of the division says.
        meets=margin >= -1e-12,
        gpu_hours=_mean(run.gpu_hours for run in runs),
        cost=_mean(run.cost for run in runs),
        floor_ratio=_mean_known(run.floor_ratio for run in runs),
        oracle_ratio=_mean_known(run.oracle_ratio for run in runs),
        windows_met=_mean_known(run.windows_met for run in runs) or 0.0,
        worst_hour=min((run.worst_hour for run in runs if run.worst_hour is not None), default=0.0),
        worst_dip=max(run.worst_dip for run in runs),
        ttft_p95=_mean_known(run.ttft_seconds.p95 for run in runs),
        mean_replicas=_mean(run.mean_replicas for run in runs),
        peak_replicas=max(run.peak_replicas for run in runs),
        actions=_mean(run.scale_ups + run.scale_downs for run in runs),
        undone=_mean(run.undone_actions for run in runs),
        cold_hits=_mean(run.cold_hits for run in runs),
        cost_ratio=first.cost_ratio_equal_attainment,
        not_reached_by=first.not_reached_by,
        not_reached=first.not_reached,
    )


def pooled_attainment(runs: Sequence[Run], objectives: Sequence[Objective]) -> dict[str, float]:
    """Shares over the requests of all runs together."""
    names = [*(objective.indicator for objective in objectives), ALL]
    # The floor has no requests, and each of its rows says the same.
    weights = [run.weight for run in runs] if any(run.weight for run in runs) else [1] * len(runs)
    return {
        name: math.fsum((run.attainment[name] or 0.0) * weight for run, weight in zip(runs, weights, strict=True))
        / sum(weights)
        for name in names
    }


def by_setting(runs: Iterable[Run]) -> dict[tuple[str, Role, str], list[Run]]:
    """The runs of each setting of each policy, in the order in which they come."""
    groups: dict[tuple[str, Role, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.policy, run.role, repr(sorted(run.knobs.items()))), []).append(run)
    return groups


def knob_text(knobs: Mapping[str, Any]) -> str:
    """Knobs for people: `target=0.5, stabilization=none`."""
    return ", ".join(f"{name}={_value(value)}" for name, value in knobs.items())


def _value(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)


def _mean_known(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return _mean(found) if found else None
