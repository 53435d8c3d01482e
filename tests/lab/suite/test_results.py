import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from support.lab_runs import OBJECTIVES, made_run

from flyball.lab.suite.results import Role, Run, by_setting, knob_text, pooled, results_of

# EVALUATION "Figures": the fields of a run in schema 1. What comes beside them is named in results.py.
SCHEMA_1 = {
    "scenario", "policy", "knob", "knobs", "seed", "counted", "requests", "completed", "rejected", "dropped",
    "attainment", "marginMin", "windowsMet5m", "worstHour", "worstDip", "dipSeconds", "ttftSeconds", "itlSeconds",
    "e2eSeconds", "gpuHours", "cost", "costPerRequest", "costPerMillionTokens", "meanReplicas", "peakReplicas",
    "floorRatio", "oracleRatio", "costRatioEqualAttainment", "scaleUps", "scaleDowns", "undoneActions", "coldHits",
    "forecastCoverage", "modelError30m", "decideSeconds", "simSeconds",
}  # fmt: skip


def test_the_document_has_the_fields_of_schema_1() -> None:
    date = datetime(2026, 11, 25, 16, 30, tzinfo=UTC)
    document = json.loads(results_of([made_run()], "flyball lab run x", date).model_dump_json(by_alias=True))
    assert {name: document[name] for name in ("schema", "command", "date")} == {
        "schema": 1, "command": "flyball lab run x", "date": "2026-11-25T16:30:00Z",
    }  # fmt: skip
    assert document["version"]
    assert set(document["runs"][0]) == SCHEMA_1 | {"role", "notReachedBy", "notReached"}
    assert set(document["runs"][0]["ttftSeconds"]) == {"p50", "p95", "p99"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"gpuHours": float("nan")}, id="not a number"),
        pytest.param({"surplus": 1}, id="an unknown field"),
        pytest.param({"requests": "many"}, id="a word"),
    ],
)
def test_a_row_that_breaks_the_schema_is_not_made(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        made_run(**changes)


def test_a_setting_is_pooled_over_requests_and_not_over_seeds() -> None:
    runs = [
        made_run(seed=1, ttft=0.90, itl=1.0, cost=10.0, requests=3000, worstHour=0.5, scaleUps=10),
        made_run(seed=2, ttft=1.00, itl=0.8, cost=20.0, requests=1100, rejected=100, worstHour=0.7, worstDip=0.2),
    ]
    found = pooled(runs, OBJECTIVES)
    assert found.attainment["TimeToFirstToken"] == pytest.approx(0.925)
    assert found.attainment["InterTokenLatency"] == pytest.approx(0.95)
    assert (found.margin, found.meets) == (pytest.approx(-0.025), False)
    assert (found.cost, found.gpu_hours, found.seeds) == (15.0, 7.5, 2)
    assert (found.worst_hour, found.worst_dip, found.actions) == (0.5, 0.2, 8.5)


def test_a_share_of_just_the_target_meets_it() -> None:
    assert pooled([made_run(ttft=0.95, itl=0.90)], OBJECTIVES).meets


def test_runs_are_grouped_by_policy_role_and_knobs() -> None:
    runs = [
        made_run(seed=1), made_run(seed=2), made_run(seed=1, role=Role.SWEEP, knobs={"x": 1.0}),
        made_run(policy="kpa", seed=1), made_run(seed=2, role=Role.SWEEP, knobs={"x": 1.0}),
    ]  # fmt: skip
    assert [[run.seed for run in group] for group in by_setting(runs).values()] == [[1, 2], [1, 2], [1]]


def test_knobs_are_written_for_people() -> None:
    assert knob_text({"target": 0.5, "stabilization": None, "rule": "easy", "fixed": True}) == (
        "target=0.5, stabilization=none, rule=easy, fixed=True"
    )


def test_a_row_is_read_back_as_it_was_written() -> None:
    run = made_run(knobs={"target": 0.5, "rule": "easy", "fixed": True, "window": None})
    assert Run.model_validate_json(run.model_dump_json(by_alias=True)) == run
