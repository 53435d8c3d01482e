"""Reading one observation: can it be trusted, what arrives, what a replica carries, and what the GPUs say about it."""

import math
from collections.abc import Sequence

from flyball.core.decision import GpuReport
from flyball.core.fleet import experience, spot
from flyball.core.fleet.capacity import (
    CapacityFit,
    ReplicaCapacity,
    ReplicaLimits,
    RequestShape,
    learn,
    replica_capacity,
    start_fit,
)
from flyball.core.fleet.experience import Served
from flyball.core.fleet.misses import MissCurve, prior
from flyball.core.fleet.sizing import startup_seconds
from flyball.core.memory import Memory, VariantMemory
from flyball.core.money.cost import gpus_of
from flyball.core.names import GpuVerdict, Indicator
from flyball.core.observation import Observation, Reading, SignalState, VariantSignals, VariantState, believable
from flyball.core.service.verdict import load_of, report
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic import arrivals as arriving
from flyball.core.traffic import forecast
from flyball.core.traffic.arrivals import Arrivals
from flyball.core.traffic.demand_events import multiplier
from flyball.core.traffic.forecast import Outlook
from flyball.core.values import dataclass, replace

# Lengths of requests are learned with this half-life: long enough for hundreds of requests at one a second, short
# enough for a shift in lengths to be half learned within one start-up of a large model (ENGINES: 200 to 330 s).
SHAPE_HALF_LIFE_SECONDS = 300.0
# Mean lengths that are so many deviations away from those known (lengths deviate by about their mean) are another
# workload's: they count from then on as much as all that was known. Of a day's looks at a steady mix none is so far.
SHIFT_DEVIATIONS = 5.0
# Where less than this share of the traffic stays on the primary, what is measured there says nothing about the whole.
SMALLEST_SAMPLE = 0.04
# The next look at a workload comes about this much later: what is ordered now must last until then.
REVIEW_SECONDS = 15.0
# KV cache usage and waiting requests per replica from which preemption and queues, not the engine, set the pace.
KV_PRESSURE, QUEUE_PRESSURE = 0.9, 1.0
# The mean number of sequences in decode per replica below which a window says nothing of batches.
SMALLEST_LESSON = 0.5
# A queue of half a second's arrivals, or half a request per replica, is what the last scheduler steps left.
CLEAR_QUEUE_SECONDS, CLEAR_QUEUE_PER_REPLICA = 0.5, 0.5
PRIOR_CURVE = prior()


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

    `demand` is requests/s that arrive in all, fallback share included, and `outlook` what will when a replica ordered
    now is ready, `lead_seconds` from now; None where they cannot be known. `waiting` counts requests. `capacities` has
    one entry per variant, `curve` says how misses rise, and `price` what one costs in multiples of serving a request.
    `foreseen` says that a forecast has come due, so that the outlook rests on more than its prior. `risks` has the
    share of each variant's replicas that is expected to be missing, reclaimed; empty where none is on spot capacity.
    """

    trust: Trust
    demand: float | None
    waiting: float
    capacities: tuple[ReplicaCapacity | None, ...]
    gpu: GpuReport
    outlook: Outlook | None = None
    lead_seconds: float = 0.0
    curve: MissCurve = PRIOR_CURVE
    price: float = 0.0
    foreseen: bool = False
    risks: tuple[float, ...] = ()


def assess(spec: WorkloadSpec, observation: Observation, memory: Memory) -> tuple[Situation, Memory]:
    """The situation, and the memory with what this observation taught."""
    signals = tuple(observation.signals.variant(v.name) for v in spec.variants)
    states = tuple(observation.state.variant(v.name) for v in spec.variants)
    trust = _trust(spec, observation, signals, states)
    memory = _remember_shape(signals, observation, memory)
    shape = memory.shape
    before, memory = memory, _watch_ready(spec, states, observation.at, memory)
    found, stays = None, 1.0
    if not trust.problem:
        memory, found, stays = _arrivals(observation, signals, memory)
        memory = _learn(spec, observation, signals, states, memory)
    limits = limits_of(spec)
    capacities = tuple(_capacity(memory.variant(v.name), shape, limits) for v in spec.variants)
    demand, outlook = None, None
    lead = lead_seconds(spec, states, observation.signals.window_seconds)
    if found is not None and stays >= SMALLEST_SAMPLE:
        demand = found.demand / stays
        memory, outlook = _foresee(observation, found.smooth / stays, demand, lead, memory)
    if not trust.problem and any(variant.spot for variant in spec.variants):
        memory = experience.dropped(memory, _dropped(signals, states, before, memory))
    if found is not None and not trust.partial:
        memory = _teach(spec, observation, signals, states, capacities, found, limits, lead, memory)
    loads = tuple(
        load_of(s, state.ready, capacity, memory.shape, gpus_of(variant, state))
        for s, state, capacity, variant in zip(signals, states, capacities, spec.variants, strict=True)
        if state.ready
    )
    waiting = sum(s.waiting.otherwise(0.0) for s in signals)
    gpu = report(loads)
    if gpu.verdict is GpuVerdict.STARVED and not _settled(spec, observation, memory):
        # The mean over replicas of which some have just come says little: the old ones' queue is not theirs yet.
        gpu = replace(gpu, verdict=GpuVerdict.SATURATED)
    return (
        Situation(
            trust,
            demand,
            waiting,
            capacities,
            gpu,
            outlook,
            lead,
            PRIOR_CURVE if memory.curve is None or any(c.infeasible for c in capacities if c) else memory.curve,
            experience.price(spec, demand or 0.0, memory),
            memory.forecast is not None and memory.forecast.judged > 0,
            _risks(spec, states, memory),
        ),
        memory,
    )


def _dropped(
    signals: tuple[VariantSignals, ...], states: tuple[VariantState, ...], before: Memory, memory: Memory
) -> float:
    """The requests that replicas reclaimed since the last look were serving: as many as those that stay do now."""
    return sum(
        (memory.variant(s.name).reclaims - before.variant(s.name).reclaims) * s.running.otherwise(0.0) / state.ready
        for s, state in zip(signals, states, strict=True)
        if state.ready
    )


def _risks(spec: WorkloadSpec, states: tuple[VariantState, ...], memory: Memory) -> tuple[float, ...]:
    if not any(variant.spot for variant in spec.variants):
        return ()
    pairs = zip(spec.variants, states, strict=True)
    return tuple(spot.risk(v, startup_seconds(v, state), memory.variant(v.name)) for v, state in pairs)


def lead_seconds(spec: WorkloadSpec, states: tuple[VariantState, ...], window_seconds: float) -> float:
    """From a rate's mean age to when a replica ordered now serves and the next look has come."""
    startup = max(startup_seconds(v, s) for v, s in zip(spec.variants, states, strict=True))
    return startup + window_seconds / 2 + REVIEW_SECONDS


def limits_of(spec: WorkloadSpec) -> ReplicaLimits:
    """The tightest threshold per latency that bounds a batch."""

    tightest: dict[Indicator, float] = {}
    for objective in spec.objectives:
        if threshold := objective.threshold_seconds:
            tightest[objective.indicator] = min(threshold, tightest.get(objective.indicator, threshold))
    return ReplicaLimits(
        first_token=tightest.get(Indicator.TIME_TO_FIRST_TOKEN),
        per_token=tightest.get(Indicator.INTER_TOKEN_LATENCY),
        end_to_end=tightest.get(Indicator.END_TO_END),
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
    found = mean_shape(signals)
    if found is None:
        return memory
    since = memory.shaped_at if memory.shape is not None else observation.at - observation.signals.window_seconds
    seconds = max(0.0, min(observation.at - since, observation.signals.window_seconds))
    fresh = seconds * sum(s.completions_per_second.otherwise(0.0) for s in signals)
    kept = memory.shape_weight * 0.5 ** (seconds / SHAPE_HALF_LIFE_SECONDS) if memory.shape is not None else 0.0
    if kept + fresh <= 0:
        return memory
    if memory.shape is not None and _shifted(memory.shape, found, fresh):
        kept = min(kept, fresh)
    shape = found if memory.shape is None else memory.shape.blended(found, fresh / (kept + fresh))
    return replace(memory, shape=shape, shape_weight=kept + fresh, shaped_at=observation.at)


def _shifted(known: RequestShape, found: RequestShape, requests: float) -> bool:
    """Whether chance does not explain how far the mean lengths of the newest requests are from those known."""
    chance = SHIFT_DEVIATIONS / math.sqrt(max(1.0, requests))
    pairs = ((found.prompt_tokens, known.prompt_tokens), (found.output_tokens, known.output_tokens))
    return any(abs(new / old - 1.0) > chance for new, old in pairs if old > 0)


def mean_shape(signals: Sequence[VariantSignals]) -> RequestShape | None:
    """Mean tokens per request over all variants, weighted by completions; None until requests have finished."""
    weight = prompt = output = prefill = 0.0
    for s in signals:
        if s.prompt_tokens_per_request.ok and s.output_tokens_per_request.ok and s.completions_per_second.ok:
            share = s.completions_per_second.value
            weight += share
            prompt += share * s.prompt_tokens_per_request.value
            output += share * _output_tokens(s)
            prefill += share * s.prompt_tokens_per_request.value * (1 - min(1.0, s.cached_prompt_share.otherwise(0.0)))
    return RequestShape(prefill / weight, prompt / weight, output / weight) if weight > 0 and output > 0 else None


def _output_tokens(signals: VariantSignals) -> float:
    """Mean output tokens per request, those still being written included: all tokens over completions.

    That is the estimate under censoring for lengths without memory. The mean of what finished is that of the short
    ones for as long as the long ones had no time to finish: after a start of traffic, or a step.
    """
    written, finished = signals.output_tokens_per_second, signals.completions_per_second
    if written.ok and finished.value > 0 and believable(written.value / finished.value):
        return written.value / finished.value
    return signals.output_tokens_per_request.value


def _watch_ready(spec: WorkloadSpec, states: tuple[VariantState, ...], at: float, memory: Memory) -> Memory:
    variants = []
    for variant, state in zip(spec.variants, states, strict=True):
        known = memory.variant(variant.name)
        if variant.spot:
            known = spot.watch(state, known, at)
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
) -> tuple[Memory, Arrivals | None, float]:
    """What arrived at the replicas, and the share of all arrivals that this was."""
    backlog = arriving.backlog_of(signals)
    if backlog is None or any(s.running.ok and not s.completions_per_second.ok for s in signals):
        return memory, None, 1.0
    window = observation.signals.window_seconds
    samples = arriving.remember(memory.backlog, observation.at, backlog, window)
    completions = sum(s.completions_per_second.otherwise(0.0) for s in signals)
    found = arriving.estimate(samples, completions, window)
    return replace(memory, backlog=samples), found, 1.0 - memory.fallback.moved_over(observation.at, window)


def _foresee(
    observation: Observation, smooth: float, demand: float, lead: float, memory: Memory
) -> tuple[Memory, Outlook]:
    """The outlook at the lead time. A step that shows already, and load that was announced, are added to it."""
    at, window = observation.at, observation.signals.window_seconds
    known = memory.forecast or forecast.start(at, smooth, window, lead)
    known, outlook = forecast.observe(known, at, smooth, lead, window)
    # What is measured now holds the multiple in force now.
    more = multiplier(observation.expected, at, lead) / multiplier(observation.expected, at)
    step = max(0.0, demand - smooth)
    rates = tuple((rate + step) * more for rate in outlook.rates)
    return replace(memory, forecast=known), replace(outlook, mean=(outlook.mean + step) * more, rates=rates)


def _teach(
    spec: WorkloadSpec,
    observation: Observation,
    signals: tuple[VariantSignals, ...],
    states: tuple[VariantState, ...],
    capacities: tuple[ReplicaCapacity | None, ...],
    found: Arrivals,
    limits: ReplicaLimits,
    lead: float,
    memory: Memory,
) -> Memory:
    """Let users' experience teach where it is known what the replicas that served carry.

    A latency that a lone request breaks teaches nothing of load: then what counts is that the work gets done.
    """
    ready = sum(state.ready for state in states)
    fit = next((v.fit for v in memory.variants if v.fit is not None), None)
    if memory.shape is None or fit is None or ready == 0 or any(c is None or c.infeasible for c in capacities):
        return memory
    carried = sum(s.ready * c.requests_per_second for s, c in zip(states, capacities, strict=True) if c)
    waiting = sum(s.waiting.otherwise(0.0) for s in signals)
    clear = waiting < CLEAR_QUEUE_PER_REPLICA * ready + CLEAR_QUEUE_SECONDS * found.smooth
    growing = found.smooth > sum(s.completions_per_second.otherwise(0.0) for s in signals)
    served = Served(found.smooth, ready, carried / ready, (clear or growing) and _settled(spec, observation, memory))
    return experience.teach(spec, observation, served, fit, memory.shape, limits, lead, memory)


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
    """The fit after a window in which the engine, and neither preemption nor a queue, set the pace."""
    if signal.kv_cache_usage.otherwise(0.0) >= KV_PRESSURE or signal.waiting.otherwise(0.0) >= QUEUE_PRESSURE * ready:
        return fit
    decoding = signal.decoding if signal.decoding.ok else signal.running
    batch = decoding.otherwise(0.0) / ready
    if batch < SMALLEST_LESSON or not signal.seconds_per_output_token.ok:
        return fit
    return learn(fit, shape, batch, signal.seconds_per_output_token.value)


def _capacity(memory: VariantMemory, shape: RequestShape | None, limits: ReplicaLimits) -> ReplicaCapacity | None:
    if shape is None or memory.fit is None:
        return None
    return replica_capacity(memory.fit, shape, limits)
