import pytest

from flyball.core.memory import FallbackMemory
from flyball.core.names import FallbackState


@pytest.mark.parametrize(
    ("at", "share"),
    [
        pytest.param(100.0, 0.0, id="at the move the window has seen nothing of it"),
        pytest.param(115.0, 0.125, id="after a quarter of the window a quarter of 50%"),
        pytest.param(160.0, 0.5, id="after the window all of it"),
        pytest.param(90.0, 0.0, id="a clock that steps back counts as no time"),
    ],
)
def test_rates_over_a_window_have_missed_the_mean_share_of_that_window(at: float, share: float) -> None:
    moved = FallbackMemory(FallbackState.SHEDDING, share=0.5, since=100.0, moved_before=0.0, moved_at=100.0)
    assert moved.moved_over(at, 60.0) == pytest.approx(share)


def test_after_the_return_the_window_still_remembers_the_overflow() -> None:
    returned = FallbackMemory(since=100.0, moved_before=0.5, moved_at=100.0)
    assert [returned.moved_over(at, 60.0) for at in (100.0, 130.0, 160.0)] == pytest.approx([0.5, 0.25, 0.0])
