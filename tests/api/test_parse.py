"""Reading raw objects: every error with its path and fix, unknown fields, and nothing that raises."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.api.parse import parse_resource, parse_status, unknown_fields
from flyball.api.v1alpha1 import PriceBook, WorkloadSLO, WorkloadSLOStatus
from flyball.core.spec import FieldError

FIVE_LINES: dict[str, Any] = {
    "apiVersion": "flyball.dev/v1alpha1",
    "kind": "WorkloadSLO",
    "metadata": {"name": "chat", "namespace": "default"},
    "spec": {"workloadType": "SupportBot", "targets": [{"targetRef": {"name": "chat"}, "maxReplicas": 8}]},
}


def with_spec(**fields: Any) -> dict[str, Any]:
    raw = copy.deepcopy(FIVE_LINES)
    raw["spec"] |= fields
    return raw


def errors(raw: dict[str, Any]) -> list[str]:
    found = parse_resource(WorkloadSLO, raw)
    assert isinstance(found, tuple)
    assert all(error.path and error.problem and error.fix for error in found)
    return [str(error) for error in found]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            with_spec(workloadType="Chatbot"),
            "spec.workloadType: 'Chatbot' is not known; use one of SupportBot, Assistant, Research, Automation, Batch",
            id="an unknown word lists the known ones",
        ),
        pytest.param(
            with_spec(mode="auto"),
            "spec.mode: 'auto' is not known; did you mean Auto? Use one of Auto, Recommend, Paused",
            id="a near miss names the nearest",
        ),
        pytest.param(
            with_spec(targets=[{"targetRef": {"name": "chat"}}]),
            "spec.targets[0].maxReplicas: the field is required; add it; "
            "see `kubectl explain wslo.spec.targets.maxReplicas`",
            id="a missing field says where it is explained",
        ),
        pytest.param(
            with_spec(value={"perRequest": -0.12}),
            "spec.value.perRequest: -0.12 (not a string) does not fit; "
            "write dollars as a quoted decimal string such as '2.50', without a sign",
            id="money as a number",
        ),
        pytest.param(
            with_spec(value={"perRequest": "1e3"}),
            "spec.value.perRequest: '1e3' does not fit; "
            "write dollars as a quoted decimal string such as '2.50', without a sign",
            id="money with an exponent",
        ),
        pytest.param(
            with_spec(targets=[{"targetRef": {"name": "chat"}, "maxReplicas": 8, "minReplicas": 9}]),
            "spec.targets[0].minReplicas: minReplicas is greater than maxReplicas; "
            "lower minReplicas or raise maxReplicas",
            id="a broken rule points at the field to change",
        ),
        pytest.param(
            with_spec(targets=[{"targetRef": {"name": "chat"}, "maxReplicas": True}]),
            "spec.targets[0].maxReplicas: the value should be a valid integer, not True; "
            "see `kubectl explain wslo.spec.targets.maxReplicas`",
            id="a boolean is no number",
        ),
        pytest.param(
            with_spec(targets=[]),
            "spec.targets: the list should have at least 1 item after validation, not 0, not []; "
            "see `kubectl explain wslo.spec.targets`",
            id="no target at all",
        ),
    ],
)
def test_errors_name_the_field_the_problem_and_the_fix(raw: dict[str, Any], expected: str) -> None:
    assert errors(raw) == [expected]


def test_all_errors_are_reported_at_once() -> None:
    raw = with_spec(
        mode="Automatic",
        objectives=[
            {"name": "a", "indicator": "EndToEnd", "threshold": "0s", "target": "100%"},
            {"name": "b", "indicator": "EndToEnd"},
        ],
    )
    assert [error.split(":")[0] for error in errors(raw)] == [
        "spec.mode",
        "spec.objectives[0].threshold",
        "spec.objectives[0].target",
        "spec.objectives[1].threshold",
    ]


def test_a_megabyte_of_text_is_refused_in_a_short_sentence() -> None:
    [error] = errors(with_spec(value={"perRequest": "1", "source": "x" * 1_000_000}))
    assert error.startswith("spec.value.source: ")
    assert len(error) < 300


def test_an_older_operator_reads_a_newer_object() -> None:
    parsed = parse_resource(WorkloadSLO, with_spec(inventedLater={"deep": [1]}))
    assert isinstance(parsed, WorkloadSLO)


def test_a_strange_status_does_not_make_a_spec_invalid() -> None:
    raw = with_spec() | {"status": {"conditions": "none", "lastDecision": 7}}
    assert isinstance(parse_resource(WorkloadSLO, raw), WorkloadSLO)
    assert parse_status(raw) == WorkloadSLOStatus()


def test_an_absent_status_is_an_empty_one() -> None:
    assert parse_status(FIVE_LINES) == WorkloadSLOStatus()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, [], id="nothing unknown"),
        pytest.param(
            {"objectivs": []},
            ["spec.objectivs: unknown field, which the API server drops; did you mean objectives?"],
            id="a typo",
        ),
        pytest.param(
            {"workload_type": "Batch"},
            ["spec.workload_type: unknown field, which the API server drops; did you mean workloadType?"],
            id="a Python spelling",
        ),
        pytest.param(
            {"targets": [{"targetRef": {"name": "chat"}, "maxReplicas": 8}, {"maxreplicas": 3, "zone": "a"}]},
            [
                "spec.targets[1].maxreplicas: unknown field, which the API server drops; did you mean maxReplicas?",
                "spec.targets[1].zone: unknown field, which the API server drops",
            ],
            id="inside a list",
        ),
        pytest.param(
            {"scaling": {"down": {"stabilisation": "5m"}}},
            ["spec.scaling.down.stabilisation: unknown field, which the API server drops; did you mean stabilization?"],
            id="two levels down",
        ),
        pytest.param({"telemetry": {"overrides": {"Anything": "x"}}}, [], id="keys of a map are no fields"),
        pytest.param({"scaling": "fast", "targets": 3}, [], id="values of the wrong type are left to validation"),
    ],
)
def test_unknown_fields_are_listed_with_the_nearest_known_one(fields: dict[str, Any], expected: list[str]) -> None:
    assert [str(field) for field in unknown_fields(WorkloadSLO, with_spec(**fields))] == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SPEC_FIELDS = sorted(
    {field.alias or name for name, field in WorkloadSLO.model_fields["spec"].annotation.model_fields.items()}  # type: ignore[union-attr]
)


@given(st.dictionaries(st.sampled_from(SPEC_FIELDS), JSON, max_size=4))
def test_no_spec_whatever_raises(fields: dict[str, Any]) -> None:
    raw = with_spec(**fields)
    found = parse_resource(WorkloadSLO, raw)
    assert isinstance(found, WorkloadSLO) or all(isinstance(error, FieldError) for error in found)
    unknown_fields(WorkloadSLO, raw)


@given(JSON)
def test_no_price_book_whatever_raises(spec: Any) -> None:
    found = parse_resource(PriceBook, {"kind": "PriceBook", "spec": spec})
    assert isinstance(found, PriceBook) or all(isinstance(error, FieldError) for error in found)
