import math

import pytest
from core.cases import GARBAGE

from flyball.core.observation import (
    ABSENT,
    Reading,
    SignalState,
    WindowShare,
    WorkloadSignals,
    WorkloadState,
    ok,
)


@pytest.mark.parametrize("value", GARBAGE)
def test_a_number_that_cannot_be_is_never_ok(value: float) -> None:
    assert ok(value).state is SignalState.INVALID
    assert not Reading(value, SignalState.OK).ok, "whoever made it"
    assert Reading(value, SignalState.OK).otherwise(7.0) == 7.0
    assert not WindowShare(60.0, value, 10.0).usable
    assert not WindowShare(60.0, 10.0, value).usable
    assert WorkloadSignals(completions=((3600.0, value),), tokens=((3600.0, value),)).completed(3600.0) is None


def test_zero_is_a_number_and_absence_is_none() -> None:
    assert ok(0.0).ok
    assert not ABSENT.ok
    assert math.isnan(ABSENT.value)


def test_counts_are_found_by_their_window() -> None:
    signals = WorkloadSignals(completions=((60.0, 5.0), (3600.0, 300.0)), tokens=((3600.0, 9e4),))
    assert (signals.completed(3600.0), signals.completed(7200.0), signals.generated(3600.0)) == (300.0, None, 9e4)


def test_what_was_not_seen_is_absent_or_missing_and_never_an_error() -> None:
    assert WorkloadSignals().variant("gpu").running is ABSENT
    assert WorkloadSignals().objective("ttft").state is SignalState.ABSENT
    assert not WorkloadState().variant("gpu").exists


@pytest.mark.parametrize(
    ("good", "total", "bad"),
    [
        pytest.param(90.0, 100.0, 0.1, id="ten of a hundred"),
        pytest.param(0.0, 0.0, 0.0, id="without events none is bad"),
        pytest.param(101.0, 100.0, 0.0, id="extrapolation may count more good ones than all"),
    ],
)
def test_the_bad_share(good: float, total: float, bad: float) -> None:
    assert WindowShare(60.0, good, total).bad_share == pytest.approx(bad)
