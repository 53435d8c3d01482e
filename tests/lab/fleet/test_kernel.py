"""The compiled scheduler against lab/engine.py: the same times, whatever the requests are."""

import contextlib
import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.lab.engine import Engine, EngineParameters, Request, RequestTooLargeError, Sequence
from flyball.lab.fleet.model import FleetOptions, FleetVariant
from flyball.lab.fleet.samples import Column
from flyball.lab.fleet.simulation import Simulation
from flyball.lab.trace import Trace


def trace_of(rows: list[tuple[float, int, int, int]]) -> Trace:
    """A trace from rows of arrival, prompt, output and cached tokens."""
    times, prompts, outputs, cached = (np.array(column) for column in zip(*rows, strict=True))
    return Trace("rows", times.astype(float), prompts, outputs, float(times[-1]), cached_tokens=cached)


def one_replica(trace: Trace, parameters: EngineParameters) -> Simulation:
    variant = FleetVariant("only", parameters, 60.0, Decimal(1))
    return Simulation(trace, [variant], FleetOptions(), [1], 0)


@dataclass
class Reference:
    """lab/engine.py's Engine, driven in event time over a whole trace."""

    engine: Engine[int]
    sequences: dict[int, Sequence[int]]

    @classmethod
    def of(cls, trace: Trace, parameters: EngineParameters, until: float = math.inf) -> "Reference":
        """All that has happened up to `until`; an iteration that ends later is left in flight."""
        run = cls(Engine(parameters), {})
        now, following = 0.0, 0
        while True:
            while following < len(trace) and trace.t_seconds[following] <= now:
                run._submit(trace, following)
                following += 1
            iteration = run.engine.next_iteration(now)
            if iteration is None:
                times = [run.engine.next_ready_at, trace.t_seconds[following] if following < len(trace) else None]
                if not (known := [float(time) for time in times if time is not None]) or min(known) > until:
                    return run
                now = min(known)
                continue
            while following < len(trace) and trace.t_seconds[following] < iteration.ends_at:
                run._submit(trace, following)
                following += 1
            if iteration.ends_at > until:
                return run
            now = iteration.ends_at
            run.engine.complete(iteration, now)

    def _submit(self, trace: Trace, index: int) -> None:
        cached = int(trace.cached_tokens[index]) if trace.cached_tokens is not None else 0
        request = Request(int(trace.input_tokens[index]), int(trace.output_tokens[index]), cached)
        with contextlib.suppress(RequestTooLargeError):
            self.sequences[index] = self.engine.submit(request, float(trace.t_seconds[index]), index)


def times(trace: Trace, reference: Reference) -> tuple[list[float], list[float]]:
    """First-token and finish times, NaN where they have not come."""
    first, finished = [math.nan] * len(trace), [math.nan] * len(trace)
    for index, sequence in reference.sequences.items():
        first[index] = sequence.first_token_at
        if sequence.done:
            finished[index] = sequence.last_token_at
    return first, finished


ENGINES = st.builds(
    EngineParameters,
    base_ms=st.floats(1, 50),
    per_sequence_ms=st.floats(0, 2),
    per_context_token_ms=st.sampled_from([0.0, 1e-4, 0.01]),
    per_prefill_token_ms=st.floats(0, 0.5),
    request_overhead_ms=st.sampled_from([0.0, 16.0]),
    kv_tokens=st.integers(160, 1500),
    max_batch=st.integers(1, 12),
    max_batched_tokens=st.integers(1, 200),
    block_tokens=st.sampled_from([1, 7, 16]),
)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Bursts and trickles; arrival times are drawn uniformly, so that none meets an iteration's end."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 60))
    span = draw(st.sampled_from([0.05, 1.0, 10.0]))
    prompts = generator.integers(1, draw(st.sampled_from([20, 150, 400])) + 1, count)
    outputs = generator.integers(1, draw(st.sampled_from([1, 10, 120])) + 1, count)
    cached = (prompts * generator.random(count) * draw(st.sampled_from([0.0, 1.0, 1.01]))).astype(int)
    arrivals = np.sort(generator.uniform(0, span, count))
    return Trace("random", arrivals, prompts, outputs, span, cached_tokens=np.minimum(cached, prompts))


@settings(max_examples=150)
@given(trace=traces(), parameters=ENGINES)
def test_one_replica_is_the_engine_to_the_microsecond(trace: Trace, parameters: EngineParameters) -> None:
    reference = Reference.of(trace, parameters)
    simulation = one_replica(trace, parameters)
    simulation.advance(1e6)
    outcome = simulation.outcome()
    first, finished = times(trace, reference)
    np.testing.assert_allclose(outcome.first_token_at, first, rtol=0, atol=1e-6)
    np.testing.assert_allclose(outcome.finished_at, finished, rtol=0, atol=1e-6)
    assert outcome.rejected.sum() == reference.engine.counters.rejected
    row, counters = simulation.sample().values[0], reference.engine.counters
    assert row[Column.PREEMPTIONS] == counters.preemptions
    assert row[Column.CACHED_TOKENS] == counters.prefix_hit_tokens
    assert row[Column.GENERATED_TOKENS] == counters.generated_tokens
    assert row[Column.PROMPT_TOKENS] == counters.prompt_tokens
    assert row[Column.FINISHED] == counters.finished
    assert row[Column.BUSY_SECONDS] == pytest.approx(counters.busy_seconds, abs=1e-6)


@settings(max_examples=80)
@given(trace=traces(), parameters=ENGINES, share=st.floats(0.01, 1.5))
def test_a_sample_shows_the_engine_in_mid_iteration(trace: Trace, parameters: EngineParameters, share: float) -> None:
    at = share * trace.span_seconds + 1e-5 * math.pi
    reference = Reference.of(trace, parameters, until=at)
    simulation = one_replica(trace, parameters)
    simulation.advance(at)
    row, engine = simulation.sample().values[0], reference.engine
    assert row[Column.RUNNING] == engine.running
    assert row[Column.WAITING] == engine.waiting(at)
    assert row[Column.KV_USAGE] == pytest.approx(engine.kv_usage)
    assert row[Column.GENERATED_TOKENS] == engine.counters.generated_tokens
    queued = [s.request.prompt_tokens for s in reference.sequences.values() if not s.done and not s.blocks]
    assert row[Column.QUEUED_PROMPT_TOKENS] <= sum(queued)
    in_progress = at - engine.in_flight.started_at if engine.in_flight else 0.0
    assert row[Column.BUSY_SECONDS] == pytest.approx(engine.counters.busy_seconds + in_progress, abs=1e-6)
