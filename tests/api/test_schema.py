"""What pydantic generates is repaired into structural schemas, and what cannot be said is refused."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from flyball.api.crd import RESOURCES
from flyball.api.model import ApiModel, ListMap, ListSet, rule
from flyball.api.resource import Resource
from flyball.api.scalars import Int32
from flyball.api.schema import SchemaError, audit, structural_schema, unbounded

BY_KIND = [pytest.param(resource, id=resource.names.kind) for resource in RESOURCES]


@pytest.mark.parametrize("resource", BY_KIND)
def test_nothing_in_a_schema_is_refused_by_kubernetes(resource: type[Resource]) -> None:
    schema = structural_schema(resource)
    del schema["properties"]["metadata"]
    assert audit(schema) == []


@pytest.mark.parametrize("resource", BY_KIND)
def test_everything_in_a_spec_is_bounded_so_that_cel_can_reckon_its_cost(resource: type[Resource]) -> None:
    assert unbounded(structural_schema(resource)["properties"]["spec"]) == []


@pytest.mark.parametrize("resource", BY_KIND)
def test_every_field_is_described_and_none_leaks_markup(resource: type[Resource]) -> None:
    schema = structural_schema(resource)
    for part in ("spec", "status"):
        for path, node in _nodes(schema["properties"][part], part):
            assert node.get("description"), f"{path} has no description"
            assert "\n" not in node["description"], path


def _nodes(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, inner in schema.get("properties", {}).items():
        found += [(f"{path}.{name}", inner), *_nodes(inner, f"{path}.{name}")]
    if isinstance(schema.get("items"), dict):
        found += _nodes(schema["items"], f"{path}[]")
    return found


def test_only_what_a_user_must_see_is_defaulted_by_the_api_server() -> None:
    defaulted = {
        path.removeprefix("spec."): node["default"]
        for resource in RESOURCES
        for path, node in _nodes(structural_schema(resource)["properties"]["spec"], "spec")
        if "default" in node
    }
    assert defaulted == {
        "mode": "Recommend",
        "precedence": "SLO",
        "targets[].minReplicas": 1,
        "targets[].targetRef.apiVersion": "apps/v1",
        "targets[].targetRef.kind": "Deployment",
        "scaling.scaleToZero.wakeUp.fallbackTarget.apiVersion": "apps/v1",
        "scaling.scaleToZero.wakeUp.fallbackTarget.kind": "Deployment",
        "cost.ceilings[].enforcement": "Alert",
        "ceilings[].enforcement": "Alert",
        "roiTargets[].baseline": "Absolute",
        "telemetry.latencies[].histogram.unit": "Seconds",
        "telemetry.stages[].histogram.unit": "Seconds",
        "scaling.forecast.method": "Auto",
        "yieldRule.samePriority": "MarginalValue",
        "yieldRule.preemption": "HigherPriority",
        # All of an experiment is registered, what its owner left out among it.
        "design": "Switchback",
        "blockMinutes": 60,
        "washoutMinutes": 10,
        "minPairs": 12,
        "minDays": 7,
        "maxDays": 28,
        "confidence": "95%",
        "kpiGuards[].worseBy": "0%",
        "settleHours": 24,
    }


class Inner(ApiModel):
    """An inner object."""

    name: Annotated[str, Field(max_length=8)]
    """Its name."""


class Outer(ApiModel):
    """An object with everything that needs repair."""

    optional: Inner | None = None
    """May be
    absent."""
    one: Literal["only"] = "only"
    keyed: Annotated[tuple[Inner, ...], Field(max_length=3), ListMap("name")] = ()
    labels: dict[str, Annotated[str, Field(pattern="^a")]] = Field(default_factory=dict)
    words: Annotated[tuple[str, ...], ListSet()] = ()
    count: Annotated[Int32, Field(ge=1)] = 3

    @rule(cel="self.count < 10", field=".count", problem="count is too large", fix="write less than 10")
    def _small(self) -> bool:
        return self.count < 10


def test_repairs_what_pydantic_generates() -> None:
    name = {"description": "Its name.", "type": "string", "maxLength": 8}
    inner = {"description": "An inner object.", "type": "object", "required": ["name"], "properties": {"name": name}}
    assert structural_schema(Outer) == {
        "description": "An object with everything that needs repair.",
        "type": "object",
        "properties": {
            "optional": inner | {"description": "May be absent."},
            "one": {"type": "string", "default": "only", "enum": ["only"]},
            "keyed": {
                "type": "array",
                "maxItems": 3,
                "items": inner,
                "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-list-type": "map",
            },
            "labels": {"type": "object", "additionalProperties": {"type": "string", "pattern": "^a"}},
            "words": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "count": {"type": "integer", "format": "int32", "default": 3, "minimum": 1},
        },
        "x-kubernetes-validations": [
            {
                "rule": "self.count < 10",
                "message": "count is too large; write less than 10",
                "reason": "FieldValueInvalid",
                "fieldPath": ".count",
            }
        ],
    }
    assert unbounded(structural_schema(Outer)) == [".labels", ".labels{}", ".words", ".words[]"]


class Looped(ApiModel):
    """Contains itself."""

    inner: "Looped | None" = None


class Floating(ApiModel):
    """Holds a float."""

    ratio: float


class Either(ApiModel):
    """Holds one of two types."""

    port: int | str


class Strict(ApiModel):
    """Holds an exclusive bound."""

    size: Annotated[int, Field(gt=0)]


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        pytest.param(Looped, "Looped contains itself", id="a model that contains itself"),
        pytest.param(Floating, ".ratio: floats do not survive", id="a float"),
        pytest.param(Either, ".port: anyOf is not allowed", id="a union"),
        pytest.param(Strict, ".size: exclusiveMinimum is not allowed", id="an exclusive bound"),
    ],
)
def test_refuses_what_a_structural_schema_cannot_say(model: type[ApiModel], problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        structural_schema(model)
