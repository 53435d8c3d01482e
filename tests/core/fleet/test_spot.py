"""Spot capacity: what counts as a reclaim, the share that is expected to be missing, and what that does to a mix."""

from dataclasses import replace

import pytest
from core.cases import FULL_REPLICA, LAW, START, desired, observation, running, signals, spec, texts, variant
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.decide import decide
from flyball.core.fleet import spot
from flyball.core.fleet.economics import Choice, Stakes, cheapest
from flyball.core.fleet.misses import prior
from flyball.core.memory import BurnedBudget, Memory, VariantMemory
from flyball.core.observation import ok
from flyball.core.traffic.demand import assess

HOUR = 3600.0


@pytest.mark.parametrize(
    ("known", "now", "lost"),
    [
        pytest.param(4, running(4), 0, id="all are there"),
        pytest.param(4, running(4, ready=2, starting=2), 2, id="two were reclaimed, and start again"),
        pytest.param(4, running(4, ready=2, unschedulable=2), 2, id="or find no node"),
        pytest.param(4, running(2), 0, id="two were not wanted any more"),
        pytest.param(4, running(3, ready=2), 1, id="one was not wanted, and one was reclaimed"),
        pytest.param(2, running(4, ready=3), 0, id="some come"),
        pytest.param(-1, running(4, ready=2), 0, id="the first look"),
        pytest.param(4, running(4, ready=0, exists=False), 0, id="a target that is gone"),
    ],
)
def test_a_reclaim_is_a_ready_replica_that_goes_unasked(known: int, now: object, lost: int) -> None:
    before = VariantMemory("gpu", ready=known, watched_at=START - 15.0)
    after = spot.watch(now, before, START)  # type: ignore[arg-type]
    assert (after.reclaims, after.lost) == (lost, lost)
    assert after.watched_seconds == (15.0 * known if known > 0 else 0.0)


def test_what_happened_unseen_tells_nothing() -> None:
    before = VariantMemory("gpu", ready=4, watched_at=START)
    assert spot.watch(running(4, ready=0), before, START + HOUR) == replace(before, watched_at=START + HOUR)


@pytest.mark.parametrize(
    ("lost", "watched", "declared", "risk"),
    [
        pytest.param(0.0, 0.0, 0.0, 0.0, id="nothing seen, nothing declared"),
        pytest.param(0.0, 0.0, 0.2, 0.2, id="as declared"),
        pytest.param(0.0, 1e6, 0.2, 0.2, id="also where none came yet"),
        pytest.param(10.0, 9 * HOUR, 0.0, 1 / 31, id="one an hour of a replica, each 120 s away: 1/30 of what serves"),
        pytest.param(10.0, 9 * HOUR, 0.02, 1 / 31, id="more than declared"),
        pytest.param(1.0, 0.0, 0.0, 1 / 31, id="a first one is no law"),
        pytest.param(1e6, HOUR, 0.0, 0.9, id="something always stays"),
    ],
)
def test_the_share_that_is_missing(lost: float, watched: float, declared: float, risk: float) -> None:
    known = VariantMemory("gpu", lost=lost, watched_seconds=watched)
    assert spot.risk(variant(spot=True, spot_risk=declared), 120.0, known) == pytest.approx(risk)
    assert spot.risk(variant(spot_risk=declared), 120.0, known) == 0.0, "not on spot capacity"


def counts_of(risk: float, discount: float = 0.5, rate: float = 20.0) -> dict[str, int]:
    choices = (
        Choice("spot", 2.0 * (1.0 - discount), FULL_REPLICA, 0, 30, 0, 30.0, risk),
        Choice("steady", 2.0, FULL_REPLICA, 0, 30, 0, 30.0),
    )
    return cheapest(choices, Stakes((rate,), (1.0,), prior(), 4.0))


@pytest.mark.parametrize(
    ("risk", "discount", "cheaper"),
    [
        pytest.param(0.0, 0.5, "spot", id="half the price and nothing is lost"),
        pytest.param(0.1, 0.5, "spot", id="a tenth is lost: more of them, still cheaper"),
        pytest.param(0.6, 0.5, "steady", id="more is lost than it is cheaper"),
        pytest.param(0.1, 0.05, "steady", id="hardly any cheaper"),
    ],
)
def test_the_mix_weighs_the_discount_against_what_is_lost(risk: float, discount: float, cheaper: str) -> None:
    found = counts_of(risk, discount)
    dearer = "spot" if cheaper == "steady" else "steady"
    assert found[cheaper] >= 4
    assert found[dearer] <= 1, "one may fit the rest better"


def test_more_risk_wants_more_replicas_of_a_variant_alone() -> None:
    def alone(risk: float) -> int:
        choice = Choice("spot", 1.0, FULL_REPLICA, 1, 200, 4, 30.0, risk)
        return cheapest((choice,), Stakes((20.0,), (1.0,), prior(), 4.0))["spot"]

    found = [alone(risk / 20) for risk in range(12)]
    assert found == sorted(found)
    assert found[0] < found[4] < found[11]


@LAW
@given(st.floats(0.0, 0.9), st.floats(0.1, 100.0))
def test_no_risk_is_what_no_spot_capacity_is(risk: float, rate: float) -> None:
    own = Choice("own", 1.0, FULL_REPLICA, 1, 100, 4, 30.0)
    stakes = Stakes((rate,), (1.0,), prior(), 4.0)
    assert cheapest((replace(own, risk=0.0),), stakes) == cheapest((own,), stakes)
    assert cheapest((replace(own, risk=risk),), stakes)["own"] >= cheapest((own,), stakes)["own"]


def test_a_decision_says_what_is_reckoned_to_be_missing_and_what_was_reclaimed() -> None:
    workload = spec(variant(high=20, spot=True, spot_risk=0.2))
    busy = signals(rate=20.0, running=80.0, gpu_utilization=0.9)
    _, memory = decide(workload, observation(signal=busy, state=running(6)), Memory())
    seen = observation(at=START + 15.0, signal=busy, state=running(6, ready=5, starting=1))
    decision, _ = decide(workload, seen, memory)
    (report,) = decision.spot
    assert (report.name, report.risk, report.reclaims) == ("gpu", 0.2, 1)
    assert "of gpu, on spot capacity, 20.0% are expected to be reclaimed" in texts(decision)
    plain, _ = decide(spec(variant(high=20)), seen, Memory())
    assert desired(decision) > desired(plain)
    assert plain.spot == ()


@pytest.mark.parametrize(
    ("risk", "startup", "per_second"),
    [
        pytest.param(0.0, 120.0, 0.0, id="nothing is taken back"),
        pytest.param(0.1, 120.0, 20 * 0.1 / (0.9 * 120), id="one in 18 minutes, with 20 requests"),
        pytest.param(0.5, 0.0, 20.0, id="a start that takes no time is no excuse for dividing by zero"),
    ],
)
def test_what_reclaims_drop(risk: float, startup: float, per_second: float) -> None:
    choice = Choice("spot", 1.0, FULL_REPLICA, 0, 9, 4, startup, risk, batch=20.0)
    assert choice.dropped_per_second == pytest.approx(per_second)


def test_dropped_requests_make_spot_capacity_dear_where_a_miss_is() -> None:
    """Of some eight replicas each is lost every 70 s with its 20 requests: of 20 requests a second over two are."""

    def spot_share(price: float) -> float:
        choices = (
            Choice("spot", 1.0, FULL_REPLICA, 0, 30, 0, 30.0, 0.3, batch=20.0),
            Choice("steady", 2.0, FULL_REPLICA, 0, 30, 0, 30.0, batch=20.0),
        )
        found = cheapest(choices, Stakes((20.0,), (1.0,), prior(), price))
        return found["spot"] / sum(found.values())

    assert spot_share(0.0) > 0.8
    assert spot_share(20.0) == 0.0


def test_dropped_requests_burn_the_budgets() -> None:
    """Of four replicas that serve ten requests each one is reclaimed."""
    workload = spec(variant(high=20, spot=True))
    busy = signals(rate=10.0, running=40.0, gpu_utilization=0.9)
    memory = replace(Memory(), burned=(BurnedBudget("ttft", 5.0, 1000.0),))
    _, memory = assess(workload, observation(signal=busy, state=running(4)), memory)
    three = replace(busy, running=ok(30.0))
    seen = observation(at=START + 15.0, signal=three, state=running(4, ready=3, starting=1))
    assert assess(workload, seen, memory)[1].burned_of("ttft").missed == pytest.approx(15.0, abs=0.5)
    blind = observation(at=START + 15.0, signal=three, state=seen.state.variants, problem="Prometheus is down")
    assert assess(workload, blind, memory)[1].burned_of("ttft").missed == pytest.approx(5.0, abs=0.5)
