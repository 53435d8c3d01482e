"""The floor's laws, and that no simulated run is below it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lab.bounds.worlds import CHAT, TINY, trace_of, variant

from flyball.lab.bounds.floor import SETTLED_SECONDS, floor, settled_until, shortest_startup
from flyball.lab.bounds.program import Infeasible
from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.outcome import Outcome
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.generate import Lengths, Profile, generate_trace
from flyball.lab.policies.model import Objective
from flyball.lab.presets import preset
from flyball.lab.score import attained
from flyball.lab.trace import Trace

ENGINE = replace(TINY, kv_tokens=2000, max_batch=16)


def small_trace(seed: int, rate: float = 3.0, duration_seconds: float = 300.0) -> Trace:
    """Bursty requests of about 100 prompt and 20 output tokens: 50 ms of prefill and as much of decoding on ENGINE."""
    return generate_trace(
        Profile(
            "test", Lengths(100, 0.8, 400), Lengths(20, 0.8, 100), rate=rate, duration_seconds=duration_seconds,
            seed=seed, burst=0.8, window_seconds=20.0,
        )
    )  # fmt: skip


def objectives(first_seconds: float, per_token_seconds: float, target: float) -> tuple[Objective, ...]:
    return (
        Objective("TimeToFirstToken", first_seconds, target),
        Objective("InterTokenLatency", per_token_seconds, target),
    )


def price(index: int) -> Decimal:
    """Dollars: the second variant costs twice the first, a GPU hour."""
    return Decimal(1 + index)


def test_a_steady_load_needs_its_work() -> None:
    """A request a second of 2 s of prefill, none late: two replicas, from 100 s to the last arrival at 199 s."""
    trace = trace_of([(float(second), 4000, 1) for second in range(200)])
    fleet = variant(replace(ENGINE, kv_tokens=9000, base_ms=0.1), price="7.2", gpus_per_replica=2)
    found = floor(trace, [fleet], objectives(5.0, 1.0, 1.0), (2,), 100.0)
    # What came in the last five seconds is not due before the end.
    assert found.gpu_hours * 3600 == pytest.approx((99 - 4.5) * 2 * 2, rel=0.01)
    assert found.cost == pytest.approx(found.gpu_hours * 7.2)
    assert found.mean_replicas == pytest.approx(found.gpu_hours * 3600 / 99 / 2)
    assert found.replicas.shape == (1, 20)
    assert found.slot_seconds == pytest.approx(99 / 20)


@pytest.mark.parametrize(
    ("initial", "warmup_seconds", "at", "paid_seconds"),
    [
        pytest.param(0, 0.0, 70.0, 60 + 40, id="none runs: one is started, and paid while it starts"),
        pytest.param(1, 0.0, 20.0, 20 + 40, id="one runs, and waits"),
        pytest.param(0, 100.0, 120.0, 20 + 40, id="a start that began in the warm-up is paid from its end"),
        pytest.param(0, 30.0, 60.0, 30 + 40, id="the first that can end after a short warm-up"),
    ],
)
def test_the_first_replicas_are_those_given(
    initial: int, warmup_seconds: float, at: float, paid_seconds: float
) -> None:
    """20 requests of 2 s of prefill come at once, and are due after 40 s; a start takes 60 s."""
    trace = trace_of([(at, 4000, 1) for _ in range(20)] + [(400.0, 1, 1)])
    fleet = variant(replace(ENGINE, kv_tokens=9000, base_ms=0.1), min_replicas=0)
    found = floor(trace, [fleet], objectives(40.0, 1.0, 1.0), (initial,), warmup_seconds)
    # A start is paid to the beginning of the slot before the one in which it first serves.
    assert paid_seconds - 2.5 * found.slot_seconds <= found.gpu_hours * 3600 <= paid_seconds + 0.01


def test_no_start_ends_before_it_can() -> None:
    trace = trace_of([(10.0, 4000, 1) for _ in range(20)] + [(400.0, 1, 1)])
    fleet = variant(replace(ENGINE, kv_tokens=9000, base_ms=0.1))
    with pytest.raises(Infeasible):
        floor(trace, [fleet], objectives(40.0, 1.0, 1.0), (0,), 0.0)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 1000),
    first_ms=st.integers(200, 3000),
    per_token_ms=st.integers(15, 60),
    target=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_it_is_monotone(seed: int, first_ms: int, per_token_ms: int, target: float) -> None:
    trace = small_trace(seed)
    fleet = [variant(ENGINE, startup_seconds=30.0)]
    first, per_token = first_ms / 1000, per_token_ms / 1000
    base = objectives(first, per_token, target)

    def hours(wanted: tuple[Objective, ...], most_slots: int = 40, fleet: Sequence[FleetVariant] = fleet) -> float:
        return floor(trace, fleet, wanted, (1,), 60.0, most_slots=most_slots).gpu_hours * (1 + 1e-7)

    found = hours(base)
    assert hours(objectives(first, per_token, (1 + target) / 2)) >= found / (1 + 1e-6)
    assert hours(objectives(first / 2, per_token, target)) >= found / (1 + 1e-6)
    assert hours(objectives(first, per_token / 1.2, target)) >= found / (1 + 1e-6)
    assert hours((*base, Objective("EndToEnd", 5 * first, target))) >= 0
    assert hours(base, most_slots=20) <= found * (1 + 1e-6)
    assert hours(base, fleet=[replace(fleet[0], startup_seconds=60.0)]) >= found / (1 + 1e-6)


def played(
    trace: Trace, variants: Sequence[FleetVariant], options: FleetOptions, initial: Sequence[int],
    orders: Sequence[tuple[float, int, int]], seed: int,
) -> Outcome:  # fmt: skip
    """A run with the orders (seconds, variant, replicas)."""
    simulation = Simulation(trace, variants, options, initial, seed)
    for at, which, replicas in sorted(orders):
        simulation.advance(at)
        simulation.ask(which, replicas)
    simulation.advance(float(trace.t_seconds[-1]) + 600.0)
    return simulation.outcome()


ORDERS = st.lists(st.tuples(st.floats(0, 300), st.integers(0, 1), st.integers(1, 6)), max_size=12)
# Hardly a base, and whole prompts in an iteration: a busy replica is at the bound.
LEAN = replace(ENGINE, base_ms=0.5, max_batched_tokens=2000)
SLOW = replace(ENGINE, per_prefill_token_ms=1.0, per_sequence_ms=0.5, kv_tokens=4000)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    rate=st.sampled_from([0.3, 3.0, 12.0]),
    wanted=st.sampled_from(
        [
            objectives(0.5, 0.025, 0.95),
            objectives(2.0, 0.06, 0.95),
            (Objective("TimeToFirstToken", 1.0, 0.95),),
            (Objective("EndToEnd", 2.0, 0.95),),
            (Objective("InterTokenLatency", 0.03, 0.95),),
            (Objective("TimeToFirstToken", 1.0, 0.95), Objective("EndToEnd", 3.0, 0.95)),
        ]
    ),
    engines=st.sampled_from([(LEAN,), (ENGINE,), (LEAN, SLOW), (SLOW, ENGINE)]),
    initial=st.integers(0, 4),
    warmup_seconds=st.sampled_from([0.0, 20.0, 60.0]),
    startup=st.sampled_from([(10.0, 0.0), (40.0, 0.0), (40.0, 0.3)]),
    faults=st.sampled_from([(0.0, 0.0, None), (0.3, 0.3, None), (0.0, 0.0, 60.0)]),
    timeout=st.sampled_from([math.inf, 2.0]),
    orders=ORDERS,
)
def test_no_run_is_below_the_floor_at_its_attainment(
    seed: int, rate: float, wanted: tuple[Objective, ...], engines: tuple[EngineParameters, ...], initial: int,
    warmup_seconds: float, startup: tuple[float, float], faults: tuple[float, float, float | None], timeout: float,
    orders: list[tuple[float, int, int]],
) -> None:  # fmt: skip
    trace = small_trace(seed, rate)
    failed, slow, reclaim = faults
    variants = [
        FleetVariant(
            f"v{index}", engine, startup[0], price(index), gpus_per_replica=1 + index, min_replicas=0,
            startup_jitter=startup[1], failed_start_share=failed, slow_share=slow, slow_prefill_factor=1.5,
            reclaim_mean_seconds=reclaim,
        )
        for index, engine in enumerate(engines)
    ]  # fmt: skip
    options = FleetOptions(client_timeout_seconds=timeout)
    counts = (initial,) * len(variants)
    outcome = played(trace, variants, options, counts, [order for order in orders if order[1] < len(variants)], seed)
    shares = attained(trace, outcome, wanted, warmup_seconds)
    assume(not any(math.isnan(share) for share in shares.values()))
    reached = tuple(replace(objective, target=shares[objective.indicator]) for objective in wanted)
    settled = settled_until(trace, outcome)
    found = floor(trace, variants, reached, counts, warmup_seconds, options, (seed,), settled)
    end = float(trace.t_seconds[-1])
    gpu_hours = sum(outcome.gpu_seconds(index, warmup_seconds, end) for index in range(len(variants))) / 3600
    cost = float(sum(outcome.dollars(index, warmup_seconds, end) for index in range(len(variants))))
    assert found.gpu_hours <= gpu_hours * (1 + 1e-6) + 1e-9
    assert found.cost <= cost * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("wanted", [objectives(0.5, 0.025, 0.95), (Objective("EndToEnd", 2.0, 0.95),)])
def test_a_fleet_that_is_always_busy_is_just_above_the_floor(replicas: int, wanted: tuple[Objective, ...]) -> None:
    trace = small_trace(1, rate=15.0)
    fleet = [variant(LEAN, startup_seconds=30.0)]
    outcome = played(trace, fleet, FleetOptions(), (replicas,), [], 1)
    shares = attained(trace, outcome, wanted, 0.0)
    reached = tuple(replace(objective, target=shares[objective.indicator]) for objective in wanted)
    found = floor(trace, fleet, reached, (replicas,), 0.0, settled_seconds=settled_until(trace, outcome))
    paid = outcome.gpu_seconds(0, 0.0, float(trace.t_seconds[-1])) / 3600
    assert 0.93 * paid <= found.gpu_hours <= paid * (1 + 1e-6)


def test_settled_until_is_when_the_first_request_without_an_answer_came() -> None:
    trace = trace_of([(0.0, 10, 2), (1.0, 10, 2), (1.5, 10, 2), (9.0, 10, 2)])
    outcome = played(trace, [variant(ENGINE)], FleetOptions(), (1,), [], 0)
    assert settled_until(trace, outcome) == 9.0
    late = replace(outcome, finished_at=np.array([0.5, math.nan, 9.5, 9.1]))
    assert settled_until(trace, late) == 1.0
    assert settled_until(trace, replace(late, rejected=np.array([False, True, False, False]))) == 1.5


def test_requests_of_the_last_minutes_may_stay_without_an_answer() -> None:
    trace = trace_of([(float(second), 400, 1) for second in range(1000)])
    fleet = [variant(replace(ENGINE, base_ms=0.1), min_replicas=0)]
    wanted = objectives(1.0, 1.0, 0.5)
    by_default, all_answered, from_the_middle = (
        floor(trace, fleet, wanted, (1,), 0.0, settled_seconds=settled).gpu_hours * 3600 for settled in (None, 999, 500)
    )
    assert by_default == pytest.approx((999 - SETTLED_SECONDS) * 0.2, rel=0.01)
    assert all_answered == pytest.approx(999 * 0.2, rel=0.01)
    assert from_the_middle == pytest.approx(500 * 0.2, rel=0.01)


def test_dropped_requests_cost_nothing() -> None:
    trace = trace_of([(float(second), 400, 1) for second in range(1000)])
    fleet = [variant(replace(ENGINE, base_ms=0.1), min_replicas=0)]
    patient, impatient = (
        floor(
            trace,
            fleet,
            objectives(1.0, 1.0, 0.75),
            (1,),
            0.0,
            FleetOptions(client_timeout_seconds=timeout),
            settled_seconds=999.0,
        )
        for timeout in (math.inf, 5.0)
    )
    assert impatient.gpu_hours == pytest.approx(patient.gpu_hours * 0.75, rel=0.01)


def test_the_shortest_start_up_is_the_shortest_drawn() -> None:
    assert shortest_startup(variant(startup_seconds=60.0), 0, (1, 2)) == 60.0
    jittered = variant(startup_seconds=60.0, startup_jitter=0.2)
    assert 20.0 < shortest_startup(jittered, 0, (1, 2)) <= shortest_startup(jittered, 0, (1,)) < 40.0


def test_cost_and_gpu_hours_are_bounded_each_by_itself() -> None:
    """The small one is cheaper for its work, the large one takes fewer GPUs."""
    trace = small_trace(3)
    large = replace(variant(preset("l4_8b").parameters, min_replicas=0), price_per_gpu_hour=price(9))
    small = replace(variant(preset("a10g_8b").parameters, min_replicas=0), price_per_gpu_hour=price(0))
    wanted = objectives(2.0, 0.2, 0.95)
    both, only_large, only_small = (
        floor(trace, fleet, wanted, (1,) * len(fleet), 60.0) for fleet in ([large, small], [large], [small])
    )
    assert both.cost <= min(only_large.cost, only_small.cost) * (1 + 1e-6)
    assert both.gpu_hours <= min(only_large.gpu_hours, only_small.gpu_hours) * (1 + 1e-6)


@pytest.mark.parametrize(
    ("fleet", "options"),
    [
        pytest.param(variant(max_replicas=2), FleetOptions(), id="maxReplicas"),
        pytest.param(variant(), FleetOptions(gpus=2), id="gpus"),
    ],
)
def test_objectives_out_of_reach_name_the_bounds(fleet: FleetVariant, options: FleetOptions) -> None:
    trace = generate_trace(Profile("test", Lengths(1154, 0.8, 14_000), Lengths(211, 0.7, 1_000), rate=10.0))
    with pytest.raises(Infeasible, match="raise maxReplicas or gpus"):
        floor(trace, [fleet], CHAT, (2,), 600.0, options)


def test_a_warm_up_longer_than_the_trace_is_a_fault() -> None:
    with pytest.raises(ValueError, match=r"warmup: is 400 s, and the last request comes at 3"):
        floor(trace_of([(0.0, 10, 2), (300.0, 10, 2)]), [variant(ENGINE)], CHAT, (1,), 400.0)
