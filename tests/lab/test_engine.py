"""The engine's arithmetic by hand, and the laws that hold whatever the requests are."""

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.engine import Completion, Engine, EngineParameters, Iteration, Request, RequestTooLargeError, Sequence

PARAMETERS = EngineParameters(
    base_ms=10,
    per_sequence_ms=1,
    per_context_token_ms=0.1,
    per_prefill_token_ms=0.5,
    request_overhead_ms=0,
    kv_tokens=160,
    max_batch=4,
    max_batched_tokens=64,
)


@dataclass
class Run:
    """An engine with everything submitted, and what its iterations were."""

    engine: Engine[str]
    iterations: list[Iteration[str]]
    completions: list[Completion[str]]

    def step(self, now: float) -> Completion[str]:
        iteration = self.engine.next_iteration(now)
        assert iteration is not None
        self.iterations.append(iteration)
        self.completions.append(self.engine.complete(iteration, iteration.ends_at))
        return self.completions[-1]

    def to_end(self, now: float = 0.0) -> None:
        while self.engine.outstanding:
            ready_at = self.engine.next_ready_at
            if not self.engine.running and not self.engine.waiting(now) and ready_at is not None:
                now = max(now, ready_at)
            now = self.step(now).completed_at


def run(parameters: EngineParameters = PARAMETERS) -> Run:
    return Run(Engine(parameters), [], [])


def milliseconds(iterations: list[Iteration[str]]) -> list[float]:
    return [round(iteration.duration_seconds * 1000, 6) for iteration in iterations]


@pytest.mark.parametrize(
    ("decoding", "context_tokens", "prefill_tokens", "expected_ms"),
    [
        pytest.param(0, 0, 20, 20.0, id="a prompt alone: base and prefill"),
        pytest.param(2, 50, 0, 17.0, id="two decoding: base, twice per sequence, per context token"),
        pytest.param(3, 100, 40, 43.0, id="mixed: all four terms"),
    ],
)
def test_iteration_time_is_the_sum_of_its_terms(
    decoding: int, context_tokens: int, prefill_tokens: int, expected_ms: float
) -> None:
    seconds = PARAMETERS.iteration_seconds(decoding, context_tokens, prefill_tokens)
    assert seconds * 1000 == pytest.approx(expected_ms)


def test_a_lone_request_takes_prefill_then_one_growing_iteration_per_token() -> None:
    one = run()
    sequence = one.engine.submit(Request(20, 3), 0.0, "a")
    one.to_end()
    assert milliseconds(one.iterations) == [20.0, 13.1, 13.2]
    assert sequence.first_token_at == pytest.approx(0.020)
    assert sequence.last_token_at == pytest.approx(0.0463)
    assert one.completions[0].gaps == []
    assert one.completions[1].gaps == [(pytest.approx(0.0131), 1)]
    assert one.engine.used_blocks == 0


def test_an_answer_of_one_token_ends_with_its_prefill() -> None:
    one = run()
    sequence = one.engine.submit(Request(5, 1), 0.0, "a")
    completion = one.step(0.0)
    assert completion.first == completion.finished == [sequence]
    assert one.engine.outstanding == 0


def test_request_overhead_delays_the_schedule_once_and_lets_the_engine_work() -> None:
    one = run(replace(PARAMETERS, request_overhead_ms=16))
    sequence = one.engine.submit(Request(20, 1), 1.0, "a")
    assert one.engine.next_iteration(1.0) is None
    assert one.engine.waiting(1.0) == 0
    assert one.engine.next_ready_at == pytest.approx(1.016)
    one.step(1.016)
    assert sequence.scheduled_at == pytest.approx(1.016)
    assert sequence.first_token_at == pytest.approx(1.036)


def test_a_long_prompt_is_prefilled_in_chunks_of_the_token_budget() -> None:
    one = run()
    one.engine.submit(Request(100, 1), 0.0, "a")
    one.to_end()
    assert [iteration.prefill_tokens for iteration in one.iterations] == [64, 36]
    assert milliseconds(one.iterations) == [42.0, 28.0]
    assert [len(completion.tokens) for completion in one.completions] == [0, 1]


def test_a_decoding_sequence_takes_its_token_from_the_budget_before_a_prompt_does() -> None:
    one = run()
    one.engine.submit(Request(10, 9), 0.0, "old")
    now = one.step(0.0).completed_at
    one.engine.submit(Request(100, 1), now, "new")
    now = one.step(now).completed_at
    one.step(now)
    assert [(len(it.decoding), it.prefill_tokens) for it in one.iterations] == [(0, 10), (1, 63), (1, 37)]


def test_max_batch_keeps_later_requests_waiting() -> None:
    one = run(replace(PARAMETERS, max_batch=2))
    for name in "abc":
        one.engine.submit(Request(4, 2), 0.0, name)
    one.step(0.0)
    assert (one.engine.running, one.engine.waiting(0.0)) == (2, 1)


def test_slowdown_stretches_iterations_scheduled_from_then_on() -> None:
    one = run()
    one.engine.submit(Request(20, 2), 0.0, "a")
    now = one.step(0.0).completed_at
    one.engine.slowdown = 3.0
    one.step(now)
    assert milliseconds(one.iterations) == [20.0, 39.3]


@pytest.mark.parametrize(
    ("cached_tokens", "prefill_tokens"),
    [
        pytest.param(0, 50, id="nothing cached: the whole prompt"),
        pytest.param(48, 2, id="three blocks cached: the rest"),
        pytest.param(50, 1, id="all cached: the last token still runs"),
    ],
)
def test_cached_prompt_tokens_need_no_prefill(cached_tokens: int, prefill_tokens: int) -> None:
    one = run()
    one.engine.submit(Request(50, 1, cached_tokens), 0.0, "a")
    one.step(0.0)
    assert one.iterations[0].prefill_tokens == prefill_tokens
    assert one.engine.counters.prefix_query_tokens == 50
    assert one.engine.counters.prefix_hit_tokens == 50 - prefill_tokens


def test_when_blocks_run_out_the_latest_arrival_is_preempted_and_recomputes() -> None:
    """Four blocks: both sequences fill two after 16 decodes; the older one then takes the younger one's place."""
    one = run(replace(PARAMETERS, kv_tokens=64))
    older = one.engine.submit(Request(16, 40), 0.0, "older")
    younger = one.engine.submit(Request(16, 40), 0.0, "younger")
    now = 0.0
    for _ in range(17):
        now = one.step(now).completed_at
    assert (older.held, younger.held, one.engine.used_blocks) == (32, 32, 4)
    completion = one.step(now)
    assert completion.iteration.preempted == [younger]
    assert completion.tokens == [older]
    assert (one.engine.running, one.engine.waiting(now), younger.blocks) == (1, 1, 0)
    one.to_end(completion.completed_at)
    recomputed = [
        chunk for iteration in one.iterations[18:] for owner, chunk in iteration.prefilling if owner is younger
    ]
    assert recomputed == [16 + 17]
    assert (older.generated, younger.generated) == (40, 40)
    assert older.last_token_at < younger.last_token_at
    assert (younger.preemptions, one.engine.counters.preemptions) == (1, 1)
    assert one.engine.counters.prompt_tokens == 32


def test_a_prompt_that_does_not_fit_the_free_blocks_waits_and_holds_up_those_behind_it() -> None:
    one = run(replace(PARAMETERS, kv_tokens=64))
    one.engine.submit(Request(30, 4), 0.0, "first")
    one.engine.submit(Request(40, 4), 0.0, "large")
    one.engine.submit(Request(4, 4), 0.0, "small")
    one.step(0.0)
    assert (one.engine.running, one.engine.waiting(0.0)) == (1, 2)


@pytest.mark.parametrize(
    ("request_", "accepted"),
    [
        pytest.param(Request(100, 60), True, id="exactly the cache"),
        pytest.param(Request(100, 61), False, id="one token more"),
        pytest.param(Request(200, 1), False, id="the prompt alone is larger"),
    ],
)
def test_a_request_larger_than_the_kv_cache_is_rejected(request_: Request, accepted: bool) -> None:
    one = run()
    if accepted:
        one.engine.submit(request_, 0.0, "a")
    else:
        with pytest.raises(RequestTooLargeError, match="exceed the KV cache of 160 tokens"):
            one.engine.submit(request_, 0.0, "a")
    assert (one.engine.outstanding, one.engine.counters.rejected) == (int(accepted), int(not accepted))


def test_an_abort_frees_blocks_at_once_and_the_iteration_in_flight_brings_no_token() -> None:
    one = run()
    gone = one.engine.submit(Request(20, 5), 0.0, "gone")
    stays = one.engine.submit(Request(20, 5), 0.0, "stays")
    now = one.step(0.0).completed_at
    iteration = one.engine.next_iteration(now)
    assert iteration is not None
    one.engine.abort(gone)
    assert one.engine.used_blocks == stays.blocks
    assert one.engine.complete(iteration, iteration.ends_at).tokens == [stays]
    one.engine.abort(gone)
    assert (gone.generated, one.engine.counters.aborted) == (1, 1)


@pytest.mark.parametrize("where", ["arriving", "waiting"])
def test_an_abort_before_the_schedule_leaves_no_trace(where: str) -> None:
    one = run(replace(PARAMETERS, max_batch=1))
    one.engine.submit(Request(4, 2), 0.0, "first")
    sequence = one.engine.submit(Request(4, 2), 0.0, "second")
    if where == "waiting":
        one.step(0.0)
    one.engine.abort(sequence)
    assert one.engine.outstanding == 1


def test_the_engine_refuses_to_be_driven_out_of_order() -> None:
    one = run()
    one.engine.submit(Request(4, 4), 5.0, "a")
    with pytest.raises(ValueError, match="comes before one already submitted"):
        one.engine.submit(Request(4, 4), 4.0, "b")
    iteration = one.engine.next_iteration(5.0)
    assert iteration is not None
    with pytest.raises(RuntimeError, match="in flight"):
        one.engine.next_iteration(5.0)
    with pytest.raises(ValueError, match="time ran backwards"):
        one.engine.complete(iteration, 4.0)
    one.engine.complete(iteration, 5.1)
    with pytest.raises(RuntimeError, match="not in flight"):
        one.engine.complete(iteration, 5.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"base_ms": 0}, "base_ms is 0", id="an iteration without duration"),
        pytest.param({"per_sequence_ms": -1}, "per_sequence_ms is -1", id="negative time"),
        pytest.param({"per_prefill_token_ms": math.nan}, "per_prefill_token_ms is nan", id="time that is no number"),
        pytest.param({"max_batch": 0}, "max_batch is 0", id="no place in the batch"),
        pytest.param({"kv_tokens": 15}, "less than one block", id="cache below one block"),
    ],
)
def test_impossible_parameters_are_refused_by_name(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PARAMETERS, **change)


@pytest.mark.parametrize("request_", [(0, 1, 0), (1, 0, 0), (4, 1, 5), (4, 1, -1)])
def test_impossible_requests_are_refused(request_: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="Request"):
        Request(*request_)


engines = st.builds(
    EngineParameters,
    base_ms=st.floats(0.1, 100),
    per_sequence_ms=st.floats(0, 1),
    per_context_token_ms=st.floats(0, 0.01),
    per_prefill_token_ms=st.floats(0, 1),
    request_overhead_ms=st.sampled_from([0.0, 16.0]),
    kv_tokens=st.integers(96, 400),
    max_batch=st.integers(1, 8),
    max_batched_tokens=st.integers(1, 64),
)
arrivals = st.lists(
    st.tuples(st.floats(0, 0.5), st.integers(1, 60), st.integers(1, 30), st.floats(0, 1)), min_size=1, max_size=15
)


def check_limits(engine: Engine[str], iteration: Iteration[str], live: list[Sequence[str]]) -> None:
    parameters = engine.parameters
    assert len(iteration.decoding) + iteration.prefill_tokens <= parameters.max_batched_tokens
    assert engine.running <= parameters.max_batch
    assert 0 <= engine.used_blocks <= parameters.kv_blocks
    assert engine.used_blocks == sum(sequence.blocks for sequence in live)
    assert all(sequence.held <= sequence.capacity for sequence in live if not sequence.done)
    assert iteration.duration_seconds * 1000 >= parameters.base_ms * (1 - 1e-9)


@given(engines, arrivals)
def test_every_accepted_request_gets_its_tokens_in_order_within_the_limits(
    parameters: EngineParameters, drawn: list[tuple[float, int, int, float]]
) -> None:
    one = run(parameters)
    now = 0.0
    sequences = []
    for gap, prompt, output, cached in drawn:
        now += gap
        sequences.append(one.engine.submit(Request(prompt, output, int(cached * prompt)), now, "x"))
    now = 0.0
    tokens = 0
    while one.engine.outstanding:
        iteration = one.engine.next_iteration(now)
        if iteration is None:
            assert one.engine.next_ready_at is not None
            assert one.engine.next_ready_at > now
            now = one.engine.next_ready_at
            continue
        check_limits(one.engine, iteration, sequences)
        completion = one.engine.complete(iteration, iteration.ends_at)
        assert completion.completed_at > now
        now = completion.completed_at
        tokens += len(completion.tokens)
    assert [sequence.generated for sequence in sequences] == [output for _, _, output, _ in drawn]
    assert tokens == one.engine.counters.generated_tokens == sum(output for _, _, output, _ in drawn)
    assert one.engine.used_blocks == 0
    scheduled = [sequence.scheduled_at for sequence in sequences]
    assert scheduled == sorted(scheduled)
    for sequence in sequences:
        assert sequence.arrived_at <= sequence.ready_at <= sequence.scheduled_at < sequence.first_token_at
        assert sequence.first_token_at <= sequence.last_token_at


@given(engines, arrivals, st.data())
def test_aborts_at_any_time_return_every_block(
    parameters: EngineParameters, drawn: list[tuple[float, int, int, float]], data: st.DataObject
) -> None:
    one = run(parameters)
    sequences = [one.engine.submit(Request(prompt, output), 0.0, "x") for _, prompt, output, _ in drawn]
    now = parameters.request_overhead_ms / 1000
    while (iteration := one.engine.next_iteration(now)) is not None:
        victim = data.draw(st.sampled_from(sequences))
        one.engine.abort(victim)
        assert one.engine.used_blocks == sum(sequence.blocks for sequence in sequences)
        completion = one.engine.complete(iteration, iteration.ends_at)
        assert victim not in completion.tokens
        now = completion.completed_at
    counters = one.engine.counters
    assert counters.finished + counters.aborted == len(sequences)
    assert (one.engine.used_blocks, one.engine.outstanding) == (0, 0)
