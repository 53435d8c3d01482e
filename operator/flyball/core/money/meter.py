"""The account of a workload, read from when each of its pods held its GPUs; it closes.

    bill = Σ pods  GPUs × hours from bound to gone × dollars per GPU hour  +  Σ paths  fallback and components

A pod is paid for from the moment when it is bound to its node until the look that first misses it. What it holds is
split by state: loading until it is ready, then serving for the share of the time in which its GPUs worked, and idle for
the rest. Every GPU-millisecond is in exactly one state, so that the states add up to what the pods held, whatever the
signals say. Prices and rates are those of the look that ends a stretch; the overflow is that of the look that began it.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from flyball.core.fleet.capacity import RequestShape
from flyball.core.money import prices
from flyball.core.money.bill import (
    ALL_PATHS,
    FALLBACK_KIND,
    FALLBACK_PATH,
    LABOR_KIND,
    Charge,
    Entry,
    PathUse,
    added,
    charged,
)
from flyball.core.money.cost import gpus_of
from flyball.core.observation import Observation, PodSpan, Reading, VariantSignals
from flyball.core.routing.overflow import Flows
from flyball.core.spec import Fallback, Unit, Variant, WorkloadSpec
from flyball.core.traffic.demand import mean_shape
from flyball.core.values import dataclass, replace

PERIOD_MS = 300_000
MOST_LATE_MS = 86_400_000
"""A look that comes later than this after the last one accounts for this long only: what was before is not known."""
OTHER_WORKLOAD = "WorkloadSLO/"
"""How the contender of a target begins that another WorkloadSLO governs, and pays for."""
MS_PER_HOUR = Decimal(3_600_000)


@dataclass(frozen=True, slots=True)
class Meter:
    """Where the account of one workload stands: until `as_of` all is in entries or in `uses` and `charges`.

    `since` is where the open entry began. `pods` are those of the last look, by variant; `moved` the requests per
    second that overflowed from then on to each fallback backend, and `shape` the mean length of requests then.
    """

    as_of: int
    since: int
    pods: tuple[tuple[str, PodSpan], ...] = ()
    moved: Flows = ()
    shape: RequestShape | None = None
    uses: tuple[PathUse, ...] = ()
    charges: tuple[Charge, ...] = ()


def begin(at: int) -> Meter:
    """A meter that accounts from `at` on."""
    return Meter(at, at)


def milliseconds(at: float) -> int:
    """Whole milliseconds of seconds since the epoch."""
    return round(at * 1000)


def read(meter: Meter, spec: WorkloadSpec, observation: Observation, moved: Flows) -> tuple[Meter, tuple[Entry, ...]]:
    """Account for all until this look: the meter, and the entries of the periods that ended.

    `moved` are the requests per second that overflow from now on to each fallback backend, as long as those that the
    variants serve. A look
    without the cluster's state accounts for nothing: the next one will, since pods say themselves since when they hold
    their GPUs.
    """
    at = milliseconds(observation.at)
    if observation.state.problem or at <= meter.as_of:
        return meter, ()
    entries: list[Entry] = []
    if at - meter.as_of > MOST_LATE_MS:
        meter, closed = close(meter, spec)
        entries += closed
        meter = replace(meter, as_of=at - MOST_LATE_MS, since=at - MOST_LATE_MS)
    for start, end in _within_periods(meter.as_of, at):
        uses = [use for variant in spec.variants if (use := _use(meter, variant, observation, start, end))]
        if overflow := _overflow(meter, start, end):
            uses.append(overflow)
        charges = _charges(meter, spec, uses, start, end)
        meter = replace(meter, as_of=end, uses=added(meter.uses, uses), charges=charged(meter.charges, charges))
        if end % PERIOD_MS == 0:
            meter, closed = close(meter, spec)
            entries += closed
    pods = tuple((state.name, span) for state in observation.state.variants for span in state.pods)
    shape = mean_shape(observation.signals.variants) or meter.shape
    return replace(meter, pods=pods, moved=moved, shape=shape), tuple(entries)


def close(meter: Meter, spec: WorkloadSpec) -> tuple[Meter, tuple[Entry, ...]]:
    """End the open entry where the account stands; none where nothing was accounted for since the last one."""
    if meter.as_of <= meter.since:
        return meter, ()
    charges = tuple(charge.rounded() for charge in meter.charges)
    uses = tuple(use.rounded() for use in meter.uses)
    entry = Entry(spec.key, spec.uid, meter.since, meter.as_of, uses, charges)
    return replace(meter, since=meter.as_of, uses=(), charges=()), (entry,)


def _within_periods(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = min(end, start - start % PERIOD_MS + PERIOD_MS)
        yield start, stop
        start = stop


def _use(meter: Meter, variant: Variant, observation: Observation, start: int, end: int) -> PathUse | None:
    """What a variant used from `start` to `end`; None where it used nothing, or another workload pays for it."""
    state, signals = observation.state.variant(variant.name), observation.signals.variant(variant.name)
    if (state.contender or "").startswith(OTHER_WORKLOAD):
        return None
    here = {span.uid for span in state.pods}
    gone = (span for name, span in meter.pods if name == variant.name and span.uid not in here)
    gpus = gpus_of(variant, state)
    loading = ready = 0
    for span in (*state.pods, *gone):
        held = max(0, end - max(start, milliseconds(span.held_from)))
        was_ready = 0 if span.ready_from is None else max(0, end - max(start, milliseconds(span.ready_from)))
        loading += (held - min(held, was_ready)) * (gpus or 1)
        ready += min(held, was_ready) * (gpus or 1)
    traffic = _traffic(variant.name, signals, end - start)
    if not loading + ready and not traffic.measured_ms:
        return None
    busy = _busy_share(signals, sum(span.ready_from is not None for span in state.pods))
    serving = 0 if busy is None else round(ready * busy)
    idle, unmeasured = (0, ready) if busy is None else (ready - serving, 0)
    price = None if gpus is None else variant.price_per_gpu_hour
    per_ms = (price or Decimal(0)) / MS_PER_HOUR
    return replace(
        traffic,
        loading_ms=loading,
        idle_ms=idle,
        serving_ms=serving,
        unmeasured_ms=unmeasured,
        loading=loading * per_ms,
        idle=idle * per_ms,
        serving=serving * per_ms,
        unmeasured=unmeasured * per_ms,
        unpriced_ms=loading + ready if price is None else 0,
    )


def _busy_share(signals: VariantSignals, ready: int) -> float | None:
    """The share of the time in which ready GPUs worked: their utilization, else requests running per ready replica, at
    most one; None where neither is known.
    """
    if signals.gpu_utilization.ok:
        return min(1.0, signals.gpu_utilization.value)
    if signals.running.ok and ready:
        return min(1.0, signals.running.value / ready)
    return None


def _traffic(path: str, signals: VariantSignals, duration_ms: int) -> PathUse:
    """Requests and tokens of that long at the rates measured; none, and no time measured, where requests are not."""
    if not signals.completions_per_second.ok:
        return PathUse(path)
    return PathUse(
        path,
        requests=_times(signals.completions_per_second, duration_ms),
        prompt_tokens=_times(signals.prompt_tokens_per_second, duration_ms),
        output_tokens=_times(signals.output_tokens_per_second, duration_ms),
        measured_ms=duration_ms,
    )


def _times(rate: Reading, duration_ms: int) -> Decimal:
    return Decimal(str(round(rate.otherwise(0.0), 6))) * duration_ms / 1000


def _overflow(meter: Meter, start: int, end: int) -> PathUse | None:
    """The requests that overflowed, with the tokens of mean ones."""
    requests = sum((_moved(rate, start, end) for _, rate in meter.moved), Decimal(0))
    if not requests:
        return None
    shape = meter.shape
    prompt, output = (shape.prompt_tokens, shape.output_tokens) if shape else (0.0, 0.0)
    return PathUse(
        FALLBACK_PATH,
        requests=requests,
        prompt_tokens=requests * Decimal(str(round(prompt, 6))),
        output_tokens=requests * Decimal(str(round(output, 6))),
        measured_ms=end - start,
    )


def _moved(rate: float, start: int, end: int) -> Decimal:
    return Decimal(str(round(rate, 6))) * (end - start) / 1000


def _charges(meter: Meter, spec: WorkloadSpec, uses: Sequence[PathUse], start: int, end: int) -> list[Charge]:
    found = []
    for component in spec.prices.components:
        if component.unit is Unit.HOUR:
            amounts = [(ALL_PATHS, (end - start) / MS_PER_HOUR)]
        elif component.unit is Unit.REQUEST:
            amounts = [(use.path, use.requests) for use in uses]
        else:
            amounts = [(use.path, (use.prompt_tokens + use.output_tokens) / prices.MILLION) for use in uses]
        found += [
            Charge(component.name, component.kind, path, component.unit, amount, amount * component.price)
            for path, amount in amounts
            if amount
        ]
    if spec.fallback is not None:
        for backend, rate in meter.moved:
            found += _overflow_charges(spec, spec.fallback, meter, backend, _moved(rate, start, end))
    return found


def _overflow_charges(
    spec: WorkloadSpec, fallback: Fallback, meter: Meter, backend: str, requests: Decimal
) -> Iterator[Charge]:
    """What a fallback backend and the people behind it cost; by its own name where the spec lists it."""
    if not requests:
        return
    listed = fallback.backend(backend) is not None
    hosted = spec.prices.backend(backend).hosted if listed else spec.prices.hosted
    price = prices.overflow_price(fallback, spec.prices, meter.shape, backend)
    labor = prices.overflow_labor(fallback, spec.prices, backend)
    name = hosted.name if hosted else backend if listed else "fallback"
    parts = [(name, FALLBACK_KIND, price)]
    parts += [(f"{backend}-labor" if listed else "fallback-labor", LABOR_KIND, labor)] if labor else []
    for component, kind, each in parts:
        dollars = None if each is None else requests * each
        yield Charge(component, kind, FALLBACK_PATH, Unit.REQUEST, requests, dollars)
