"""SkyServe's rate and its counts of decisions."""

from lab.policies.views import Fleet, setting

from flyball.lab.policies.skyserve import Hysteresis, SkyServe


def test_counts_consecutive_decisions() -> None:
    hysteresis = Hysteresis(60.0, 100.0)
    assert [hysteresis.apply(2, wanted) for wanted in (3, 3, 4)] == [2, 2, 4]
    assert [hysteresis.apply(4, wanted) for wanted in (5, 5, 4, 5, 5)] == [4] * 5
    assert [hysteresis.apply(4, wanted) for wanted in (1, 1, 1, 1, 2)] == [4, 4, 4, 4, 2]
    contrary = Hysteresis(60.0, 100.0)
    assert [contrary.apply(4, wanted) for wanted in (5, 5, 3, 5, 4)] == [4] * 5


def test_arrivals_of_the_last_minute() -> None:
    fleet = Fleet(SkyServe(setting(), upscale_delay_seconds=20.0), replicas=1)
    # 4.2 per second at 70% of two each: three.
    asked = [fleet.step(arrived=round(4.2 * 20 * index)) for index in range(6)]
    assert asked == [1, 3, 3, 3, 3, 3]


def test_defaults_wait_five_minutes() -> None:
    fleet = Fleet(SkyServe(setting()), replicas=1)
    asked = [fleet.step(arrived=84 * index) for index in range(20)]
    assert asked.index(3) == 15
