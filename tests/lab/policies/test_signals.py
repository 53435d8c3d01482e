"""What rivals read from samples."""

import pytest
from lab.policies.views import counts, replica, sample, setting, variant, view

from flyball.lab.policies.signals import LoadWindow, busy_percents, in_flight, variant_shares, waiting


def test_an_empty_answer_is_not_zero() -> None:
    nothing = view(0.0, counts(1))
    stale = view(400.0, counts(1), sample(90.0, replica(0, running=3)))
    assert waiting(nothing, 0, 1.0) is None
    assert in_flight(stale, 0, 1.0) is None


def test_requests_held_at_the_gateway_wait_and_are_in_flight() -> None:
    seen = view(15.0, counts(2), sample(15.0, replica(0, running=3, waiting=1), replica(1, running=2), held=4))
    assert waiting(seen, 0, 1.0) == 5
    assert in_flight(seen, 0, 0.5) == 8


def test_what_has_no_variant_is_divided_by_what_replicas_can_take() -> None:
    both = setting(variant("a"), variant("b"))
    assert variant_shares(view(0.0, [counts(3), counts(0)]), both) == [0.75, 0.25]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([sample(0.0, replica(7, busy_seconds=3))], [], id="one sample: none yet"),
        pytest.param(
            [sample(0.0, replica(7, busy_seconds=3)), sample(15.0, replica(7, busy_seconds=17.99))],
            [99],
            id="cut to a whole percentage",
        ),
        pytest.param(
            [
                sample(0.0, replica(7, busy_seconds=0), replica(8)),
                sample(15.0, replica(7, busy_seconds=15), replica(9)),
            ],
            [100],
            id="one that left and one that came",
        ),
    ],
)
def test_busy_percents(samples: list, expected: list[int]) -> None:
    assert busy_percents(view(15.0, counts(1), *samples).history, 0) == expected


def test_a_window_reads_each_sample_once_and_forgets() -> None:
    window = LoadWindow(setting(), 10.0)
    samples = [sample(at, replica(0, running=at)) for at in (2.0, 4.0, 12.0)]
    window.read(view(4.0, counts(1), *samples[:2]))
    assert window.mean(0) == 3
    window.read(view(12.0, counts(1), *samples))
    assert window.mean(0) == 8
    assert window.mean(0, 4.0) == 12
    assert window.mean(0, 12.0) is None
