"""Knative's step to zero, worked by hand."""

import pytest

from flyball.lab.policies.kpa_zero import UNKNOWN, ZeroGate

Look = tuple[float, int, int, bool, int | None]
"""Seconds, wanted, ready, whether the replicas cover the burst, what is written."""


@pytest.mark.parametrize(
    ("ready", "least", "looks"),
    [
        pytest.param(
            1,
            0,
            [
                (0.0, 1, 1, True, 1),
                (58.0, 0, 1, True, 1),
                (60.0, 0, 1, True, None),
                (88.0, 0, 1, True, None),
                (90.0, 0, 1, True, 0),
            ],
            id="active for a stable window, then the grace period",
        ),
        pytest.param(
            1,
            0,
            [(0.0, 1, 1, False, 1), (58.0, 0, 1, False, 1), (60.0, 0, 1, False, 0)],
            id="behind the activator all along: no grace period",
        ),
        pytest.param(
            1,
            0,
            [
                (0.0, 1, 1, True, 1),
                (60.0, 0, 1, True, None),
                (80.0, 1, 1, True, 1),
                (100.0, 0, 1, True, 1),
                (140.0, 0, 1, True, None),
                (168.0, 0, 1, True, None),
                (170.0, 0, 1, True, 0),
            ],
            id="a request interrupts the grace period",
        ),
        pytest.param(
            0,
            0,
            [
                (0.0, UNKNOWN, 0, False, None),
                (2.0, 2, 0, False, 2),
                (4.0, 0, 0, False, None),
                (50.0, 0, 1, False, 1),
                (108.0, 0, 1, False, 1),
                (110.0, 0, 1, False, 0),
            ],
            id="woken: active from when a pod is ready",
        ),
        pytest.param(
            0,
            0,
            [(0.0, 1, 0, False, 1), (630.0, 0, 0, False, None), (632.0, 0, 0, False, 0)],
            id="given up when no pod ever gets ready",
        ),
        pytest.param(3, 2, [(0.0, 0, 3, False, 2), (600.0, 0, 2, False, 2)], id="never below its least"),
        pytest.param(3, 2, [(0.0, UNKNOWN, 3, False, None)], id="unknown: nothing is written"),
    ],
)
def test_gate(ready: int, least: int, looks: list[Look]) -> None:
    gate = ZeroGate(60.0, least, ready, 0.0)
    written = [gate.reconcile(wanted, pods, covers_burst=covers, now=at) for at, wanted, pods, covers, _ in looks]
    assert written == [expected for *_, expected in looks]
