"""WorkloadSLOs: whatever is declared is a spec or says what is wrong, and what is decided by it keeps the laws."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml
from e2e.fuzz import laws, sights
from e2e.fuzz.schema import mutate, value
from e2e.story.kit import REPOSITORY

from flyball.api.convert import read_workload
from flyball.api.crd import RESOURCES, custom_resource_definition
from flyball.api.parse import parse_resource, unknown_fields
from flyball.api.v1alpha1 import PriceBook, WorkloadSLO
from flyball.core.memory import Memory
from flyball.core.spec import Invalid
from flyball.runtime import status

if TYPE_CHECKING:
    from random import Random

START, TICK = 1_767_960_000.0, 15.0
TICKS = 3
METADATA = {"namespace": "team", "name": "chat", "uid": "u", "generation": 1}
CORPUS = (REPOSITORY / "docs" / "samples", REPOSITORY / "tests" / "api" / "data" / "accept")


def try_one(dice: Random) -> str:
    """One object of a kind of the group; says what became of it."""
    resource = WorkloadSLO if dice.random() < 0.7 else dice.choice(RESOURCES)
    raw = _raw(resource.names.kind, dice)
    json.dumps([str(each) for each in unknown_fields(resource, raw)])
    if resource is not WorkloadSLO:
        parsed = parse_resource(resource, raw)
        if isinstance(parsed, resource):
            return f"{resource.names.kind} valid"
        assert isinstance(parsed, tuple)
        assert all(error.problem and error.fix for error in parsed), "a refusal without a fix"
        return f"{resource.names.kind} refused"
    spec = read_workload(raw, _books())
    if isinstance(spec, Invalid):
        assert spec.errors
        assert all(error.problem and error.fix for error in spec.errors), "a refusal without a fix"
        json.dumps(status.render_invalid(spec, START, (), {}), allow_nan=False)
        return "WorkloadSLO refused"
    memory = Memory()
    for tick in range(TICKS):
        memory = laws.decided(spec, sights.observation(spec, START + tick * TICK, dice), memory)[1]
    return "WorkloadSLO decided by"


def _raw(kind: str, dice: Random) -> dict[str, Any]:
    schema = _schemas()[kind]
    corpus = _corpus().get(kind)
    if corpus and dice.random() < 0.7:
        spec = dice.choice(corpus)
        for _ in range(dice.choice((1, 1, 2, 4))):
            spec = mutate(schema, spec, dice)
    else:
        spec = value(schema, dice)
    return {"apiVersion": "flyball.dev/v1alpha1", "kind": kind, "metadata": dict(METADATA), "spec": _on_the_wire(spec)}


def _on_the_wire(found: Any) -> Any:
    """As JSON brings it: nothing that is not finite."""
    if isinstance(found, float) and not math.isfinite(found):
        return str(found)
    if isinstance(found, dict):
        return {str(name): _on_the_wire(each) for name, each in found.items()}
    return [_on_the_wire(each) for each in found] if isinstance(found, list) else found


@cache
def _schemas() -> dict[str, Any]:
    definitions = [custom_resource_definition(resource)["spec"] for resource in RESOURCES]
    return {
        each["names"]["kind"]: each["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        for each in definitions
    }


@cache
def _corpus() -> dict[str, list[Any]]:
    """Specs that people write, by kind."""
    found: dict[str, list[Any]] = {}
    for path in sorted(path for folder in CORPUS for path in folder.glob("*.yaml")):
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if each and "spec" in each:
                found.setdefault(each["kind"], []).append(each["spec"])
    return found


@cache
def _books() -> dict[str, PriceBook]:
    path = CORPUS[0] / "pricebook.yaml"
    raw = next(each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each["kind"] == "PriceBook")
    parsed = parse_resource(PriceBook, raw)
    assert isinstance(parsed, PriceBook)
    return {str(raw["metadata"]["name"]): parsed}
