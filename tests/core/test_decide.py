"""The laws of the decision, over generated workloads, ticks in sequence, and every kind of bad data."""

from dataclasses import replace
from decimal import Decimal

import pytest
from core import worlds
from core.cases import (
    GOOD,
    LAW,
    START,
    condition,
    decided,
    desired,
    fallback,
    observation,
    overflowing,
    reasons,
    route,
    running,
    signals,
    spec,
    variant,
)
from core.worlds import Tick, sound, stories, wild
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.decide import decide, decision_id
from flyball.core.decision import VariantDecision
from flyball.core.memory import Memory
from flyball.core.money.cost import replica_price
from flyball.core.names import Enforcement, GpuVerdict, Mode, Period, Precedence
from flyball.core.observation import ABSENT, Reading, SignalState, VariantState
from flyball.core.spec import Variant


def parts(tick: Tick) -> list[tuple[Variant, VariantState, VariantDecision]]:
    found = [tick.seen.state.variant(v.name) for v in tick.spec.variants]
    return list(zip(tick.spec.variants, found, tick.decision.variants, strict=True))


def handled(state: VariantState, declared: Variant) -> bool:
    """Whether Flyball may change this count at all."""
    return state.exists and state.scalable and not state.contender and (state.replicas > 0 or declared.min_replicas > 0)


@LAW
@given(stories(wild))
def test_decide_raises_for_nothing_and_stays_within_bounds(ticks: list[Tick]) -> None:
    for tick in ticks:
        for declared, state, found in parts(tick):
            if handled(state, declared) and not tick.seen.state.problem:
                assert declared.min_replicas <= found.desired <= declared.max_replicas
            else:
                assert found.desired == state.replicas, "hands off"
        assert tick.decision.cost.month_to_date.is_finite()


@LAW
@given(stories(wild))
def test_bad_or_partial_data_removes_nothing_but_what_is_above_the_maximum(ticks: list[Tick]) -> None:
    for tick in ticks:
        bad = condition(tick.decision, "TelemetryHealthy")[1] not in ("Fresh", "NothingReady")
        for declared, state, found in parts(tick):
            assert not bad or found.desired >= min(state.replicas, declared.max_replicas)


@LAW
@given(stories(sound))
def test_saturated_removes_nothing_unless_a_ceiling_outranks_it(ticks: list[Tick]) -> None:
    for tick in ticks:
        if tick.decision.gpu.verdict is not GpuVerdict.SATURATED or tick.spec.precedence is Precedence.COST:
            continue
        for declared, state, found in parts(tick):
            assert found.desired >= min(state.replicas, declared.max_replicas)


@LAW
@given(stories(sound))
def test_a_ceiling_with_precedence_is_kept_down_to_the_minimum(ticks: list[Tick]) -> None:
    for tick in ticks:
        ceiling = tick.spec.ceiling(Period.HOUR)
        if ceiling is None or ceiling.enforcement is Enforcement.ALERT or tick.spec.precedence is Precedence.SLO:
            continue
        if tick.spec.scaling.down_max_step is not None or condition(tick.decision, "TelemetryHealthy")[1] == "Partial":
            continue
        paid = sum((found.desired * (replica_price(d, s) or Decimal(0)) for d, s, found in parts(tick)), Decimal(0))
        priced = [(d, s, found) for d, s, found in parts(tick) if replica_price(d, s)]
        lowest = all(found.desired <= d.min_replicas for d, s, found in priced if handled(s, d))
        assert paid <= ceiling.amount or lowest


@LAW
@given(stories(wild))
def test_deciding_twice_is_deciding_once(ticks: list[Tick]) -> None:
    last = ticks[-1]
    assert decide(last.spec, last.seen, last.before) == (last.decision, last.after)


@LAW
@given(stories(sound), st.sampled_from([0.5, 1.0, 5.0]))
def test_the_same_sight_again_tells_nothing_and_turns_no_count_back(ticks: list[Tick], seconds: float) -> None:
    last = ticks[-1]
    memory, counts = last.after, [[v.desired for v in last.decision.variants]]
    for look in (1, 2, 3):
        again, memory = decide(last.spec, replace(last.seen, at=last.seen.at + look * seconds), memory)
        counts.append([v.desired for v in again.variants])
        told = {str(event.reason) for event in again.events}
        assert not {reason for reason in told if not reason.startswith(("ROI", "Budget"))}, "only money runs on"
    if last.spec.scaling.down_stabilization_seconds == 0.0:
        return  # whoever asks for no hold gets every wavering of the backlog's growth
    for variant_counts in zip(*counts, strict=True):
        assert list(variant_counts) in (sorted(variant_counts), sorted(variant_counts, reverse=True))


LOST = (ABSENT, Reading(5.0, SignalState.STALE, 300.0), Reading(float("nan"), SignalState.OK))


@LAW
@given(stories(sound), st.sampled_from(["running", "waiting", "completions_per_second"]), st.sampled_from(LOST))
def test_losing_a_signal_removes_nothing_that_seeing_it_would_have_kept(
    ticks: list[Tick], name: str, lost: Reading
) -> None:
    last = ticks[-1]
    blind, _ = decide(last.spec, worlds.without(last.seen, name, lost), last.before)
    for seeing, missing in zip(last.decision.variants, blind.variants, strict=True):
        assert missing.desired >= min(seeing.desired, seeing.current)


@LAW
@given(stories(sound), st.sampled_from(SignalState))
def test_losing_an_objective_removes_nothing_that_seeing_it_would_have_kept(
    ticks: list[Tick], state: SignalState
) -> None:
    last = ticks[-1]
    readings = tuple(replace(r, state=state, shares=()) for r in last.seen.signals.objectives)
    blind, _ = decide(
        last.spec, replace(last.seen, signals=replace(last.seen.signals, objectives=readings)), last.before
    )
    fewer = [m.desired < min(s.desired, s.current) for s, m in zip(last.decision.variants, blind.variants, strict=True)]
    assert not any(fewer) or any(o.state in ("Breached", "Burning") for o in last.decision.objectives)


@LAW
@given(st.floats(0, 100), st.floats(0, 100), st.integers(0, 12), st.sampled_from([0.3, 0.6, 0.95]), st.integers(0, 50))
def test_more_demand_never_asks_for_fewer_replicas(
    rate: float, more: float, replicas: int, utilization: float, waiting: int
) -> None:
    def wanted(demand: float) -> int:
        signal = signals(rate=demand, waiting=float(waiting), gpu_utilization=utilization)
        return desired(decide(spec(variant(high=12)), observation(signal=signal, state=running(replicas)), Memory())[0])

    assert wanted(rate + more) >= wanted(rate)


@LAW
@given(stories(wild))
def test_no_weight_goes_where_nobody_serves_and_none_in_other_modes(ticks: list[Tick]) -> None:
    for tick in ticks:
        for state, found in zip(tick.seen.state.routes, tick.decision.routes, strict=False):
            if found.weights is None:
                continue
            assert tick.spec.mode is Mode.AUTO
            assert state.fallback_ready_endpoints > 0
            assert found.weights[0] >= 5 or state.primary_ready_endpoints == 0


@LAW
@given(stories(wild, most=8))
def test_money_only_ever_grows_within_a_month(ticks: list[Tick]) -> None:
    spent = [tick.decision.cost.month_to_date for tick in ticks]
    assert spent == sorted(spent)


def test_the_month_of_a_steady_workload_is_its_rate_times_the_time_however_it_ticks() -> None:
    """Two replicas at $2 for an hour: $4, in 240 ticks or in one."""

    def after(step: float) -> Decimal:
        memory, at = Memory(), START
        while at < START + 3600.0:
            memory = decide(spec(), observation(at=at), memory)[1]
            at += step
        return decide(spec(), observation(at=START + 3600.0), memory)[0].cost.month_to_date

    assert after(15.0) == pytest.approx(Decimal(4), abs=Decimal("1e-9"))
    assert after(3600.0) == 4


def test_a_return_is_decided_by_what_serves_not_by_what_is_asked_for() -> None:
    """17.6 requests/s arrive. Two of four replicas are ready and carry half of it; four carry it all: relief begins."""
    active = overflowing(since=START - 1000.0, moved_before=0.5, moved_at=START - 1000.0)
    workload = spec(fallback=fallback())
    calm = signals(rate=8.8, running=20.0, gpu_utilization=0.9)
    half = observation(signal=calm, state=running(4, ready=2, starting=2), routes=(route(),))
    assert decide(workload, half, Memory(fallback=active))[1].fallback.relieved_since is None
    whole = observation(signal=calm, state=running(4), routes=(route(),))
    assert decide(workload, whole, Memory(fallback=active))[1].fallback.relieved_since == START


def test_the_overflow_is_paid_for() -> None:
    """4 requests/s in all, half of them at $0.004: 2 × 0.004 × 3600 = $28.80/h."""
    active = overflowing(moved_before=0.5, moved_at=START - 1000.0)
    workload = spec(fallback=fallback(price_per_request=Decimal("0.004")))
    _, memory = decide(workload, observation(routes=(route(),)), Memory(fallback=active))
    assert memory.spend.rates[-1].overflow == Decimal("28.8")


def test_a_decision_has_an_identity_that_a_log_line_can_find() -> None:
    workload = spec()
    assert decision_id(workload, START) == decision_id(workload, START)
    others = {decision_id(workload, START + 0.001), decision_id(replace(workload, generation=2), START)}
    assert decision_id(workload, START) not in others


def test_a_spec_without_anything_but_a_target_is_decided_and_told_nothing_about() -> None:
    decision = decided(spec(objectives=()), observation())
    assert (desired(decision), reasons(decision)) == (1, [])
    assert condition(decision, "SLOMet") == (True, "Met")


def test_recommend_decides_like_auto() -> None:
    seen = observation(signal=signals(rate=10.0, gpu_utilization=0.95), state=running(1), objectives=GOOD)
    assert desired(decided(spec(mode=Mode.RECOMMEND), seen)) == desired(decided(spec(), seen)) == 3
