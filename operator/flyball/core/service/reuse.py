"""Caches before and in a workload: how often they hit, what a hit saves, and whether it may be called a saving.

What is saved is time of replicas that need not be there. A full one takes S seconds for a request of a given shape:
1 / (requests/s that it carries within the objectives), by its fitted engine model (core/capacity). With p dollars
per second of a replica (dollars per GPU-second times its GPUs) and λ requests per second,

    a response cache         a hit saves a request:           p · S
    a prefix cache           h of the prompt tokens hit:      p · (S(0) - S(h)) per request
    a prompt fragment cache  a hit saves t prompt tokens:     p · (S(t more tokens to fill) - S)
    any with savesPerHit     a hit saves that many dollars
    embedding, retrieval     a hit saves the PriceBook's component per request (Embedding, VectorDatabase)

so that one point (1%) of hit rate is worth λ · 3600 · 0.01 · p · S dollars per hour for a response cache, and
λ · 3600 · p · (S(h) - S(h + 0.01)) for a prefix cache. Fleets are never that full, so this is the least that it is
worth; and it is saved only once replicas go.

A stale answer saves nothing. A hit counts as a saving only while the cache's guard holds: the user's own check, or the
age of what is served. A prefix cache is found by the hash of its tokens: it cannot be stale, and needs no guard.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum

from flyball.core.fleet.capacity import RequestShape
from flyball.core.service.own_counts import Cache, CacheKind, CacheReading
from flyball.core.units import format_duration
from flyball.core.values import dataclass, replace

POINT = 0.01
SECONDS_PER_HOUR = 3600


COMPONENTS: dict[CacheKind, str] = {CacheKind.EMBEDDING: "Embedding", CacheKind.RETRIEVAL: "VectorDatabase"}
"""Which component of the PriceBook, priced per request, a hit saves."""


class SavingState(StrEnum):
    """Whether what a cache's hits save is called a saving."""

    COUNTED = "Counted"
    UNGUARDED = "Unguarded"
    GUARD_BROKEN = "GuardBroken"
    GUARD_UNKNOWN = "GuardUnknown"
    UNPRICED = "Unpriced"
    UNMEASURED = "Unmeasured"


@dataclass(frozen=True, slots=True)
class Worth:
    """What reckoning needs: requests/s, their shape, dollars per second of a replica, and its requests/s by shape.

    None where it is not known. `measured` says that the engine model was checked against this workload. `components`
    are dollars per request by the PriceBook's kind.
    """

    requests_per_second: float | None
    shape: RequestShape | None
    replica_dollars_per_second: Decimal | None
    carries: Callable[[RequestShape], float] | None
    measured: bool
    components: dict[str, Decimal]

    def dollars_per_request(self, shape: RequestShape) -> Decimal | None:
        """p · S for a request of that shape."""
        if self.carries is None or self.replica_dollars_per_second is None:
            return None
        carried = self.carries(shape)
        return self.replica_dollars_per_second / Decimal(repr(carried)) if carried > 0 else None


@dataclass(frozen=True, slots=True)
class CacheReport:
    """One cache: its hit rate, dollars per hour that one point of it is worth, and that its hits save now.

    `saving` is None unless the state is Counted. `why` says in a sentence what keeps it from being counted. Dollars are
    `declared`, or follow from the engine model; that was `measured` as in Worth.
    """

    name: str
    kind: CacheKind
    state: SavingState
    hit_rate: float | None
    per_point: Decimal | None
    saving: Decimal | None
    why: str = ""
    measured: bool = False
    declared: bool = False


def report(caches: Sequence[Cache], readings: Sequence[CacheReading], worth: Worth) -> tuple[CacheReport, ...]:
    """The engine's own prefix cache where it is known, then the user's, in their order."""
    own = tuple(_declared(cache, _reading(cache.name, readings), worth) for cache in caches)
    built_in = _engine_prefix(worth)
    return ((built_in,) if built_in is not None else ()) + own


ENGINE_PREFIX = "engine-prefix"
"""The name under which the engine's own prefix cache is told."""


def _engine_prefix(worth: Worth) -> CacheReport | None:
    shape = worth.shape
    if shape is None or shape.prompt_tokens <= 0 or shape.prefill_tokens >= shape.prompt_tokens:
        return None
    hit_rate = 1.0 - shape.prefill_tokens / shape.prompt_tokens
    return _told(ENGINE_PREFIX, CacheKind.PREFIX, hit_rate, _of_prefix(hit_rate, worth), None, worth.measured)


def _reading(name: str, readings: Sequence[CacheReading]) -> CacheReading:
    return next((reading for reading in readings if reading.name == name), CacheReading(name, 0.0))


def _declared(cache: Cache, reading: CacheReading, worth: Worth) -> CacheReport:
    if reading.hits is None or reading.lookups is None:
        missing = "hits" if reading.hits is None else "lookups"
        why = reading.problem or f"its query of {missing} has no answer"
        return CacheReport(cache.name, cache.kind, SavingState.UNMEASURED, None, None, None, why)
    if reading.lookups <= 0 or reading.window_seconds <= 0:
        why = "nothing was looked up"
        return CacheReport(cache.name, cache.kind, SavingState.UNMEASURED, None, None, None, why)
    hit_rate = min(1.0, reading.hits / reading.lookups)
    dollars = _dollars(cache, hit_rate, reading.lookups / reading.window_seconds, worth)
    return _told(cache.name, cache.kind, hit_rate, dollars, _unguarded(cache, reading), worth.measured)


def _told(
    name: str,
    kind: CacheKind,
    hit_rate: float,
    dollars: "_Dollars | None",
    unguarded: tuple[SavingState, str] | None,
    measured: bool,
) -> CacheReport:
    """The report; `unguarded` says why hits are no savings."""
    state, why = unguarded or (SavingState.COUNTED, "")
    if state is SavingState.COUNTED and dollars is None:
        state, why = SavingState.UNPRICED, _UNPRICED[kind]
    if dollars is None:
        return CacheReport(name, kind, state, hit_rate, None, None, why)
    saving = dollars.saving if state is SavingState.COUNTED else None
    return CacheReport(name, kind, state, hit_rate, dollars.per_point, saving, why, measured, dollars.declared)


_BY_ENGINE = "what a hit saves needs the price of the targets' GPUs and a measured load"
_UNPRICED = {
    CacheKind.PREFIX: _BY_ENGINE,
    CacheKind.RESPONSE: _BY_ENGINE,
    CacheKind.PROMPT_FRAGMENT: f"{_BY_ENGINE}, and tokensPerHit",
    CacheKind.EMBEDDING: "what a hit saves is not known: set savesPerHit, or price an Embedding per request",
    CacheKind.RETRIEVAL: "what a hit saves is not known: set savesPerHit, or price a VectorDatabase per request",
}


def _unguarded(cache: Cache, reading: CacheReading) -> tuple[SavingState, str] | None:
    guard = cache.guard
    if guard is None:
        exact = cache.kind is CacheKind.PREFIX
        return None if exact else (SavingState.UNGUARDED, "no guard says that what it serves is fresh")
    if reading.guard is None:
        return SavingState.GUARD_UNKNOWN, reading.problem or "the guard's query has no answer"
    if guard.holds(reading.guard):
        return None
    if guard.at_least is not None:
        why = f"{reading.guard:.1%} of what it serves is fresh, less than {guard.at_least:.1%}"
    else:
        age, limit = format_duration(round(reading.guard)), format_duration(guard.at_most_seconds or 0.0)
        why = f"what it serves is {age} old, more than {limit}"
    return SavingState.GUARD_BROKEN, why


@dataclass(frozen=True, slots=True)
class _Dollars:
    """Dollars per hour of one point of hit rate, and of all hits; `declared` where no engine model is in it."""

    per_point: Decimal
    saving: Decimal
    declared: bool = False


def _dollars(cache: Cache, hit_rate: float, lookups_per_second: float, worth: Worth) -> _Dollars | None:
    per_hit, declared = cache.dollars_per_hit, True
    if per_hit is None and cache.kind in COMPONENTS:
        per_hit = worth.components.get(COMPONENTS[cache.kind])
    if per_hit is None and cache.kind is CacheKind.PREFIX:
        return _of_prefix(hit_rate, worth)
    if per_hit is None:
        per_hit, declared = _by_engine(cache, worth), False
    if per_hit is None:
        return None
    lookups = Decimal(repr(lookups_per_second)) * SECONDS_PER_HOUR
    return _Dollars(lookups * Decimal(repr(POINT)) * per_hit, lookups * Decimal(repr(hit_rate)) * per_hit, declared)


def _by_engine(cache: Cache, worth: Worth) -> Decimal | None:
    """Dollars of replicas' time that a hit saves."""
    if worth.shape is None:
        return None
    lone = worth.dollars_per_request(worth.shape)
    if cache.kind is CacheKind.RESPONSE:
        return lone
    if cache.kind is not CacheKind.PROMPT_FRAGMENT or cache.tokens_per_hit is None or lone is None:
        return None
    longer = replace(worth.shape, prefill_tokens=worth.shape.prefill_tokens + cache.tokens_per_hit)
    filled = worth.dollars_per_request(longer)
    return None if filled is None else filled - lone


def _of_prefix(hit_rate: float, worth: Worth) -> _Dollars | None:
    """By the engine model at other hit rates than this."""
    if worth.shape is None or worth.requests_per_second is None:
        return None
    shape = worth.shape

    def costs(rate: float) -> Decimal | None:
        """Dollars of a request where this cache hits that share of the prompt's tokens, and others as now."""
        missed = shape.prefill_tokens + (hit_rate - rate) * shape.prompt_tokens
        return worth.dollars_per_request(replace(shape, prefill_tokens=max(0.0, missed)))

    now, without, better = costs(hit_rate), costs(0.0), costs(min(1.0, hit_rate + POINT))
    if now is None or without is None or better is None:
        return None
    requests = Decimal(repr(worth.requests_per_second)) * SECONDS_PER_HOUR
    return _Dollars(requests * (now - better), requests * (without - now))
