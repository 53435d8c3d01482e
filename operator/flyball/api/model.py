"""The machinery under every resource model: camelCase names, lists keyed like Kubernetes', and rules said twice.

A rule is one method that holds in Python and carries the CEL expression that says the same to the API server.
`tests/api/data` runs both sides on the same manifests.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel, to_snake
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_RULE_ATTRIBUTE = "__flyball_rule__"
BROKEN_RULES = "broken_rules"
DUPLICATE_ITEM = "duplicate_item"


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold for an object beyond its fields' types.

    `cel` is the expression for the API server, `field` the path of the field to change (`.maxReplicas`), empty for
    the object itself. `problem` names what is wrong and `fix` what to write instead. `reason` is never
    FieldValueDuplicate: the API server answers that one without the message.
    """

    cel: str
    field: str
    problem: str
    fix: str
    reason: str

    @property
    def message(self) -> str:
        """The sentence that the API server answers with."""
        return f"{self.problem}; {self.fix}"

    def as_validation(self) -> dict[str, str]:
        """The rule as an entry of `x-kubernetes-validations`."""
        validation = {"rule": self.cel, "message": self.message, "reason": self.reason}
        return validation | ({"fieldPath": self.field} if self.field else {})


_M = TypeVar("_M", bound="ApiModel")


def rule(
    *, cel: str, problem: str, fix: str, field: str = "", reason: str = "FieldValueInvalid"
) -> Callable[[Callable[[_M], bool]], Callable[[_M], bool]]:
    """Mark a method as the Python twin of a CEL rule: it returns whether the rule holds."""

    def mark(holds: Callable[[_M], bool]) -> Callable[[_M], bool]:
        setattr(holds, _RULE_ATTRIBUTE, Rule(cel, field, problem, fix, reason))
        return holds

    return mark


class ApiModel(BaseModel):
    """An object of the API. Unknown fields are ignored, so that an older operator can read newer objects."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    @classmethod
    def rules(cls) -> Iterator[tuple[Rule, Callable[[Any], bool]]]:
        """The model's own rules, in the order of declaration, each with its Python twin."""
        for attribute in vars(cls).values():
            found = getattr(attribute, _RULE_ATTRIBUTE, None) if inspect.isfunction(attribute) else None
            if isinstance(found, Rule):
                yield found, attribute

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken = [rule for rule, holds in self.rules() if not holds(self)]
        if broken:
            text = " · ".join(rule.message for rule in broken).replace("{", "(").replace("}", ")")
            raise PydanticCustomError(BROKEN_RULES, text, {BROKEN_RULES: broken})
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        validations = [rule.as_validation() for rule, _ in cls.rules()]
        if validations:
            handler.resolve_ref_schema(described)["x-kubernetes-validations"] = validations
        return described

    def to_wire(self) -> dict[str, Any]:
        """The object as JSON-ready data in the API's names; what is not set is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True, slots=True)
class ListMap:
    """A list of objects that Kubernetes merges by one key, which must be unique in it."""

    key: str

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check_unique, handler(source))

    def _check_unique(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        _refuse_duplicates([str(getattr(item, to_snake(self.key))) for item in items], self.key)
        return items

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}


@dataclass(frozen=True, slots=True)
class ListSet:
    """A list of scalars in which each may stand once."""

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check_unique, handler(source))

    @staticmethod
    def _check_unique(items: tuple[Any, ...]) -> tuple[Any, ...]:
        _refuse_duplicates([str(item) for item in items], "value")
        return items

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"x-kubernetes-list-type": "set"}


def _refuse_duplicates(values: list[str], key: str) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise PydanticCustomError(
            DUPLICATE_ITEM,
            "Duplicate value: more than one item with {key} {values}",
            {"key": key, "values": ", ".join(repeated)},
        )
