"""Work per request by hand, and the law that no schedule spends less than it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.bounds.worlds import CHAT, TINY, trace_of, variant

from flyball.lab.bounds.need import initial_replicas, request_work
from flyball.lab.engine import Engine, EngineParameters, Request, Sequence
from flyball.lab.policies.model import Objective

ROOMY = replace(TINY, kv_tokens=16_000, max_batch=400, max_batched_tokens=2000)
PACED = (Objective("TimeToFirstToken", 0.5, 0.9), Objective("InterTokenLatency", 0.030, 0.9))


@pytest.mark.parametrize(
    ("engine", "objectives", "decode_ms", "late_ms"),
    [
        # Two tokens with contexts 21 and 22 cost 2 × 1 + 43 × 0.1 = 6.3 ms of their own.
        pytest.param(TINY, (), 6.3 + 2 * 10 / 4, 6.3 + 2 * 10 / 4, id="four sequences share the base"),
        pytest.param(
            replace(TINY, max_batch=64), (), 6.3 + 10 * 43 / 160, 6.3 + 10 * 43 / 160, id="the KV cache is shared"
        ),
        pytest.param(
            replace(TINY, max_batch=64, max_batched_tokens=3),
            (),
            6.3 + 2 * 10 / 3,
            6.3 + 2 * 10 / 3,
            id="three tokens an iteration",
        ),
        # 30 ms and half of what the first token leaves (500 − 20 − 0) a token; √3.1 and √3.2 on the average.
        pytest.param(
            ROOMY, PACED[1:], 6.3 + 2 * 10 / ((30 - 10) / 3.1498), 6.3, id="a token each 30 ms, in the mean form"
        ),
        pytest.param(
            ROOMY,
            (Objective("EndToEnd", 0.1, 0.9),),
            6.3 + 2 * 10 / ((80 / 2 - 10) / 3.1498),
            6.3,
            id="all within 100 ms, of which prefill takes 20",
        ),
        pytest.param(
            ROOMY, (Objective("EndToEnd", 0.02, 0.9),), 6.3 + 2 * 10, 6.3, id="a pace that cannot be kept: alone"
        ),
    ],
)
def test_decoding_costs_its_own_part_and_a_share_of_the_base(
    engine: EngineParameters, objectives: tuple[Objective, ...], decode_ms: float, late_ms: float
) -> None:
    work = request_work(trace_of([(0, 20, 3)]), engine, objectives)
    assert work.prefill[0] * 1000 == pytest.approx(10)
    assert work.decode[0] * 1000 == pytest.approx(decode_ms, rel=1e-4)
    assert work.late_decode[0] * 1000 == pytest.approx(late_ms)


@pytest.mark.parametrize(
    ("cached", "prefill_ms"), [pytest.param(12, 4, id="a part"), pytest.param(20, 0.5, id="all but the last token")]
)
def test_cached_tokens_need_no_prefill(cached: int, prefill_ms: float) -> None:
    trace = replace(trace_of([(0, 20, 3)]), cached_tokens=np.array([cached]))
    assert request_work(trace, TINY, ()).prefill[0] * 1000 == pytest.approx(prefill_ms)


def test_what_the_kv_cache_cannot_hold_is_no_work() -> None:
    work = request_work(trace_of([(0, 100, 60), (0, 100, 61)]), TINY, ())
    assert work.total[0] > 0
    assert work.total[1] == 0


REQUESTS = st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=12)


def served(requests: list[tuple[float, int, int]], engine: EngineParameters) -> tuple[float, list[Sequence[int]]]:
    """Seconds that one replica was busy with the requests, and what became of them."""
    replica: Engine[int] = Engine(engine)
    sequences = [replica.submit(Request(prompt, output), at, 0) for at, prompt, output in requests]
    now = 0.0
    while replica.outstanding:
        iteration = replica.next_iteration(now)
        if iteration is None:
            assert replica.next_ready_at is not None
            now = max(now, replica.next_ready_at)
        else:
            now = iteration.ends_at
            replica.complete(iteration, now)
    return replica.counters.busy_seconds, sequences


@given(requests=REQUESTS.map(sorted), max_batch=st.integers(1, 20), kv_tokens=st.integers(112, 2000))
def test_no_schedule_spends_less(requests: list[tuple[float, int, int]], max_batch: int, kv_tokens: int) -> None:
    # A preempted token is prefilled anew, for which a prompt token must cost no less than a decoded one of one context.
    engine = replace(TINY, max_batch=max_batch, kv_tokens=kv_tokens, per_prefill_token_ms=1.2)
    work = request_work(trace_of(requests), engine, ())
    assert served(requests, engine)[0] >= work.total.sum() - 1e-9


@given(
    requests=REQUESTS.map(sorted),
    per_token_ms=st.integers(12, 80),
    first_token_ms=st.integers(50, 1000),
    max_batch=st.integers(1, 20),
)
def test_no_schedule_that_keeps_the_pace_spends_less(
    requests: list[tuple[float, int, int]], per_token_ms: int, first_token_ms: int, max_batch: int
) -> None:
    engine = replace(ROOMY, max_batch=max_batch)
    first, per_token = first_token_ms / 1000, per_token_ms / 1000
    objectives = (Objective("TimeToFirstToken", first, 0.9), Objective("InterTokenLatency", per_token, 0.9))
    work = request_work(trace_of(requests), engine, objectives)
    busy, sequences = served(requests, engine)
    on_time = [
        sequence.last_token_at <= at + first + (output - 1) * per_token
        for sequence, (at, _, output) in zip(sequences, requests, strict=True)
    ]
    assert busy >= (work.prefill + np.where(on_time, work.decode, work.late_decode)).sum() - 1e-9


@given(requests=REQUESTS.map(sorted), tighter_ms=st.integers(11, 50), more_ms=st.integers(0, 100))
def test_a_tighter_pace_is_never_less_work(
    requests: list[tuple[float, int, int]], tighter_ms: int, more_ms: int
) -> None:
    trace = trace_of(requests)
    tight, loose = (
        request_work(trace, ROOMY, (Objective("InterTokenLatency", ms / 1000, 1.0),)).total.sum()
        for ms in (tighter_ms, tighter_ms + more_ms)
    )
    assert tight >= loose - 1e-12


# One request a second, of 10 ms prefill alone: a hundredth of a replica each.
PROMPTS = trace_of([(float(second), 20, 1) for second in range(100)], span_seconds=100.0)


@pytest.mark.parametrize(
    ("per_prefill_token_ms", "bounds", "expected"),
    [
        pytest.param(0.5, [(0, 9)], (1,), id="a hundredth of a replica: one"),
        pytest.param(150.0, [(0, 9)], (3,), id="just three: three"),
        pytest.param(151.0, [(0, 9)], (4,), id="a little more: four"),
        pytest.param(151.0, [(0, 2)], (2,), id="no more than allowed"),
        pytest.param(0.5, [(2, 9)], (2,), id="no fewer than allowed"),
        pytest.param(151.0, [(1, 2), (0, 9)], (2, 2), id="the rest spills to the dearer one"),
        pytest.param(150.0, [(1, 9), (1, 9)], (2, 1), id="what must run carries its part"),
    ],
)
def test_policies_start_with_the_need_over_warm_up(
    per_prefill_token_ms: float, bounds: list[tuple[int, int]], expected: tuple[int, ...]
) -> None:
    engine = replace(ROOMY, per_prefill_token_ms=per_prefill_token_ms)
    variants = [
        variant(engine, min_replicas=least, max_replicas=most, price=str(1 + place))
        for place, (least, most) in enumerate(bounds)
    ]
    assert initial_replicas(PROMPTS, variants, CHAT, 50.0) == expected
    assert initial_replicas(PROMPTS, variants, CHAT, 0.0) == expected


def test_only_the_warm_up_is_looked_at() -> None:
    late = trace_of([(0.0, 20, 1), *((60.0 + second / 10, 2000, 1) for second in range(100))], span_seconds=100.0)
    engine = replace(ROOMY, per_prefill_token_ms=50)
    assert initial_replicas(late, [variant(engine)], CHAT, 50.0) == (1,)
