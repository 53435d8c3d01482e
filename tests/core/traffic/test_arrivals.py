import pytest
from core.cases import LAW, signals
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.memory import BacklogSample
from flyball.core.observation import ABSENT
from flyball.core.traffic.arrivals import backlog_of, estimate, remember


def samples(*pairs: tuple[float, float]) -> tuple[BacklogSample, ...]:
    return tuple(BacklogSample(at, requests) for at, requests in pairs)


@pytest.mark.parametrize(
    ("history", "completions", "smooth", "fast"),
    [
        pytest.param([(0, 10)], 2.0, 2.0, 2.0, id="one sample has no growth"),
        pytest.param(
            [(0, 10), (45, 40), (60, 70)], 2.0, 3.0, 3.0, id="2 + 60/60 = 3 smooth, 2 + 30/15 − chance 2√(2/8) = 3 fast"
        ),
        pytest.param(
            [(0, 70), (45, 40), (60, 10)], 2.0, 1.0, 0.0, id="draining: 2 − 1 = 1 smooth, 2 − 2 = 0 fast, never less"
        ),
        pytest.param([(0, 5), (45, 5), (60, 8)], 2.0, 2.05, 2.0, id="three in 15 s are chance at 2 requests/s"),
        pytest.param([(0, 0), (3, 30)], 2.0, 2.0, 2.0, id="three seconds are too short to call it growth"),
        pytest.param([(0, 0), (5, 30)], 2.0, 8.0, 7.0, id="five are not: 2 + 30/5, chance 1 less if fast"),
    ],
)
def test_arrivals_are_completions_plus_growth(
    history: list[tuple[float, float]], completions: float, smooth: float, fast: float
) -> None:
    found = estimate(samples(*history), completions, 60.0)
    assert (found.smooth, found.fast, found.demand) == pytest.approx((smooth, fast, max(smooth, fast)))
    assert found.backlog == history[-1][1]


def test_the_backlog_is_what_runs_and_waits_in_all_variants() -> None:
    assert backlog_of((signals(running=4.0, waiting=3.0), signals("b", running=2.0, waiting=0.0))) == 9.0


def test_a_variant_that_reports_half_makes_the_backlog_unknown() -> None:
    assert backlog_of((signals(), signals("b", running=ABSENT))) is None
    assert backlog_of((signals(running=ABSENT, waiting=ABSENT),)) is None


def test_a_variant_that_reports_nothing_is_left_out() -> None:
    assert backlog_of((signals(running=4.0, waiting=3.0), signals("b", running=ABSENT, waiting=ABSENT))) == 7.0


def test_a_repeated_time_changes_nothing() -> None:
    known = samples((0, 1), (15, 2))
    assert remember(known, 15.0, 9.0, 60.0) == known


@LAW
@given(st.lists(st.floats(1.0, 400.0), max_size=40))
def test_history_covers_the_window_and_one_sample_before_it(steps: list[float]) -> None:
    known: tuple[BacklogSample, ...] = ()
    at = 0.0
    for step in steps:
        at += step
        known = remember(known, at, step, 60.0)
        assert known[-1].at == at
        assert all(sample.at >= at - 60.0 for sample in known[1:])
