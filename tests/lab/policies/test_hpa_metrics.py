"""Replica counts from metrics, worked by hand from the source's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.policies.hpa_metrics import (
    ExternalAverage,
    ExternalValue,
    PodsMetric,
    Scale,
    Tolerance,
    UtilizationMetric,
    milli,
)

TEN_PERCENT = Tolerance()


def pods(*samples: int, missing: int = 0, unready: int = 0, target: int = 80) -> PodsMetric:
    return PodsMetric(1000 * target, tuple(1000 * each for each in samples), missing, unready)


@pytest.mark.parametrize(
    ("metric", "spec", "expected"),
    [
        pytest.param(pods(), 3, None, id="no samples: an error, no count"),
        pytest.param(pods(100, 100), 2, 3, id="1.25 of two pods: up to three"),
        pytest.param(pods(88, 88), 2, 2, id="exactly 10% above: tolerated"),
        pytest.param(pods(89, 88), 2, 3, id="just above 10%"),
        pytest.param(pods(72, 72, 72), 3, 3, id="exactly 10% below: tolerated"),
        pytest.param(pods(40, 40, 40), 3, 2, id="half the target: ceil(1.5)"),
        pytest.param(pods(100, 100, missing=1), 3, 3, id="up with one missing: it counts as idle, 0.83 turns: keep"),
        pytest.param(pods(160, 160, missing=1), 3, 4, id="up with one missing: 320/3=106.7, 1.33 of 3 pods"),
        pytest.param(pods(20, 20, missing=1), 3, 2, id="down with one missing: it counts as on target, 0.5 of 3"),
        pytest.param(pods(160, 160, unready=2), 4, 4, id="up with two pending: they count as idle, ratio 1: keep"),
        pytest.param(pods(40, 40, unready=2), 4, 1, id="down with pending: they do not count at all, 0.5 of 2"),
        pytest.param(
            pods(70, 70, missing=1, unready=1),
            4,
            4,
            id="down: the missing one makes it 0.92, pending ones do not count",
        ),
        pytest.param(pods(80, 80, missing=5), 7, 7, id="on target: nothing is guessed"),
        pytest.param(pods(200, missing=1), 5, 5, id="up, but fewer than there are: keep"),
    ],
)
def test_pods_metric(metric: PodsMetric, spec: int, expected: int | None) -> None:
    assert metric.propose(Scale(spec, spec, spec), TEN_PERCENT) == expected


def test_the_mean_of_pods_is_cut_to_thousandths() -> None:
    # 2000 + 2001 over two is 2000, exactly 1.1 × 1818.18…: with the half it would be beyond.
    assert PodsMetric(1000, (1100, 1101)).propose(Scale(2, 2, 2), TEN_PERCENT) == 2


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param((889, 889), 2, id="88.9% is cut to 88, which is 1.1 of 80: tolerated"),
        pytest.param((890, 890), 3, id="89%: ceil(2.2)"),
        pytest.param((719, 719), 2, id="71.9% is cut to 71, below 0.9: ceil(1.775)"),
    ],
)
def test_utilization_is_cut_to_a_whole_percentage(samples: tuple[int, ...], expected: int) -> None:
    assert UtilizationMetric(80, samples, request=1000).propose(Scale(2, 2, 2), TEN_PERCENT) == expected


def test_utilization_takes_missing_pods_for_fully_used_before_a_step_down() -> None:
    # 20% of three, three at 100%: 60%, 0.75 of six pods. At the target it would have been 50%, and four.
    metric = UtilizationMetric(80, (200, 200, 200), request=1000, missing=3)
    assert metric.propose(Scale(6, 6, 6), TEN_PERCENT) == 5


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        pytest.param(None, Scale(4, 4, 4), None, id="no answer: an error"),
        pytest.param(0, Scale(4, 4, 4), 0, id="nothing: none"),
        pytest.param(44, Scale(4, 4, 4), 4, id="11 each at a target of 10: tolerated"),
        pytest.param(45, Scale(4, 4, 4), 5, id="beyond the tolerance"),
        pytest.param(60, Scale(6, 4, 1), 6, id="status counts in the ratio: 1.5, so six"),
        pytest.param(44, Scale(8, 4, 4), 4, id="tolerated at the status' count, not the spec's"),
        pytest.param(60, Scale(2, 0, 0), 6, id="no replicas: the ratio is infinite"),
        pytest.param(0, Scale(2, 0, 0), 0, id="no replicas and nothing: not a number, not tolerated"),
        pytest.param(110, Scale(10, 10, 10), 10, id="one more at ten is swallowed"),
        pytest.param(90, Scale(10, 10, 10), 10, id="one less at ten is swallowed"),
        pytest.param(100, Scale(9, 9, 9), 10, id="one more at nine is not"),
        pytest.param(220, Scale(20, 20, 20), 20, id="two more at twenty are swallowed"),
    ],
)
def test_external_average(value: int | None, scale: Scale, expected: int | None) -> None:
    metric = ExternalAverage(milli(10), None if value is None else milli(value))
    assert metric.propose(scale, TEN_PERCENT) == expected


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        pytest.param(200, Scale(4, 4, 2), 4, id="twice the target of the ready pods alone"),
        pytest.param(105, Scale(4, 4, 2), 4, id="tolerated"),
        pytest.param(250, Scale(0, 0, 0), 3, id="from zero: the ratio itself"),
        pytest.param(None, Scale(4, 4, 4), None, id="no answer"),
    ],
)
def test_external_value(value: int | None, scale: Scale, expected: int | None) -> None:
    metric = ExternalValue(milli(100), None if value is None else milli(value))
    assert metric.propose(scale, TEN_PERCENT) == expected


@given(
    samples=st.lists(st.integers(0, 400), min_size=1, max_size=12),
    missing=st.integers(0, 6),
    unready=st.integers(0, 6),
)
def test_guesses_only_weaken(samples: list[int], missing: int, unready: int) -> None:
    spec = len(samples) + missing + unready
    scale = Scale(spec, spec, len(samples))
    guessed = pods(*samples, missing=missing, unready=unready).propose(scale, TEN_PERCENT)
    mean = sum(samples) / len(samples)
    assert guessed is not None
    if mean < 80 and missing:
        assert guessed <= spec
    if mean > 80 and missing + unready:
        assert guessed >= spec
        assert guessed <= max(spec, pods(*samples).propose(scale, TEN_PERCENT) or 0)


@pytest.mark.parametrize(("value", "expected"), [(0.5, 500), (0.1 + 0.2, 300), (1 / 3, 334), (7, 7000)])
def test_milli_rounds_up_but_not_noise(value: float, expected: int) -> None:
    assert milli(value) == expected
