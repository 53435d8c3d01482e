"""The autoscaler's windows, limits and bounds, in both branches, worked by hand from the source's rules."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.fleet.model import ReplicaCounts
from flyball.lab.policies.hpa import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    Behavior,
    Hpa,
    HpaSpec,
    HpaState,
    RateLimit,
    ScalingRules,
    Select,
    Unit,
    combine,
    down_limit,
    recommend,
    up_limit,
)
from flyball.lab.policies.hpa_metrics import ExternalAverage, Scale, milli

PLAIN = HpaSpec(1, 100)
BEHAVED = HpaSpec(1, 100, Behavior())


def ask(value: int | None) -> list[ExternalAverage]:
    """A metric that asks for `value` replicas (None: fails)."""
    return [ExternalAverage(1000, None if value is None else milli(value))]


def play(spec: HpaSpec, replicas: int, asks: list[int | None], period: float = 15.0) -> list[int]:
    """The replicas after each reconciliation, when pods follow at once."""
    state, counts = HpaState(), []
    for index, each in enumerate(asks):
        state, replicas = recommend(spec, state, Scale(replicas, replicas, replicas), ask(each), index * period)
        counts.append(replicas)
    return counts


@pytest.mark.parametrize(
    ("spec", "replicas", "asks", "expected"),
    [
        pytest.param(PLAIN, 1, [50, 50, 50, 50, 50], [4, 8, 16, 32, 50], id="plain: four, then doubled"),
        pytest.param(BEHAVED, 1, [50, 50, 50, 50, 50], [5, 10, 20, 40, 50], id="behavior: four more, then doubled"),
        pytest.param(PLAIN, 8, [2, 2, 2], [8, 8, 8], id="plain: down waits for the window"),
        pytest.param(PLAIN, 8, [None, 2, None], [8, 8, 8], id="a failed metric changes nothing"),
        pytest.param(HpaSpec(3, 9), 20, [1], [9], id="above the bounds: at once, whatever the metric"),
        pytest.param(HpaSpec(3, 9), 1, [1], [3], id="below the bounds"),
        pytest.param(HpaSpec(3, 9), 5, [50], [9], id="asked beyond the bounds"),
        pytest.param(PLAIN, 0, [50, 50], [0, 0], id="never wakes from zero"),
        pytest.param(HpaSpec(0, 9), 0, [2], [2], id="unless its least is zero"),
        pytest.param(PLAIN, 10, [11, 9], [10, 10], id="single steps at ten are within the tolerance"),
    ],
)
def test_sequences(spec: HpaSpec, replicas: int, asks: list[int | None], expected: list[int]) -> None:
    assert play(spec, replicas, asks) == expected


def steps_until_down(spec: HpaSpec) -> int:
    counts = play(spec, 8, [2] * 30)
    return next(index for index, each in enumerate(counts) if each < 8)


def test_the_initial_count_is_the_first_recommendation_and_holds_a_window() -> None:
    # Recorded at 0 s: exactly 300 s later it still counts without behavior, no longer with it.
    assert steps_until_down(PLAIN) == 21
    assert steps_until_down(BEHAVED) == 20


def test_windows_hold_raw_recommendations() -> None:
    # Asked once for 90 but limited to 16: the 90 still holds every step down for the window.
    spec = HpaSpec(1, 100, Behavior(down=replace(DEFAULT_DOWN, stabilization_seconds=60.0)))
    assert play(spec, 8, [90, 4, 4, 4, 4, 4]) == [16, 16, 16, 16, 4, 4]


def test_without_behavior_an_old_peak_even_drives_up() -> None:
    # The greatest of the window is the recommendation itself: an ask of 90 keeps doubling after it has gone.
    assert play(PLAIN, 8, [90, 4, 4]) == [16, 32, 64]


def test_the_up_window_takes_the_least() -> None:
    spec = HpaSpec(1, 100, Behavior(up=replace(DEFAULT_UP, stabilization_seconds=45.0)))
    assert play(spec, 4, [8, 6, 8, 7]) == [4, 4, 4, 6]


def test_both_windows_apply_at_once() -> None:
    # Low 4 (least of the up window), high 6: five lies between them and stays, whatever the direction asked.
    spec = HpaSpec(
        1,
        100,
        Behavior(replace(DEFAULT_UP, stabilization_seconds=300.0), replace(DEFAULT_DOWN, stabilization_seconds=300.0)),
    )
    state = HpaState(recommendations=((0.0, 4), (15.0, 6)))
    assert recommend(spec, state, Scale(5, 5, 5), ask(20), 30.0)[1] == 5
    assert recommend(spec, state, Scale(5, 5, 5), ask(1), 30.0)[1] == 5


PODS_2_60 = RateLimit(Unit.PODS, 2, 60.0)
HALF_60 = RateLimit(Unit.PERCENT, 50, 60.0)


@pytest.mark.parametrize(
    ("limits", "select", "state", "up", "down"),
    [
        pytest.param((PODS_2_60,), Select.MAX, HpaState(), 9, 5, id="two pods"),
        pytest.param((HALF_60,), Select.MAX, HpaState(), 11, 3, id="half of seven: up rounds up, down cuts"),
        pytest.param((PODS_2_60, HALF_60), Select.MAX, HpaState(), 11, 3, id="the one that allows most"),
        pytest.param((PODS_2_60, HALF_60), Select.MIN, HpaState(), 9, 5, id="the one that allows least"),
        pytest.param((PODS_2_60,), Select.DISABLED, HpaState(), 7, 7, id="disabled"),
        pytest.param((PODS_2_60,), Select.MAX, HpaState(added=((70.0, 2),)), 7, 3, id="two added within the minute"),
        pytest.param((PODS_2_60,), Select.MAX, HpaState(removed=((70.0, 2),)), 11, 7, id="two removed within it"),
        pytest.param((PODS_2_60,), Select.MAX, HpaState(added=((40.0, 2),)), 9, 5, id="exactly a minute ago: not"),
        pytest.param((PODS_2_60,), Select.MAX, HpaState(added=((70.0, 5),)), 7, 0, id="never below what there is"),
    ],
)
def test_rate_limits_at_seven_replicas(
    limits: tuple[RateLimit, ...], select: Select, state: HpaState, up: int, down: int
) -> None:
    rules = ScalingRules(limits, 0.0, select)
    assert up_limit(rules, state, 7, 100.0) == up
    assert down_limit(rules, state, 7, 100.0) == down


def test_all_steps_of_the_period_count() -> None:
    up = ScalingRules((RateLimit(Unit.PODS, 4, 60.0),), 0.0)
    assert play(HpaSpec(1, 100, Behavior(up=up)), 1, [3, 5, 50, 50, 50]) == [3, 5, 5, 5, 7]


def test_a_step_replaces_one_that_the_other_direction_still_counted() -> None:
    rules = ScalingRules((RateLimit(Unit.PODS, 9, 15.0),), 0.0)
    spec = HpaSpec(1, 100, Behavior(rules, ScalingRules((PODS_2_60,), 0.0)))
    state = HpaState(added=((0.0, 5), (20.0, 1)))
    state, replicas = recommend(spec, state, Scale(10, 10, 10), ask(12), 50.0)
    assert state.added == ((0.0, 5), (50.0, 2))
    # The one that stayed still counts for steps down within its minute.
    assert replicas == 12
    assert down_limit(spec.behavior.down, state, 12, 59.0) == 12 - 7 - 2


def test_a_pod_in_two_minutes() -> None:
    down = ScalingRules((RateLimit(Unit.PODS, 1, 120.0),), 0.0)
    counts = play(HpaSpec(1, 100, Behavior(down=down)), 6, [1] * 20)
    assert counts[:9] == [5] * 8 + [4]
    assert counts[16] == 3


@pytest.mark.parametrize(
    ("proposals", "current", "expected"),
    [
        ([3, 7], 5, 7),
        ([None, None], 5, None),
        ([None, 7], 5, 7),
        pytest.param([None, 3], 5, None, id="some failed: no step down"),
        ([None, 5], 5, 5),
    ],
)
def test_combine(proposals: list[int | None], current: int, expected: int | None) -> None:
    assert combine(proposals, current) == expected


def test_tolerance_by_direction() -> None:
    behavior = Behavior(replace(DEFAULT_UP, tolerance=0.0), replace(DEFAULT_DOWN, stabilization_seconds=0.0))
    assert play(HpaSpec(1, 100, behavior), 10, [11, 10]) == [11, 11]


@given(
    asks=st.lists(st.one_of(st.none(), st.integers(0, 200)), max_size=40),
    replicas=st.integers(1, 30),
    behavior=st.sampled_from(
        [None, Behavior(), Behavior(down=ScalingRules((PODS_2_60, HALF_60), 60.0, Select.MIN))],
    ),
)
def test_stays_within_bounds_and_limits(asks: list[int | None], replicas: int, behavior: Behavior | None) -> None:
    counts = play(HpaSpec(2, 40, behavior), replicas, asks)
    assert counts == play(HpaSpec(2, 40, behavior), replicas, asks)
    for before, after in zip([max(2, replicas), *counts], counts, strict=False):
        assert 2 <= after <= 40
        assert after <= max(2 * before, before + 4)


@pytest.mark.parametrize(
    ("acting", "expected"),
    [
        pytest.param(True, [8, 4, 4, 4, 8], id="its own step uses up the period's limit"),
        pytest.param(False, [8, 8, 8, 8, 8], id="what nobody does uses up nothing"),
    ],
)
def test_steps_that_are_only_asked_for_are_not_remembered(acting: bool, expected: list[int]) -> None:
    doubling = Behavior(ScalingRules((RateLimit(Unit.PERCENT, 100, 60.0),), 0.0))
    hpa, present = Hpa(HpaSpec(1, 100, doubling), acting=acting), ReplicaCounts(4, 4, 0, 0, 0)
    assert [hpa.step(present, ask(20), 15.0 * index) for index in range(5)] == expected
