"""The engine's arithmetic fitted to measured rows, through the simulator.

Under a closed loop of c clients with prompts of p and outputs of n tokens, a request that decodes meets the other
c − 1: o = (c − 1) × s of them decode too, where s is the share of its time in which a request decodes, and as many
bring their prompts while it lasts. So each of its n − 1 iterations carries 1 + o sequences, (1 + o) (p + n/2) tokens of
context, and o p / (n − 1) tokens of prefill. The iteration's law (lab/engine.py) is linear in its four coefficients, so
that these follow by least squares of the relative error, none of them negative.

The share s is not measured; the simulator says it. It depends on the coefficients in turn, so weakly that two turns
settle both (a third moves neither by a hundredth), beginning with s = 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from flyball.lab.engine import EngineParameters
from flyball.lab.validation.closed_loop import out_of_step
from flyball.lab.validation.rows import EngineRow

COEFFICIENTS = 4
_TURNS = 2
_LEAST_BASE_MS = 0.01
"""An iteration must take time."""
_REQUEST_OVERHEAD_MS = 16.0
"""As the presets have it; it has no bearing on time per output token."""
_BATCHED_TOKENS = 8192
"""max_num_batched_tokens of vLLM's API server on H100 and larger, and TensorRT-LLM's max_num_tokens."""
_LARGEST_BATCH = 1 << 16
"""No limit: the rows do not tell theirs."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Of one iteration, in milliseconds: fixed, per decoding sequence, per context token, per prefill token."""

    base_ms: float
    per_sequence_ms: float
    per_context_token_ms: float
    per_prefill_token_ms: float

    def engine(self, kv_tokens: int) -> EngineParameters:
        """A replica with them, and this much KV cache."""
        return EngineParameters(
            base_ms=self.base_ms,
            per_sequence_ms=self.per_sequence_ms,
            per_context_token_ms=self.per_context_token_ms,
            per_prefill_token_ms=self.per_prefill_token_ms,
            request_overhead_ms=_REQUEST_OVERHEAD_MS,
            kv_tokens=kv_tokens,
            max_batch=_LARGEST_BATCH,
            max_batched_tokens=_BATCHED_TOKENS,
        )


def fit(rows: Sequence[EngineRow]) -> Coefficients:
    """From rows whose requests in flight fit the KV cache. Raises ValueError for fewer rows than coefficients."""
    if len(rows) < COEFFICIENTS:
        raise ValueError(f"{len(rows)} rows cannot tell {COEFFICIENTS} coefficients apart; give as many at least")
    shares = np.ones(len(rows))
    found = _least_squares(rows, shares)
    for _ in range(_TURNS - 1):
        engine = found.engine(max(ample_kv_tokens(row) for row in rows))
        means = [out_of_step(engine, row.load, draws=1) for row in rows]
        shares = np.array([one.decoding_share(row.load.output_tokens) for one, row in zip(means, rows, strict=True)])
        found = _least_squares(rows, shares)
    return found


def ample_kv_tokens(row: EngineRow) -> int:
    """A KV cache that holds all requests of the row's loop, block by block."""
    return 2 * row.load.tokens + 64 * row.load.concurrency


def _least_squares(rows: Sequence[EngineRow], shares: np.ndarray) -> Coefficients:
    prompts = np.array([row.load.prompt_tokens for row in rows], float)
    outputs = np.array([row.load.output_tokens for row in rows], float)
    others = np.array([row.load.concurrency - 1 for row in rows]) * shares
    measured = np.array([row.tpot_ms for row in rows])
    context = (1 + others) * (prompts + outputs / 2)
    terms = np.stack((np.ones(len(rows)), 1 + others, context, others * prompts / (outputs - 1)), axis=1)
    relative = terms / measured[:, None]
    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0] = 1.0  # lone clients tell nothing about prefill
    lowest = np.array([_LEAST_BASE_MS, 0.0, 0.0, 0.0])
    solved = lsq_linear(relative / scale, np.ones(len(rows)), bounds=(lowest * scale, np.inf), method="bvls")
    return Coefficients(*(float(value) for value in np.maximum(solved.x / scale, lowest)))
