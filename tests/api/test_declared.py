"""Whatever a spec declares is acted on or named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flyball.api.declared import not_yet_acted_on
from flyball.api.parse import parse_resource
from flyball.api.v1alpha1 import WorkloadSLO, WorkloadSLOSpec

DATA = Path(__file__).parent / "data" / "accept"
TARGETS = [{"targetRef": {"name": "chat"}, "maxReplicas": 2}]
FALLBACK = {"routes": [{"httpRoute": "chat", "primary": "a", "fallback": "b"}]}


def spec(**fields: Any) -> WorkloadSLOSpec:
    return WorkloadSLOSpec.model_validate({"workloadType": "SupportBot", "targets": TARGETS} | fields)


COUNTED_BY_USERS = ("Timeouts", "RateLimits", "Retrieval", "Retries", "Fallbacks")


def objective(**fields: Any) -> dict[str, Any]:
    return {"name": "first", "indicator": "TimeToFirstToken", "threshold": "1s"} | fields


@pytest.mark.parametrize(
    ("declared", "paths"),
    [
        pytest.param({}, [], id="five lines are acted on entirely"),
        pytest.param({"priority": 5}, [], id="priority"),
        pytest.param({"shadow": ["hpa-queue"]}, [], id="shadow policies"),
        pytest.param(
            {"targets": [TARGETS[0] | {"capacityType": "Spot", "spotRisk": "20%"}]},
            [],
            id="spot risk",
        ),
        pytest.param({"telemetry": {"engine": "SGLang"}}, [], id="an engine"),
        pytest.param(
            {
                "telemetry": {
                    "gateway": "EnvoyAIGateway",
                    "selector": {"matchLabels": {"model": "m"}},
                    "segmentBy": ["tenant"],
                },
                "objectives": [
                    objective(segment={"tenant": "acme"}),
                    objective(indicator="QueueTime", name="queue", segment={"tenant": "acme"}),
                ],
            },
            ["spec.objectives[1]"],
            id="segments at a gateway, and what it has no metric for",
        ),
        pytest.param(
            {
                "telemetry": {"segmentBy": ["tenant"]},
                "objectives": [objective(segment={"tenant": "acme"}), objective(name="all")],
            },
            ["spec.telemetry.segmentBy", "spec.objectives[0]"],
            id="segments, with the objective that uses one",
        ),
        pytest.param(
            {
                "telemetry": {
                    "segmentBy": ["tenant"],
                    "latencies": [{"indicator": "EndToEnd", "span": {"service": "shop", "name": "answer"}}],
                },
                "objectives": [objective(indicator="EndToEnd", segment={"tenant": "acme"}), objective(name="all")],
            },
            [],
            id="segments of a latency that a gateway measures",
        ),
        pytest.param(
            {"telemetry": {"segmentBy": ["tenant"], "tokens": [{"count": "Requests", "query": "x[$window]"}]}},
            [],
            id="segments of requests that the user counts: their costs",
        ),
        pytest.param(
            {
                "telemetry": {"segmentBy": ["tenant"], "stages": [{"name": "Rerank", "query": "x"}]},
                "objectives": [
                    objective(),
                    objective(name="rerank", indicator="Stage", stage="Rerank", segment={"tenant": "acme"}),
                ],
            },
            ["spec.telemetry.segmentBy", "spec.objectives[1]"],
            id="a segment of a stage with a query of its own",
        ),
        pytest.param(
            {
                "telemetry": {"stages": [{"name": "Rerank", "query": "x"}]},
                "objectives": [objective(), objective(name="rerank", indicator="Stage", stage="Rerank")],
            },
            [],
            id="stages, with the objective on one",
        ),
        pytest.param({"objectives": [{"name": "up", "indicator": "Availability"}]}, [], id="how requests end"),
        pytest.param(
            {
                "telemetry": {"requestEvents": [{"event": "Responses", "query": "x[$window]"}]},
                "objectives": [
                    objective(),
                    *({"name": name.lower(), "indicator": name} for name in COUNTED_BY_USERS),
                ],
            },
            [f"spec.objectives[{index}]" for index in (3, 4, 5)],
            id="what no engine counts, and no query does either",
        ),
        pytest.param(
            {
                "telemetry": {"segmentBy": ["tenant"]},
                "objectives": [{"name": "up", "indicator": "Availability", "segment": {"tenant": "acme"}}],
            },
            ["spec.telemetry.segmentBy", "spec.objectives[0]", "spec.objectives"],
            id="only objectives that are not measured: the defaults that apply are named",
        ),
        pytest.param(
            {"cost": {"ceilings": [{"period": "Hour", "amount": "5", "enforcement": "Clamp"}]}},
            [],
            id="an hourly clamp",
        ),
        pytest.param({"cost": {"ceilings": [{"period": "Month", "amount": "5"}]}}, [], id="an alert on the month"),
        pytest.param(
            {
                "cost": {
                    "ceilings": [{"period": p, "amount": "5", "enforcement": "Clamp"} for p in ("Month", "Request")]
                }
            },
            ["spec.cost.ceilings[1].enforcement"],
            id="clamps on the month, which is paced, and on a request, which is not",
        ),
        pytest.param(
            {
                "value": {"perRequest": "1"},
                "roiTargets": [
                    {"name": "a", "metric": "ValueCostRatio", "amount": "3"},
                    {"name": "b", "metric": "CostPerRequest", "amount": "3"},
                ],
            },
            [],
            id="absolute ROI targets",
        ),
        pytest.param(
            {
                "value": {"kpis": [{"name": "done", "kind": "TaskCompletion", "query": "x", "valuePerOutcome": "1"}]},
                "roiTargets": [
                    {"name": "a", "metric": "ValueCostRatio", "amount": "3"},
                    {"name": "b", "metric": "CostPerRequest", "amount": "3", "baseline": "Recorded"},
                    {"name": "c", "metric": "KPI", "kpi": "done", "amount": "3"},
                    {"name": "d", "metric": "CostToServe", "amount": "3"},
                ],
            },
            [],
            id="ROI targets that need a KPI, a baseline or labour costs",
        ),
        pytest.param(
            {
                "value": {"kpis": [{"name": "done", "kind": "TaskCompletion"}]},
                "roiTargets": [{"name": "a", "metric": "ValueCostRatio", "amount": "3"}],
            },
            ["spec.roiTargets[0]"],
            id="a ratio of outcomes that are worth nothing",
        ),
        pytest.param({"fallback": FALLBACK | {"steps": ["10%", "50%"]}}, [], id="a fallback in steps"),
        pytest.param({"scaling": {"up": {"maxStep": 2}, "headroom": "20%"}}, [], id="scaling limits"),
        pytest.param(
            {
                "scaling": {
                    "scaleToZero": {"idleAfter": "30m"},
                    "forecast": {"method": "Seasonal", "horizon": "5m"},
                    "maxInsurance": "90%",
                    "disruption": {"minReady": "80%"},
                }
            },
            [f"spec.scaling.{name}" for name in ("forecast.method", "forecast.horizon", "disruption")],
            id="a forecast of one's own, and disruption limits",
        ),
    ],
)
def test_names_what_is_not_acted_on(declared: dict[str, Any], paths: list[str]) -> None:
    notes = not_yet_acted_on(spec(**declared))
    assert [note.path for note in notes] == paths
    assert all(note.sentence and str(note) == f"{note.path}: {note.sentence}" for note in notes)


def test_every_field_declared_at_once_gives_one_note_each() -> None:
    parsed = parse_resource(WorkloadSLO, yaml.safe_load((DATA / "every-field.yaml").read_text(encoding="utf-8")))
    assert isinstance(parsed, WorkloadSLO)
    paths = [note.path for note in not_yet_acted_on(parsed.spec)]
    assert len(paths) == len(set(paths))
    assert "spec.scaling.forecast.method" in paths
