"""How long the last replica is worth keeping, by cases reckoned by hand."""

import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.keepalive import FEWEST_GAPS, MARGIN, keep_for


@pytest.mark.parametrize(
    ("gaps", "least", "start", "wait", "expected"),
    [
        pytest.param((), 60.0, 120.0, 30.0, 150.0, id="nothing known: for as long as a new one would cost"),
        pytest.param((), 1800.0, 120.0, 30.0, 1800.0, id="but for as long as the user asks at least"),
        pytest.param((3600.0,) * 4, 60.0, 120.0, 30.0, 150.0, id="four gaps are too few to go by"),
        # Let go after 60 s: 5 × (60 + 150) = 1050. Kept through all: 500; beyond 100 + 150 it is another kind.
        pytest.param((100.0,) * 5, 60.0, 120.0, 30.0, 250.0, id="gaps shorter than a start: kept through them"),
        # Let go after 60 s: 5 × 210 = 1050 against 5 × 3600.
        pytest.param((3600.0,) * 5, 60.0, 120.0, 30.0, 60.0, id="long gaps: let go at once"),
        # After 60 s: 6 × 210 = 1260. After 99 s: 5 × 90 + 249 = 699. Kept through all: 450 + 3600.
        pytest.param((90.0,) * 5 + (3600.0,), 60.0, 120.0, 30.0, 99.0, id="through the short ones, not the long one"),
        # After 60 s: 5 × 1260 = 6300. Kept through all: 5 × 1000.
        pytest.param((1000.0,) * 5, 60.0, 120.0, 1080.0, 2200.0, id="a dear wait: kept through longer gaps"),
    ],
)
def test_how_long_to_keep(gaps: tuple[float, ...], least: float, start: float, wait: float, expected: float) -> None:
    assert keep_for(gaps, least, start, wait) == pytest.approx(expected)


@LAW
@given(
    st.lists(st.floats(1, 1e5), max_size=30),
    st.floats(1, 1e4),
    st.floats(0, 1e3),
    st.floats(0, 1e4),
)
def test_no_fixed_time_was_cheaper_by_more_than_the_margin(
    gaps: list[float], least: float, start: float, wait: float
) -> None:
    def cost(keep: float) -> float:
        return sum(min(gap, keep) + (start + wait if gap > keep else 0.0) for gap in gaps)

    kept = keep_for(gaps, least, start, wait)
    assert kept >= least
    if len(gaps) >= FEWEST_GAPS:
        others = (least, *(max(least, gap) for gap in gaps), max(least, *gaps))
        assert all(cost(kept) <= (MARGIN + 1e-6) * cost(other) for other in others)
