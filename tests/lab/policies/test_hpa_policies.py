"""Horizontal autoscalers on GPU utilization and on waiting requests."""

import pytest
from lab.policies.views import Fleet, counts, replica, sample, setting, variant, view

from flyball.lab.policies.hpa_policies import GpuHpa, QueueHpa


def busy(at: float, *percents: float):
    return sample(at, *(replica(number, busy_seconds=at * each / 100) for number, each in enumerate(percents)))


@pytest.mark.parametrize(
    ("percents", "present", "expected"),
    [
        pytest.param((100, 100), counts(2), 3, id="100% of two at 80%: three"),
        pytest.param((85, 85), counts(2), 2, id="within the tolerance"),
        pytest.param((100, 100), counts(2, starting=1), 3, id="one loads: it counts as idle and stops the step"),
        pytest.param((100, 100), counts(2, pending=2), 4, id="pending ones too"),
        pytest.param((), counts(2), 2, id="no samples: no change"),
        pytest.param((20, 20), counts(2), 2, id="down: the window holds the present count"),
        pytest.param((20, 100, 0, 100), counts(2), 3, id="two of four are on their way out: the idlest"),
    ],
)
def test_gpu(percents: tuple[float, ...], present, expected: int) -> None:
    seen = view(30.0, present, *(busy(at, *percents) for at in (15.0, 30.0) if percents))
    assert GpuHpa(setting()).decide(seen)[0] == expected


@pytest.mark.parametrize(
    ("queue", "held", "expected"),
    [
        pytest.param(12, 0, 3, id="12 waiting at 5 each"),
        pytest.param(11, 0, 2, id="11 are within the tolerance"),
        pytest.param(6, 6, 3, id="held ones wait too"),
        pytest.param(10, 0, 2, id="on target"),
        pytest.param(0, 0, 2, id="none: the window holds"),
    ],
)
def test_queue(queue: int, held: int, expected: int) -> None:
    seen = view(15.0, counts(2), sample(15.0, replica(0, waiting=queue), replica(1), held=held))
    assert QueueHpa(setting()).decide(seen)[0] == expected


def test_an_empty_queue_leaves_one_after_the_window() -> None:
    fleet = Fleet(QueueHpa(setting(), stabilization_seconds=60.0), replicas=8)
    assert [fleet.load(waiting=0) for _ in range(5)] == [8, 8, 8, 8, 1]


def test_lost_metrics_change_nothing() -> None:
    fleet = Fleet(QueueHpa(setting(), stabilization_seconds=0.0), replicas=8)
    assert {fleet.step(lost=True) for _ in range(30)} == {8}


def test_each_variant_has_its_own() -> None:
    both = setting(variant("a"), variant("b", max_replicas=2))
    row = [replica(0, 0, waiting=4), replica(1, 1, waiting=40)]
    asked = QueueHpa(both).decide(view(0.0, [counts(1), counts(1)], sample(0.0, *row)))
    assert asked == {0: 1, 1: 2}
