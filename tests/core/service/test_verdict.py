from dataclasses import fields, replace

import pytest
from core.cases import LAW, signals
from hypothesis import given
from hypothesis import strategies as st

from flyball.core.fleet.capacity import ReplicaCapacity, RequestShape
from flyball.core.names import GpuVerdict
from flyball.core.observation import ABSENT
from flyball.core.service.verdict import GpuLoad, judge, load_of, report


@pytest.mark.parametrize(
    ("utilization", "kv", "waiting", "running", "progress", "verdict"),
    [
        pytest.param(0.95, 0.5, 2.0, 8.0, 1.0, GpuVerdict.SATURATED, id="busy with a queue is saturated"),
        pytest.param(0.50, 0.5, 2.0, 8.0, 1.0, GpuVerdict.STARVED, id="a queue before unbusy GPUs is starved"),
        pytest.param(0.50, 0.97, 2.0, 8.0, 1.0, GpuVerdict.SATURATED, id="unless the KV cache is what is full"),
        pytest.param(0.99, 0.5, 2.0, 8.0, 0.0, GpuVerdict.STARVED, id="busy without any progress hangs"),
        pytest.param(0.99, 0.5, 0.0, 8.0, 0.0, GpuVerdict.EFFICIENT, id="without a queue it may be one long prompt"),
        pytest.param(0.99, 0.5, 2.0, 8.0, None, GpuVerdict.SATURATED, id="unknown progress is not none"),
        pytest.param(0.95, 0.5, 0.0, 8.0, 1.0, GpuVerdict.EFFICIENT, id="busy without a queue is efficient"),
        pytest.param(0.60, 0.5, 0.0, 8.0, 1.0, GpuVerdict.HEADROOM, id="half busy has headroom"),
        pytest.param(0.10, 0.1, 0.0, 1.0, 1.0, GpuVerdict.IDLE, id="hardly busy is idle"),
        pytest.param(None, 0.5, 2.0, 8.0, 1.0, GpuVerdict.SATURATED, id="a queue speaks without GPU metrics"),
        pytest.param(None, 0.5, 0.0, 8.0, 1.0, GpuVerdict.UNKNOWN, id="no queue and no GPU metrics say nothing"),
        pytest.param(0.10, None, None, 8.0, 1.0, GpuVerdict.UNKNOWN, id="utilization says nothing without its queue"),
        pytest.param(0.60, 0.96, 0.0, 8.0, 1.0, GpuVerdict.SATURATED, id="a full KV cache preempts before it queues"),
        pytest.param(None, 0.96, 0.0, 8.0, 1.0, GpuVerdict.SATURATED, id="with or without GPU metrics"),
        pytest.param(0.10, 0.96, 0.0, 8.0, 1.0, GpuVerdict.STARVED, id="full of requests on an idle GPU is starved"),
        pytest.param(0.10, 0.96, 0.0, 0.0, 0.0, GpuVerdict.IDLE, id="a full KV cache without requests is nobody's"),
        pytest.param(0.10, 0.97, 2.0, 8.0, 1.0, GpuVerdict.STARVED, id="a full KV cache computes nothing on idle GPUs"),
        pytest.param(None, 0.5, 2.0, 0.0, 0.0, GpuVerdict.UNKNOWN, id="a queue alone says nothing"),
    ],
)
def test_utilization_is_read_with_its_queue(
    utilization: float | None,
    kv: float | None,
    waiting: float | None,
    running: float | None,
    progress: float | None,
    verdict: GpuVerdict,
) -> None:
    assert judge(GpuLoad(utilization, kv, waiting, running, progress)) is verdict


BUSY, HALF, SLACK = 0.95, 0.60, 0.10


@pytest.mark.parametrize(
    ("utilization", "waiting", "running", "tokens", "verdict"),
    [
        pytest.param(BUSY, 0.0, 2.0, 100.0, GpuVerdict.HEADROOM, id="decode keeps a GPU busy at a small batch"),
        pytest.param(BUSY, 0.0, 12.0, 600.0, GpuVerdict.EFFICIENT, id="busy with half of the knee is efficient"),
        pytest.param(BUSY, 0.0, 12.0, 100.0, GpuVerdict.EFFICIENT, id="a batch that writes little fills prompts"),
        pytest.param(BUSY, 2.0, 20.0, 990.0, GpuVerdict.SATURATED, id="a queue at the knee is saturated"),
        pytest.param(BUSY, 2.0, 2.0, 100.0, GpuVerdict.SATURATED, id="or before busy GPUs, whatever the knee was"),
        pytest.param(HALF, 2.0, 20.0, 990.0, GpuVerdict.SATURATED, id="tokens outweigh a utilization that says less"),
        pytest.param(HALF, 2.0, 2.0, 100.0, GpuVerdict.STARVED, id="a queue far from the knee waits for something"),
        pytest.param(SLACK, 0.0, 1.0, 50.0, GpuVerdict.IDLE, id="idle by utilization, batch and tokens"),
        pytest.param(SLACK, 0.0, 12.0, 50.0, GpuVerdict.HEADROOM, id="a large batch is not idle"),
        pytest.param(SLACK, 0.0, 1.0, 600.0, GpuVerdict.HEADROOM, id="many tokens are not idle"),
        pytest.param(None, 0.0, 12.0, 600.0, GpuVerdict.EFFICIENT, id="tokens and batch speak without GPU metrics"),
        pytest.param(None, 0.0, 2.0, 100.0, GpuVerdict.HEADROOM, id="and without a queue"),
    ],
)
def test_tokens_and_batch_are_read_against_the_knee(
    utilization: float | None, waiting: float, running: float, tokens: float, verdict: GpuVerdict
) -> None:
    load = GpuLoad(utilization, 0.5, waiting, running, tokens, tokens, knee_tokens=1000.0, knee_batch=20.0)
    assert judge(load) is verdict


def _number(largest: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.floats(0.0, largest) | st.sampled_from([0.0, largest])


NUMBERS = {
    "utilization": _number(1.0),
    "kv_cache_usage": _number(1.0),
    "waiting": _number(20.0),
    "running": _number(40.0),
    "progress": _number(2000.0),
    "tokens": _number(2000.0),
    "knee_tokens": _number(2000.0),
    "knee_batch": _number(40.0),
}
LOADS = st.builds(GpuLoad, **NUMBERS)
ONE_CHANGED = st.sampled_from(list(NUMBERS)).flatmap(lambda name: st.tuples(st.just(name), NUMBERS[name]))


def test_every_number_is_drawn() -> None:
    assert list(NUMBERS) == [field.name for field in fields(GpuLoad)]


@LAW
@given(load=LOADS, changed=ONE_CHANGED)
def test_no_single_number_turns_saturated_into_idle_or_back(load: GpuLoad, changed: tuple[str, float | None]) -> None:
    verdicts = {judge(load), judge(replace(load, **dict([changed])))}
    assert verdicts != {GpuVerdict.SATURATED, GpuVerdict.IDLE}


@given(changed=ONE_CHANGED)
def test_one_number_alone_says_nothing(changed: tuple[str, float | None]) -> None:
    nothing = GpuLoad(None, None, None, None, None)
    assert judge(replace(nothing, **dict([changed]))) is GpuVerdict.UNKNOWN


@LAW
@given(load=LOADS, waiting=st.floats(0.0, 0.99), kv=st.floats(0.0, 0.94))
def test_nothing_is_saturated_without_work_that_presses(load: GpuLoad, waiting: float, kv: float) -> None:
    assert judge(replace(load, waiting=waiting, kv_cache_usage=kv)) is not GpuVerdict.SATURATED


def test_the_knee_is_per_gpu_and_only_where_it_was_measured() -> None:
    seen, shape = signals(rate=4.0, running=16.0), RequestShape(100.0, 100.0, 100.0)
    measured = ReplicaCapacity(20.0, 5.0, "the engine's batch limit", confident=True)
    load = load_of(seen, 2, measured, shape, gpus_per_replica=4)
    assert (load.tokens, load.knee_tokens, load.knee_batch) == (50.0, 125.0, 20.0)
    assert (load.knee_share, load.batch_share) == (0.4, 0.4)
    for unsure in (replace(measured, confident=False), replace(measured, infeasible="InterTokenLatency"), None):
        assert load_of(seen, 2, unsure, shape, 4).knee_share is None


def test_load_is_per_ready_replica_and_progress_counts_tokens() -> None:
    load = load_of(signals(rate=0.0, running=8.0, waiting=4.0, output_tokens_per_second=50.0), 4)
    assert (load.running, load.waiting, load.progress) == (2.0, 1.0, 50.0)


def test_what_is_absent_stays_unknown() -> None:
    load = load_of(signals(completions_per_second=ABSENT, gpu_utilization=ABSENT, waiting=ABSENT), 2)
    assert (load.progress, load.utilization, load.waiting) == (None, None, None)


def test_a_workload_is_as_bad_as_its_worst_variant() -> None:
    idle, saturated = GpuLoad(0.1, 0.1, 0.0, 1.0, 1.0), GpuLoad(0.95, 0.5, 2.0, 8.0, 1.0)
    found = report((idle, saturated))
    assert (found.verdict, found.utilization) == (GpuVerdict.SATURATED, 0.95)
    assert report(()).verdict is GpuVerdict.UNKNOWN
