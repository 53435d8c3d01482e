"""Python's judgement of the manifests that the API server judges too (test_crds_on_api_server.py)."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from flyball.api.crd import RESOURCES
from flyball.api.model import ApiModel
from flyball.api.parse import parse_resource, unknown_fields
from flyball.api.resource import Resource
from flyball.core.spec import FieldError

KINDS = {resource.names.kind: resource for resource in RESOURCES}


def parsed(text: str) -> Resource | tuple[FieldError, ...]:
    raw = yaml.safe_load(text)
    return parse_resource(KINDS[raw["kind"]], raw)


def test_accepts(accepted: Any) -> None:
    assert isinstance(parsed(accepted.text), Resource)


def test_accepted_manifests_have_no_unknown_field(accepted: Any) -> None:
    raw = yaml.safe_load(accepted.text)
    assert unknown_fields(KINDS[raw["kind"]], raw) == ()


def test_rejects_with_the_field_and_the_fix(rejected: Any) -> None:
    found = parsed(rejected.text)
    assert isinstance(found, tuple), "it was accepted"
    said = "\n".join(map(str, found))
    for fragment in rejected.python:
        assert fragment in said


def test_samples_parse_and_name_only_known_fields(sample: Path) -> None:
    raw = yaml.safe_load(sample.read_text(encoding="utf-8"))
    model = KINDS[raw["kind"]]
    assert isinstance(parse_resource(model, raw), model)
    assert unknown_fields(model, raw) == ()


def test_every_workload_type_has_a_sample() -> None:
    root = Path(__file__).parents[2] / "docs" / "samples"
    raw = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in root.glob("*.yaml")]
    shown = {each["spec"].get("workloadType") for each in raw}
    assert shown >= {"SupportBot", "Assistant", "Research", "Automation", "Batch"}


def models_under(model: type[BaseModel]) -> set[type[ApiModel]]:
    found: set[type[ApiModel]] = set()
    waiting: list[Any] = [model]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, ApiModel):
            if annotation not in found:
                found.add(annotation)
                waiting += [field.annotation for field in annotation.model_fields.values()]
        else:
            waiting += getattr(annotation, "__args__", ())
    return found


ALL_RULES = sorted(
    {(model.__name__, rule.message) for kind in RESOURCES for model in models_under(kind) for rule, _ in model.rules()}
)


@pytest.fixture(scope="module")
def broken_messages() -> set[str]:
    folder = Path(__file__).parent / "data" / "reject"
    refused = [parsed(path.read_text(encoding="utf-8")) for path in folder.glob("*.yaml")]
    return {f"{error.problem}; {error.fix}" for errors in refused if isinstance(errors, tuple) for error in errors}


@pytest.mark.parametrize("message", [pytest.param(message, id=f"{model}: {message}") for model, message in ALL_RULES])
def test_every_rule_has_a_manifest_that_breaks_it(message: str, broken_messages: set[str]) -> None:
    assert message in broken_messages
