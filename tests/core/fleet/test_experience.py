"""What users experienced becomes what is remembered: burned budgets by hand, and when the curve may learn."""

from dataclasses import replace
from typing import Any

import pytest
from core.cases import ENGINE, START, TICK, objective, observation, shares, spec

from flyball.core.fleet import misses
from flyball.core.fleet.capacity import ReplicaLimits, RequestShape, start_fit
from flyball.core.fleet.economics import AIM, price_of_miss
from flyball.core.fleet.experience import (
    BURNED_HALF_LIFE_SECONDS,
    LONGEST_TICK_SECONDS,
    PRIOR_SECONDS,
    YOUNG_SECONDS,
    Served,
    price,
    teach,
)
from flyball.core.memory import BurnedBudget, Memory
from flyball.core.names import Indicator
from flyball.core.observation import ObjectiveReading, SignalState, WindowShare

CLEAR = Served(rate=4.0, replicas=2, capacity=2.5, clear=True)
SHAPE = RequestShape(100, 100, 100)
LIMITS = ReplicaLimits(first_token=0.5)
SLACK = 0.5 / 0.019
"""The threshold in prefills of a lone request: one iteration each."""
ITL = objective("itl", 0.9, indicator=Indicator.INTER_TOKEN_LATENCY)
BOTH = spec(objectives=(objective(), ITL))


def reading(name: str, bad: float, total: float) -> ObjectiveReading:
    return ObjectiveReading(name, SignalState.OK, (WindowShare(60.0, total - bad, total),))


def grown(at: float = START, **fields: Any) -> Memory:
    """A memory of a day, whose last tick was one ago."""
    return Memory(started_at=START - 86_400, **{"burned_at": at - TICK, **fields})


def taught(memory: Memory, *readings: ObjectiveReading, at: float = START, **fields: Any) -> Memory:
    workload = fields.pop("workload", spec())
    served, lead = fields.pop("served", CLEAR), fields.pop("lead", 30.0)
    seen = observation(at=at, objectives=readings or (shares((6, 120)),))
    return teach(workload, seen, served, start_fit(ENGINE), SHAPE, LIMITS, lead, memory)


def terms(memory: Memory) -> tuple[float, ...]:
    assert memory.curve is not None
    return memory.curve.terms


def learned(curve: misses.MissCurve, missed: float) -> object:
    """The curve's terms after a quarter of a window of 120 requests at CLEAR's load of 4 / (2 × 2.5)."""
    return pytest.approx(misses.learn(curve, 0.8, 2, missed, 30.0, TICK / 3600).terms)


class TestBurned:
    def test_a_tick_counts_its_part_of_the_window(self) -> None:
        """A quarter of a minute of 120 requests, 6 of them late."""
        assert taught(grown()).burned == (BurnedBudget("ttft", pytest.approx(1.5), pytest.approx(30.0)),)

    def test_four_ticks_count_a_window(self) -> None:
        memory = grown()
        for tick in range(4):
            memory = taught(memory, at=START + tick * TICK)
        counted = memory.burned_of("ttft")
        assert counted.missed == pytest.approx(6.0, rel=1e-3)
        assert counted.requests == pytest.approx(120.0, rel=1e-3)

    def test_what_burned_a_day_ago_is_half_forgiven(self) -> None:
        """A day's ticks without a request late."""
        memory, ticks = grown(burned=(BurnedBudget("ttft", 50.0, 1000.0),)), round(BURNED_HALF_LIFE_SECONDS / TICK)
        for tick in range(ticks):
            memory = taught(memory, reading("ttft", 0, 4), at=START + tick * TICK, served=replace(CLEAR, clear=False))
        assert memory.burned_of("ttft").missed == pytest.approx(25.0)
        assert 500 + ticks * 1.0 * 0.5 < memory.burned_of("ttft").requests < 500 + ticks * 1.0

    @pytest.mark.parametrize("gap", [61.0, 3600.0, 10 * 86_400.0])
    def test_after_a_gap_no_more_than_a_window_counts(self, gap: float) -> None:
        memory = taught(grown(burned_at=START - gap))
        assert memory.burned_of("ttft").requests == pytest.approx(120.0 * LONGEST_TICK_SECONDS / 60.0)

    def test_the_first_look_counts_nothing(self) -> None:
        assert taught(grown(burned_at=0.0)).burned == ()
        assert taught(grown(burned_at=0.0)).burned_at == START

    @pytest.mark.parametrize("back", [0.0, 15.0])
    def test_time_that_stands_still_or_runs_back_counts_nothing(self, back: float) -> None:
        before = grown(burned_at=START + back)
        assert taught(before) == replace(before, curve=misses.prior(SLACK), burned_at=START)

    @pytest.mark.parametrize(
        ("age", "lead", "counts"),
        [
            (YOUNG_SECONDS - 1, 30.0, False),
            (YOUNG_SECONDS, 30.0, True),
            (2 * 465.0 - 1, 465.0, False),
            (2 * 465.0, 465.0, True),
        ],
    )
    def test_what_was_begun_before_the_first_look_burns_no_budget(self, age: float, lead: float, counts: bool) -> None:
        """Ten minutes, or two start-ups where they take longer. The curve learns from it all the same."""
        memory = taught(replace(grown(), started_at=START - age), lead=lead)
        assert bool(memory.burned) is counts
        assert memory.curve != misses.prior(SLACK)

    def test_before_the_first_look_is_remembered_all_is_young(self) -> None:
        assert taught(replace(grown(), started_at=None)).burned == ()

    @pytest.mark.parametrize(
        "unknown",
        [
            replace(shares((6, 120)), state=SignalState.STALE),
            replace(shares((6, 120)), state=SignalState.INSUFFICIENT),
            ObjectiveReading("ttft", SignalState.OK),
            shares((0, 0)),
            shares((float("nan"), 120)),
            shares((6, float("inf"))),
            ObjectiveReading("ttft", SignalState.OK, (WindowShare(300.0, 100.0, 120.0),)),
            ObjectiveReading("another", SignalState.OK, (WindowShare(60.0, 100.0, 120.0),)),
        ],
    )
    def test_what_is_not_known_teaches_nothing(self, unknown: ObjectiveReading) -> None:
        before = grown(burned=(BurnedBudget("ttft", 5.0, 100.0),))
        assert taught(before, unknown) == replace(before, curve=misses.prior(SLACK), burned_at=START)

    def test_an_objective_that_is_not_seen_keeps_what_it_had(self) -> None:
        before = grown(burned=(BurnedBudget("itl", 5.0, 100.0),))
        after = taught(before, reading("ttft", 6, 120), workload=BOTH)
        assert after.burned_of("itl") == BurnedBudget("itl", 5.0, 100.0)
        assert after.burned_of("ttft").requests == 30.0


class TestCurve:
    @pytest.mark.parametrize(
        "served",
        [
            replace(CLEAR, clear=False),
            replace(CLEAR, replicas=0),
            replace(CLEAR, capacity=0.0),
        ],
    )
    def test_it_learns_only_from_a_clear_load(self, served: Served) -> None:
        after = taught(grown(), served=served)
        assert after.curve == misses.prior(SLACK)
        assert after.burned, "users were late all the same"

    def test_it_learns_the_share_at_the_load(self) -> None:
        """4 requests/s on two replicas of 2.5 each are a load of 0.8. A quarter of 120 requests, 5% of them late."""
        assert terms(taught(grown())) == learned(misses.prior(SLACK), 0.05)

    def test_it_goes_on_from_what_it_knows(self) -> None:
        known = misses.MissCurve((-12.0, 10.0, 1.0), misses.prior().covariance)
        assert terms(taught(grown(curve=known))) == learned(known, 0.05)

    def test_the_worst_objective_teaches_in_units_of_the_tightest_budget(self) -> None:
        """Of itl 18% are late, 1.8 times its budget of 10%; that is like 9% of the 5% that ttft allows."""
        after = taught(grown(), reading("ttft", 3, 120), reading("itl", 18, 100), workload=BOTH)
        assert terms(after) == learned(misses.prior(SLACK), 0.09)

    def test_more_than_all_cannot_be_late(self) -> None:
        """All of them late is twenty budgets of ttft and ten of itl, but a share of 1 at the most."""
        after = taught(grown(), reading("ttft", 120, 120), reading("itl", 100, 100), workload=BOTH)
        assert terms(after) == learned(misses.prior(SLACK), 1.0)


class TestPrice:
    def test_before_anything_burned_it_is_as_aimed(self) -> None:
        assert price(spec(), 2.0, Memory()) == pytest.approx(price_of_miss(0.05, AIM))

    @pytest.mark.parametrize(
        ("missed", "requests", "burned"),
        [
            (1080.0, 21_600.0, 0.9),  # (1080 + 0.8 × 5% × 21600) / 43200 = 4.5% of the 5% allowed
            (648.0, 21_600.0, 0.7),
            (0.0, 21_600.0, 0.4),
            (72_000.0, 720_000.0, (72_000 + 864) / 741_600 / 0.05),
        ],
    )
    def test_it_follows_what_burned(self, missed: float, requests: float, burned: float) -> None:
        """Beside six hours of one request a second that burned as aimed."""
        memory = Memory(burned=(BurnedBudget("ttft", missed, requests),))
        assert PRIOR_SECONDS == 21_600
        assert price(spec(), 1.0, memory) == pytest.approx(price_of_miss(0.05, burned))

    def test_the_worst_objective_decides(self) -> None:
        """ttft burned 0.7 of its budget and itl 0.95 of its own; misses are priced by the tighter one's."""
        burned = BurnedBudget("ttft", 648.0, 21_600.0), BurnedBudget("itl", 0.11 * 21_600, 21_600.0)
        assert price(BOTH, 1.0, Memory(burned=burned)) == pytest.approx(price_of_miss(0.05, 0.95))

    def test_without_objectives_or_with_one_of_everything_there_is_a_price(self) -> None:
        for workload in (spec(objectives=()), spec(objectives=(objective(target=1.0),))):
            assert price(workload, 1.0, Memory()) == pytest.approx(price_of_miss(0.05, AIM))

    def test_no_traffic_leaves_what_burned(self) -> None:
        memory = Memory(burned=(BurnedBudget("ttft", 45.0, 1000.0),))
        assert price(spec(), 0.0, memory) == pytest.approx(price_of_miss(0.05, (45 + 0.04) / 1001 / 0.05))
