"""A part of `make fuzz`, the same inputs every time: nothing raises, and no decision breaks a law."""

from dataclasses import replace
from typing import Any

import pytest
from e2e.fuzz import laws
from e2e.fuzz.runner import KINDS, try_range

from flyball.core.decide import decide

INPUTS = {"specs": 400, "answers": 300, "routes": 4000, "outcomes": 4000, "pushes": 250}
SORTS = {
    "specs": {"WorkloadSLO decided by", "WorkloadSLO refused", "PriceBook valid", "PriceBook refused"},
    "answers": {"bytes read", "bytes refused", "read and decided by"},
    "routes": {"moved and given back", "refused"},
    "outcomes": {"counted in a ledger", "read", "refused"},
    "pushes": {"taken", "some counted, some refused", *(f"refused with {status}" for status in (400, 401, 413))},
}
"""What inputs of each kind must have come to, some of them at least: else a part of the code is never tried."""
SEED = 7


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_raises_and_no_decision_is_unsafe(kind: str) -> None:
    found = try_range(kind, SEED, 0, INPUTS[kind])
    again = "\n".join(
        f"python -m e2e.fuzz {kind} --seed {SEED} --only {n}\n{text}" for n, text in found.findings.items()
    )
    assert found.failed == 0, again
    assert sum(found.became.values()) == INPUTS[kind]
    assert SORTS[kind] - found.became.keys() == set(), f"no input came to it: {found.became}"


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
