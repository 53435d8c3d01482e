"""Reading objects as they come from the API server or a file: a model, or everything that is wrong with them.

Nothing here raises for a bad object. Unknown fields are ignored, as an older operator must read newer objects;
`unknown_fields` lists them for `flyball lint`.
"""

import difflib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flyball.api.model import BROKEN_RULES, DUPLICATE_ITEM, ApiModel
from flyball.api.resource import Resource
from flyball.api.scalars import BAD_TEXT
from flyball.api.v1alpha1 import WorkloadSLOStatus
from flyball.core.spec import FieldError

ResourceT = TypeVar("ResourceT", bound=Resource)


def parse_resource(model: type[ResourceT], raw: Mapping[str, Any]) -> ResourceT | tuple[FieldError, ...]:
    """The object without its status, or what is wrong with it, one error per field at least. Never raises.

    The status is left to `parse_status`: what an older or newer operator wrote there must not make a spec invalid.
    """
    try:
        return model.model_validate({k: v for k, v in raw.items() if k != "status"}, by_alias=True, by_name=False)
    except ValidationError as error:
        short_name = model.names.short_names[0]
        return tuple(found for details in _told(error) for found in _field_errors(details, short_name))


def parse_status(raw: Mapping[str, Any]) -> WorkloadSLOStatus:
    """The status of a raw WorkloadSLO; an empty one where there is none or it cannot be read. Never raises."""
    try:
        return WorkloadSLOStatus.model_validate(raw.get("status") or {}, by_alias=True, by_name=False)
    except ValidationError:
        return WorkloadSLOStatus()


def _told(error: ValidationError) -> list[ErrorDetails]:
    """pydantic's errors, less those of a list that is too short only because its items were refused."""
    found = error.errors(include_url=False)
    refused = [details["loc"] for details in found]
    return [
        details
        for details in found
        if details["type"] != "too_short"
        or not any(len(loc) > len(details["loc"]) and loc[: len(details["loc"])] == details["loc"] for loc in refused)
    ]


def _field_errors(details: ErrorDetails, short_name: str) -> Iterator[FieldError]:
    path = _path(details["loc"])
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    explain = f"see `kubectl explain {_without_indices(f'{short_name}.{path}')}`"
    if kind == BROKEN_RULES:
        for broken in context[BROKEN_RULES]:
            yield FieldError(path + broken.field, broken.problem, broken.fix)
    elif kind == BAD_TEXT:
        yield FieldError(path, f"{context['shown']} does not fit", context["expected"])
    elif kind == DUPLICATE_ITEM:
        yield FieldError(path, details["msg"], f"keep one item per {context['key']}")
    elif kind == "missing":
        yield FieldError(path, "the field is required", f"add it; {explain}")
    elif kind in {"enum", "literal_error"}:
        yield FieldError(path, f"{given!r:.80} is not known", _choose(str(given), str(context["expected"])))
    else:
        problem = details["msg"].replace("Tuple should", "the list should").replace("Input should", "the value should")
        yield FieldError(path, f"{problem}, not {given!r:.80}", explain)


def _choose(given: str, expected: str) -> str:
    """The fix for an unknown word: the nearest known one first, where one is near."""
    choices = [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(",")]
    near = nearest(given, choices)
    return f"did you mean {near}? Use one of {', '.join(choices)}" if near else f"use one of {', '.join(choices)}"


def nearest(word: str, choices: list[str]) -> str | None:
    """The choice that resembles the word most, None where none does."""
    by_lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def _without_indices(path: str) -> str:
    return ".".join(part.split("[", 1)[0] for part in path.split("."))


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that no model knows, and the known field that it may be meant for."""

    path: str
    meant: str | None

    def __str__(self) -> str:
        hint = f"; did you mean {self.meant}?" if self.meant else ""
        return f"{self.path}: unknown field, which the API server drops{hint}"


def unknown_fields(model: type[ApiModel], raw: Mapping[str, Any]) -> tuple[UnknownField, ...]:
    """Every field of a raw object that the model does not know, in order of appearance."""
    return tuple(_unknown(model, raw, ""))


def _unknown(model: type[BaseModel], raw: Mapping[str, Any], path: str) -> Iterator[UnknownField]:
    known = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    for name, value in raw.items():
        here = f"{path}.{name}" if path else str(name)
        if name not in known:
            yield UnknownField(here, nearest(str(name), list(known)))
            continue
        inner = _model_in(known[name])
        if inner is None:
            continue
        if isinstance(value, Mapping):
            yield from _unknown(inner, value, here)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield from _unknown(inner, item, f"{here}[{index}]")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `Annotated[tuple[Model, ...], …] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Annotated, Union, types.UnionType, tuple}:
        return next((found for argument in get_args(annotation) if (found := _model_in(argument))), None)
    return None
