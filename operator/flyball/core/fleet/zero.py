"""To zero replicas and back: when the last one may go, what must have moved before it, and what wakes the workload.

Flyball is never in the data path, so it holds no request. At zero the fallback serves, to which all traffic has moved
before; without one the gateway answers 503 until a replica is ready. What asks at zero is seen without the workload's
own pods, which then export nothing: by the declared query, at the fallback's target, or in a DemandEvent.

The laws: never to zero on bad data, nor before nobody has asked for `idleAfter` while a replica was ready and all that
tells was seen; awake within the tick that sees somebody ask, once the least time at zero has passed; and a workload
that nobody could hear is woken, unless a fallback serves it.
"""

from collections.abc import Mapping
from decimal import Decimal

from flyball.core.decision import Cause
from flyball.core.fleet.capacity import RequestShape
from flyball.core.fleet.keepalive import MOST_GAPS, keep_for
from flyball.core.fleet.sizing import startup_seconds
from flyball.core.memory import Memory, ZeroMemory
from flyball.core.money.cost import replica_price
from flyball.core.names import Mode
from flyball.core.observation import Observation, VariantState, WorkloadState
from flyball.core.routing import fallback, overflow
from flyball.core.spec import ToZero, Variant, WorkloadSpec
from flyball.core.traffic.demand import Situation
from flyball.core.traffic.demand_events import multiplier
from flyball.core.units import conjoin, format_duration
from flyball.core.values import dataclass, replace

AT_ZERO = "AtZero"
"""The code of staying at zero, and the reason of the condition."""

# At zero, without a fallback, nobody is served: where what asks has not been readable for as long as Prometheus itself
# goes on answering with a last sample, a replica is there to be asked.
BLIND_SECONDS = 300.0
# Served requests and busy time fade with this half-life: yesterday's rate is half forgotten today.
RATE_HALF_LIFE_SECONDS = 86_400.0
SECONDS_PER_HOUR = 3600.0
BLANK = ZeroMemory()
"""What is remembered where scaling to zero is not declared."""


@dataclass(frozen=True, slots=True)
class Zero:
    """What scaling to zero makes of a tick.

    `counts` are the replicas of each variant where it decides them, `cause` says why. `leaving` says why all traffic is
    to be on the fallback; empty where it need not. `refused` is a code and a sentence with the fix where the workload
    may not go to zero, `lost` that this is for want of data, `at_zero` that it has no replica.
    """

    counts: Mapping[str, int] | None = None
    cause: Cause | None = None
    leaving: str = ""
    refused: tuple[str, str] | None = None
    lost: bool = False
    at_zero: bool = False


def refusal(spec: WorkloadSpec) -> tuple[str, str] | None:
    """Why the declared scale to zero can never be carried out, as a code and a sentence with the fix."""
    declared = spec.scaling.to_zero
    if declared is None:
        return None
    kept = [variant.name for variant in spec.variants if variant.min_replicas > 0]
    if kept:
        return "MinReplicas", f"minReplicas of {conjoin(kept)} is above 0, so a replica always stays; set it to 0"
    if not declared.query and declared.fallback_target is None:
        text = (
            "nothing would say that somebody asks for it while it has no pod; set scaling.scaleToZero.wakeUp.query to "
            "PromQL of the gateway's requests, or wakeUp.fallbackTarget to what serves meanwhile"
        )
        return "NoWakeUpSignal", text
    return None


def step(spec: WorkloadSpec, observation: Observation, situation: Situation, memory: Memory) -> tuple[Zero, Memory]:
    """What scaling to zero makes of this tick, and the memory with what was seen of who asks."""
    declared, known = spec.scaling.to_zero, memory.zero
    if observation.state.problem:
        return Zero(), replace(memory, zero=replace(known, looked_at=None))
    at_zero = _at_zero(spec, observation.state)
    if declared is None:
        forgotten = Cause("NotToZero", "scaling.scaleToZero is not declared any more, so one replica stays")
        if at_zero and known.asleep_since is not None:
            return Zero(_one(spec, observation.state), forgotten, at_zero=True), memory
        return Zero(), memory if known == BLANK else replace(memory, zero=BLANK)
    asks, unseen = _asks(observation, situation), _unseen(observation, situation)
    known = _watched(observation, known, bool(asks), bool(unseen))
    look = _Look(spec, observation, situation, known, asks, memory.shape)
    zero, known = _asleep(look) if at_zero else _awake(look)
    return zero, replace(memory, zero=known)


@dataclass(frozen=True, slots=True)
class _Look:
    """One look: who asks, in a sentence (empty: nobody was seen to), what is remembered by now, and what requests are
    like.
    """

    spec: WorkloadSpec
    observation: Observation
    situation: Situation
    memory: ZeroMemory
    asks: str
    shape: RequestShape | None

    @property
    def at(self) -> float:
        return self.observation.at

    @property
    def deaf_for(self) -> float:
        """Seconds for which nobody could have been seen without the workload's own pods."""
        return 0.0 if self.memory.blind_since is None else self.at - self.memory.blind_since

    @property
    def refused(self) -> tuple[str, str] | None:
        """Why it may not go to zero now."""
        found = refusal(self.spec) or _contended(self.spec, self.observation.state)
        if found or self.spec.fallback is None:
            return found
        blocked = fallback.blocked(self.spec.fallback, self.observation.state.routes)
        return ("FallbackBlocked", f"traffic cannot move to the fallback first: {blocked}") if blocked else None

    @property
    def lost(self) -> tuple[str, str] | None:
        """That what tells of who asks has not been readable for longer than a sample stays fresh."""
        if self.deaf_for < self.spec.telemetry.stale_after_seconds:
            return None
        declared = self.spec.scaling.to_zero
        of = "query" if declared and declared.query else "fallbackTarget"
        state = self.observation.signals.wanted.state
        text = (
            f"scaling.scaleToZero.wakeUp.{of} gives no number ({state}); while nobody asks it must give 0, not nothing"
        )
        return "WakeUpSignalLost", text


def _asleep(look: _Look) -> tuple[Zero, ZeroMemory]:
    """At zero: stay, or wake."""
    spec, state, refused, lost = look.spec, look.observation.state, look.refused, look.lost
    since = look.at if look.memory.asleep_since is None else look.memory.asleep_since
    why = _wakes(look, since)
    counts = _one(spec, state) if why else {variant.name: 0 for variant in spec.variants}
    if why is None and look.asks:
        why = Cause(AT_ZERO, f"{look.asks}; it stays at zero for scaleToZero.minHold first")
    elif why is None:
        why = Cause(AT_ZERO, f"nobody asks for it; {_served(spec, state)}")
    zero = Zero(counts, why, _leaving(spec), refused or lost, not refused and lost is not None, at_zero=True)
    return zero, replace(look.memory, asleep_since=since)


def _wakes(look: _Look, since: float) -> Cause | None:
    """Why it wakes, at zero since then."""
    spec, declared, refused = look.spec, look.spec.scaling.to_zero, look.refused
    if refused:
        return Cause(refused[0], f"it may not be at zero: {refused[1]}")
    if look.asks and declared and look.at - since >= declared.min_hold_seconds:
        return Cause("WokenUp", f"{look.asks}; {_served(spec, look.observation.state)}")
    served = spec.fallback is not None and fallback.carries_all(look.observation.state.routes)
    if look.deaf_for >= BLIND_SECONDS and not served:
        text = f"for {format_duration(BLIND_SECONDS)} nobody could have been heard, and nothing else serves"
        return Cause("WakeUpSignalLost", text)
    return None


def _awake(look: _Look) -> tuple[Zero, ZeroMemory]:
    """With replicas: keep the last, or let the traffic go to the fallback, or let the last one go after it."""
    spec, known, refused = look.spec, replace(look.memory, asleep_since=None), look.refused
    if refused or look.lost:
        return Zero(refused=refused or look.lost, lost=not refused), known
    declared = spec.scaling.to_zero
    idle = look.at - (look.at if known.asked_at is None else known.asked_at)
    if declared is None or idle < declared.idle_after_seconds or idle < (keep := _keep_seconds(look, declared)):
        return Zero(), known
    moved = spec.fallback is None or fallback.carries_all(look.observation.state.routes)
    if spec.mode is Mode.AUTO and not moved:
        return Zero(leaving=_leaving(spec)), known
    text = f"nobody has asked for it for {format_duration(keep)}; {_served(spec, look.observation.state)}"
    counts = {variant.name: 0 for variant in spec.variants}
    since = look.at if look.memory.asleep_since is None else look.memory.asleep_since
    return Zero(counts, Cause("Idle", text), _leaving(spec)), replace(known, asleep_since=since)


def _asks(observation: Observation, situation: Situation) -> str:
    """Who asks for the workload, in a sentence; empty where nobody was seen to."""
    signals = observation.signals
    if signals.wanted.ok and signals.wanted.value > 0:
        return "somebody asks for it by the wake-up signal"
    if multiplier(observation.expected, observation.at, situation.lead_seconds) > 1.0:
        return "a DemandEvent announces load"
    for state in observation.state.variants:
        seen = signals.variant(state.name)
        readings = (seen.running, seen.waiting, seen.completions_per_second)
        if state.ready and any(reading.otherwise(0.0) > 0 for reading in readings):
            return "requests come"
    return ""


def _unseen(observation: Observation, situation: Situation) -> str:
    """Why somebody may ask without being seen, in a sentence; empty where nobody can."""
    trust, states = situation.trust, observation.state.variants
    if not observation.signals.wanted.ok:
        return "the wake-up signal cannot be read"
    if any(state.replicas for state in states) and not any(state.ready for state in states):
        return "no replica is ready yet"
    return trust.problem or trust.partial


def _watched(observation: Observation, known: ZeroMemory, asked: bool, unseen: bool) -> ZeroMemory:
    """The memory after this look. Idle is only what was looked at: a gap between looks may have held a request."""
    at, window = observation.at, observation.signals.window_seconds
    elapsed = at - known.looked_at if known.looked_at is not None else None
    missed = elapsed is None or elapsed > window
    blind = None if observation.signals.wanted.ok else at if known.blind_since is None else known.blind_since
    gap = 0.0 if known.asked_at is None else at - known.asked_at
    gaps = (*known.gaps, gap)[-MOST_GAPS:] if asked and not missed and gap > window else known.gaps
    known = replace(known, looked_at=at, blind_since=blind, gaps=gaps)
    if asked and elapsed is not None and not missed and elapsed > 0:
        served = sum(v.completions_per_second.otherwise(0.0) for v in observation.signals.variants)
        kept = 0.5 ** (elapsed / RATE_HALF_LIFE_SECONDS)
        requests = kept * known.requests + elapsed * served
        known = replace(known, requests=requests, busy_seconds=kept * known.busy_seconds + elapsed)
    return replace(known, asked_at=at) if asked or missed or unseen or known.asked_at is None else known


def _keep_seconds(look: _Look, declared: ToZero) -> float:
    """For how long the last replica is worth keeping when nobody asks."""
    spec, known = look.spec, look.memory
    variant, state = _first(spec, look.observation.state)
    start = startup_seconds(variant, state)
    rate = known.requests / known.busy_seconds if known.busy_seconds > 0 else 0.0
    waiting = 1.0 + rate * start  # the one that wakes it, and those that come until a replica is ready
    price = replica_price(variant, state)
    dollars = _worth_of_waiting(look)
    capacity = next((c for c in look.situation.capacities if c), None)
    if dollars is not None:
        wait = waiting * float(dollars / price) * SECONDS_PER_HOUR if price else 0.0
    else:
        wait = waiting * look.situation.price / capacity.requests_per_second if capacity else 0.0
    return keep_for(known.gaps, declared.idle_after_seconds, start, wait)


def _worth_of_waiting(look: _Look) -> Decimal | None:
    """Dollars of one request that finds no replica: the fallback's price, else the worth of an answer; None where a
    miss costs what it does everywhere.
    """
    declared = look.spec.fallback
    if declared is None:
        return look.spec.value_per_request
    everything = overflow.flows(declared, [1.0] * len(declared.routes))
    return overflow.mean_cost(declared, look.spec.prices, look.shape, everything) or Decimal(0)


def _at_zero(spec: WorkloadSpec, state: WorkloadState) -> bool:
    found = [state.variant(variant.name) for variant in spec.variants]
    return any(each.manageable for each in found) and not any(each.replicas for each in found)


def _contended(spec: WorkloadSpec, state: WorkloadState) -> tuple[str, str] | None:
    other = [variant.name for variant in spec.variants if not state.variant(variant.name).manageable]
    return ("NotHandled", f"Flyball cannot scale {conjoin(other)}; see Ready and Contended") if other else None


def _first(spec: WorkloadSpec, state: WorkloadState) -> tuple[Variant, VariantState]:
    """The variant to wake: the one that is there soonest, of those the cheapest."""
    found = [(variant, state.variant(variant.name)) for variant in spec.variants]
    handled = [pair for pair in found if pair[1].manageable] or found

    def order(pair: tuple[Variant, VariantState]) -> tuple[float, float, str]:
        price = replica_price(*pair)
        return startup_seconds(*pair), float("inf") if price is None else float(price), pair[0].name

    return min(handled, key=order)


def _one(spec: WorkloadSpec, state: WorkloadState) -> dict[str, int]:
    first = _first(spec, state)[0].name
    return {variant.name: max(variant.min_replicas, int(variant.name == first)) for variant in spec.variants}


def _leaving(spec: WorkloadSpec) -> str:
    return "" if spec.fallback is None else "nobody has asked for it, so no replica is kept"


def _served(spec: WorkloadSpec, state: WorkloadState) -> str:
    """What becomes of requests at zero."""
    if spec.fallback is not None:
        backends = conjoin(sorted({route.fallback for route in spec.fallback.routes}))
        return f"meanwhile {backends} serves what comes"
    start = format_duration(round(startup_seconds(*_first(spec, state))))
    return f"Flyball holds no request: who asks gets 503 from the gateway until a replica is ready, in about {start}"
