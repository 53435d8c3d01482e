"""pydantic's JSON schema repaired into the structural schema that Kubernetes accepts.

Absent instead of null, definitions inlined, OpenAPI's booleans for exclusive bounds, no titles, no keyword that the
API server refuses, and length limits wherever CEL needs them to bound its cost.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from typing_extensions import override

_DROPPED = ("title", "examples", "propertyNames", "patternProperties", "discriminator", "const")
FORBIDDEN = frozenset(
    {
        "$defs",
        "$ref",
        "allOf",
        "anyOf",
        "const",
        "definitions",
        "dependencies",
        "deprecated",
        "discriminator",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "id",
        "if",
        "not",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "readOnly",
        "title",
        "uniqueItems",
        "writeOnly",
    }
)
"""Keywords that must not stand in a generated schema: refused by structural schemas, or without use in ours."""


class SchemaError(Exception):
    """A model says something that a structural schema cannot."""


class _WithoutNull(GenerateJsonSchema):
    """Optional fields are absent, never null: null in a merge patch deletes."""

    @override
    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of a model, in its order of declaration. Raises SchemaError for what cannot be said."""
    generated = model.model_json_schema(by_alias=True, schema_generator=_WithoutNull)
    schema = _repair(generated, generated.get("$defs", {}), ())
    problems = audit(schema)
    if problems:
        raise SchemaError(f"{model.__name__} has no structural schema: " + "; ".join(problems))
    return schema


def _repair(node: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    reference = node.get("$ref")
    if reference is not None:
        name = str(reference).rsplit("/", 1)[-1]
        if name in path:
            raise SchemaError(f"{name} contains itself; structural schemas cannot be recursive")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _repair(definitions[name] | beside, definitions, (*path, name))
    repaired: dict[str, Any] = {}
    for key in _ordered(node):
        value = node[key]
        if key in _DROPPED or key == "$defs" or (key == "default" and value in (None, [], {})):
            continue
        if key == "properties":
            repaired[key] = {name: _repair(inner, definitions, path) for name, inner in value.items()}
        elif key == "items":
            repaired[key] = _repair(value, definitions, path)
        elif key == "additionalProperties":
            if isinstance(value, dict):
                repaired[key] = _repair(value, definitions, path)
        elif key == "description":
            repaired[key] = " ".join(str(value).split())
        else:
            repaired[key] = value
    if "const" in node:
        repaired.setdefault("enum", [node["const"]])
    return repaired


_ORDER = ("description", "type", "format", "enum", "default")


def _ordered(node: dict[str, Any]) -> list[str]:
    """Keys in a stable order that reads well: what it is, then its bounds, then its parts."""
    first = [key for key in _ORDER if key in node]
    parts = [key for key in ("required", "properties", "items", "additionalProperties") if key in node]
    rules = sorted(key for key in node if key.startswith("x-"))
    bounds = sorted(set(node) - set(first) - set(parts) - set(rules))
    return [*first, *bounds, *parts, *rules]


def audit(schema: dict[str, Any], path: str = "") -> list[str]:
    """Everything in a schema that a structural schema may not hold, as sentences with the path."""
    problems = [f"{path or '.'}: {key} is not allowed" for key in schema if key in FORBIDDEN]
    if "type" not in schema and not schema.get("x-kubernetes-int-or-string"):
        problems.append(f"{path or '.'}: type is missing")
    if isinstance(schema.get("type"), list):
        problems.append(f"{path or '.'}: type is a list")
    if schema.get("type") == "number":
        problems.append(f"{path or '.'}: floats do not survive clients; use a decimal string")
    if "properties" in schema and "additionalProperties" in schema:
        problems.append(f"{path or '.'}: properties and additionalProperties exclude each other")
    for name, inner in schema.get("properties", {}).items():
        problems += audit(inner, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(key), dict):
            problems += audit(schema[key], path + mark)
    return problems


def unbounded(schema: dict[str, Any], path: str = "") -> list[str]:
    """Paths of strings, lists and maps without a length limit: CEL would reckon them with the largest request."""
    limits = {"string": "maxLength", "array": "maxItems"}
    limit = limits.get(str(schema.get("type")))
    missing = limit is not None and limit not in schema and "enum" not in schema
    missing = missing or ("additionalProperties" in schema and "maxProperties" not in schema)
    found = [path] if missing else []
    for name, inner in schema.get("properties", {}).items():
        found += unbounded(inner, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(key), dict):
            found += unbounded(schema[key], path + mark)
    return found
