"""From the queries of users' own counts to the core's view of them."""

from flyball.api.v1alpha1.own_counts import CacheGuard, CacheSpec
from flyball.api.v1alpha1.telemetry import Telemetry
from flyball.core.service.own_counts import Cache, Guard, OwnCounts
from flyball.core.units import parse_duration_seconds, parse_money, parse_ratio


def own_counts_of(telemetry: Telemetry) -> OwnCounts:
    """The queries of a valid spec."""
    return OwnCounts(
        events=tuple((event.event, event.query) for event in telemetry.request_events),
        tokens=tuple((tokens.count, tokens.query) for tokens in telemetry.tokens),
        caches=tuple(map(_cache, telemetry.caches)),
    )


def _cache(cache: CacheSpec) -> Cache:
    return Cache(
        name=cache.name,
        kind=cache.kind,
        hits=cache.hits,
        lookups=cache.lookups,
        dollars_per_hit=None if cache.saves_per_hit is None else parse_money(cache.saves_per_hit),
        tokens_per_hit=None if cache.tokens_per_hit is None else float(cache.tokens_per_hit),
        guard=None if cache.guard is None else _guard(cache.guard),
    )


def _guard(guard: CacheGuard) -> Guard:
    return Guard(
        query=guard.query,
        at_least=None if guard.at_least is None else parse_ratio(guard.at_least),
        at_most_seconds=None if guard.at_most is None else parse_duration_seconds(guard.at_most),
    )
