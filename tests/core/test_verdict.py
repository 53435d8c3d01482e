import pytest
from core.cases import signals

from flyball.core.names import GpuVerdict
from flyball.core.observation import ABSENT
from flyball.core.verdict import GpuLoad, judge, load_of, report


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
