"""The variant autoscaler's first analyzer, its placement, and what the autoscaler behind it makes of them."""

from decimal import Decimal

import pytest
from lab.policies.views import Fleet, counts, replica, setting, variant

from flyball.lab.policies.registry import build
from flyball.lab.policies.wva import Load, SaturationOptions, place_step, saturation_step


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        pytest.param([(0.5, 0), (0.5, 0)], 0, id="one less would carry 1.0: keep"),
        pytest.param([(0.3, 0), (0.3, 0)], -1, id="one less would carry 0.6"),
        pytest.param([(0.36, 0), (0.36, 0)], 0, id="one less would carry 0.72, beyond 0.70"),
        pytest.param([(0.3, 0), (0.3, 2)], -1, id="a queue of 2 on the rest leaves 3"),
        pytest.param([(0.3, 0), (0.3, 3)], 0, id="a queue of 3 on the rest leaves 2"),
        pytest.param([(0.71, 0), (0.71, 0)], 1, id="less than 0.10 of the cache spare"),
        pytest.param([(0.1, 3)], 1, id="less than 3 of the queue spare"),
        pytest.param([(0.9, 0), (0.9, 9)], 1, id="all saturated: nothing spare"),
        pytest.param([(0.9, 0), (0.1, 0)], 0, id="the saturated one is left out; one alone stays"),
        pytest.param([(0.0, 0)], 0, id="one alone stays"),
    ],
)
def test_saturation(loads: list[tuple[float, float]], expected: int) -> None:
    assert saturation_step(SaturationOptions(), [Load(*each) for each in loads]) == expected


@pytest.mark.parametrize(
    ("step", "desired", "present", "costs", "expected"),
    [
        pytest.param(1, [2, 2], [counts(2), counts(2)], [1, 2], [3, 2], id="up on the cheapest"),
        pytest.param(1, [2, 2], [counts(1, starting=1), counts(2)], [1, 2], [2, 3], id="which has none pending"),
        pytest.param(1, [2, 2], [counts(2), counts(2)], [1, 1], [3, 2], id="a tie by name"),
        pytest.param(-1, [2, 2], [counts(2), counts(2)], [1, 2], [2, 1], id="down on the dearest"),
        pytest.param(-1, [2, 1], [counts(2), counts(1)], [1, 2], [1, 1], id="that has more than one"),
        pytest.param(-1, [2, 2], [counts(2), counts(2)], [1, 1], [2, 1], id="a tie by name, descending"),
        pytest.param(0, [2, 1], [counts(2), counts(1)], [1, 2], [2, 1], id="no step"),
    ],
)
def test_placement(step: int, desired, present, costs, expected: list[int]) -> None:
    assert place_step(step, desired, present, costs, ["a", "b"]) == expected


def test_ramps_by_one_at_a_time() -> None:
    fleet = Fleet(build("wva-fixed", setting(), {"up_stabilization_seconds": 0.0}), replicas=2)
    # The engine runs every 30 s, the autoscaler every 15 s.
    assert [fleet.load(kv_usage=0.9) for _ in range(6)] == [3, 3, 4, 4, 5, 5]


def test_holds_while_one_loads() -> None:
    fleet = Fleet(build("wva-fixed", setting(), {"up_stabilization_seconds": 0.0}), replicas=2)
    rows = [replica(0, kv_usage=0.9), replica(1, kv_usage=0.9)]
    assert {fleet.step(*rows, ready=2) for _ in range(10)} == {3}


def test_holds_a_step_down_while_one_does_not_report() -> None:
    fleet = Fleet(build("wva-fixed", setting(), {"down_stabilization_seconds": 0.0}), replicas=3)
    rows = [replica(0, kv_usage=0.1), replica(1, kv_usage=0.1)]
    assert {fleet.step(*rows, ready=2) for _ in range(10)} == {3}


def test_never_waits_for_what_its_bounds_forbid() -> None:
    knobs = {"up_stabilization_seconds": 0.0, "down_stabilization_seconds": 0.0}
    fleet = Fleet(build("wva-fixed", setting(variant(max_replicas=3)), knobs), replicas=3, bounds=(1, 3))
    assert [fleet.load(kv_usage=0.9) for _ in range(4)] == [3, 3, 3, 3]
    assert [fleet.load(kv_usage=0.1) for _ in range(3)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("wva", {10}, id="source: swallowed, and waited for ever"),
        pytest.param("wva-fixed", {11, 12, 13}, id="fixed"),
    ],
)
def test_a_single_step_at_ten(name: str, expected: set[int]) -> None:
    fleet = Fleet(build(name, setting(), {"up_stabilization_seconds": 0.0}), replicas=10)
    assert {fleet.load(kv_usage=0.9) for _ in range(6)} == expected


def test_its_windows_delay_a_step_up_by_two_minutes() -> None:
    fleet = Fleet(build("wva", setting()), replicas=2)
    asked = [fleet.load(kv_usage=0.9) for _ in range(10)]
    assert asked.index(3) == 8


def test_lost_metrics_keep_the_last_count() -> None:
    fleet = Fleet(build("wva", setting(variant(price_per_gpu_hour=Decimal(2)))), replicas=5)
    assert {fleet.step(lost=True) for _ in range(60)} == {5}


def test_an_unknown_version_is_refused() -> None:
    from flyball.lab.policies.wva import Wva

    with pytest.raises(ValueError, match="version is 3; give 1"):
        Wva(setting(), version=3)
