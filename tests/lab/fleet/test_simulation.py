"""The life of replicas: started, drained, reclaimed, paid for; and that no request is ever lost on the way."""

import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab.fleet.worlds import ENGINE, random_trace, simulation, trace_of, variant

from flyball.lab.fleet.model import FleetOptions, ReplicaCounts, Routing
from flyball.lab.fleet.samples import Column
from flyball.lab.fleet.simulation import Simulation

QUIET = trace_of((1000.0, 10, 1))


def counts(asked: int, ready: int, starting: int = 0, pending: int = 0, draining: int = 0) -> ReplicaCounts:
    return ReplicaCounts(asked, ready, starting, pending, draining)


def test_a_new_replica_is_ready_after_its_startup_and_paid_from_when_it_was_asked_for() -> None:
    sim = simulation(QUIET, variant(gpus_per_replica=2))
    sim.advance(10.0)
    sim.ask(0, 3)
    assert sim.counts() == (counts(3, 1, starting=2),)
    sim.advance(29.9)
    assert sim.counts()[0].ready == 1
    sim.advance(30.0)
    assert sim.counts() == (counts(3, 3),)
    sim.advance(40.0)
    sim.ask(0, 1)
    sim.advance(100.0)
    outcome = sim.outcome()
    assert [(a.at, a.before, a.after) for a in outcome.actions] == [(10.0, 1, 3), (40.0, 3, 1)]
    assert outcome.gpu_seconds(0, 0.0, 100.0) == pytest.approx(2 * (100 + 2 * 30))
    assert outcome.gpu_seconds(0, 5.0, 20.0) == pytest.approx(2 * (15 + 2 * 10))
    assert outcome.dollars(0, 0.0, 100.0) == pytest.approx(Decimal(320) * Decimal("3.60") / 3600)


def test_what_goes_first_when_fewer_are_asked_for() -> None:
    """Pending ones, then the youngest starting ones, then the ready one with the fewest requests."""
    sim = simulation(
        trace_of((0.0, 10, 3000), (0.0, 10, 3000), (0.1, 10, 2)), initial=(2,), options=FleetOptions(gpus=4)
    )
    sim.advance(1.0)
    sim.ask(0, 3)
    sim.advance(2.0)
    sim.ask(0, 6)
    assert sim.counts() == (counts(6, 2, starting=2, pending=2),)
    sim.ask(0, 4)
    assert sim.counts() == (counts(4, 2, starting=2),)
    sim.ask(0, 3)
    sim.advance(21.0)
    assert sim.counts() == (counts(3, 3),), "the older of the starting ones was left to start"
    sim.ask(0, 2)
    assert sim.counts() == (counts(2, 2),), "the idle replica is gone at once"
    sim.ask(0, 1)
    assert sim.counts() == (counts(1, 1, draining=1),)
    sim.ask(0, 0)
    assert sim.counts() == (counts(0, 0, draining=2),)
    sim.advance(100.0)
    assert sim.counts() == (counts(0, 0),)
    assert np.isfinite(sim.outcome().finished_at).all()
    assert sim.outcome().gpu_seconds(0, 50.0, 100.0) == 0


def test_replicas_beyond_the_inventory_wait_unpaid_until_others_are_gone() -> None:
    big, small = variant("big", gpus_per_replica=4), variant("small")
    sim = simulation(QUIET, big, small, initial=(1, 1), options=FleetOptions(gpus=7))
    sim.ask(0, 2)
    sim.ask(1, 2)
    assert sim.counts() == (counts(2, 1, pending=1), counts(2, 1, starting=1))
    sim.advance(50.0)
    sim.ask(1, 1)
    assert sim.counts()[0].pending == 1, "two GPUs are free, four are needed"
    sim.ask(1, 0)
    assert sim.counts()[0].pending == 1, "three are free"
    assert sim.outcome().gpu_seconds(0, 0.0, 50.0) == 4 * 50
    with pytest.raises(ValueError, match="more than the 3 GPUs"):
        simulation(QUIET, big, initial=(1,), options=FleetOptions(gpus=3))


def test_a_pending_replica_starts_when_a_draining_one_is_gone() -> None:
    first, second = variant("first"), variant("second")
    sim = simulation(trace_of((0.0, 10, 500)), first, second, initial=(1, 0), options=FleetOptions(gpus=1))
    sim.advance(1.0)
    sim.ask(0, 0)
    sim.ask(1, 1)
    assert sim.counts() == (counts(0, 0, draining=1), counts(1, 0, pending=1))
    sim.advance(60.0)
    gone = float(sim.outcome().finished_at[0])
    assert 5.0 < gone < 6.0
    assert sim.outcome().gpu_seconds(0, 0.0, 60.0) == pytest.approx(gone)
    assert sim.outcome().gpu_seconds(1, 0.0, 60.0) == pytest.approx(60.0 - gone)
    assert sim.counts()[1] == counts(1, 1)


def test_failed_starts_are_tried_again_and_paid() -> None:
    sim = simulation(QUIET, variant(failed_start_share=0.5), initial=(0,))
    sim.ask(0, 40)
    sim.advance(20.0)
    failed = sim.outcome().failed_starts
    assert 8 <= failed <= 32
    assert sim.counts() == (counts(40, 40 - failed, starting=failed),)
    sim.advance(900.0)
    assert sim.counts() == (counts(40, 40),)
    assert sim.outcome().gpu_seconds(0, 0.0, 900.0) == 40 * 900


def test_startup_times_spread_as_asked_and_are_the_same_whatever_was_asked_before() -> None:
    def ready_times(asks: list[int]) -> list[float]:
        sim, found = simulation(QUIET, variant(startup_jitter=0.3), initial=(0,)), []
        for replicas in asks:
            sim.ask(0, replicas)
        while len(found) < asks[-1]:
            sim.advance(sim.now + 0.25)
            found += [sim.now] * (sim.counts()[0].ready - len(found))
        return found

    at_once = ready_times([400])
    assert np.mean(at_once) == pytest.approx(20.0, rel=0.05)
    assert np.std(at_once) == pytest.approx(6.0, rel=0.15)
    assert ready_times([100, 400]) == at_once


def test_reclaimed_replicas_are_replaced_and_their_requests_begin_anew() -> None:
    trace = random_trace(3, count=400, span=400.0)
    sim = simulation(trace, variant(reclaim_mean_seconds=60.0), initial=(4,))
    sim.advance(1000.0)
    outcome = sim.outcome()
    assert outcome.reclaims > 20
    assert sim.counts()[0].present == 4
    assert np.isfinite(outcome.finished_at).all()
    assert (outcome.first_token_at <= outcome.finished_at).all()
    assert (outcome.first_token_at > outcome.arrived_at).all()


def test_slow_replicas_prefill_slower_by_their_factor() -> None:
    trace = trace_of((0.0, 400, 1))
    normal, slow = (simulation(trace, variant(slow_share=share, slow_prefill_factor=3.0)) for share in (0.0, 1.0))
    for sim in (normal, slow):
        sim.advance(10.0)
    gap = slow.outcome().finished_at[0] - normal.outcome().finished_at[0]
    assert gap == pytest.approx(2 * 400 * ENGINE.per_prefill_token_ms / 1000)


def test_requests_that_find_no_replica_are_held_and_cold() -> None:
    sim = simulation(trace_of((1.0, 10, 1), (2.0, 10, 1), (50.0, 10, 1)), initial=(0,))
    sim.advance(5.0)
    assert sim.sample().held == 2
    assert len(sim.sample().values) == 0
    sim.ask(0, 1)
    sim.advance(60.0)
    outcome = sim.outcome()
    assert outcome.cold.tolist() == [True, True, False]
    assert (outcome.first_token_at[:2] > 25.0).all()
    assert (outcome.first_token_at[:2] < 25.1).all()


def test_a_request_larger_than_the_smallest_kv_cache_is_rejected_everywhere() -> None:
    roomy = variant("roomy", engine=ENGINE)
    tight = variant("tight", engine=type(ENGINE)(10, 0, 0, 0.1, 0, kv_tokens=100, max_batch=4, max_batched_tokens=100))
    trace = trace_of((0.0, 90, 6), (0.0, 90, 7))
    sim = simulation(trace, roomy, tight, initial=(1, 1))
    sim.advance(10.0)
    assert sim.outcome().rejected.tolist() == [False, True]
    assert np.isfinite(sim.outcome().finished_at).tolist() == [True, False]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        pytest.param(lambda sim: sim.ask(0, -1), "give 0 or more", id="a negative count"),
        pytest.param(lambda sim: sim.advance(-1.0), "time ran backwards", id="back in time"),
        pytest.param(lambda sim: simulation(QUIET, initial=(1, 1)), "one count per variant", id="counts"),
    ],
)
def test_what_cannot_be_is_refused(act: Callable[[Simulation], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        act(simulation(QUIET))


OPTIONS = st.builds(
    FleetOptions,
    routing=st.sampled_from(Routing),
    gateway_queue=st.booleans(),
    client_timeout_seconds=st.sampled_from([0.5, 5.0, math.inf]),
    gpus=st.sampled_from([None, 4]),
)
VARIANTS = st.builds(
    variant,
    startup_jitter=st.sampled_from([0.0, 0.5]),
    failed_start_share=st.sampled_from([0.0, 0.3]),
    reclaim_mean_seconds=st.sampled_from([None, 30.0]),
    slow_share=st.sampled_from([0.0, 0.5]),
    slow_prefill_factor=st.just(2.0),
)
ASKS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=8, max_size=8)


def played(seed: int, variants: tuple, options: FleetOptions, asks: list[tuple[int, int]], repeat: bool) -> Simulation:
    """100 s of requests with a change every 15 s, then one replica each until all are served."""
    sim = simulation(random_trace(seed), *variants, initial=(1, 1), options=options, seed=seed)
    for which, replicas in [*asks, (0, 1), (1, 1)]:
        sim.ask(which, replicas)
        if repeat:
            sim.ask(which, replicas)
        sim.advance(sim.now + 15.0)
        check_samples(sim)
    sim.advance(2_000.0)
    return sim


def check_samples(sim: Simulation) -> None:
    """Counts that must hold at any moment."""
    sample, later = sim.sample(), sim.sample()
    np.testing.assert_array_equal(sample.values, later.values)
    assert len(sample.replicas) == sum(each.ready for each in sim.counts())
    assert (sample.values >= 0).all()
    assert (sample.values[:, Column.KV_USAGE] <= 1).all()
    assert (sample.values[:, Column.BUSY_SECONDS] <= sim.now + 1e-9).all()
    for each, asked in zip(sim.counts(), sim.counts(), strict=True):
        assert each.present == asked.asked


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), variants=st.tuples(VARIANTS, VARIANTS), options=OPTIONS, asks=ASKS)
def test_every_request_ends_in_one_way_and_everything_repeats(
    seed: int, variants: tuple, options: FleetOptions, asks: list[tuple[int, int]]
) -> None:
    sim = played(seed, variants, options, asks, repeat=False)
    outcome = sim.outcome()
    finished = np.isfinite(outcome.finished_at)
    assert (finished.astype(int) + outcome.dropped + outcome.rejected == 1).all()
    assert sim.in_flight == 0
    assert (outcome.first_token_at[finished] > outcome.arrived_at[finished]).all()
    assert not outcome.dropped.any() or np.isfinite(options.client_timeout_seconds)
    waited = outcome.first_token_at[finished] - outcome.arrived_at[finished]
    if variants[0].reclaim_mean_seconds is None and variants[1].reclaim_mean_seconds is None:
        assert (waited <= options.client_timeout_seconds).all()
    present = sum(each.present for each in sim.counts())
    assert outcome.gpu_seconds(0, 1_999.0, 2_000.0) + outcome.gpu_seconds(1, 1_999.0, 2_000.0) <= present + 1e-6
    again = played(seed, variants, options, asks, repeat=True).outcome()
    np.testing.assert_array_equal(outcome.finished_at, again.finished_at)
    assert [paid.seconds(0, 2_000.0) for paid in outcome.paid] == [paid.seconds(0, 2_000.0) for paid in again.paid]
    assert outcome.actions == again.actions


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), routing=st.sampled_from(Routing), gateway_queue=st.booleans())
def test_draining_loses_no_request_and_counters_only_grow(seed: int, routing: Routing, gateway_queue: bool) -> None:
    sim = simulation(
        random_trace(seed), initial=(4,), options=FleetOptions(routing=routing, gateway_queue=gateway_queue)
    )
    before: dict[int, np.ndarray] = {}
    for replicas in (1, 3, 2, 4, 1, 2, 1):
        sim.advance(sim.now + 14.0)
        sim.ask(0, replicas)
        sample = sim.sample()
        for number, row in zip(sample.replicas.tolist(), sample.values, strict=True):
            if number in before:
                assert (row[Column.FINISHED :] >= before[number][Column.FINISHED :] - 1e-9).all()
                grown = row[Column.BUSY_SECONDS] - before[number][Column.BUSY_SECONDS]
                assert grown <= 14.0 + 1e-9
            before[number] = row
    sim.advance(5000.0)
    assert np.isfinite(sim.outcome().finished_at).all()
