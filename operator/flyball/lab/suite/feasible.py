"""What a request attains on a replica of its own: objectives that even this breaks cannot be met by any fleet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flyball.core.units import conjoin, format_duration, format_ratio
from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.model import FleetVariant
from flyball.lab.policies.model import Objective
from flyball.lab.score import INTER_TOKEN_LATENCY, TIME_TO_FIRST_TOKEN, Flags, attained, counts
from flyball.lab.trace import Seconds, Trace


@dataclass(frozen=True, slots=True)
class Lone:
    """Each request alone on an idle replica: an Answers of the score."""

    first_token_at: Seconds
    finished_at: Seconds
    rejected: Flags


def alone(trace: Trace, engine: EngineParameters) -> Lone:
    """Serve each request by itself: overhead, its chunks of prefill, then one iteration for each further token."""
    cached = trace.cached_tokens if trace.cached_tokens is not None else np.zeros(len(trace), dtype=np.int64)
    # At least one token must run through the model to yield the next.
    prefill = trace.input_tokens - np.minimum(cached, trace.input_tokens - 1)
    iterations = np.ceil(prefill / engine.max_batched_tokens)
    first = (engine.request_overhead_ms + iterations * engine.base_ms + prefill * engine.per_prefill_token_ms) / 1000
    decoded = trace.output_tokens - 1
    # Token k of the decoded ones attends to the prompt and k tokens.
    contexts = decoded * trace.input_tokens + decoded * (decoded + 1) / 2
    each = (engine.base_ms + engine.per_sequence_ms) / 1000
    rest = decoded * each + contexts * engine.per_context_token_ms / 1000
    too_large = trace.input_tokens + trace.output_tokens > engine.kv_blocks * engine.block_tokens
    return Lone(trace.t_seconds + first, trace.t_seconds + first + rest, too_large)


def infeasible(
    trace: Trace, variants: Sequence[FleetVariant], objectives: Sequence[Objective], start: float
) -> str | None:
    """A sentence that says which objective no fleet can meet and the best that can be had; None when all can."""
    best: dict[str, tuple[float, Lone]] = {}
    for variant in variants:
        lone = alone(trace, variant.engine)
        if not counts(trace, lone, start).any():
            continue
        for indicator, share in attained(trace, lone, objectives, start).items():
            if indicator not in best or share > best[indicator][0]:
                best[indicator] = (share, lone)
    if not best:
        largest = max(variant.engine.kv_blocks * variant.engine.block_tokens for variant in variants)
        return f"every request is larger than the KV cache of {largest} tokens: give a replica with a larger one"
    broken = [objective for objective in objectives if best[objective.indicator][0] < objective.target]
    if not broken:
        return None
    return conjoin([_sentence(trace, objective, *best[objective.indicator], start) for objective in broken])


def _sentence(trace: Trace, objective: Objective, share: float, lone: Lone, start: float) -> str:
    """What one objective could be at best."""
    text = (
        f"{objective.indicator} within {format_duration(objective.threshold_seconds)} for "
        f"{format_ratio(objective.target)} cannot be met: alone on an idle replica {format_ratio(share)} make it"
    )
    counted = counts(trace, lone, start)
    if objective.indicator == INTER_TOKEN_LATENCY:
        return f"{text} (give a longer threshold, a longer one for {TIME_TO_FIRST_TOKEN}, or a faster engine)"
    ends = lone.first_token_at if objective.indicator == TIME_TO_FIRST_TOKEN else lone.finished_at
    taken = np.sort((ends - trace.t_seconds)[counted])
    possible = float(taken[min(len(taken) - 1, math.ceil(objective.target * len(taken)) - 1)])
    return f"{text} (the shortest threshold that could hold is {format_duration(math.ceil(possible * 1000) / 1000)})"
