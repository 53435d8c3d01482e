import pytest
from support.lab_runs import OBJECTIVES, figures

from flyball.lab.suite.book import Book
from flyball.lab.suite.results import Role, Run


def book(*rows: tuple[str, Role, dict[str, float], int, float, float]) -> Book:
    """Rows as (policy, role, knobs, seed, TimeToFirstToken, cost); InterTokenLatency never binds."""
    made = Book("made", OBJECTIVES)
    for policy, role, knobs, seed, ttft, cost in rows:
        made.add(policy, role, None, knobs, seed, figures(ttft=ttft, itl=0.999, cost=cost))
    return made


def of(runs: list[Run], policy: str, seed: int = 1) -> Run:
    return next(run for run in runs if run.policy == policy and run.seed == seed and run.role is not Role.SWEEP)


DEFAULT, TUNED, SWEEP = Role.DEFAULT, Role.TUNED, Role.SWEEP


def test_costs_are_compared_with_the_bounds_of_the_same_seed() -> None:
    made = book(
        ("oracle", DEFAULT, {}, 1, 0.95, 8.0), ("oracle", DEFAULT, {}, 2, 0.95, 10.0),
        ("flyball", DEFAULT, {}, 1, 0.96, 12.0), ("flyball", DEFAULT, {}, 2, 0.96, 12.0),
    )  # fmt: skip
    made.add_floor(1, 2.0, 4.0, 3.0)
    made.add_floor(2, 3.0, 6.0, 5.0)
    runs = made.rated(counted=True)
    assert (of(runs, "flyball", 1).floor_ratio, of(runs, "flyball", 1).oracle_ratio) == (3.0, 1.5)
    assert (of(runs, "flyball", 2).floor_ratio, of(runs, "flyball", 2).oracle_ratio) == (2.0, 1.2)
    assert (of(runs, "floor", 1).floor_ratio, of(runs, "floor", 1).oracle_ratio) == (1.0, 0.5)
    assert made.mean_floor_replicas() == 4.0
    assert all(run.counted for run in runs)


def test_a_plan_that_misses_the_objectives_is_no_yardstick() -> None:
    made = book(("oracle", DEFAULT, {}, 1, 0.94, 8.0), ("flyball", DEFAULT, {}, 1, 0.93, 8.0))
    assert of(made.rated(counted=True), "flyball").oracle_ratio is None


def test_without_bounds_there_are_no_ratios() -> None:
    run = of(book(("flyball", DEFAULT, {}, 1, 0.96, 12.0)).rated(counted=False), "flyball")
    assert (run.floor_ratio, run.oracle_ratio, run.counted) == (None, None, False)


def test_policies_are_compared_along_their_frontiers_at_our_own_margin() -> None:
    runs = book(
        ("flyball", DEFAULT, {}, 1, 0.97, 9.0),
        ("flyball", SWEEP, {"q": 0.5}, 1, 0.95, 8.0),
        ("kpa", DEFAULT, {}, 1, 0.96, 10.0),
        ("kpa", SWEEP, {"t": 2.0}, 1, 0.98, 20.0),
    ).rated(counted=True)
    # At 0.97 the rival's frontier lies half-way between its two settings.
    assert of(runs, "flyball").cost_ratio_equal_attainment == {"kpa": pytest.approx(9 / 15)}
    # At the rival's own 0.96 ours costs 8.5.
    assert of(runs, "kpa").cost_ratio_equal_attainment == {"flyball": pytest.approx(10 / 8.5)}


def test_a_tuned_rival_has_every_setting_of_its_rival() -> None:
    runs = book(
        ("flyball", DEFAULT, {}, 1, 0.97, 9.0),
        ("kpa", DEFAULT, {}, 1, 0.98, 18.0),
        ("kpa*", TUNED, {"t": 3.0}, 1, 0.96, 6.0),
    ).rated(counted=True)
    assert of(runs, "flyball").cost_ratio_equal_attainment == {"kpa*": pytest.approx(9 / 12)}
    assert of(runs, "flyball").not_reached == ["kpa"]


def test_frontiers_are_compared_on_the_seeds_that_they_were_drawn_on() -> None:
    runs = book(
        ("flyball", DEFAULT, {}, 1, 0.97, 9.0), ("flyball", DEFAULT, {}, 2, 0.99, 90.0),
        ("kpa", DEFAULT, {}, 1, 0.97, 12.0), ("kpa", DEFAULT, {}, 2, 0.90, 1.0),
        ("kpa", SWEEP, {"t": 2.0}, 1, 0.99, 20.0),
    ).rated(counted=True)  # fmt: skip
    assert [of(runs, "flyball", seed).cost_ratio_equal_attainment for seed in (1, 2)] == [{"kpa": 0.75}] * 2


def test_a_rival_that_is_never_as_good_or_always_better_is_named() -> None:
    runs = book(
        ("flyball", DEFAULT, {}, 1, 0.97, 9.0), ("bad", DEFAULT, {}, 1, 0.5, 1.0), ("good", DEFAULT, {}, 1, 0.99, 1.0)
    ).rated(counted=True)
    run = of(runs, "flyball")
    assert (run.cost_ratio_equal_attainment, run.not_reached_by, run.not_reached) == ({}, ["bad"], ["good"])
