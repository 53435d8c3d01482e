"""Values that fit an OpenAPI schema of a CRD, or nearly: seeded, and fast enough for hundreds of thousands.

Strings are made from their patterns. Now and then a node is replaced by something that nobody should send.
"""

from __future__ import annotations

import importlib
import math
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

_parser = importlib.import_module("re._parser")  # the standard library's, without the warning of its old name
Schema = dict[str, Any]

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**40, 1.5, -0.0, 1e308, math.nan, math.inf,
    "", " ", "\n", "\x00", "NaN", "-1", "1e9", "0", "100%", "0%", "1s1s1s", "99999999999999", "2026-02-30T00:00:00Z",
    "x" * 5000, "é" * 300, "🧨", "\u202e", "'; DROP TABLE x; --", '"} or vector(1) #', "{{ .Values }}", "../..", "%s%n",
    [], [[]], [None], {}, {"": {}}, {"a": [{"b": None}]},
)  # fmt: skip
"""Values that no field expects, and some that several do."""

_BAD_NODE, _MISSING, _UNKNOWN_FIELD = 0.004, 0.004, 0.01
_OPTIONAL = 0.35


def value(schema: Schema, dice: Random) -> Any:
    """Something for that schema; now and then not what it says."""
    if dice.random() < _BAD_NODE:
        return deepcopy(dice.choice(JUNK))
    if "enum" in schema:
        return dice.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            return _object(schema, dice)
        case "array":
            return _array(schema, dice)
        case "integer":
            return _integer(schema, dice)
        case "boolean":
            return dice.random() < 0.5
        case _:
            return _string(schema, dice)


def mutate(schema: Schema, found: Any, dice: Random) -> Any:
    """The value with one of its parts made anew, taken out or replaced by junk."""
    properties = schema.get("properties", {})
    if isinstance(found, dict) and properties and dice.random() < 0.85:
        name = dice.choice(sorted(properties))
        changed = dict(found)
        if name in changed and dice.random() < 0.1:
            del changed[name]
        elif name in changed:
            changed[name] = mutate(properties[name], changed[name], dice)
        else:
            changed[name] = value(properties[name], dice)
        return changed
    if isinstance(found, list) and found and isinstance(schema.get("items"), dict) and dice.random() < 0.85:
        index = dice.randrange(len(found))
        return [*found[:index], mutate(schema["items"], found[index], dice), *found[index + 1 :]]
    return deepcopy(dice.choice(JUNK)) if dice.random() < 0.1 else value(schema, dice)


def _object(schema: Schema, dice: Random) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    made: dict[str, Any] = {}
    for name, inner in schema.get("properties", {}).items():
        wanted = dice.random() >= _MISSING if name in required else dice.random() < _OPTIONAL
        if wanted:
            made[name] = value(inner, dice)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        names = ("model_name", "tenant", "Waiting", "Running", "Completions", "app", "é", "le", "__name__", "a b")
        for name in dice.sample(names, dice.randint(0, min(3, schema.get("maxProperties", 3)))):
            made[name] = value(more, dice)
    if dice.random() < _UNKNOWN_FIELD:
        made[dice.choice(("unknown", "", "__class__", "é"))] = deepcopy(dice.choice(JUNK))
    return made


def _array(schema: Schema, dice: Random) -> list[Any]:
    low, high = schema.get("minItems", 0), schema.get("maxItems", 8)
    count = high + 1 if dice.random() < 0.005 else dice.randint(low, min(high, low + 2))
    return [value(schema["items"], dice) for _ in range(count)]


def _integer(schema: Schema, dice: Random) -> int:
    low, high = int(schema.get("minimum", -(2**31))), int(schema.get("maximum", 2**31 - 1))
    if dice.random() < 0.1:
        return dice.choice((low, high))
    step = int(schema.get("multipleOf", 1))
    return dice.randint(low, min(high, low + 40 * step)) // step * step


def _string(schema: Schema, dice: Random) -> str:
    pattern, longest = schema.get("pattern"), int(schema.get("maxLength", 40))
    if pattern is None or pattern == r"\S":
        words = ("sum(rate(requests_total[1m]))", "chat", "NVIDIA-L4", "vector(1)", "é ü", "a" * longest)
        return dice.choice(words)[:longest]
    return _from(_parsed(pattern), dice)[:longest]


@cache
def _parsed(pattern: str) -> Any:
    return _parser.parse(pattern)


def _from(parsed: Any, dice: Random) -> str:
    return "".join(_piece(str(operator), argument, dice) for operator, argument in parsed)


def _piece(operator: str, argument: Any, dice: Random) -> str:
    match operator:
        case "LITERAL":
            return chr(argument)
        case "IN":
            return _of_set(argument, dice)
        case "MAX_REPEAT" | "MIN_REPEAT":
            low, high, inner = argument
            return "".join(_from(inner, dice) for _ in range(dice.randint(low, min(int(high), low + 3))))
        case "SUBPATTERN":
            return _from(argument[3], dice)
        case "BRANCH":
            return _from(dice.choice(argument[1]), dice)
        case "AT":
            return ""
        case _:
            return "x"


def _of_set(items: Any, dice: Random) -> str:
    operator, argument = dice.choice(items)
    if str(operator) == "RANGE":
        return chr(dice.randint(*argument))
    return chr(argument) if str(operator) == "LITERAL" else "x"
