"""Which replica a request goes to, what the gateway holds, and when a client's patience runs out."""

from dataclasses import replace

import numpy as np
import pytest
from lab.fleet.worlds import ENGINE, random_trace, simulation, trace_of, variant

from flyball.lab.fleet.model import Fallback, FleetOptions, Routing
from flyball.lab.fleet.samples import Column
from flyball.lab.fleet.simulation import Simulation


def in_flight(sim: Simulation) -> list[int]:
    values = sim.sample().values
    return [int(total) for total in values[:, Column.RUNNING] + values[:, Column.WAITING]]


@pytest.mark.parametrize(
    ("routing", "rows", "expected"),
    [
        pytest.param(
            Routing.LEAST_OUTSTANDING,
            [(0.0, 10, 400), (0.0, 10, 2), (0.0, 10, 2), (1.0, 10, 400), (1.1, 10, 400)],
            [1, 1, 1],
            id="the first request's replica is passed over",
        ),
        pytest.param(
            Routing.ROUND_ROBIN,
            [(0.0, 10, 400), (0.0, 10, 2), (0.0, 10, 2), (1.0, 10, 400), (1.1, 10, 2), (1.2, 10, 2), (1.3, 10, 400)],
            [3, 0, 0],
            id="every third whatever they do",
        ),
        pytest.param(
            Routing.KV_AWARE,
            [(0.0, 2000, 400), (0.0, 400, 400), (0.0, 400, 400), *((1 + n / 10, 10, 400) for n in range(4))],
            [1, 3, 3],
            id="a long prompt weighs more than many short ones",
        ),
    ],
)
def test_where_requests_go(routing: Routing, rows: list[tuple[float, int, int]], expected: list[int]) -> None:
    sim = simulation(trace_of(*rows), initial=(3,), options=FleetOptions(routing=routing))
    sim.advance(2.5)
    assert in_flight(sim) == expected


def test_random_routing_spreads_evenly_and_worse_than_the_least_outstanding() -> None:
    trace = random_trace(5, count=3000, span=200.0)
    waits = {}
    for routing in (Routing.RANDOM, Routing.LEAST_OUTSTANDING):
        sim = simulation(trace, initial=(3,), options=FleetOptions(routing=routing))
        sim.advance(1000.0)
        waits[routing] = np.mean(sim.outcome().first_token_at - trace.t_seconds)
        finished = sim.sample().values[:, Column.FINISHED]
        assert finished == pytest.approx([1000] * 3, rel=0.1)
    assert waits[Routing.RANDOM] > waits[Routing.LEAST_OUTSTANDING]


def test_a_gateway_queue_hands_out_one_place_at_a_time_in_order() -> None:
    """Ten requests for two places each at two replicas; without the queue they wait inside."""
    two_places = variant(engine=replace(ENGINE, max_batch=2))
    trace = trace_of(*[(index / 100, 10, 100) for index in range(10)])
    queued = simulation(trace, two_places, initial=(2,), options=FleetOptions(gateway_queue=True))
    inside = simulation(trace, two_places, initial=(2,))
    for sim in (queued, inside):
        sim.advance(0.5)
    assert (queued.sample().held, in_flight(queued)) == (6, [2, 2])
    assert (inside.sample().held, in_flight(inside)) == (0, [5, 5])
    queued.advance(100.0)
    assert (np.diff(queued.outcome().first_token_at) >= 0).all()
    assert not queued.outcome().cold.any()


def test_a_gateway_queue_holds_back_what_the_kv_cache_has_no_room_for() -> None:
    trace = trace_of((0.0, 2500, 500), (0.0, 2500, 500), (0.0, 10, 5))
    sim = simulation(trace, options=FleetOptions(gateway_queue=True))
    sim.advance(1.0)
    assert sim.sample().held == 2, "the small one waits behind the large one"
    sim.advance(100.0)
    assert sim.outcome().first_token_at[1] > sim.outcome().finished_at[0]


@pytest.mark.parametrize("gateway_queue", [True, False])
def test_clients_that_lose_patience_leave_all_queues(gateway_queue: bool) -> None:
    """One place, each request takes a second: those not begun two seconds after they came are dropped."""
    one_place = variant(engine=replace(ENGINE, max_batch=1))
    trace = trace_of(*[(index / 1000, 10, 100) for index in range(6)])
    options = FleetOptions(client_timeout_seconds=2.2, gateway_queue=gateway_queue)
    sim = simulation(trace, one_place, options=options)
    sim.advance(2.5)
    assert sim.in_flight == 1
    assert (sim.sample().held, in_flight(sim)) == (0, [1])
    sim.advance(10.0)
    assert sim.outcome().dropped.tolist() == [False, False, False, True, True, True]
    assert np.isfinite(sim.outcome().finished_at).tolist() == [True, True, True, False, False, False]
    assert in_flight(sim) == [0]


def test_a_prompt_under_way_is_dropped_and_its_kv_blocks_freed() -> None:
    """A prompt of 3000 tokens takes six iterations of 36 ms; its client waits for 130 ms. The one behind it just fits
    once the iteration in flight has ended, at 143 ms.
    """
    sim = simulation(trace_of((0.0, 3000, 10), (0.05, 300, 1)), options=FleetOptions(client_timeout_seconds=0.13))
    shown = [Column.RUNNING, Column.WAITING]
    sim.advance(0.125)
    assert sim.sample().values[0, shown].tolist() == [1, 1]
    sim.advance(0.131)
    assert sim.sample().values[0, shown].tolist() == [0, 1]
    sim.advance(5.0)
    assert sim.outcome().dropped.tolist() == [True, False]
    assert sim.outcome().finished_at[1] == pytest.approx(0.001 + 4 * 0.0356 + 0.025)
    assert sim.sample().values[0, Column.KV_USAGE] == 0


def test_a_fleet_without_replicas_drops_what_nobody_waits_for() -> None:
    sim = simulation(trace_of((0.0, 10, 1), (8.0, 10, 1)), initial=(0,), options=FleetOptions(client_timeout_seconds=5))
    sim.advance(10.0)
    assert sim.sample().held == 1
    assert sim.outcome().dropped.tolist() == [True, False]


def test_a_fallback_answers_what_comes_while_no_replica_is_ready_and_nothing_else() -> None:
    """The replica is there after 20 s: the first two are answered elsewhere, 5 tokens in 0.5 s and 4 × 0.1 s."""
    options = FleetOptions(fallback=Fallback(0.5, 0.1))
    sim = simulation(trace_of((1.0, 10, 5), (2.0, 10, 1), (30.0, 10, 5)), initial=(0,), options=options)
    sim.ask(0, 1)
    sim.advance(3.0)
    assert (sim.in_flight, sim.sample().held, sim.sample().arrived) == (0, 0, 2)
    sim.advance(60.0)
    outcome = sim.outcome()
    assert outcome.cold.tolist() == [True, True, False]
    assert outcome.first_token_at[:2].tolist() == [1.5, 2.5]
    assert outcome.finished_at[:2].tolist() == [pytest.approx(1.9), 2.5]
    assert outcome.finished_at[2] > 30.0
