"""Rows of results.json made by hand, for tests of what is made of them."""

from typing import Any

from flyball.lab.policies.model import Objective
from flyball.lab.suite.conclusion import Conclusion
from flyball.lab.suite.results import Role, Run
from flyball.lab.suite.traffic_kind import TrafficKind

OBJECTIVES = (Objective("TimeToFirstToken", 1.0, 0.95), Objective("InterTokenLatency", 0.1, 0.90))


def figures(ttft: float = 0.96, itl: float = 0.95, cost: float = 10.0, **changes: Any) -> dict[str, Any]:
    """What a run's pieces give, with shares of TimeToFirstToken and InterTokenLatency."""
    percentiles = {"p50": 0.2, "p95": 0.9, "p99": 1.5}
    return {
        "requests": 1000, "completed": 1000, "rejected": 0, "dropped": 0,
        "attainment": {"TimeToFirstToken": ttft, "InterTokenLatency": itl, "all": min(ttft, itl)},
        "marginMin": min(ttft - 0.95, itl - 0.90), "windowsMet5m": 0.9, "worstHour": 0.9, "worstDip": 0.03,
        "dipSeconds": 60.0, "ttftSeconds": percentiles, "itlSeconds": percentiles, "e2eSeconds": percentiles,
        "gpuHours": cost / 2, "cost": cost, "costPerRequest": cost / 1000, "costPerMillionTokens": 1.0,
        "meanReplicas": 5.0, "peakReplicas": 9, "scaleUps": 3, "scaleDowns": 2, "undoneActions": 1, "coldHits": 0,
        "forecastCoverage": {}, "modelError30m": None, "decideSeconds": 0.1, "simSeconds": 1.0,
    } | changes  # fmt: skip


def made_run(
    policy: str = "flyball",
    seed: int = 1,
    role: Role = Role.DEFAULT,
    knobs: dict[str, Any] | None = None,
    ratios: dict[str, float] | None = None,
    **changes: Any,
) -> Run:
    """One row; `ratios` are its costs at equal attainment."""
    identity = {"scenario": "made", "policy": policy, "role": role, "knob": None, "knobs": knobs or {}, "seed": seed}
    rest = {"counted": True, "floorRatio": 2.0, "oracleRatio": 1.2, "costRatioEqualAttainment": ratios or {}}
    return Run.model_validate(identity | rest | figures(**changes))


def made_conclusion(*runs: Run, **changes: Any) -> Conclusion:
    """A scenario of one hour with these runs, and series for each policy that was played in full."""
    chief = dict.fromkeys(run.policy for run in runs if run.role in (Role.DEFAULT, Role.TUNED))
    series = {
        "seconds": [0.0, 600.0, 1200.0, 1800.0, 2400.0, 3000.0],
        "requestsPerSecond": [1.0, 2.0, 0.0, 3.0, 2.0, 1.0],
        "replicas": [2.0, 3.0, 3.0, 4.0, 3.0, 2.0],
        "ttftP95Seconds": [0.5, 1.5, None, None, 0.4, 0.3],
    }
    known: dict[str, Any] = {
        "name": "made", "about": "generate:code, a (a100_8b, ready after 2m)", "objectives": OBJECTIVES, "seeds": 1,
        "runs": runs, "kind": TrafficKind(0.05, 0.7), "span_seconds": 3600.0, "warmup_seconds": 600.0,
        "series": dict.fromkeys(chief, series),
    }  # fmt: skip
    return Conclusion(**known | changes)
