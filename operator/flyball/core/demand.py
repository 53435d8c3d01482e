"""Reading one observation: can it be trusted, what arrives, what a replica carries, and what the GPUs say about it."""

from dataclasses import dataclass, replace

from flyball.core import arrivals as arriving
from flyball.core.capacity import (
    CapacityFit,
    ReplicaCapacity,
    ReplicaLimits,
    RequestShape,
    learn,
    replica_capacity,
    start_fit,
)
from flyball.core.decision import GpuReport
from flyball.core.memory import Memory, VariantMemory
from flyball.core.names import GpuVerdict, Indicator
from flyball.core.observation import Observation, Reading, SignalState, VariantSignals, VariantState
from flyball.core.spec import WorkloadSpec
from flyball.core.verdict import load_of, report

# Lengths of requests are learned with this half-life: long enough for hundreds of requests at one a second, short
# enough for a shift in lengths to be half learned within one start-up of a large model (ENGINES: 200 to 330 s).
SHAPE_HALF_LIFE_SECONDS = 300.0
# Where less than this share of the traffic stays on the primary, what is measured there says nothing about the whole.
SMALLEST_SAMPLE = 0.04


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether the telemetry may be acted on. `problem` says why not; `partial` what of it is missing.

    Bad data holds or raises capacity; partial data may raise it but never lower it.
    """

    problem: str = ""
    state: SignalState = SignalState.OK
    partial: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a tick concluded from its observation, before anything is decided.

    `demand` is requests/s that arrive in all, fallback share included; None where it cannot be known. `waiting` counts
    requests. `capacities` has one entry per variant.
    """

    trust: Trust
    demand: float | None
    waiting: float
    capacities: tuple[ReplicaCapacity | None, ...]
    gpu: GpuReport


def assess(spec: WorkloadSpec, observation: Observation, memory: Memory) -> tuple[Situation, Memory]:
    """The situation, and the memory with what this observation taught."""
    signals = tuple(observation.signals.variant(v.name) for v in spec.variants)
    states = tuple(observation.state.variant(v.name) for v in spec.variants)
    trust = _trust(spec, observation, signals, states)
    memory = _remember_shape(signals, observation, memory)
    shape = memory.shape
    memory = _watch_ready(spec, states, observation.at, memory)
    demand = None
    if not trust.problem:
        memory, demand = _arrivals(observation, signals, memory)
        memory = _learn(spec, observation, signals, states, memory)
    capacities = tuple(_capacity(spec, memory.variant(v.name), shape) for v in spec.variants)
    loads = tuple(load_of(s, state.ready) for s, state in zip(signals, states, strict=True) if state.ready)
    waiting = sum(s.waiting.otherwise(0.0) for s in signals)
    gpu = report(loads)
    if gpu.verdict is GpuVerdict.STARVED and not _settled(spec, observation, memory):
        # The mean over replicas of which some have just come says little: the old ones' queue is not theirs yet.
        gpu = replace(gpu, verdict=GpuVerdict.SATURATED)
    return Situation(trust, demand, waiting, capacities, gpu), memory


def limits_of(spec: WorkloadSpec) -> ReplicaLimits:
    """The tightest threshold per latency that bounds a batch."""

    def tightest(indicator: Indicator) -> float | None:
        thresholds = [o.threshold_seconds for o in spec.objectives if o.indicator is indicator and o.threshold_seconds]
        return min(thresholds, default=None)

    return ReplicaLimits(
        first_token=tightest(Indicator.TIME_TO_FIRST_TOKEN),
        per_token=tightest(Indicator.INTER_TOKEN_LATENCY),
        end_to_end=tightest(Indicator.END_TO_END),
    )


def _trust(
    spec: WorkloadSpec,
    observation: Observation,
    signals: tuple[VariantSignals, ...],
    states: tuple[VariantState, ...],
) -> Trust:
    if observation.state.problem:
        return Trust(observation.state.problem, SignalState.ABSENT)
    serving = [(s, state) for s, state in zip(signals, states, strict=True) if state.ready > 0]
    if not serving:
        return Trust()
    if observation.signals.problem:
        return Trust(observation.signals.problem, SignalState.ABSENT)
    for signal, _ in serving:
        for label, reading in _required(signal):
            if not reading.ok:
                state_ = SignalState.INVALID if _contradicts(reading) else reading.state
                return Trust(_sentence(signal.name, label, reading, spec), state_)
    for signal, state in serving:
        if signal.reporting_replicas.ok and signal.reporting_replicas.value < state.ready:
            count = f"{signal.reporting_replicas.value:.0f} of {state.ready}"
            return Trust(partial=f"target {signal.name}: only {count} ready replicas report fresh metrics")
        for label, reading in (("KV cache usage", signal.kv_cache_usage), ("GPU utilization", signal.gpu_utilization)):
            if reading.state in (SignalState.STALE, SignalState.INVALID) or _contradicts(reading):
                return Trust(partial=_sentence(signal.name, label, reading, spec))
    return Trust()


def _contradicts(reading: Reading) -> bool:
    """Whether a number is said to be fine and cannot be."""
    return reading.state is SignalState.OK and not reading.ok


def _required(signal: VariantSignals) -> tuple[tuple[str, Reading], ...]:
    return (
        ("requests running", signal.running),
        ("requests waiting", signal.waiting),
        ("completions", signal.completions_per_second),
    )


def _sentence(variant: str, label: str, reading: Reading, spec: WorkloadSpec) -> str:
    if reading.state is SignalState.STALE:
        age, limit = f"{reading.age_seconds:.0f} s old", f"{spec.telemetry.stale_after_seconds:.0f} s"
        what = f"is {age}, older than staleAfter {limit}: do its pods still export it?"
    elif reading.state in (SignalState.ABSENT, SignalState.INSUFFICIENT):
        what = "is not in Prometheus: is the pod scraped, and is telemetry.engine right?"
    else:
        what = f"is {reading.value}, which cannot be: look at the exporter"
    return f"target {variant}: {label} {what}"


def _remember_shape(signals: tuple[VariantSignals, ...], observation: Observation, memory: Memory) -> Memory:
    """The decayed running mean of tokens per request: a window's handful of requests is no measure of a workload."""
    found = _shape(signals)
    if found is None:
        return memory
    since = memory.shaped_at if memory.shape is not None else observation.at - observation.signals.window_seconds
    seconds = max(0.0, min(observation.at - since, observation.signals.window_seconds))
    fresh = seconds * sum(s.completions_per_second.otherwise(0.0) for s in signals)
    kept = memory.shape_weight * 0.5 ** (seconds / SHAPE_HALF_LIFE_SECONDS) if memory.shape is not None else 0.0
    if kept + fresh <= 0:
        return memory
    shape = found if memory.shape is None else memory.shape.blended(found, fresh / (kept + fresh))
    return replace(memory, shape=shape, shape_weight=kept + fresh, shaped_at=observation.at)


def _shape(signals: tuple[VariantSignals, ...]) -> RequestShape | None:
    """Mean tokens per request over all variants, weighted by completions; None until requests have finished."""
    weight = prompt = output = prefill = 0.0
    for s in signals:
        if s.prompt_tokens_per_request.ok and s.output_tokens_per_request.ok and s.completions_per_second.ok:
            share = s.completions_per_second.value
            weight += share
            prompt += share * s.prompt_tokens_per_request.value
            output += share * s.output_tokens_per_request.value
            prefill += share * s.prompt_tokens_per_request.value * (1 - min(1.0, s.cached_prompt_share.otherwise(0.0)))
    return RequestShape(prefill / weight, prompt / weight, output / weight) if weight > 0 and output > 0 else None


def _watch_ready(spec: WorkloadSpec, states: tuple[VariantState, ...], at: float, memory: Memory) -> Memory:
    variants = []
    for variant, state in zip(spec.variants, states, strict=True):
        known = memory.variant(variant.name)
        if state.ready != known.ready:
            known = replace(known, ready=state.ready, ready_changed_at=at)
        variants.append(known)
    return replace(memory, variants=tuple(variants))


def _settled(spec: WorkloadSpec, observation: Observation, memory: Memory) -> bool:
    """Whether no variant's ready count moved within the last two telemetry windows."""
    ages = (observation.at - memory.variant(v.name).ready_changed_at for v in spec.variants)
    return all(age >= 2 * observation.signals.window_seconds for age in ages)


def _arrivals(
    observation: Observation, signals: tuple[VariantSignals, ...], memory: Memory
) -> tuple[Memory, float | None]:
    backlog = arriving.backlog_of(signals)
    if backlog is None or any(s.running.ok and not s.completions_per_second.ok for s in signals):
        return memory, None
    window = observation.signals.window_seconds
    samples = arriving.remember(memory.backlog, observation.at, backlog, window)
    completions = sum(s.completions_per_second.otherwise(0.0) for s in signals)
    found = arriving.estimate(samples, completions, window)
    stays = 1.0 - memory.fallback.moved_over(observation.at, window)
    demand = found.demand / stays if stays >= SMALLEST_SAMPLE else None
    return replace(memory, backlog=samples), demand


def _learn(
    spec: WorkloadSpec,
    observation: Observation,
    signals: tuple[VariantSignals, ...],
    states: tuple[VariantState, ...],
    memory: Memory,
) -> Memory:
    """Teach each variant's fit, unless its replicas are young: warm-up and half-empty batches are not the engine."""
    variants = []
    for variant, signal, state in zip(spec.variants, signals, states, strict=True):
        known = memory.variant(variant.name)
        fit = known.fit or start_fit(variant.engine)
        settled = observation.at - known.ready_changed_at >= 2 * observation.signals.window_seconds
        if settled and state.starting == 0 and state.ready > 0 and memory.shape is not None:
            fit = _taught(fit, memory.shape, signal, state.ready)
        variants.append(replace(known, fit=fit))
    return replace(memory, variants=tuple(variants))


def _taught(fit: CapacityFit, shape: RequestShape, signal: VariantSignals, ready: int) -> CapacityFit:
    batch = signal.running.otherwise(0.0) / ready
    if batch < 1 or not signal.seconds_per_output_token.ok:
        return fit
    return learn(fit, shape, batch, signal.seconds_per_output_token.value)


def _capacity(spec: WorkloadSpec, memory: VariantMemory, shape: RequestShape | None) -> ReplicaCapacity | None:
    if shape is None or memory.fit is None:
        return None
    return replica_capacity(memory.fit, shape, limits_of(spec))
