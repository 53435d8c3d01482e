"""How much of a replica's time requests take, by their tokens: what GPUs that several share cost each of them.

By the capacity model (core/fleet/capacity.py) an iteration with B sequences in decode takes

    base + (B + 1) × (per_sequence + per_context_token × c) + per_prefill_token × (prompt tokens that it prefills)

A sequence takes a B-th of the base of each of its iterations, and all of what its own tokens add. So n requests of
together P prompt and O output tokens, of which a share u of the prompts is not cached, take

    O × (base / B + per_sequence + per_context_token × (P + O/2) / n)  +  u × P × per_prefill_token   seconds.
"""

import math

from flyball.core.fleet.capacity import CapacityFit, RequestShape
from flyball.core.values import dataclass

WHOLE_PROMPTS = RequestShape(1.0, 1.0, 1.0)
"""The shape where none is known: of its prompts nothing is cached."""


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds of a replica that tokens take: each output token, each token of context that one is made beside, and each
    prompt token.
    """

    per_output_token: float
    per_context_token: float
    per_prompt_token: float

    def seconds(self, requests: float, prompt_tokens: float, output_tokens: float) -> float:
        """What so many requests with so many tokens in all take."""
        context = (prompt_tokens + output_tokens / 2) / requests if requests > 0 else 0.0
        decode = output_tokens * (self.per_output_token + self.per_context_token * context)
        return decode + prompt_tokens * self.per_prompt_token


def work(fit: CapacityFit, shape: RequestShape | None, batch: float) -> Work:
    """The work of tokens on a replica that decodes so many sequences at a time."""
    base, per_sequence, per_context_token, per_prefill_token = fit.terms
    known = shape if shape is not None and shape.prompt_tokens > 0 else WHOLE_PROMPTS
    uncached = min(1.0, max(0.0, known.prefill_tokens / known.prompt_tokens))
    return Work(base / max(1.0, batch) + per_sequence, per_context_token, per_prefill_token * uncached)


def mean_batch(
    fit: CapacityFit, uncached: float, requests: float, prompt_tokens: float, output_tokens: float, busy_seconds: float
) -> float:
    """How many sequences a replica decoded at a time, from what it did in so many seconds in which it worked.

    It made x = B / (base + B × a) output tokens a second, where a is what each of them adds, so that
    B = x × base / (1 − x × a): at least one, at most as many as the engine runs.
    """
    most = float(max(1, fit.prior.max_sequences))
    if requests <= 0 or output_tokens <= 0 or busy_seconds <= 0:
        return 1.0
    base, per_sequence, per_context_token, per_prefill_token = fit.terms
    context = (prompt_tokens + output_tokens / 2) / requests
    adds = per_sequence + per_context_token * context + per_prefill_token * uncached * prompt_tokens / output_tokens
    rate = output_tokens / busy_seconds
    left = 1.0 - rate * adds
    found = rate * base / left if left > 0 else math.inf
    return min(most, max(1.0, found))
