"""Ray Serve's rule and its timers, worked by hand and against a loop that runs every tenth of a second."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.policies.views import Fleet, setting, variant

from flyball.lab.policies.ray import AgreementTimer, RayOptions, RayServe, wanted_replicas
from flyball.lab.policies.registry import build

OPTIONS = RayOptions(target_ongoing=10.0)


@pytest.mark.parametrize(
    ("options", "running", "total", "expected"),
    [
        pytest.param(OPTIONS, 4, 41, 5, id="ceil of the total over the target"),
        pytest.param(OPTIONS, 4, 10, 1, id="down"),
        pytest.param(OPTIONS, 4, 0, 1, id="to the least"),
        pytest.param(OPTIONS, 4, 5000, 100, id="to the most"),
        pytest.param(replace(OPTIONS, upscaling_factor=0.5), 4, 80, 6, id="half of the step up"),
        pytest.param(replace(OPTIONS, downscaling_factor=0.1), 4, 10, 3, id="a step down that rounds to nothing: one"),
    ],
)
def test_rule(options: RayOptions, running: int, total: float, expected: int) -> None:
    assert wanted_replicas(options, running, total) == expected


@pytest.mark.parametrize(
    ("spells", "expected"),
    [
        pytest.param([(5, 300)], [2], id="300 ticks are not enough"),
        pytest.param([(5, 301)], [5], id="one more is"),
        pytest.param([(5, 300), (2, 1), (5, 300), (5, 1)], [2, 2, 2, 5], id="one contrary tick starts over"),
        pytest.param([(5, 300), (9, 1)], [2, 9], id="the last value counts"),
        pytest.param([(5, 300), (1, 1), (5, 300)], [2, 2, 2], id="the other direction starts over"),
        pytest.param([(1, 6000), (1, 1)], [2, 1], id="down after 6000"),
        pytest.param([(0, 6001)], [1], id="to zero only from one"),
        pytest.param([(0, 6001), (0, 6001)], [1, 0], id="with a delay of its own"),
    ],
)
def test_timer(spells: list[tuple[int, int]], expected: list[int]) -> None:
    timer, target, targets = AgreementTimer(OPTIONS), 2, []
    for wanted, ticks in spells:
        target = timer.advance(target, wanted, ticks)
        targets.append(target)
    assert targets == expected


def looped(options: RayOptions, target: int, spells: list[tuple[int, int]]) -> list[int]:
    """The source's loop, tick by tick."""
    up, down = int(options.upscale_delay_seconds / 0.1), int(options.downscale_delay_seconds / 0.1)
    counter, targets = 0, []
    for wanted, ticks in spells:
        for _ in range(ticks):
            if wanted > target:
                counter = max(counter, 0) + 1
                if counter > up:
                    target, counter = wanted, 0
            elif wanted < target:
                counter = min(counter, 0) - 1
                if counter < -down:
                    target, counter = (wanted if target == 1 else max(1, wanted)), 0
            else:
                counter = 0
        targets.append(target)
    return targets


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 120)), max_size=30),
    st.sampled_from([0.0, 3.0, 7.7]),
    st.sampled_from([0.0, 5.0, 12.3]),
)
def test_folded_ticks_decide_as_the_loop(spells: list[tuple[int, int]], up: float, down: float) -> None:
    options = replace(OPTIONS, upscale_delay_seconds=up, downscale_delay_seconds=down)
    timer, target, targets = AgreementTimer(options), 3, []
    for wanted, ticks in spells:
        target = timer.advance(target, wanted, ticks)
        targets.append(target)
    assert targets == looped(options, 3, spells)


def test_goes_up_when_thirty_seconds_agreed() -> None:
    fleet = Fleet(RayServe(setting()), replicas=1)
    # 21 in flight at 7 each. Wanted from 0 s on, so at 30 s.
    assert [fleet.step(held=21) for _ in range(4)] == [1, 1, 1, 3]


def test_ticks_are_neither_lost_nor_counted_twice() -> None:
    # 302 ticks are needed, and at 30 s there were 301.
    fleet = Fleet(RayServe(setting(), upscale_delay_seconds=30.1), replicas=1)
    assert [fleet.step(held=21) for _ in range(5)] == [1, 1, 1, 1, 3]


def test_goes_down_when_ten_minutes_agreed() -> None:
    fleet = Fleet(RayServe(setting()), replicas=1)
    for _ in range(4):
        fleet.step(held=21)
    # The mean over 30 s falls below three replicas' load with the first push that sees less, at 40 s.
    asked = [fleet.step(held=7) for _ in range(70)]
    assert asked[-1] < 3
    assert asked.index(1) * 10 >= 600


def test_wakes_at_once() -> None:
    fleet = Fleet(RayServe(setting(variant(min_replicas=0))), replicas=0, bounds=(0, 60))
    fleet.policy._deployments[0]._target = 0
    assert [fleet.step(held=held) for held in (0, 1)] == [0, 1]


def test_published_target_is_two() -> None:
    fleet = Fleet(build("ray-default", setting(), {"upscale_delay_seconds": 0.0}), replicas=1)
    assert fleet.step(held=9) == 5
