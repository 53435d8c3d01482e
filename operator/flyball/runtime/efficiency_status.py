"""How requests end, what they are made of and what caches save, as status and as metrics."""

from collections.abc import Iterator

from flyball.core.service.efficiency_report import Efficiency
from flyball.core.service.reliability import ReliabilityReport
from flyball.core.service.reuse import CacheReport, SavingState
from flyball.core.service.tokens import PromptTrend, TokenReport, TokensPerRequest
from flyball.core.units import format_duration, format_money, format_ratio
from flyball.runtime.advice import Sample
from flyball.runtime.news import Status


def render(found: Efficiency) -> Status:
    """The parts of the status; one of which nothing is known is left out."""
    parts: Status = {
        "reliability": _reliability(found.reliability) if found.reliability else None,
        "tokens": _tokens(found.tokens) if found.tokens else None,
        "caches": [_cache(cache) for cache in found.caches],
    }
    return _known(parts)


def states(found: Efficiency) -> dict[str, str]:
    """What is written at once when it changes: caches whose guard no longer holds, or holds again."""
    return {
        f"guard of cache {cache.name}": "broken" if cache.state is SavingState.GUARD_BROKEN else "not broken"
        for cache in found.caches
    }


def _reliability(report: ReliabilityReport) -> Status:
    return _known(
        {
            "window": format_duration(report.window_seconds) if report.window_seconds else None,
            "requests": None if report.requests is None else f"{report.requests:.0f}",
            "availability": None if report.availability is None else format_ratio(report.availability, 2),
            "events": [{"event": str(event), "share": format_ratio(share, 2)} for event, share in report.shares],
            "clientMistakes": None if report.client_mistakes is None else format_ratio(report.client_mistakes, 2),
            "retryAmplification": None if report.amplification is None else f"{report.amplification:.2f}",
            "problems": [text[:512] for text in report.problems],
        }
    )


def _tokens(report: TokenReport) -> Status:
    templates = [
        _known({"template": each.template, "requests": format_ratio(each.share, 0), "tokens": _means(each.mean)})
        for each in report.templates
    ]
    return _known(
        {"mean": _means(report.mean), "templates": templates, "problems": [text[:512] for text in report.problems]}
    )


def _means(mean: TokensPerRequest) -> Status:
    return {name: f"{tokens:.0f}" for name, tokens in _by_kind(mean)}


def _by_kind(mean: TokensPerRequest) -> Iterator[tuple[str, float]]:
    for name, tokens in (
        ("input", mean.input),
        ("output", mean.output),
        ("cached", mean.cached),
        ("retrievalContext", mean.retrieval_context),
    ):
        if tokens is not None:
            yield name, tokens


def prompt_status(found: PromptTrend) -> Status:
    """The trend of prompts."""
    trend = found.trend
    return {
        "state": found.state,
        "tokens": f"{found.tokens:.0f}",
        "perDay": format_ratio(trend.per_day),
        "low": format_ratio(trend.low),
        "high": format_ratio(trend.high),
        "days": trend.days,
    }


def _cache(report: CacheReport) -> Status:
    reckoned = None if report.per_point is None or report.declared else "Measured" if report.measured else "Guessed"
    return _known(
        {
            "name": report.name,
            "kind": str(report.kind),
            "state": str(report.state),
            "hitRate": None if report.hit_rate is None else format_ratio(report.hit_rate, 0),
            "perPoint": None if report.per_point is None else format_money(report.per_point, 4),
            "saving": None if report.saving is None else format_money(report.saving, 2),
            "reckonedFrom": reckoned,
            "reason": report.why[:512] or None,
        }
    )


def _known(fields: Status) -> Status:
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def samples(found: Efficiency) -> Iterator[Sample]:
    """Of /metrics, with the labels beside the workload's."""
    if found.reliability is not None:
        yield "flyball_requests_available_ratio", (), found.reliability.availability
        yield "flyball_client_mistakes_ratio", (), found.reliability.client_mistakes
        yield "flyball_retry_amplification", (), found.reliability.amplification
        for event, share in found.reliability.shares:
            yield "flyball_request_events_ratio", (str(event),), share
    if found.tokens is not None:
        yield from _token_samples("", found.tokens.mean)
        for each in found.tokens.templates:
            yield from _token_samples(each.template, each.mean)
    for cache in found.caches:
        yield "flyball_cache_hit_ratio", (cache.name,), cache.hit_rate
        for name, dollars in (("point_worth", cache.per_point), ("saving", cache.saving)):
            yield f"flyball_cache_{name}_per_hour_dollars", (cache.name,), None if dollars is None else float(dollars)


def _token_samples(template: str, mean: TokensPerRequest) -> Iterator[Sample]:
    for name, tokens in _by_kind(mean):
        yield "flyball_tokens_per_request", (template, name), tokens
