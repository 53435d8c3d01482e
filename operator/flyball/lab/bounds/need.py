"""How much work a request is, in replica-seconds: the least that any schedule on one variant can spend on it.

An iteration with D sequences decoding and C context tokens lasts at least base + a1 × D + a2 × C (engine.py). A prompt
token costs its prefill; a decoded token with context c costs s = a1 + a2 × c and its part of the base, base / B*, where
B* is the largest batch that it can share. Three limits bound a batch, and each gives a charge that the base of every
iteration covers:

- sequences: D ≤ max_batch, so base ≥ D × base / max_batch;
- KV cache: C ≤ KV tokens, so base ≥ Σ c × base / KV tokens (a batch at mean context holds KV tokens / mean context);
- pace: a request that is on time spends at most e seconds per decoded token, so its batches cannot all be large. For
  any weights y ≥ 0 of an iteration's sequences, duration ≥ (base + Σ s) × (1 + Σ y) − Σ y × duration, and by Cauchy's
  and the geometric-mean inequality base + Σ y × Σ s ≥ 2 √base × Σ √(y s): a token is charged s + y × base +
  2 √(y s base) − y × duration. Summed over a request's tokens, with the best y, that is at least s + base × s /
  (e − base) a token: base / B* with B* = (e − base) / s, the largest batch of its own kind that keeps the pace. A late
  request keeps none: nothing of the base is charged to it.

Only one of the three can be charged, or a mean of them; the one with the largest total is, for all requests alike.
The base of iterations that only prefill, preempted work and slow replicas only add to this.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetVariant
from flyball.lab.policies.model import Objective
from flyball.lab.score import END_TO_END, INTER_TOKEN_LATENCY, TIME_TO_FIRST_TOKEN
from flyball.lab.trace import Tokens, Trace

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Work:
    """Replica-seconds of each request of a trace on one variant; 0 for requests too large for its KV cache.

    `decode` is for a request that meets its objectives, `late_decode` (no more than it) for one that does not.
    """

    prefill: Values
    decode: Values
    late_decode: Values

    @property
    def total(self) -> Values:
        return self.prefill + self.decode


def request_work(trace: Trace, engine: EngineParameters, objectives: Sequence[Objective]) -> Work:
    """The least replica-seconds for each request, by kind of work."""
    fits = servable(trace, [engine])
    base = engine.base_ms / 1000
    prompt_tokens = prefill_tokens(trace).astype(np.float64)
    decoded = (trace.output_tokens - 1).astype(np.float64)
    # The k-th decoded token attends to the prompt and k tokens.
    contexts = decoded * trace.input_tokens + decoded * (decoded + 1) / 2
    own = (engine.per_sequence_ms * decoded + engine.per_context_token_ms * contexts) / 1000
    paced = _pace_charge(trace, engine, objectives)
    charges = (
        (base / min(engine.max_batch, engine.max_batched_tokens) * decoded,) * 2,
        (base / (engine.kv_blocks * engine.block_tokens) * contexts,) * 2,
        (paced, np.zeros(len(trace))),
    )
    late_share = min((1 - objective.target for objective in objectives), default=1.0)
    on_time, late = max(
        charges, key=lambda charge: float((charge[0] * (1 - late_share) + charge[1] * late_share) @ fits)
    )
    return Work(
        prefill=engine.per_prefill_token_ms / 1000 * prompt_tokens * fits,
        decode=(own + on_time) * fits,
        late_decode=(own + late) * fits,
    )


def servable(trace: Trace, engines: Iterable[EngineParameters]) -> Flags:
    """Which requests fit every variant's KV cache; the gateway rejects the others."""
    limit = min(engine.kv_blocks * engine.block_tokens for engine in engines)
    return trace.input_tokens + trace.output_tokens <= limit


def prefill_tokens(trace: Trace) -> Tokens:
    """Prompt tokens to compute: all but the cached ones, and at least one."""
    if trace.cached_tokens is None:
        return trace.input_tokens
    tokens: Tokens = np.maximum(trace.input_tokens - trace.cached_tokens, 1)
    return tokens


def threshold(objectives: Sequence[Objective], indicator: str) -> float:
    """The tightest threshold of that indicator in seconds; infinite where it has no objective."""
    return min((o.threshold_seconds for o in objectives if o.indicator == indicator), default=math.inf)


def initial_replicas(
    trace: Trace, variants: Sequence[FleetVariant], objectives: Sequence[Objective], warmup_seconds: float
) -> tuple[int, ...]:
    """With what every policy starts: the work that arrives during the warm-up (the whole trace, where there is none)
    per second, rounded up. The cheapest variant for it is filled to its bound first.
    """
    end = warmup_seconds if warmup_seconds > 0 else math.inf
    counted = trace.t_seconds < end
    seconds = min(end, trace.span_seconds)
    works = [float(request_work(trace, variant.engine, objectives).total @ counted) for variant in variants]
    prices = [float(variant.price_per_gpu_hour) * variant.gpus_per_replica for variant in variants]
    counts = [variant.min_replicas for variant in variants]
    left = 1.0 - sum(count * seconds / work for count, work in zip(counts, works, strict=True) if work > 0)
    for index in sorted(range(len(variants)), key=lambda index: (prices[index] * works[index], index)):
        if left <= 0 or seconds <= 0:
            break
        room = variants[index].max_replicas - counts[index]
        # Not one more for a rounding error.
        more = min(room, math.ceil(left * works[index] / seconds - 1e-9))
        counts[index] += more
        left -= more * seconds / works[index] if works[index] > 0 else left
    return tuple(counts)


def _pace_charge(trace: Trace, engine: EngineParameters, objectives: Sequence[Objective]) -> Values:
    """The base's part for requests that keep the pace of their objectives; 0 where no objective sets one."""
    base = engine.base_ms / 1000
    decoded = (trace.output_tokens - 1).astype(np.float64)
    first_token = threshold(objectives, TIME_TO_FIRST_TOKEN)
    per_token = threshold(objectives, INTER_TOKEN_LATENCY)
    tokens = prefill_tokens(trace)
    chunks = np.ceil(tokens / engine.max_batched_tokens)
    soonest = (engine.request_overhead_ms + engine.per_prefill_token_ms * tokens + engine.base_ms * chunks) / 1000
    allowed = threshold(objectives, END_TO_END) - soonest
    if math.isfinite(per_token):
        slack = 0.0 if math.isinf(first_token) else first_token - soonest
        allowed = np.minimum(allowed, decoded * per_token + slack)
    # √s grows less than in a line, so its mean over the tokens is at least that of the first and the last.
    first, last = (
        np.sqrt((engine.per_sequence_ms + engine.per_context_token_ms * (trace.input_tokens + tokens)) / 1000)
        for tokens in (1, decoded)
    )
    own = ((first + last) / 2) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        batch = np.where(decoded > 0, (allowed / decoded - base) / own, math.inf)
    # A request whose pace not even a batch of its own can keep is late in any case.
    return decoded * base / np.maximum(batch, 1.0)
