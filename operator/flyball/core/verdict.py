"""GPU utilization read with its queue: by itself it says only that a kernel was running.

Decode keeps a GPU busy at batch 1, so a high number is no reason to add one, and a low number with a growing queue says
that something else is short. The table below is the whole rule, first match wins.
"""

from dataclasses import dataclass

from flyball.core.decision import GpuReport
from flyball.core.names import GpuVerdict
from flyball.core.observation import Reading, VariantSignals

BUSY = 0.85  # an engine with work always has the next iteration ready: below this it waits for something
IDLE = 0.30  # below this most of the GPU's time is unused
KV_FULL = 0.95  # engines preempt from here on
QUEUE_PER_REPLICA = 1.0  # waiting requests per replica that are more than one between two scheduler steps


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """The numbers a verdict is made of; None where unknown. Waiting and running are per ready replica.

    `progress` is completions plus output tokens per second: engines that still write long answers are not hung.
    """

    utilization: float | None
    kv_cache_usage: float | None
    waiting: float | None
    running: float | None
    progress: float | None


def judge(load: GpuLoad) -> GpuVerdict:
    """The verdict of one variant's replicas together."""
    if load.waiting is None or load.running is None:
        return GpuVerdict.UNKNOWN
    queued = load.waiting >= QUEUE_PER_REPLICA
    full = load.kv_cache_usage is not None and load.kv_cache_usage >= KV_FULL
    busy = load.utilization is None or load.utilization >= BUSY
    if queued and not busy and not full:
        return GpuVerdict.STARVED
    if load.utilization is not None and busy and load.running > 0 and load.progress == 0 and queued:
        return GpuVerdict.STARVED
    if queued or full:
        return GpuVerdict.SATURATED
    if load.utilization is None:
        return GpuVerdict.UNKNOWN
    if load.utilization < IDLE:
        return GpuVerdict.IDLE
    return GpuVerdict.EFFICIENT if busy else GpuVerdict.HEADROOM


def load_of(signals: VariantSignals, replicas: int) -> GpuLoad:
    """One variant's load per ready replica."""
    count = max(1, replicas)
    waiting, running = _known(signals.waiting), _known(signals.running)
    return GpuLoad(
        utilization=_known(signals.gpu_utilization),
        kv_cache_usage=_known(signals.kv_cache_usage),
        waiting=None if waiting is None else waiting / count,
        running=None if running is None else running / count,
        progress=_progress(signals),
    )


# From the verdict that most needs attention to the one that least does: a workload is as bad as its worst variant.
_ORDER = (
    GpuVerdict.STARVED,
    GpuVerdict.SATURATED,
    GpuVerdict.UNKNOWN,
    GpuVerdict.EFFICIENT,
    GpuVerdict.HEADROOM,
    GpuVerdict.IDLE,
)


def report(loads: tuple[GpuLoad, ...]) -> GpuReport:
    """The workload's verdict, the worst of its variants', with the numbers of that variant."""
    if not loads:
        return GpuReport(GpuVerdict.UNKNOWN, None, None, None, None)
    worst = min(loads, key=lambda load: _ORDER.index(judge(load)))
    return GpuReport(judge(worst), worst.utilization, worst.kv_cache_usage, worst.waiting, worst.running)


def _progress(signals: VariantSignals) -> float | None:
    if not signals.completions_per_second.ok:
        return None
    return signals.completions_per_second.value + signals.output_tokens_per_second.otherwise(0.0)


def _known(reading: Reading) -> float | None:
    return reading.value if reading.ok else None
