"""The smallest constant fleet, against trying them all."""

from dataclasses import replace

import pytest
from lab.bounds.test_plan import GAME, LOOSE

from flyball.lab.bounds.program import Infeasible
from flyball.lab.bounds.static_peak import holds, static_peak
from flyball.lab.generate import open_trace
from flyball.lab.policies.model import Objective

OTHER = replace(GAME, trace=open_trace("generate:conversation?rate=4&duration=20m&burst=0.5&seed=2"), seed=4)


@pytest.mark.parametrize("games", [pytest.param([GAME], id="one seed"), pytest.param([GAME, OTHER], id="two, pooled")])
def test_it_is_the_smallest_that_holds(games: list) -> None:
    told: list[str] = []
    found = static_peak(games, LOOSE, 120.0, told.append)
    assert found == next(n for n in range(1, 61) if holds(games, n, LOOSE, 120.0))
    assert any(text == f"static-peak: {found} replicas meet the objectives" for text in told)
    assert any(text == f"static-peak: {found - 1} replicas miss the objectives" for text in told)


def test_it_is_no_fewer_than_the_least() -> None:
    fleet = replace(GAME.variants[0], min_replicas=20)
    assert static_peak([replace(GAME, variants=(fleet,))], LOOSE, 120.0) == 20


def test_what_even_the_most_cannot_meet_is_a_fault() -> None:
    with pytest.raises(Infeasible, match="not even 60 constant replicas meet the objectives"):
        static_peak([GAME], (Objective("TimeToFirstToken", 0.01, 0.95),), 120.0)
