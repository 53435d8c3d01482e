"""A part of `make fuzz`, the same inputs every time: nothing raises, and no decision breaks a law."""

from dataclasses import replace
from typing import Any

import pytest
from e2e.fuzz import laws
from e2e.fuzz.runner import KINDS, try_range

from flyball.core.decide import decide

INPUTS = {"specs": 400, "answers": 300, "routes": 4000, "outcomes": 4000, "pushes": 250}
SEED = 7


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_raises_and_no_decision_is_unsafe(kind: str) -> None:
    found = try_range(kind, SEED, 0, INPUTS[kind])
    again = "\n".join(
        f"python -m e2e.fuzz {kind} --seed {SEED} --only {n}\n{text}" for n, text in found.findings.items()
    )
    assert found.failed == 0, again
    assert sum(found.became.values()) == INPUTS[kind]
    assert len(found.became) > 1, "all inputs are of one sort: too easy"


def test_an_input_is_made_by_its_number_alone() -> None:
    whole, second = try_range("routes", SEED, 0, 40), try_range("routes", SEED, 20, 20)
    first = try_range("routes", SEED, 0, 20)
    first.add(second)
    assert (first.inputs, first.became) == (whole.inputs, whole.became)


@pytest.mark.parametrize("step", [pytest.param(-1, id="one fewer"), pytest.param(+1, id="one more")])
@pytest.mark.parametrize("kind", ["specs", "answers"])
def test_a_core_that_broke_its_laws_would_be_found(monkeypatch: pytest.MonkeyPatch, kind: str, step: int) -> None:
    def broken(*given: Any) -> Any:
        decision, memory = decide(*given)
        variants = tuple(replace(each, desired=each.desired + step) for each in decision.variants)
        return replace(decision, variants=variants), memory

    monkeypatch.setattr(laws, "decide", broken)
    assert try_range(kind, SEED, 0, 60).failed > 0
