"""The variant autoscaler's second analyzer: demand and capacity in tokens, placed by cost.

A replica's capacity is the lesser of a share of its KV cache and of the tokens that it held when its queue was long
(remembered by length of output), or an estimate from its batch limits until that was seen. Replicas that are pending
count as supply, so that nothing is asked for twice.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from flyball.lab.engine import EngineParameters
from flyball.lab.fleet.samples import Column
from flyball.lab.policies.model import View

_LENGTHS_SECONDS = 300.0
_REMEMBERED = 10


@dataclass(frozen=True, slots=True)
class TokenOptions:
    """Thresholds of one replica's KV usage and queue, and the shares of capacity to scale up to and down from."""

    kv_threshold: float = 0.80
    queue_threshold: float = 5.0
    up_threshold: float = 0.85
    down_boundary: float = 0.70


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean prompt and output tokens of a request."""

    prompt: float
    output: float


def derived_capacity(engine: EngineParameters, lengths: Lengths) -> float:
    """Tokens held when the batch is as full as its limits allow, at these lengths."""
    tokens = lengths.prompt + lengths.output
    batch = min(engine.max_batched_tokens * lengths.output / tokens, engine.max_batch)
    return batch * (lengths.prompt + lengths.output / 2)


def required_and_spare(options: TokenOptions, demand: float, ready: float, coming: float) -> tuple[float, float]:
    """Tokens of capacity that are lacking and that could go; `ready` and `coming` are the capacities there are."""
    required = max(0.0, demand / options.up_threshold - ready - coming)
    return required, max(0.0, ready - demand / options.down_boundary)


def place(
    required: float, spare: float, current: Sequence[int], capacities: Sequence[float], costs: Sequence[float]
) -> list[int]:
    """The cost-aware optimizer without a limit of GPUs: the cheapest per token takes all that is required; whole
    replicas of the dearest go first, and the cheapest keeps one where no other variant has any.
    """
    placed = list(current)
    if required > 0:
        best = min(range(len(placed)), key=lambda index: (costs[index] / capacities[index], index))
        placed[best] += math.ceil(required / capacities[best])
        return placed
    cheapest = min(range(len(placed)), key=lambda index: (costs[index], index))
    for index in sorted(range(len(placed)), key=lambda index: (-costs[index], -index)):
        others = sum(placed) - placed[index]
        least = 1 if index == cheapest and others == 0 else 0
        removed = min(math.floor(spare / capacities[index]), placed[index] - least)
        if removed > 0:
            placed[index] -= removed
            spare -= removed * capacities[index]
    return placed


class TokenAnalyzer:
    """Remembers what replicas held when they were full."""

    def __init__(self, options: TokenOptions, engines: Sequence[EngineParameters], costs: Sequence[float]) -> None:
        self._options = options
        self._engines = engines
        self._costs = costs
        self._full: dict[tuple[int, int], deque[float]] = {}
        self._known: dict[int, float] = {}

    def plan(self, view: View) -> list[int]:
        """Replicas by variant."""
        demand = ready = coming = 0.0
        capacities = []
        for variant, counts in enumerate(view.counts):
            lengths = self._lengths(view, variant)
            in_use = view.history.gauge(Column.KV_USAGE, variant) * self._engines[variant].kv_tokens
            queues = view.history.gauge(Column.WAITING, variant)
            demand += float((in_use + queues * lengths.prompt).sum())
            capacity = self._capacity(variant, lengths, in_use.tolist(), queues.tolist())
            capacities.append(capacity)
            ready += counts.ready * capacity
            coming += (counts.starting + counts.pending) * capacity
        required, spare = required_and_spare(self._options, demand, ready, coming)
        return place(required, spare, [counts.asked for counts in view.counts], capacities, self._costs)

    def _lengths(self, view: View, variant: int) -> Lengths:
        columns = (Column.FINISHED, Column.FINISHED_PROMPT_TOKENS, Column.FINISHED_OUTPUT_TOKENS)
        finished, prompt, output = view.history.increases(columns, _LENGTHS_SECONDS, variant)
        return Lengths(float(prompt / finished), float(output / finished)) if finished > 0 else Lengths(0.0, 0.0)

    def _capacity(self, variant: int, lengths: Lengths, in_use: list[float], queues: list[float]) -> float:
        """The median over the variant's replicas; the last known one without any."""
        full = self._full.setdefault((variant, _output_bucket(lengths.output)), deque(maxlen=_REMEMBERED))
        by_memory = self._options.kv_threshold * self._engines[variant].kv_tokens
        for tokens, queue in zip(in_use, queues, strict=True):
            if queue >= self._options.queue_threshold and tokens > 0:
                full.append(tokens)
        if full:
            by_compute = sum(full) / len(full)
        elif lengths.output > 0:
            by_compute = derived_capacity(self._engines[variant], lengths)
        else:
            by_compute = by_memory
        replicas = [
            min(by_memory, tokens if queue >= self._options.queue_threshold and tokens > 0 else by_compute)
            for tokens, queue in zip(in_use, queues, strict=True)
        ]
        if replicas:
            self._known[variant] = median(replicas)
        return self._known.get(variant, min(by_memory, by_compute))


def _output_bucket(tokens: float) -> int:
    return 0 if tokens < 100 else 1 if tokens < 500 else 2
