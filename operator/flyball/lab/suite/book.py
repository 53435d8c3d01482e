"""The book of a scenario: what was played, as rows of results.json, and how its policies compare."""

from collections.abc import Mapping, Sequence
from typing import Any

from flyball.lab.policies.model import Objective
from flyball.lab.score import ALL
from flyball.lab.suite.conclusion import BOUNDS, FLOOR, ORACLE
from flyball.lab.suite.frontier import Comparison, Point, Unmatched, compare
from flyball.lab.suite.results import Knob, Role, Run, by_setting, pooled_attainment

_NOTHING = {"p50": None, "p95": None, "p99": None}
_UNRATED: dict[str, Any] = {"counted": False, "floorRatio": None, "oracleRatio": None, "costRatioEqualAttainment": {}}


class Book:
    """The rows of one scenario; `rated` adds their ratios to the bounds and to each other."""

    def __init__(self, scenario: str, objectives: Sequence[Objective]) -> None:
        self._scenario, self._objectives = scenario, objectives
        self._runs: list[Run] = []

    def add(
        self, policy: str, role: Role, knob: Knob, knobs: Mapping[str, Knob], seed: int, figures: Mapping[str, Any]
    ) -> Run:
        """One run, with its figures as figures.run_figures and the pieces give them."""
        identity = {"scenario": self._scenario, "policy": policy, "role": role, "knob": knob, "knobs": dict(knobs)}
        run = Run.model_validate({**identity, "seed": seed, **_UNRATED, **figures})
        self._runs.append(run)
        return run

    def add_floor(self, seed: int, gpu_hours: float, cost: float, mean_replicas: float) -> None:
        """The floor is no run: it attains just what the objectives ask for, and nothing else is known of it."""
        targets = {objective.indicator: objective.target for objective in self._objectives}
        figures = {
            "requests": 0, "completed": 0, "rejected": 0, "dropped": 0,
            "attainment": targets | {ALL: min(targets.values())}, "marginMin": 0.0,
            "windowsMet5m": None, "worstHour": None, "worstDip": 0.0, "dipSeconds": 0.0,
            "ttftSeconds": _NOTHING, "itlSeconds": _NOTHING, "e2eSeconds": _NOTHING,
            "gpuHours": gpu_hours, "cost": cost, "costPerRequest": None, "costPerMillionTokens": None,
            "meanReplicas": mean_replicas, "peakReplicas": 0,
            "scaleUps": 0, "scaleDowns": 0, "undoneActions": 0, "coldHits": 0,
            "forecastCoverage": {}, "modelError30m": None, "decideSeconds": 0.0, "simSeconds": 0.0,
        }  # fmt: skip
        self.add(FLOOR, Role.BOUND, None, {}, seed, figures)

    def point(self, runs: Sequence[Run]) -> Point:
        """One setting over its seeds."""
        attainment = pooled_attainment(runs, self._objectives)
        margin = min(attainment[objective.indicator] - objective.target for objective in self._objectives)
        return Point(margin, sum(run.cost for run in runs) / len(runs))

    def mean_floor_replicas(self) -> float | None:
        """The floor's mean over its seeds; None without a floor."""
        means = [run.mean_replicas for run in self._runs if run.policy == FLOOR]
        return sum(means) / len(means) if means else None

    def rated(self, *, counted: bool) -> list[Run]:
        """All rows, complete."""
        policies = sorted({run.policy for run in self._runs} - set(BOUNDS))
        seeds = self._swept_seeds()
        points = {policy: self._points(policy, seeds) for policy in policies}
        compared: dict[str, dict[str, Comparison | Unmatched]] = {}
        for policy in policies:
            chief = [
                run for run in self._runs if run.policy == policy and run.role is not Role.SWEEP and run.seed in seeds
            ]
            others = [other for other in policies if other != policy and points[other]]
            at = self.point(chief).margin if chief else 0.0
            compared[policy] = {
                other: compare(points[policy], points[other], at) for other in others if chief and points[policy]
            }
        floors = {run.seed: run.cost for run in self._runs if run.policy == FLOOR}
        # A plan that misses the objectives is no yardstick: nothing better was found, and cheaper ones miss them more.
        oracles = {
            run.seed: run.cost
            for run in self._runs
            if run.policy == ORACLE and run.margin_min is not None and run.margin_min >= -1e-12
        }
        return [
            run.model_copy(
                update={
                    "counted": counted,
                    "floor_ratio": _ratio(run.cost, floors.get(run.seed)),
                    "oracle_ratio": _ratio(run.cost, oracles.get(run.seed)),
                    **_verdicts(compared.get(run.policy, {})),
                }
            )
            for run in self._runs
        ]

    def _swept_seeds(self) -> list[int]:
        """The seeds on which every frontier was drawn."""
        swept = {run.seed for run in self._runs if run.role is Role.SWEEP}
        return sorted(swept or {run.seed for run in self._runs})

    def _points(self, policy: str, seeds: Sequence[int]) -> list[Point]:
        """The settings of a policy that were played on all of these seeds. NAME* has every setting of its rival: it is
        that rival at its best.
        """
        rival = policy.removesuffix("*")
        runs = [run for run in self._runs if run.policy in (policy, rival) and run.seed in seeds]
        # One setting may have been played in several roles, with the same outcome.
        groups: dict[str, dict[int, Run]] = {}
        for (_, _, knobs), group in by_setting(runs).items():
            groups.setdefault(knobs, {}).update({run.seed: run for run in group})
        return [self.point(list(group.values())) for group in groups.values() if len(group) == len(seeds)]


def _ratio(cost: float, bound: float | None) -> float | None:
    return cost / bound if bound else None


def _verdicts(compared: Mapping[str, Comparison | Unmatched]) -> dict[str, Any]:
    return {
        "cost_ratio_equal_attainment": {
            n: found.ratio for n, found in compared.items() if isinstance(found, Comparison)
        },
        "not_reached_by": [name for name, found in compared.items() if found is Unmatched.NOT_REACHED_BY_THEM],
        "not_reached": [name for name, found in compared.items() if found is Unmatched.NOT_REACHED_BY_US],
    }
