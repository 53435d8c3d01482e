"""Which mean time per output token still keeps a request's pace. Pure.

A request keeps its pace when it is finished by

    arrival + T + (output tokens - 1) × I

with T and I the thresholds of its first token and of the others: what the first token left of its time, the others may
use. Engines export the mean of each request instead, and a short answer's mean is spoiled by one wait for another's
prefill that nobody noticed: of code completions of 28 tokens on a lightly loaded fleet 17% miss the mean and 1% the
deadline.

Such a wait is about as long as the median first token takes, w: the time that w leaves of T pays for T / w - 1 of them,
in an answer that bears just one at the pace m of all tokens. So means are in time up to

    I + min((T / w - 1) × (I - m), (T - w) / (shortest - 1))

where `shortest` is the length that a tenth of the answers stay below if lengths have no memory. Where all tokens are
slow, m comes near I and nothing is added.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from flyball.core.observation import Reading, ok
from flyball.telemetry import queries
from flyball.telemetry.freshness import quotient

_TOKENS, _REQUESTS = f"{queries.OUTPUT_LENGTH}_sum", f"{queries.OUTPUT_LENGTH}_count"
_DECODED = (f"{queries.DECODE}_sum", _TOKENS, _REQUESTS)

# Of lengths without memory a tenth are below this share of the mean: -ln 0.9.
SHORTEST_SHARE = 0.105


@dataclass(frozen=True, slots=True)
class RecentAnswers:
    """The requests that finished lately: mean output tokens, and seconds per token over all of them after the first."""

    tokens: float
    pace: float


def latest_mean(threshold: float, promised: float, wait: float, answers: RecentAnswers, largest: float) -> float:
    """The mean time per output token, in seconds, up to which a request keeps its pace; at least the threshold, and
    no more than the largest edge that can be counted at. `promised` is T and `wait` is w, in seconds.
    """
    if not (wait > 0 and math.isfinite(wait)):
        return threshold
    left = max(0.0, promised - wait)
    interruptions = left / wait * max(0.0, threshold - answers.pace)
    added = min(interruptions, left / max(1.0, SHORTEST_SHARE * answers.tokens - 1.0))
    return max(threshold, min(threshold + added, largest))


def token_seconds(rate: Callable[[str], Reading]) -> Reading | None:
    """Seconds per output token of all requests after their first: their time in decode over those tokens, by the rates
    of either. None where a rate is missing.
    """
    decode, tokens, requests = (rate(part) for part in _DECODED)
    if not (decode.ok and tokens.ok and requests.ok):
        return None
    return quotient(decode, ok(max(0.0, tokens.value - requests.value)))


def recent_answers(rate: Callable[[str], Reading]) -> RecentAnswers | None:
    """The requests of the rate window; None where too little is known of them, or none has two tokens."""
    pace, tokens, requests = token_seconds(rate), rate(_TOKENS), rate(_REQUESTS)
    if pace is None or not pace.ok or requests.value <= 0:
        return None
    return RecentAnswers(tokens.value / requests.value, pace.value)
