"""The curve of misses over load: its shape whatever it has seen, its prior by hand, and how it learns."""

import math

import numpy as np
import pytest
from core.cases import LAW
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.misses import (
    _LEAST_STEEP,
    _MOST_STEEP,
    FULL_LOAD,
    LARGEST_MOVE,
    OVERLOAD_STEEPNESS,
    PRIOR_SHARE,
    MissCurve,
    carried,
    learn,
    prior,
    replicas_for,
)

QUARTER_MINUTE = 15 / 3600
KNEE = math.log(1 / 19)

Lesson = tuple[float, float, float, float, float]
"""Load, replicas, share missed, requests, hours."""

slacks = st.sampled_from([0.5, 1.0, 2.0, 3.0, 5.0, 10.0, math.inf])
loads = st.floats(0.0, 3.0)
sizes = st.floats(1.0, 300.0)
lessons = st.lists(st.tuples(loads, sizes, st.floats(0.0, 1.0), st.floats(0.1, 1e6), st.floats(0.0, 24.0)), max_size=12)


def taught(slack: float, told: list[Lesson]) -> MissCurve:
    curve = prior(slack)
    for lesson in told:
        curve = learn(curve, *lesson)
    return curve


def share(curve: MissCurve, load: float, replicas: float) -> float:
    return float(curve.shares(np.array([load]), np.array([replicas]))[0])


def odds(curve: MissCurve, load: float, replicas: float) -> float:
    """The logarithm of the odds below the overload."""
    a, b, c = curve.terms
    return a + b * load + c * replicas**-0.75


class TestPrior:
    @pytest.mark.parametrize(
        ("slack", "replicas", "load"),
        [
            (math.inf, 1, 0.95),  # 0.95 × (1 - 0 - 0)
            (math.inf, 12, 0.95),
            (10.0, 1, 0.7103),  # 0.95 × (1 - 1/81 - 0.24)
            (10.0, 4, 0.8577),  # 0.95 × (1 - 1/81 - 0.24 / 2.828)
            (10.0, 12, 0.9029),  # 0.95 × (1 - 1/81 - 0.24 / 6.447)
            (5.0, 1, 0.4346),  # 0.95 × (1 - 1/16 - 0.48)
            (5.0, 4, 0.7294),  # 0.95 × (1 - 1/16 - 0.48 / 2.828)
            (5.0, 12, 0.8199),  # 0.95 × (1 - 1/16 - 0.48 / 6.447)
            (3.0, 4, 0.4438),  # 0.95 × (1 - 1/4 - 0.8 / 2.828)
            (3.0, 1, 0.01),  # 0.95 × (1 - 1/4 - 0.8) is less than nothing
        ],
    )
    def test_a_twentieth_misses_where_capacity_tests_say(self, slack: float, replicas: int, load: float) -> None:
        assert prior(slack).load_at(PRIOR_SHARE, replicas) == pytest.approx(load, abs=1e-4)

    @pytest.mark.parametrize("slack", [2.0, 1.0, 0.5, 0.0])
    def test_a_large_fleet_carries_some_load_within_any_threshold(self, slack: float) -> None:
        assert prior(slack).load_at(PRIOR_SHARE, 1e6) >= 0.95 * 0.2 - 0.001

    def test_misses_rise_e_fold_in_odds_over_a_twentieth_of_the_load(self) -> None:
        """From odds of 1 : 19 at 0.8577 to e : 19 at 0.9077, e² : 19 at 0.9577, all of four replicas."""
        curve = prior(10.0)
        assert share(curve, 0.8577, 4) == pytest.approx(1 / 20, abs=1e-4)
        assert share(curve, 0.9077, 4) == pytest.approx(math.e / (19 + math.e), abs=1e-3)

    def test_beyond_what_a_fleet_carries_everybody_is_late(self) -> None:
        """Odds of 1 : 19 at full load, times e⁴⁰ for each whole load more: at 1.15 that is e⁸ : 19, or 99.4%."""
        curve = prior()
        assert share(curve, FULL_LOAD, 1) == pytest.approx(0.05)
        assert share(curve, FULL_LOAD + 0.2, 1) == pytest.approx(math.exp(8) / (19 + math.exp(8)))


@LAW
@given(slack=slacks, told=lessons, load=loads, more=st.floats(0.0, 3.0), replicas=sizes)
def test_more_load_is_never_better(slack: float, told: list[Lesson], load: float, more: float, replicas: float) -> None:
    curve = taught(slack, told)
    assert share(curve, load, replicas) <= share(curve, load + more, replicas)


@LAW
@given(slack=slacks, told=lessons, load=loads, replicas=sizes, more=st.floats(0.0, 300.0))
def test_more_replicas_at_the_same_load_each_are_never_worse(
    slack: float, told: list[Lesson], load: float, replicas: float, more: float
) -> None:
    curve = taught(slack, told)
    assert share(curve, load, replicas + more) <= share(curve, load, replicas)


@LAW
@given(slack=slacks, told=lessons, wanted=st.floats(0.001, 0.05), replicas=sizes)
def test_load_at_is_where_that_share_misses(slack: float, told: list[Lesson], wanted: float, replicas: float) -> None:
    """Where the overload has not begun at that load; where it has, more miss."""
    curve = taught(slack, told)
    load = curve.load_at(wanted, replicas)
    a, b, c = curve.terms
    knee = max(FULL_LOAD, (KNEE - a - c * replicas**-0.75) / b)
    begun = KNEE + OVERLOAD_STEEPNESS * (load - knee) > odds(curve, load, replicas)
    found = share(curve, load, replicas)
    assert found == pytest.approx(wanted) if load > 0.01 and not begun else found >= wanted - 1e-9


@LAW
@given(slack=slacks, told=lessons)
def test_shares_of_many_are_the_shares_of_each(slack: float, told: list[Lesson]) -> None:
    curve = taught(slack, told)
    loads, sizes = np.linspace(0, 2, 5), np.array([[1.0], [4.0], [30.0]])
    table = curve.shares(loads, sizes)
    assert table.tolist() == [[share(curve, load, size) for load in loads] for size in sizes[:, 0]]


class TestLearning:
    @pytest.mark.parametrize(
        ("load", "missed", "sign"),
        [(0.5, 0.4, 1), (0.5, 0.0, 0), (0.9, 0.0, -1), (0.9, 0.5, 1), (1.3, 1.0, 0)],
    )
    def test_the_curve_comes_nearer_to_what_was_seen(self, load: float, missed: float, sign: int) -> None:
        """Of the prior with ten prefills' slack and four replicas, whose misses pass 5% at 0.86 and half at 1.0. What
        is as good as expected moves nothing.
        """
        before, after = prior(10.0), learn(prior(10.0), load, 4, missed, 30.0, QUARTER_MINUTE)
        assert np.sign(share(after, load, 4) - share(before, load, 4)) == sign

    def test_many_windows_settle_at_what_they_show(self) -> None:
        curve = prior(10.0)
        for _ in range(400):
            curve = learn(curve, 0.6, 4, 0.2, 30.0, QUARTER_MINUTE)
        assert share(curve, 0.6, 4) == pytest.approx(0.2, abs=0.02)
        assert share(curve, 0.6, 8) < 0.2 < share(curve, 0.7, 4)

    def test_an_overload_that_nobody_notices_is_none(self) -> None:
        """The capacity model was wrong by 1.3: what is thought to be carried is not where the queue grows."""
        curve = taught(10.0, [(1.3, 4, 0.0, 30.0, QUARTER_MINUTE)] * 100)
        assert share(prior(10.0), 1.3, 4) > 0.99
        assert share(curve, 1.3, 4) < 0.1

    def test_two_loads_teach_how_steeply_misses_rise(self) -> None:
        """4.5% at 0.5 and 26% at 0.7: odds e-fold for each tenth, half as steep as assumed. That at 0.5 is late already
        teaches where they rise, and that at 0.7 not all are, that they do so less steeply.
        """
        both, low = prior(10.0), prior(10.0)
        for _ in range(1000):
            both = learn(both, 0.5, 4, 0.045, 30.0, QUARTER_MINUTE)
            both = learn(both, 0.7, 4, 0.259, 30.0, QUARTER_MINUTE)
            low = learn(low, 0.5, 4, 0.045, 30.0, QUARTER_MINUTE)
        assert both.terms[1] < 0.95 * prior(10.0).terms[1]
        assert share(low, 0.5, 4) == pytest.approx(0.045, abs=0.01)
        assert share(both, 0.7, 4) == pytest.approx(0.259, abs=0.08)
        assert share(low, 0.7, 4) > share(both, 0.7, 4)

    def test_more_requests_teach_more_but_one_window_is_one_event(self) -> None:
        """A window's requests share their fate: ten count as ten, and a thousand as ten."""
        few, ten, many = (learn(prior(10.0), 0.8, 4, 0.03, n, QUARTER_MINUTE) for n in (2.0, 10.0, 1000.0))
        before, moved = share(prior(10.0), 0.8, 4), [share(c, 0.8, 4) for c in (few, ten, many)]
        assert before < moved[0] < moved[1] == moved[2]

    def test_hours_without_a_miss_keep_the_rise_in_sight(self) -> None:
        """Half of what is carried, four hours long: the curve stays as it was. Just below the rise, it moves away, but
        not farther than to where hardly anybody misses at the load that was seen.
        """
        idle = taught(10.0, [(0.5, 4, 0.0, 30.0, QUARTER_MINUTE)] * 960)
        assert idle.terms == pytest.approx(prior(10.0).terms)
        busy = taught(10.0, [(0.9, 4, 0.0, 30.0, QUARTER_MINUTE)] * 960)
        assert 0.001 < share(busy, 0.9, 4) < 0.02 < share(prior(10.0), 0.9, 4)
        assert 0.9 < busy.load_at(PRIOR_SHARE, 4) < 1.4

    def test_what_was_learned_fades_as_time_passes(self) -> None:
        """The same lesson, after a day of nothing, moves more than after a quarter of a minute."""
        sure = taught(10.0, [(0.8, 4, 0.1, 30.0, QUARTER_MINUTE)] * 200)
        soon, late = (learn(sure, 0.8, 4, 0.4, 30.0, hours) for hours in (QUARTER_MINUTE, 24.0))
        assert share(sure, 0.8, 4) < share(soon, 0.8, 4) < share(late, 0.8, 4)

    @pytest.mark.parametrize(
        ("load", "replicas", "requests"),
        [(math.nan, 4, 30), (math.inf, 4, 30), (-math.inf, 4, 30), (0.5, 0, 30), (0.5, -1, 30), (0.5, 4, 0)],
    )
    def test_garbage_teaches_nothing(self, load: float, replicas: float, requests: float) -> None:
        assert learn(prior(10.0), load, replicas, 0.5, requests, QUARTER_MINUTE) == prior(10.0)


@LAW
@given(slack=slacks, told=lessons)
def test_a_curve_stays_a_curve(slack: float, told: list[Lesson]) -> None:
    """Whatever it saw: finite terms, a rise, no harm from company, and a covariance that is one."""
    curve = taught(slack, told)
    a, b, c = curve.terms
    assert math.isfinite(a)
    assert 4.0 <= _LEAST_STEEP <= b <= _MOST_STEEP <= 60.0
    assert 0.0 <= c < math.inf
    covariance = np.array(curve.covariance).reshape(3, 3)
    assert (covariance == covariance.T).all()
    assert np.linalg.eigvalsh(covariance).min() > 0


@LAW
@given(slack=slacks, told=lessons, lesson=st.tuples(loads, sizes, st.floats(0.0, 1.0), st.floats(1, 1e6), st.just(0.1)))
def test_a_window_moves_the_curve_a_little_and_toward_itself(slack: float, told: list[Lesson], lesson: Lesson) -> None:
    """By a factor e in odds at most at its own load, as far as the terms' own bounds let it."""
    load, replicas, missed, _, _ = lesson
    before = taught(slack, told)
    after = learn(before, *lesson)
    was, seen = (min(0.99, max(0.01, found)) for found in (share(before, load, replicas), missed))
    moved = share(after, load, replicas) - share(before, load, replicas)
    assert moved * (seen - was) >= -1e-9
    if _LEAST_STEEP < after.terms[1] < _MOST_STEEP and after.terms[2] > 0.0:
        assert abs(odds(after, load, replicas) - odds(before, load, replicas)) <= LARGEST_MOVE + 1e-6


@LAW
@given(slack=slacks, told=lessons)
def test_the_same_lessons_teach_the_same(slack: float, told: list[Lesson]) -> None:
    assert taught(slack, told) == taught(slack, told)


@LAW
@given(
    slack=slacks,
    told=lessons,
    demand=st.floats(0.001, 500.0),
    each=st.floats(0.1, 20.0),
    most=st.integers(1, 400),
)
def test_the_fewest_replicas_that_carry_a_demand(
    slack: float, told: list[Lesson], demand: float, each: float, most: int
) -> None:
    curve = taught(slack, told)
    found = replicas_for(curve, demand, each, most)
    enough = [n for n in range(1, most + 1) if carried(curve, n, each) >= demand]
    assert found == (enough[0] if enough else most + 1)


@LAW
@given(slack=slacks, told=lessons, replicas=st.integers(1, 100), each=st.floats(0.1, 20.0))
def test_replicas_together_carry_no_more_than_alone_and_more_than_fewer(
    slack: float, told: list[Lesson], replicas: int, each: float
) -> None:
    curve = taught(slack, told)
    together = carried(curve, replicas, each)
    assert 0 < together <= replicas * each
    assert carried(curve, replicas + 1, each) > together


@pytest.mark.parametrize("demand", [0.0, -1.0])
def test_no_demand_needs_no_replica(demand: float) -> None:
    assert replicas_for(prior(10.0), demand, 5.0, 10) == 0


def test_no_replica_carries_nothing() -> None:
    assert carried(prior(10.0), 0, 5.0) == 0.0


def test_carried_by_hand() -> None:
    """Of 5 requests/s each, with ten prefills' slack: one carries 3.55, four 17.15, and never more than 5 each."""
    assert carried(prior(10.0), 1, 5.0) == pytest.approx(3.55, abs=0.01)
    assert carried(prior(10.0), 4, 5.0) == pytest.approx(4 * 5 * 0.8577, abs=0.01)
    late = MissCurve((-40.0, 20.0, 0.0), prior().covariance)
    assert carried(late, 4, 5.0) == 20.0
    assert replicas_for(prior(10.0), 17.0, 5.0, 10) == 4
    assert replicas_for(prior(10.0), 17.2, 5.0, 10) == 5
