"""From the model of an ROIExperiment to a plan, and the fingerprint that must outlive releases."""

from typing import Any

from flyball.api.experiments import fingerprint, registered, to_plan
from flyball.api.v1alpha1 import ROIExperimentSpec
from flyball.core.evidence.experiment import Direction, KpiGuard, Metric
from flyball.core.names import WorkloadKey

HOUR_MS = 3_600_000
ARMS = {"baseline": {"workloads": ["chat"]}, "treatment": {"workloads": ["chat-int4"]}}
COST = {"hypothesis": {"metric": "CostPerRequest", "direction": "Decrease", "by": "18%"}, **ARMS}
KPI = {"hypothesis": {"metric": "Kpi", "kpi": "contained", "direction": "Increase", "by": "3 points"}, **ARMS}


def spec(**wire: Any) -> ROIExperimentSpec:
    return ROIExperimentSpec.model_validate(wire, by_alias=True, by_name=False)


def test_an_experiment_that_began_under_an_earlier_release_is_still_the_one_that_was_registered() -> None:
    before = "b590a912c577429bf192a126bfff464319464e5679d4f55d6d2464ba08d64cab"
    assert fingerprint(spec(**COST)) == before
    assert fingerprint(spec(**COST, settleHours=24, kpiGuards=[])) == before  # as a newer API server defaults it


def test_what_speaks_of_kpis_is_registered_with_them() -> None:
    guarded = spec(**COST, kpiGuards=[{"kpi": "escalations", "worseBy": "5%"}], blockMinutes=120)
    assert '"kpiGuards":[{"kpi":"escalations","worseBy":"5%"}]' in registered(guarded)
    assert '"settleHours":24' in registered(spec(**KPI, blockMinutes=120))


def test_points_percent_and_the_time_that_outcomes_are_waited_for() -> None:
    plan = to_plan(WorkloadKey("team", "x"), "u", spec(**KPI, blockMinutes=120, kpiGuards=[{"kpi": "escalations"}]))
    assert (plan.metric, plan.kpi, plan.direction) == (Metric.KPI, "contained", Direction.INCREASE)
    assert (plan.by, plan.points) == (0.03, True)
    assert plan.kpi_guards == (KpiGuard("escalations", 0.0),)
    assert plan.settle_ms == 24 * HOUR_MS
    cost = to_plan(WorkloadKey("team", "x"), "u", spec(**COST))
    assert (cost.by, cost.points, cost.settle_ms) == (0.18, False, 0)
