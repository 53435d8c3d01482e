from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from core.cases import LAW, running, variant
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.capacity import ReplicaCapacity
from flyball.core.fleet.economics import Stakes
from flyball.core.fleet.misses import prior
from flyball.core.fleet.sizing import (
    VariantPlan,
    cheapest_mix,
    clamp_to_ceiling,
    hold_seconds,
    remember_need,
    startup_seconds,
    steadied,
)


def plan(
    name: str = "gpu", rate: float | None = 5.0, replicas: int = 1, price: str | None = "2", **fields: Any
) -> VariantPlan:
    """A variant of 1 to 10 measured replicas that carry 5 requests/s each when pooled infinitely, at $2."""
    bounds = {key: fields.pop(key) for key in ("low", "high") if key in fields}
    capacity = None if rate is None else ReplicaCapacity(20.0, rate, "the engine's batch limit", confident=True)
    return VariantPlan(variant(name, price=price, **bounds), running(replicas, name, **fields), capacity)


def certain(demand: float) -> Stakes:
    """That demand and no other; 5% miss at 0.95 of what replicas carry; a miss costs four times what serving costs."""
    return Stakes((demand,), (1.0,), prior(), 4.0)


CHEAP, DEAR = plan("cheap", price="1"), plan("dear", price="3")


@pytest.mark.parametrize(
    ("demand", "plans", "counts"),
    [
        pytest.param(0.0, [plan()], {"gpu": 1}, id="no demand leaves the minimum"),
        pytest.param(4.7, [plan()], {"gpu": 1}, id="one carries 4.75"),
        pytest.param(5.1, [plan()], {"gpu": 2}, id="and hardly more"),
        pytest.param(1000.0, [plan(high=3)], {"gpu": 30}, id="a need is counted to ten times the maximum"),
        pytest.param(5.0, [DEAR, CHEAP], {"cheap": 1, "dear": 1}, id="the minimum of both carries 9.5"),
        pytest.param(16.0, [DEAR, CHEAP], {"cheap": 3, "dear": 1}, id="four carry 19; the cheap one grows"),
        pytest.param(16.0, [DEAR, plan("cheap", price="1", high=2)], {"cheap": 2, "dear": 2}, id="up to its maximum"),
        pytest.param(
            16.0, [DEAR, plan("none", price=None)], {"dear": 3, "none": 1}, id="one without a price comes last"
        ),
        pytest.param(
            16.0,
            [DEAR, plan("cheap", price="1", contender="HPA")],
            {"cheap": 1, "dear": 3},
            id="another's stays as it is",
        ),
        pytest.param(
            16.0,
            [DEAR, plan("cheap", price="1", replicas=0, exists=False)],
            {"cheap": 0, "dear": 4},
            id="so does a missing one",
        ),
        pytest.param(
            16.0, [DEAR, plan("off", price="1", replicas=0, low=0)], {"off": 0, "dear": 4}, id="so does one at zero"
        ),
        pytest.param(
            16.0,
            [DEAR, replace(plan("cheap", price="1", replicas=0, low=0), spare=True)],
            {"cheap": 3, "dear": 1},
            id="but one that comes when needed comes",
        ),
        pytest.param(
            2.0,
            [DEAR, replace(plan("cheap", price="1", replicas=2, low=0), spare=True)],
            {"cheap": 0, "dear": 1},
            id="and goes again",
        ),
        pytest.param(16.0, [plan(rate=None, replicas=4)], {"gpu": 4}, id="unknown capacity keeps what there is"),
    ],
)
def test_demand_is_served_by_the_cheapest_capacity(
    demand: float, plans: list[VariantPlan], counts: dict[str, int]
) -> None:
    assert cheapest_mix(plans, certain(demand))[0] == counts


@pytest.mark.parametrize(
    ("confident", "least"),
    [
        pytest.param(True, 1, id="what was measured may go to its minimum"),
        pytest.param(False, 4, id="what was not is trusted with twice the load per replica: half of seven, rounded up"),
    ],
)
def test_an_unmeasured_capacity_is_not_trusted_far_beyond_what_was_seen(confident: bool, least: int) -> None:
    seven = plan(replicas=7)
    assert seven.capacity is not None
    trusted = replace(seven, capacity=replace(seven.capacity, confident=confident))
    assert cheapest_mix([trusted], certain(0.1))[0] == {"gpu": least}


@LAW
@given(st.floats(0, 200), st.floats(0, 50), st.integers(1, 10), st.integers(1, 10))
def test_more_demand_never_needs_fewer_replicas(demand: float, more: float, cheap: int, dear: int) -> None:
    plans = [plan("cheap", price="1", replicas=cheap, high=4), plan("dear", price="3", replicas=dear, high=6)]
    (few, _), (many, _) = (cheapest_mix(plans, certain(rate)) for rate in (demand, demand + more))
    assert sum(many.values()) >= sum(few.values())


@pytest.mark.parametrize(
    ("counts", "plans", "ceiling", "kept"),
    [
        pytest.param({"gpu": 5}, [plan()], "10", {"gpu": 5}, id="5 × $2 fit $10"),
        pytest.param({"gpu": 5}, [plan()], "9.99", {"gpu": 4}, id="a cent less does not"),
        pytest.param({"gpu": 5}, [plan(low=3)], "2", {"gpu": 3}, id="never below the minimum"),
        pytest.param({"cheap": 2, "dear": 3}, [CHEAP, DEAR], "6", {"cheap": 2, "dear": 1}, id="the dearest go first"),
        pytest.param({"cheap": 5, "dear": 3}, [CHEAP, DEAR], "6", {"cheap": 3, "dear": 1}, id="then the next dear"),
        pytest.param({"gpu": 5}, [plan(price=None)], "1", {"gpu": 5}, id="without a price nothing can be cut"),
        pytest.param(
            {"cheap": 4, "dear": 2},
            [CHEAP, plan("dear", price="3", contender="HPA")],
            "8",
            {"cheap": 2, "dear": 2},
            id="what another scales is counted, not cut",
        ),
    ],
)
def test_the_ceiling_cuts(counts: dict[str, int], plans: list[VariantPlan], ceiling: str, kept: dict[str, int]) -> None:
    assert clamp_to_ceiling(counts, plans, Decimal(ceiling)) == kept


@LAW
@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 5000))
def test_what_is_kept_fits_the_ceiling_or_is_the_minimum(cheap: int, dear: int, cents: int) -> None:
    ceiling, plans = Decimal(cents) / 100, [CHEAP, DEAR]
    kept = clamp_to_ceiling({"cheap": cheap, "dear": dear}, plans, ceiling)
    fits = kept["cheap"] * 1 + kept["dear"] * 3 <= ceiling
    assert fits or kept == {"cheap": min(cheap, 1), "dear": min(dear, 1)}


@pytest.mark.parametrize(
    ("declared", "startup", "idle", "hold"),
    [
        pytest.param(None, 420.0, False, 420.0, id="as long as a replica takes to come back"),
        pytest.param(None, 420.0, True, 210.0, id="half of it when the GPUs confirm that nothing waits"),
        pytest.param(None, 5.0, False, 180.0, id="but never shorter than this"),
        pytest.param(0.0, 420.0, False, 0.0, id="the user's word outranks it"),
    ],
)
def test_the_hold(declared: float | None, startup: float, idle: bool, hold: float) -> None:
    assert hold_seconds(declared, startup, idle) == hold


@pytest.mark.parametrize(
    ("declared", "seen", "seconds"),
    [
        pytest.param(80.0, (200.0,), 80.0, id="declared"),
        pytest.param(None, tuple(float(n) for n in range(10, 110, 10)), 90.0, id="the 90th percentile of ten"),
        pytest.param(None, (42.0,), 42.0, id="the only one"),
        pytest.param(None, (), 120.0, id="assumed"),
    ],
)
def test_the_start_up_time(declared: float | None, seen: tuple[float, ...], seconds: float) -> None:
    assert startup_seconds(variant(startup_seconds=declared), running(startup_seconds=seen)) == seconds


def test_within_the_hold_after_a_peak_no_replica_goes_and_after_it_goes() -> None:
    needs = remember_need((), 0.0, 5, 60.0)
    for at, expected in ((15.0, 5), (45.0, 5), (59.0, 5), (60.0, 2), (75.0, 2)):
        needs = remember_need(needs, at, 2, 60.0)
        assert steadied(needs, 5, 60.0, 0.0) == expected, f"after {at} s"


def test_lesser_peaks_hold_for_their_own_time() -> None:
    needs = remember_need(remember_need((), 0.0, 5, 60.0), 30.0, 3, 60.0)
    needs = remember_need(needs, 60.0, 1, 60.0)
    assert steadied(needs, 5, 60.0, 0.0) == 3
    assert steadied(remember_need(needs, 90.0, 1, 60.0), 3, 60.0, 0.0) == 1


def test_up_waits_for_the_lowest_need_of_its_own_hold() -> None:
    needs = remember_need((), 0.0, 1, 60.0)
    for at, need, expected in ((15.0, 4, 1), (30.0, 6, 1), (31.0, 6, 4), (45.0, 5, 4), (46.0, 5, 5)):
        needs = remember_need(needs, at, need, 60.0)
        assert steadied(needs, 1, 60.0, 30.0) == expected, f"after {at} s"


@LAW
@given(st.lists(st.tuples(st.floats(0.5, 40.0), st.integers(0, 9)), min_size=1, max_size=40), st.floats(1, 100))
def test_forgetting_needs_changes_no_answer(script: list[tuple[float, int]], hold: float) -> None:
    """The short memory answers like one that keeps everything."""
    kept: tuple[tuple[float, int], ...] = ()
    everything: tuple[tuple[float, int], ...] = ()
    at = 0.0
    for step, need in script:
        at += step
        kept, everything = remember_need(kept, at, need, hold), (*everything, (at, need))
        for current in (0, need, 5, 9):
            assert steadied(kept, current, hold, hold / 2) == steadied(everything, current, hold, hold / 2)
            assert steadied(kept, current, hold / 3, hold) == steadied(everything, current, hold / 3, hold)


def test_a_fixed_plan_says_so() -> None:
    assert not plan().fixed
    assert plan(replicas=0, low=0).fixed
    assert not plan(replicas=0).fixed, "the minimum is one: it has to come"
    assert replace(plan(), state=running(1, scalable=False)).fixed
