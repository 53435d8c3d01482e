"""How requests end, what they are made of and what caches save, as `flyball explain` tells a status."""

from collections.abc import Mapping
from typing import Any

from flyball.core.money.currency import labelled

_KINDS = (("input", "in"), ("cached", "of them cached"), ("retrievalContext", "of them retrieved"), ("output", "out"))


def efficiency_lines(status: Mapping[str, Any], currency: str) -> list[str]:
    """A line for each thing that the status knows."""
    lines = _reliability(status["reliability"]) if status.get("reliability") else []
    lines += _tokens(status.get("tokens") or {})
    if trend := status.get("promptTrend"):
        text = "prompts: {state}, {perDay} a day ({low} to {high}, {days} days), {tokens} tokens now"
        lines.append(text.format(**trend))
    lines += [_cache(cache, currency) for cache in status.get("caches", ())]
    return lines


def _reliability(found: Mapping[str, Any]) -> list[str]:
    parts = [f"{found['availability']} available"] if "availability" in found else []
    parts += [f"{each['event']} {each['share']}" for each in found.get("events", ()) if each["share"] != "0.00%"]
    if "clientMistakes" in found:
        parts.append(f"clients' mistakes {found['clientMistakes']} of all, not counted")
    if "retryAmplification" in found:
        parts.append(f"retries make {found['retryAmplification']} requests of one")
    about = f"{found['requests']} requests in {found['window']}: " if "requests" in found else ""
    return [f"requests: {about}{', '.join(parts)}"] if parts else []


def _tokens(found: Mapping[str, Any]) -> list[str]:
    means = [("tokens", found.get("mean"))]
    means += [
        (f"  {each['template']}, {each['requests']} of requests", each.get("tokens"))
        for each in found.get("templates", ())
    ]
    return [f"{name}: {', '.join(_each(mean))} per request" for name, mean in means if mean]


def _each(mean: Mapping[str, str]) -> list[str]:
    return [f"{mean[kind]} {word}" for kind, word in _KINDS if kind in mean]


def _cache(found: Mapping[str, Any], currency: str) -> str:
    parts = [f"hit rate {found['hitRate']}"] if "hitRate" in found else []
    if "perPoint" in found:
        guess = ", by a guessed capacity" if found.get("reckonedFrom") == "Guessed" else ""
        parts.append(f"a point is worth {labelled(found['perPoint'], currency)}/h{guess}")
    parts.append(
        f"saves {labelled(found['saving'], currency)}/h" if "saving" in found else f"no saving: {found['state']}"
    )
    if "reason" in found:
        parts.append(found["reason"])
    return f"cache {found['name']} ({found['kind']}): {', '.join(parts)}"
