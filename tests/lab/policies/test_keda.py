"""KEDA's two clocks, worked by hand."""

import pytest
from lab.policies.views import Fleet, replica, setting, variant

from flyball.lab.policies.keda import Activation, ConcurrencyKeda, Executor, keda_milli


@pytest.mark.parametrize(
    ("values", "replicas", "least", "expected"),
    [
        pytest.param([0, 0, 3], 0, 0, [0, 0, 1], id="wakes with the first poll that sees a request"),
        pytest.param([0, 3, 3], 0, 0, [0, 0, 1], id="nothing happens between polls"),
        pytest.param([3, 0, 3], 0, 2, [2, 2, 2], id="wakes to its least"),
        pytest.param([None, 3, None], 0, 0, [0, 0, 0], id="an error changes nothing"),
        pytest.param([0, 0, 0], 4, 0, [4, 4, 0], id="never active: after the initial cooldown of nothing, strictly"),
        pytest.param([0, 0, 0], 4, 1, [4, 4, 4], id="never to zero where its least is more"),
    ],
)
def test_polls(values: list, replicas: int, least: int, expected: list[int]) -> None:
    executor = Executor(Activation(least))
    counts = []
    for index, value in enumerate(values):
        replicas = executor.poll(replicas, value, 15.0 * index)
        counts.append(replicas)
    assert counts == expected


def test_sleeps_after_the_cooldown_from_any_count() -> None:
    executor = Executor(Activation(0))
    assert executor.poll(5, 1, 0.0) == 5
    assert [executor.poll(5, 0, at) for at in (270.0, 300.0, 330.0)] == [5, 5, 0]


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (1.2344, 1234), (1.2346, 1235), (7.0, 7000)])
def test_quantities_are_rounded_to_the_nearest_thousandth(value: float, expected: int) -> None:
    assert keda_milli(value) == expected


def test_sizes_by_requests_in_flight() -> None:
    # 70% of ten in flight: 7 each.
    fleet = Fleet(ConcurrencyKeda(setting()), replicas=2)
    assert fleet.step(replica(0, running=9, waiting=2), replica(1, running=10)) == 3
    assert fleet.step(replica(0, running=9, waiting=2), replica(1, running=10), held=10) == 5


def test_held_requests_wake_it() -> None:
    fleet = Fleet(ConcurrencyKeda(setting(variant(min_replicas=0))), replicas=0, bounds=(0, 60))
    assert [fleet.step(held=held) for held in (0, 20, 20)] == [0, 0, 1]
    # The autoscaler takes over from one.
    assert fleet.step(held=20) == 3


def test_vanished_metrics_read_as_zero_by_default() -> None:
    def after(policy: ConcurrencyKeda, bounds: tuple[int, int]) -> list[int]:
        fleet = Fleet(policy, replicas=8, bounds=bounds)
        fleet.step(*(replica(number, running=7) for number in range(8)))
        return [fleet.step(lost=True) for _ in range(50)]

    # The look-back of Prometheus (300 s) and then the window for steps down (300 s).
    assert after(ConcurrencyKeda(setting()), (1, 60))[39:42] == [8, 1, 1]
    assert set(after(ConcurrencyKeda(setting(), ignore_null_values=False), (1, 60))) == {8}
    # With a least of zero it sleeps with the first poll more than a cooldown after the last that saw requests (300 s).
    asleep = after(ConcurrencyKeda(setting(variant(min_replicas=0))), (0, 60))
    assert 15 * (asleep.index(0) + 1) == 630
