"""Signals read from a simulated fleet, against what a hand counts in its samples and in what became of its requests."""

import math

import numpy as np
import pytest
from lab.fleet.worlds import random_trace, simulation, trace_of, variant

from flyball.core.observation import SignalState, VariantSignals, WorkloadSignals
from flyball.core.spec import WorkloadSpec
from flyball.lab.fleet.model import FleetVariant
from flyball.lab.fleet.samples import Column, Sample
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.observe import EPOCH, LabTelemetry, observe
from flyball.lab.play import Scraper
from flyball.lab.policies.flyball import build
from flyball.lab.policies.model import Objective, Setting
from flyball.lab.trace import Trace

SCRAPE = 15.0
BEGIN, NOW = 45.0, 90.0
"""The first sample within the last minute (its beginning is not in it), and the last: at it is looked."""
TTFT, ITL, E2E = 0.02, 0.01, 0.5
"""All of them edges of their histograms."""
SIGNALS = (
    "running", "waiting", "completions_per_second", "prompt_tokens_per_second", "output_tokens_per_second",
    "prompt_tokens_per_request", "output_tokens_per_request", "seconds_per_output_token", "kv_cache_usage",
    "gpu_utilization", "cached_prompt_share", "reporting_replicas", "decoding",
)  # fmt: skip


def spec_of(*variants: FleetVariant) -> WorkloadSpec:
    objectives = (
        Objective("TimeToFirstToken", TTFT, 0.95),
        Objective("InterTokenLatency", ITL, 0.95),
        Objective("EndToEnd", E2E, 0.95),
    )
    ones = (1,) * len(variants)
    return build(Setting(variants, objectives, ones, ones, ones), {}).spec


class Watched:
    """A fleet that is scraped without delay, and its signals."""

    def __init__(self, fleet: Simulation, *variants: FleetVariant, gaps: tuple[tuple[float, float], ...] = ()) -> None:
        self.fleet = fleet
        self.scraper = Scraper(SCRAPE, 0.0, gaps)
        self.spec = spec_of(*(variants or (variant(),)))
        self.telemetry = LabTelemetry(self.spec)

    def until(self, now: float) -> WorkloadSignals:
        while self.scraper.due_at <= now:
            self.fleet.advance(self.scraper.due_at)
            self.scraper.take(self.fleet)
        self.fleet.advance(now)
        return self.telemetry.read(self.scraper.look(now))

    def sample(self, at: float) -> Sample:
        return next(sample for sample in self.scraper.history.within(math.inf) if sample.at == at)

    def grown(self, *columns: Column, number: int = 0) -> float:
        """By how much a variant's counters grew from BEGIN to NOW."""
        found = 0.0
        for at, sign in ((BEGIN, -1), (NOW, 1)):
            sample = self.sample(at)
            found += sign * float(sample.values[sample.variants == number][:, list(columns)].sum())
        return found


def busy(prompt: int = 300) -> Trace:
    return random_trace(3, count=1000, span=100.0, prompt=prompt)


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched(simulation(busy(), initial=(3,)))


@pytest.fixture(scope="module")
def signals(watched: Watched) -> WorkloadSignals:
    return watched.until(NOW)


@pytest.fixture(scope="module")
def gpu(signals: WorkloadSignals) -> VariantSignals:
    return signals.variant("gpu")


class TestOneVariant:
    def test_the_fleet_is_busy(self, watched: Watched, signals: WorkloadSignals) -> None:
        """Else what follows would be about nothing."""
        assert watched.grown(Column.FINISHED) > 300
        assert all(reading.state is SignalState.OK for reading in signals.objectives)

    @pytest.mark.parametrize("name", SIGNALS)
    def test_everything_is_known(self, gpu: VariantSignals, name: str) -> None:
        assert getattr(gpu, name).state is SignalState.OK

    def test_gauges_are_the_last_samples(self, watched: Watched, gpu: VariantSignals) -> None:
        values = watched.sample(NOW).values
        assert gpu.running.value == values[:, Column.RUNNING].sum() > 0
        assert gpu.waiting.value == values[:, Column.WAITING].sum()
        assert gpu.kv_cache_usage.value == pytest.approx(values[:, Column.KV_USAGE].mean())
        assert gpu.reporting_replicas.value == 3

    @pytest.mark.parametrize(
        ("name", "column"),
        [
            ("completions_per_second", Column.FINISHED),
            ("prompt_tokens_per_second", Column.PROMPT_TOKENS),
            ("output_tokens_per_second", Column.GENERATED_TOKENS),
            ("decoding", Column.DECODE_SUM),
        ],
    )
    def test_rates_are_counted_between_the_first_and_the_last_sample(
        self, watched: Watched, gpu: VariantSignals, name: str, column: Column
    ) -> None:
        """Growth over 45 s, stretched to the minute by a scrape's length, is growth per second of the 45."""
        assert getattr(gpu, name).value == pytest.approx(watched.grown(column) / (NOW - BEGIN))

    def test_gpus_work_as_long_as_iterations_run(self, watched: Watched, gpu: VariantSignals) -> None:
        share = watched.grown(Column.BUSY_SECONDS) / (NOW - BEGIN) / 3
        assert 0.3 < share < 1.0
        assert gpu.gpu_utilization.value == pytest.approx(share)

    def test_lengths_are_those_of_the_finished(self, watched: Watched, gpu: VariantSignals) -> None:
        done, trace = self.finished(watched), busy()
        assert gpu.prompt_tokens_per_request.value == pytest.approx(trace.input_tokens[done].mean())
        assert gpu.output_tokens_per_request.value == pytest.approx(trace.output_tokens[done].mean())
        assert gpu.cached_prompt_share.value == 0.0

    def test_time_per_token_is_the_engines_own_mean_gap(self, watched: Watched, gpu: VariantSignals) -> None:
        """Over all tokens after the first of the requests that finished between the samples."""
        done, outcome = self.finished(watched), watched.fleet.outcome()
        decode = (outcome.finished_at - outcome.first_token_at)[done].sum()
        gaps = (busy().output_tokens - 1)[done].sum()
        assert gpu.seconds_per_output_token.value == pytest.approx(decode / gaps)

    def test_shares_at_edges_are_the_requests_own(self, watched: Watched, signals: WorkloadSignals) -> None:
        """In the shortest window, stretched from 45 s to 60: but not the bucket of a replica that was empty before."""
        outcome, outputs = watched.fleet.outcome(), busy().output_tokens
        done = self.finished(watched)
        first = (outcome.first_token_at > BEGIN) & (outcome.first_token_at <= NOW)
        took = {
            "TimeToFirstToken": (outcome.first_token_at - outcome.arrived_at)[first] <= TTFT,
            "InterTokenLatency": ((outcome.finished_at - outcome.first_token_at) / np.maximum(1, outputs - 1))[done]
            <= ITL,
            "EndToEnd": (outcome.finished_at - outcome.arrived_at)[done] <= E2E,
        }
        for name, good in took.items():
            reading = signals.objective(name)
            assert 0 < good.sum() < len(good), "else any edge would do"
            assert reading.edges is not None
            assert reading.edges.exact
            share = reading.shares[0]
            assert share.window_seconds == 60.0
            assert share.total == pytest.approx(len(good) * 60 / 45, rel=1e-3)
            assert share.bad_share == pytest.approx(1 - good.mean(), abs=1e-3)

    def test_a_long_window_counts_what_there_was(self, watched: Watched, signals: WorkloadSignals) -> None:
        """Five minutes and an hour, of which 90 s are known: all that finished, and half a scrape's more at most."""
        all_finished = watched.sample(NOW).values[:, Column.FINISHED].sum()
        for window in (300.0, 3600.0):
            share = next(s for s in signals.objective("EndToEnd").shares if s.window_seconds == window)
            assert all_finished <= share.total <= all_finished * (1 + SCRAPE / 2 / NOW)
        hour = signals.completed(3600.0)
        assert hour is not None
        assert all_finished <= hour <= all_finished * (1 + SCRAPE / 2 / NOW)

    @staticmethod
    def finished(watched: Watched) -> np.ndarray:
        times = watched.fleet.outcome().finished_at
        return (times > BEGIN) & (times <= NOW)


def test_two_variants_are_told_apart() -> None:
    """The second one, twice as large, serves twice as much; its utilization is its own."""
    one, two = variant("one"), variant("two")
    watched = Watched(simulation(busy(), one, two, initial=(1, 2)), one, two)
    signals = watched.until(NOW)
    for number, name in enumerate(("one", "two")):
        found = signals.variant(name)
        assert found.reporting_replicas.value == number + 1
        rate = watched.grown(Column.FINISHED, number=number) / 45
        assert found.completions_per_second.value == pytest.approx(rate)
        busy_share = watched.grown(Column.BUSY_SECONDS, number=number) / 45 / (number + 1)
        assert found.gpu_utilization.value == pytest.approx(busy_share)
    both = sum(signals.variant(name).completions_per_second.value for name in ("one", "two"))
    assert signals.objective("EndToEnd").shares[0].total == pytest.approx(60 * both)


def test_a_replica_that_has_just_come_reports_but_has_no_rate_yet() -> None:
    watched = Watched(simulation(busy()))
    watched.until(54.0)
    watched.fleet.ask(0, 2)
    signals = watched.until(75.0)  # ready at 74 s, one sample of it
    assert signals.variant("gpu").reporting_replicas.value == 2
    alone = watched.sample(75.0).values[0, Column.FINISHED] - watched.sample(30.0).values[0, Column.FINISHED]
    assert signals.variant("gpu").completions_per_second.value == pytest.approx(alone / 45)


def test_before_any_sample_nothing_is_known() -> None:
    watched = Watched(simulation(busy()), gaps=((0.0, 1000.0),))
    signals = watched.until(40.0)
    assert {getattr(signals.variant("gpu"), name).state for name in SIGNALS} == {SignalState.ABSENT}
    assert {reading.state for reading in signals.objectives} == {SignalState.ABSENT}
    assert signals.completed(3600.0) is None


def test_after_one_sample_gauges_are_known_and_rates_are_none() -> None:
    signals = Watched(simulation(busy())).until(10.0)
    gpu = signals.variant("gpu")
    assert gpu.running.ok
    assert gpu.completions_per_second.value == 0.0
    assert gpu.seconds_per_output_token.state is SignalState.INSUFFICIENT
    assert signals.objective("TimeToFirstToken").state is SignalState.INSUFFICIENT


@pytest.mark.parametrize(
    ("now", "state"), [(149.0, SignalState.OK), (150.0, SignalState.OK), (151.0, SignalState.STALE)]
)
def test_after_a_gap_everything_is_stale(now: float, state: SignalState) -> None:
    """The last sample is of 90 s, and a minute later too old."""
    watched = Watched(simulation(busy(), initial=(3,)), gaps=((91.0, 1000.0),))
    signals = watched.until(now)
    gpu = signals.variant("gpu")
    assert gpu.running.state is state
    assert gpu.gpu_utilization.state is state
    assert gpu.running.age_seconds == now - 90.0
    if state is SignalState.STALE:
        assert {getattr(gpu, name).state for name in SIGNALS} - {SignalState.OK} == {SignalState.STALE}
        assert gpu.reporting_replicas.value == 0
        assert {reading.state for reading in signals.objectives} == {SignalState.STALE}


def test_idle_is_a_number() -> None:
    """One request long ago: nothing runs, nothing finishes, and what has no mean says so."""
    signals = Watched(simulation(trace_of((0.0, 10, 5)))).until(200.0)
    gpu = signals.variant("gpu")
    assert gpu.running.value == gpu.waiting.value == gpu.completions_per_second.value == 0.0
    assert gpu.gpu_utilization.value == 0.0
    assert gpu.output_tokens_per_request.state is SignalState.INSUFFICIENT


def test_an_observation_is_a_tick_of_the_operators() -> None:
    small = variant("gpu", gpus_per_replica=2)
    watched = Watched(simulation(busy(), small, initial=(2,)), small)
    watched.until(60.0)
    watched.fleet.ask(0, 3)
    seen = observe(watched.spec, watched.telemetry, watched.scraper.look(60.0), watched.fleet.counts())
    state = seen.state.variant("gpu")
    assert seen.at == EPOCH + 60.0
    assert (state.replicas, state.ready, state.starting, state.unschedulable) == (3, 2, 1, 0)
    assert state.gpus_per_replica == 2
    assert seen.signals == watched.telemetry.read(watched.scraper.history)


def test_what_the_gateway_tells_while_no_replica_does() -> None:
    """A request at 70 s is held until the replica that was asked for then is ready, 20 s later."""
    empty = variant(min_replicas=0)
    watched = Watched(simulation(trace_of((70.0, 10, 5), (1000.0, 10, 5)), empty, initial=(0,)), empty)
    silent = watched.until(60.0).wanted
    assert (silent.state, silent.value) == (SignalState.OK, 0.0)
    watched.until(75.0)
    asked = watched.until(90.0)
    assert asked.wanted.value == pytest.approx(1 + 1 / 45), "one is held, and one came within the samples' 45 s"
    assert asked.variant("gpu").running.state is SignalState.ABSENT
    watched.fleet.ask(0, 1)
    assert watched.until(200.0).wanted.value == 0.0


def test_nothing_is_asked_of_the_gateway_where_a_replica_always_stays() -> None:
    assert Watched(simulation(trace_of((5.0, 10, 5), (90.0, 10, 5)))).until(60.0).wanted.state is SignalState.ABSENT
