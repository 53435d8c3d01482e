"""Plans worked out by hand: what will be needed, of each kind, by when, and for what money."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from core import cases
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.core.advice.plan import Kind, Past, Plan, plan, request_at_end
from flyball.core.fleet.capacity import ReplicaLimits, RequestShape, replica_capacity, start_fit
from flyball.core.fleet.misses import prior, replicas_for
from flyball.core.traffic.demand_events import DemandWindow
from flyball.core.traffic.trends import DAY_SECONDS

STEP = 300.0
PER_DAY = round(DAY_SECONDS / STEP)
MONDAY = 1_767_571_200.0
REQUEST = RequestShape(100.0, 100.0, 100.0)
FIT = start_fit(cases.ENGINE)
CARRIES = replica_capacity(FIT, REQUEST, ReplicaLimits()).requests_per_second


def past(days: float, per_day: float = 0.0, prompt_per_day: float = 0.0, rate: float = 10.0) -> Past:
    local = MONDAY + STEP * np.arange(round(days * PER_DAY))
    day = np.floor((local - MONDAY) / DAY_SECONDS)
    return Past(
        local,
        float(local[-1] + STEP),
        STEP,
        rate * (1 + per_day) ** day,
        100.0 * (1 + prompt_per_day) ** day,
    )


def kind(name: str = "gpu", **changed: Any) -> Kind:
    return Kind(**{
        "name": name, "accelerator": None, "fit": FIT, "gpus_per_replica": 1, "max_replicas": 10,
        "price_per_gpu_hour": Decimal(2), **changed,
    })  # fmt: skip


def planned(found: Past, *kinds: Kind, events: tuple[DemandWindow, ...] = (), horizon: int = 90) -> Plan:
    return plan(found, REQUEST, kinds or (kind(),), ReplicaLimits(), events, horizon)


def test_a_flat_load_needs_the_same_at_every_day() -> None:
    found = planned(past(14))
    needed = replicas_for(prior(), 10.0, CARRIES, 1000)
    assert [(need.days_ahead, need.why) for need in found.needs] == [
        (0, "now"), (30, "growth"), (60, "growth"), (90, "growth"),
    ]  # fmt: skip
    for need in found.needs:
        assert (need.replicas.low, need.replicas.expected, need.replicas.high) == (needed, needed, needed)
        assert need.per_month == needed * 2 * 720
    assert (found.exhausted[0].early, found.exhausted[0].expected, found.exhausted[0].late) == (None, None, None)


def test_a_growing_load_says_when_the_replicas_run_out() -> None:
    found = planned(past(21, per_day=0.02), kind(max_replicas=7))
    day = found.exhausted[0].expected
    assert day is not None
    level = 10.0 * 1.02**20
    assert replicas_for(prior(), level * (1 + 0.02 * day), CARRIES, 1000) > 7
    assert replicas_for(prior(), level * (1 + 0.02 * (day - 1)), CARRIES, 1000) <= 7
    assert [need.extrapolated for need in found.needs] == [False, True, True, True]


def test_prompts_that_grow_longer_need_more_although_requests_do_not() -> None:
    prefilling = kind(fit=start_fit(replace(cases.ENGINE, per_prefill_token_seconds=0.0002)))
    steady, longer = planned(past(21), prefilling), planned(past(21, prompt_per_day=0.06), prefilling)
    assert longer.prompt_drift is not None
    assert longer.prompt_drift.per_day == pytest.approx(0.06)
    assert longer.needs[0].requests_per_second == steady.needs[0].requests_per_second
    assert longer.needs[-1].replicas.expected > steady.needs[-1].replicas.expected


def test_prompts_that_grow_shorter_buy_nothing_less() -> None:
    prefilling = kind(fit=start_fit(replace(cases.ENGINE, per_prefill_token_seconds=0.0002)))
    found = planned(past(21, prompt_per_day=-0.02), prefilling)
    assert {need.requests_per_second for need in found.needs} == {found.needs[0].requests_per_second}


def test_an_announced_event_multiplies_the_peak_of_its_day() -> None:
    found = past(14)
    launch = DemandWindow(found.end + 10 * DAY_SECONDS, found.end + 11 * DAY_SECONDS, 3.0)
    gone = DemandWindow(found.end - 9 * DAY_SECONDS, found.end - 8 * DAY_SECONDS, 5.0)
    far = DemandWindow(found.end + 400 * DAY_SECONDS, found.end + 401 * DAY_SECONDS, 5.0)
    needs = [need for need in planned(found, events=(gone, launch, far)).needs if need.why == "event"]
    assert [need.days_ahead for need in needs] == [10.0]
    assert needs[0].demand.expected == pytest.approx(30.0)


def test_the_cheapest_kind_is_that_with_the_smallest_bill_for_todays_peak() -> None:
    slow = kind("slow", price_per_gpu_hour=Decimal("0.50"))
    large = kind("large", gpus_per_replica=8)
    found = planned(past(14), kind(), slow, large)
    assert found.cheapest == "slow"
    assert {need.gpus.expected / need.replicas.expected for need in found.needs if need.kind == "large"} == {8.0}


def test_without_every_price_none_is_called_cheapest() -> None:
    found = planned(past(14), kind(), kind("unpriced", price_per_gpu_hour=None))
    assert found.cheapest is None
    assert [need.per_month for need in found.needs if need.kind == "unpriced"] == [None] * 4


def test_what_no_number_of_replicas_can_meet_is_said() -> None:
    limits = ReplicaLimits(per_token=0.001)
    found = plan(past(14), REQUEST, (kind(),), limits, (), 30)
    assert "InterTokenLatency" in found.needs[0].infeasible
    assert found.cheapest is None


@pytest.mark.parametrize("days", [0.5, 1, 3])
def test_a_short_past_is_planned_without_growth(days: float) -> None:
    found = planned(past(days))
    assert (found.growth, found.prompt_drift, found.seasons) == (None, None, ())
    assert not any(need.extrapolated for need in found.needs)


def test_the_request_is_that_of_the_last_day() -> None:
    found = past(10)
    tokens = np.where(np.arange(len(found.local)) >= 9 * PER_DAY, 400.0, 100.0)
    late = Past(found.local, found.end, STEP, found.rates, tokens)
    assert request_at_end(late, prefill_share=0.5, output_tokens=7.0) == RequestShape(200.0, 400.0, 7.0)


def test_nothing_known_is_an_error() -> None:
    found = past(2)
    with pytest.raises(ValueError, match="no rate is known"):
        planned(Past(found.local, found.end, STEP, np.full(len(found.local), math.nan), found.prompt_tokens))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(5, 20), st.floats(1.1, 6))
def test_more_load_never_needs_fewer_replicas_and_ranges_are_in_order(seed: int, days: int, factor: float) -> None:
    rates = np.random.default_rng(seed).gamma(2.0, 3.0, days * 24)
    local = MONDAY + 3600 * np.arange(len(rates))
    prompts = np.full(len(rates), 100.0)
    less, more = (
        planned(Past(local, float(local[-1] + 3600), 3600.0, rates * by, prompts), horizon=60) for by in (1.0, factor)
    )
    for small, large in zip(less.needs, more.needs, strict=True):
        assert small.replicas.low <= small.replicas.expected <= small.replicas.high
        assert small.replicas.expected <= large.replicas.expected
