"""A profile signal by signal, as people and checks go through it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import (
    Counter,
    EngineProfile,
    GatewayProfile,
    Gauge,
    Histogram,
    Ratio,
    Unit,
)

LATENCIES = (Indicator.TIME_TO_FIRST_TOKEN, Indicator.INTER_TOKEN_LATENCY, Indicator.END_TO_END, Indicator.QUEUE_TIME)


@dataclass(frozen=True, slots=True)
class Source:
    """One way in which software exports a signal: the names that it may have, newest first, without `_bucket`.

    `shown` is what people look for, `series` what Prometheus has; `added` are counted with it where there are any.
    """

    shown: tuple[str, ...]
    series: tuple[str, ...]
    kind: str
    unit: Unit
    edges: tuple[float, ...] = ()
    estimated: bool = False
    added: tuple[str, ...] = ()


def engine_signals(profile: EngineProfile) -> Mapping[str, tuple[Source, ...]]:
    """Every signal of an engine with its sources, best first; none where it is missing."""
    lengths = (profile.prompt_tokens_per_request, profile.output_tokens_per_request)
    token_time = (profile.decode_seconds, *profile.seconds_per_output_token)
    return {
        "Running": tuple(_of(profile.running)),
        "Waiting": tuple(_of(profile.waiting)),
        "Completions": tuple(_of(profile.completions)),
        "PromptTokens": tuple(_of(profile.prompt_tokens)),
        "OutputTokens": tuple(_of(profile.output_tokens)),
        "KVCacheUsage": tuple(_of(profile.kv_cache_usage)),
        "PromptTokensPerRequest": tuple(_of(lengths[0])),
        "OutputTokensPerRequest": tuple(_of(lengths[1])),
        "SecondsPerOutputToken": tuple(source for each in token_time for source in _of(each)),
        "CachedPromptShare": tuple(source for ratio in profile.cached_prompt_share for source in _of(ratio)),
        **_latencies(profile.latencies),
    }


def gateway_signals(profile: GatewayProfile) -> Mapping[str, tuple[Source, ...]]:
    """Every signal of a gateway with its sources, best first; none where it is missing."""
    return {
        "Requests": tuple(_of(profile.requests)),
        "PromptTokens": tuple(_of(profile.prompt_tokens)),
        "OutputTokens": tuple(_of(profile.output_tokens)),
        **_latencies(profile.latencies),
    }


def series_of(signals: Mapping[str, tuple[Source, ...]]) -> tuple[str, ...]:
    """All names that the signals may have in Prometheus."""
    return tuple(sorted({name for sources in signals.values() for source in sources for name in source.series}))


def _latencies(latencies: Mapping[Indicator, tuple[Histogram, ...]]) -> dict[str, tuple[Source, ...]]:
    return {
        str(indicator): tuple(source for each in latencies.get(indicator, ()) for source in _of(each))
        for indicator in LATENCIES
    }


def _of(given: Gauge | Counter | Histogram | Ratio | None) -> Iterator[Source]:
    match given:
        case Gauge(selectors=selectors, unit=unit, estimated=estimated, plus=plus):
            names = tuple(dict.fromkeys(selector.name for selector in selectors))
            yield Source(names, names, "gauge", unit, (), estimated, tuple(selector.name for selector in plus))
        case Counter(selectors=selectors, unit=unit, estimated=estimated):
            names = tuple(dict.fromkeys(selector.name for selector in selectors))
            yield Source(names, names, "counter", unit, (), estimated)
        case Histogram(names=names, edges=edges, unit=unit, estimated=estimated):
            yield Source(names, tuple(f"{name}_count" for name in names), "histogram", unit, edges, estimated)
        case Ratio(part=part, whole=whole):
            names = tuple(selector.name for selector in (*part.selectors, *whole.selectors))
            yield Source(names, tuple(s.name for s in part.selectors), "ratio of counters", Unit.SHARE)
        case None:
            return
