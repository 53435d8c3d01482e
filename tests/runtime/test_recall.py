"""What routes say of a predecessor that died while it moved them: what it had begun goes on, and nothing goes back."""

import pytest
from core.cases import route, spec

from flyball.core.memory import FallbackMemory, Memory
from flyball.core.names import FallbackState
from flyball.core.observation import RouteState, WorkloadState
from flyball.core.spec import Fallback, FallbackRoute
from flyball.runtime.recall import as_found

ALIKE = Fallback((FallbackRoute("a", "chat", "hosted"), FallbackRoute("b", "chat", "hosted")))
TIERS = Fallback((FallbackRoute("a", "chat", "hosted", order=0), FallbackRoute("b", "chat", "hosted", order=1)))


def moved(part: int) -> RouteState:
    """A route of which Flyball's weights send so many percent to the fallback; none where it was given back."""
    if not part:
        return route()
    weights = (100 - part, part)
    return route(primary_weight=weights[0], fallback_weight=part, original_weights=(100, 0), applied_weights=weights)


def told(percent: float) -> FallbackMemory:
    """What the predecessor's status said of all traffic."""
    if not percent:
        return FallbackMemory()
    share = percent / 100
    return FallbackMemory(FallbackState.SHEDDING, level=share, share=share, since=1.0)


@pytest.mark.parametrize(
    ("declared", "said", "found", "level", "state"),
    [
        pytest.param(ALIKE, 0, (25, 0), 0.25, FallbackState.SHEDDING, id="the first of two had been moved"),
        pytest.param(ALIKE, 25, (50, 25), 0.5, FallbackState.SHEDDING, id="the first of two had been moved further"),
        pytest.param(ALIKE, 50, (25, 50), 0.25, FallbackState.SHEDDING, id="the first of two had gone a step back"),
        pytest.param(ALIKE, 25, (0, 25), 0.0, FallbackState.PRIMARY, id="the first of two had been given back"),
        pytest.param(ALIKE, 25, (25, 25), 0.25, FallbackState.SHEDDING, id="both are as the status says"),
        pytest.param(ALIKE, 20, (10, 30), 0.2, FallbackState.SHEDDING, id="unlike, as the status says"),
        pytest.param(ALIKE, 0, (100, 100), 1.0, FallbackState.FALLBACK, id="all had been moved and nothing was said"),
        pytest.param(ALIKE, 25, (0, 0), 0.0, FallbackState.PRIMARY, id="both had been given back"),
        pytest.param(TIERS, 25, (100, 50), 0.75, FallbackState.SHEDDING, id="the higher order had begun"),
        pytest.param(TIERS, 75, (100, 0), 0.5, FallbackState.SHEDDING, id="the higher order had been given back"),
        pytest.param(TIERS, 0, (60, 0), 0.3, FallbackState.SHEDDING, id="only the lower order is meant"),
    ],
)
def test_what_had_begun_goes_on(
    declared: Fallback, said: int, found: tuple[int, int], level: float, state: FallbackState
) -> None:
    memory = Memory(fallback=told(said))
    seen = WorkloadState(routes=tuple(map(moved, found)))
    kept = as_found(memory, spec(fallback=declared), seen, 100.0).fallback
    assert (kept.level, kept.state) == (pytest.approx(level), state)


def test_a_route_that_is_left_to_give_back_is_not_taken_for_one_that_was_moved() -> None:
    kept = as_found(Memory(fallback=told(25)), spec(fallback=ALIKE), WorkloadState(routes=(moved(0), moved(25))), 100.0)
    assert kept.fallback.since > 0
    assert kept.fallback.returned_at == 100.0
