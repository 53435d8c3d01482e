"""Power: more of it for larger effects and smaller scatter, none of it where the claim is just true."""

import pytest
from core.experiments import HOUR, plan

from flyball.core.evidence.experiment import Direction
from flyball.core.evidence.power import power

PLAN = plan(min_ms=0, max_ms=7 * 24 * HOUR)


def test_a_large_effect_is_shown_and_none_is_refuted() -> None:
    assert power(PLAN, -0.4, 0.1, 100).supported > 0.95
    assert power(PLAN, 0.0, 0.1, 100).refuted > 0.95


def test_an_effect_of_just_what_is_claimed_is_hardly_ever_decided() -> None:
    found = power(PLAN, -0.18, 0.1, 200)
    assert found.supported + found.refuted < 0.06
    assert found.pairs is None


def test_power_falls_with_scatter_and_the_pairs_that_it_takes_rise() -> None:
    found = [power(PLAN, -0.3, noise, 100) for noise in (0.05, 0.2, 0.6)]
    assert found[0].supported >= found[1].supported >= found[2].supported
    assert found[2].supported < 0.5
    assert (found[0].pairs or 0) <= (found[1].pairs or 0)


def test_no_verdict_comes_before_the_registered_pairs_and_time() -> None:
    assert power(PLAN, -0.6, 0.05, 50).pairs == 12
    assert power(plan(min_ms=4 * 24 * HOUR, max_ms=7 * 24 * HOUR), -0.6, 0.05, 50).pairs == 48


@pytest.mark.parametrize("noise", [pytest.param(0.1, id="normal"), pytest.param([0.1, -0.1, 0.02], id="of the past")])
def test_an_increase_mirrors_a_decrease(noise: float | list[float]) -> None:
    rise = plan(direction=Direction.INCREASE, by=0.2, min_ms=0, max_ms=7 * 24 * HOUR)
    found = power(rise, 0.6, noise, 50)
    assert (found.supported, found.most_pairs) == (1.0, 84)
