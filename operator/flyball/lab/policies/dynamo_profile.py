"""What NVIDIA Dynamo's planner knows of an engine: here the engine's true parameters, a perfect profile.

Dynamo profiles an engine beforehand and refines the profile from forward-pass metrics; its means, not percentiles, are
compared with the objectives. In steady state at rate r one iteration takes T = base / (1 - r * work), with work a
request's own share of engine time: prompt tokens, and for each output token its sequence and its context (prompt and
half the output). r * output * T requests then decode at a time.
"""

import math
from dataclasses import dataclass

from flyball.lab.engine import EngineParameters


@dataclass(frozen=True, slots=True)
class Traffic:
    """Mean tokens of a request (`computed` prompt tokens: those not found in a prefix cache), requests/s."""

    prompt: float
    output: float
    computed: float
    rate: float


@dataclass(frozen=True, slots=True)
class Sla:
    """Time to first token and time per output token aimed at, seconds; infinite where there is no objective."""

    first_token: float
    token_time: float


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One engine now: sequences decoding, KV tokens held, prompt tokens queued."""

    decoding: float
    kv_tokens: float
    queued_tokens: float

    def scaled(self, factor: float) -> "WorkerLoad":
        return WorkerLoad(self.decoding * factor, self.kv_tokens * factor, self.queued_tokens * factor)


class Profile:
    """One engine's profile."""

    def __init__(self, engine: EngineParameters) -> None:
        self.engine = engine

    def best_rate(self, traffic: Traffic, sla: Sla) -> float:
        """The greatest rate (requests/s) whose steady state keeps both means and fits batch and KV cache.

        Where no rate does, one request at a time: the point of least latency, as the planner takes it with a warning.
        """
        low, high = 0.0, 1 / self._work_seconds(traffic)
        for _ in range(40):
            middle = (low + high) / 2
            if self._keeps(middle, traffic, sla):
                low = middle
            else:
                high = middle
        alone = self.engine.base_ms / 1000 * (traffic.output + 1) + self._work_seconds(traffic)
        return low if low > 1e-9 else 1 / alone

    def first_token(self, load: WorkerLoad, traffic: Traffic) -> float:
        """Seconds until the next request's first token on a worker: its prompt and the queued ones, in chunks."""
        engine = self.engine
        tokens = load.queued_tokens + traffic.computed
        chunks = max(1, math.ceil(tokens / engine.max_batched_tokens))
        return (chunks * self._decode_ms(load) + tokens * engine.per_prefill_token_ms) / 1000

    def token_time(self, load: WorkerLoad, prefill_per_second: float) -> float:
        """Seconds of one iteration on a worker that also prefills so many prompt tokens per second."""
        share = min(prefill_per_second * self.engine.per_prefill_token_ms / 1000, 0.95)
        return self._decode_ms(load) / 1000 / (1 - share)

    def _decode_ms(self, load: WorkerLoad) -> float:
        engine = self.engine
        return engine.base_ms + engine.per_sequence_ms * load.decoding + engine.per_context_token_ms * load.kv_tokens

    def _work_seconds(self, traffic: Traffic) -> float:
        engine = self.engine
        context = traffic.prompt + traffic.output / 2
        decode = traffic.output * (engine.per_sequence_ms + engine.per_context_token_ms * context)
        # A request computes something, however cheap the engine says it is.
        return max(decode + engine.per_prefill_token_ms * traffic.computed, 1e-6) / 1000

    def _keeps(self, rate: float, traffic: Traffic, sla: Sla) -> bool:
        engine = self.engine
        spare = 1 - rate * self._work_seconds(traffic)
        if spare <= 0:
            return False
        iteration = engine.base_ms / 1000 / spare
        decoding = rate * traffic.output * iteration
        held = decoding * (traffic.prompt + traffic.output / 2)
        if iteration > sla.token_time or decoding > engine.max_batch or held > engine.kv_tokens:
            return False
        # It waits for the iteration under way.
        own = self.first_token(WorkerLoad(decoding, held, 0.0), traffic)
        return engine.request_overhead_ms / 1000 + iteration / 2 + own <= sla.first_token
