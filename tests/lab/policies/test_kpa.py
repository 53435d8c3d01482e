"""Knative's windows and panic, worked by hand."""

import pytest
from lab.policies.views import Fleet, setting, variant

from flyball.lab.policies.kpa import Decider, Kpa, KpaOptions, Revision

OPTIONS = KpaOptions(target=10.0)


def steady(ready: int = 1) -> Decider:
    """A decider outside panic."""
    decider = Decider(OPTIONS, 1, 0.0)
    assert not decider.panicking
    decider.scale(10.0 * ready, 10.0 * ready, ready, 0.0)
    return decider


@pytest.mark.parametrize(
    ("stable", "panic", "ready", "expected", "panics"),
    [
        pytest.param(35, 35, 4, 4, False, id="ceil of the stable window over the target"),
        pytest.param(35, 70, 4, 4, False, id="the panic window alone, below twice: not yet"),
        pytest.param(35, 70.1, 4, 8, True, id="eight wanted of four: panic"),
        pytest.param(0, 0, 4, 2, False, id="down by half at most"),
        pytest.param(0, 0, 1, 0, False, id="one may go to zero"),
        pytest.param(25, 25, 0, 3, True, id="none ready counts as one"),
    ],
)
def test_scale(stable: float, panic: float, ready: int, expected: int, panics: bool) -> None:
    decider = steady(ready)
    assert decider.scale(stable, panic, ready, 100.0) == expected
    assert decider.panicking == panics


def test_panic_never_goes_down_and_ends_a_stable_window_after_it_was_last_needed() -> None:
    decider = steady(2)
    assert decider.scale(20, 60, 2, 100.0) == 6
    assert decider.scale(20, 10, 6, 130.0) == 6
    assert decider.scale(20, 120, 6, 140.0) == 12
    assert decider.scale(20, 10, 12, 200.0) == 12
    assert decider.panicking
    assert decider.scale(20, 10, 12, 202.0) == 6
    assert not decider.panicking


def test_a_restart_with_several_replicas_begins_in_panic() -> None:
    decider = Decider(OPTIONS, 5, 0.0)
    assert decider.scale(10, 10, 5, 30.0) == 5
    assert decider.scale(10, 10, 5, 62.0) == 2


def test_scale_down_delay_takes_the_greatest_of_as_many_ticks() -> None:
    # 30 s are 15 ticks, the present one included.
    decider = Decider(KpaOptions(10.0, scale_down_delay_seconds=30.0), 1, 0.0)
    assert decider.scale(30, 30, 2, 0.0) == 3
    assert decider.scale(10, 10, 3, 28.0) == 3
    assert decider.scale(10, 10, 3, 30.0) == 1


@pytest.mark.parametrize(("share", "seconds"), [(0.1, 6), (0.01, 1), (0.001, 1), (0.125, 8)])
def test_the_panic_window_has_whole_seconds(share: float, seconds: int) -> None:
    assert KpaOptions(10.0, panic_share=share).panic_seconds == seconds


def test_no_report_within_the_stable_window_is_no_answer() -> None:
    revision = Revision(OPTIONS)
    assert revision.want(1, 2.0) is None
    revision.record(2.0, 10.0)
    assert revision.want(1, 2.0) == 1
    # The panic window is empty long before: it reads as zero.
    assert revision.want(1, 60.0) == 1
    assert revision.want(1, 62.0) == 0
    assert revision.want(1, 64.0) is None


def test_windows_hold_what_the_samples_showed() -> None:
    # Target 7: a minute at 7 in flight, then a burst of 35 fills the panic window within 6 s.
    fleet = Fleet(Kpa(setting()), replicas=1)
    assert {fleet.load(running=7) for _ in range(40)} == {1}
    burst = [fleet.step(held=35, ready=1) for _ in range(3)]
    assert burst == [3, 4, 5]


def test_no_data_keeps_the_scale_and_held_requests_wake_it() -> None:
    fleet = Fleet(Kpa(setting(variant(min_replicas=0))), replicas=0, bounds=(0, 60))
    assert fleet.step(lost=True) == 0
    assert fleet.step(held=0) == 0
    # Nobody reported a zero while it slept: 8 in flight at 7 each.
    assert fleet.step(held=8) == 2


def test_a_sample_stands_for_the_seconds_since_the_one_before() -> None:
    fleet = Fleet(Kpa(setting()), replicas=3)
    fleet.policy.period_seconds = 15.0
    # Beyond the panic at its beginning, too.
    assert {fleet.load(running=7) for _ in range(10)} == {3}
