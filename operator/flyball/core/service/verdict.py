"""GPU utilization read with its queue: by itself it says only that a kernel was running.

Decode keeps a GPU busy at batch 1, so a high number is no reason to add one, and a low number with a growing queue says
that something else is short. So no verdict rests on one number. Work that presses (a queue, a full KV cache) is told
apart from GPUs that have the work (utilization, and tokens per second against the knee: what a replica writes per
second and GPU at the largest batch within its objectives and its KV cache, by its fitted engine model, once that was
measured). The functions below are the whole rule, first match wins:

| queue or full KV cache | GPUs | verdict |
|---|---|---|
| a queue | busy, and nothing is finished or written | Starved: an engine hangs |
| a queue | busy, or at the knee; or unknown while requests run | Saturated |
| a queue, a full cache | not busy | Saturated, as long as they are not idle |
| a queue | not busy, below the knee | Starved: something else is short |
| a full cache | not idle, or unknown while requests run | Saturated: engines preempt before they queue |
| a full cache | idle although requests run | Starved |
| neither | idle, with less than half of the knee's tokens and batch | Idle |
| neither | busy, with half of the knee's tokens or where no knee is known | Efficient |
| neither | anything else | Headroom |

Without queue depth and batch, or without a queue and anything known of the GPUs, it is Unknown.
"""

from flyball.core.decision import GpuReport
from flyball.core.fleet.capacity import ReplicaCapacity, RequestShape
from flyball.core.names import GpuVerdict
from flyball.core.observation import Reading, VariantSignals
from flyball.core.values import dataclass

BUSY = 0.85  # an engine with work always has the next iteration ready: below this it waits for something
IDLE = 0.30  # below this most of the GPU's time is unused
KV_FULL = 0.95  # engines preempt from here on
QUEUE_PER_REPLICA = 1.0  # waiting requests per replica that are more than one between two scheduler steps
AT_KNEE = 0.85  # of the knee's tokens: the fit errs by some 5 to 15% between workloads
HALF_KNEE = 0.5  # below this each further request in the batch still costs less than the one before


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """The numbers a verdict is made of; None where unknown. Waiting and running are per ready replica.

    `progress` is completions plus output tokens per second: engines that still write long answers are not hung.
    `tokens` are output tokens per second and GPU, `knee_tokens` what they are at the knee, and `knee_batch` is the
    number of requests that one replica runs there.
    """

    utilization: float | None
    kv_cache_usage: float | None
    waiting: float | None
    running: float | None
    progress: float | None
    tokens: float | None = None
    knee_tokens: float | None = None
    knee_batch: float | None = None

    @property
    def knee_share(self) -> float | None:
        """Tokens per second as a share of the knee's."""
        return None if self.tokens is None or not self.knee_tokens else self.tokens / self.knee_tokens

    @property
    def batch_share(self) -> float | None:
        """The running batch as a share of the knee's."""
        return None if self.running is None or not self.knee_batch else self.running / self.knee_batch

    @property
    def half_used(self) -> bool:
        """Whether tokens or batch are known to be half of the knee's at least."""
        return any(share is not None and share >= HALF_KNEE for share in (self.knee_share, self.batch_share))

    @property
    def hardly_used(self) -> bool:
        """Whether tokens and batch are known to be less than half of the knee's."""
        return self.knee_share is not None and self.batch_share is not None and not self.half_used


def judge(load: GpuLoad) -> GpuVerdict:
    """The verdict of one variant's replicas together."""
    if load.waiting is None or load.running is None:
        return GpuVerdict.UNKNOWN
    if load.waiting >= QUEUE_PER_REPLICA:
        return _with_queue(load, load.running > 0)
    if load.kv_cache_usage is not None and load.kv_cache_usage >= KV_FULL and load.running > 0:
        idle = load.utilization is not None and load.utilization < IDLE
        return GpuVerdict.STARVED if idle else GpuVerdict.SATURATED
    return _without_pressure(load)


def _with_queue(load: GpuLoad, running: bool) -> GpuVerdict:
    full = load.kv_cache_usage is not None and load.kv_cache_usage >= KV_FULL
    at_knee = load.knee_share is not None and load.knee_share >= AT_KNEE
    if load.utilization is None:
        return GpuVerdict.SATURATED if running or full else GpuVerdict.UNKNOWN
    if load.utilization >= BUSY:
        return GpuVerdict.STARVED if running and load.progress == 0 else GpuVerdict.SATURATED
    if at_knee or (full and load.utilization >= IDLE):
        return GpuVerdict.SATURATED
    return GpuVerdict.STARVED


def _without_pressure(load: GpuLoad) -> GpuVerdict:
    if load.utilization is None:
        if load.half_used:
            return GpuVerdict.EFFICIENT
        return GpuVerdict.HEADROOM if load.hardly_used else GpuVerdict.UNKNOWN
    if load.utilization < IDLE:
        return GpuVerdict.HEADROOM if load.half_used else GpuVerdict.IDLE
    if load.utilization >= BUSY:
        return GpuVerdict.HEADROOM if load.hardly_used else GpuVerdict.EFFICIENT
    return GpuVerdict.HEADROOM


def load_of(
    signals: VariantSignals,
    replicas: int,
    capacity: ReplicaCapacity | None = None,
    shape: RequestShape | None = None,
    gpus_per_replica: int | None = None,
) -> GpuLoad:
    """One variant's load per ready replica; the knee where its capacity was measured, not guessed."""
    count = max(1, replicas)
    waiting, running = _known(signals.waiting), _known(signals.running)
    tokens = _known(signals.output_tokens_per_second)
    knee = capacity if capacity is not None and capacity.confident and not capacity.infeasible else None
    gpus = gpus_per_replica or 1
    return GpuLoad(
        utilization=_known(signals.gpu_utilization),
        kv_cache_usage=_known(signals.kv_cache_usage),
        waiting=None if waiting is None else waiting / count,
        running=None if running is None else running / count,
        progress=_progress(signals),
        tokens=None if tokens is None else tokens / (count * gpus),
        knee_tokens=knee.requests_per_second * shape.output_tokens / gpus if knee and shape else None,
        knee_batch=knee.batch if knee else None,
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
    return GpuReport(
        judge(worst),
        worst.utilization,
        worst.kv_cache_usage,
        worst.waiting,
        worst.running,
        worst.tokens,
        worst.knee_tokens,
        worst.knee_batch,
    )


def _progress(signals: VariantSignals) -> float | None:
    if not signals.completions_per_second.ok:
        return None
    return signals.completions_per_second.value + signals.output_tokens_per_second.otherwise(0.0)


def _known(reading: Reading) -> float | None:
    return reading.value if reading.ok else None
