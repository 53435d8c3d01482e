"""One replica of a continuous-batching inference engine, in virtual time.

The arithmetic that the model server (real time) and the simulator (event time) share. Pure: no clock, no randomness,
no I/O; every `now` is passed in, in seconds.

Iteration time: baseMs + perSequenceMs × sequences decoding + perContextTokenMs × sum of their context tokens +
perPrefillTokenMs × prefill tokens. requestOverheadMs (HTTP, tokenization) delays each request once, before it may be
scheduled; it overlaps the engine's iterations.

Scheduling follows vLLM V1: running sequences first, in order of arrival, each decode one token and prefill in chunks,
together at most max_batched_tokens; then the waiting queue, first come first served, as long as a whole prompt fits
the free KV blocks. When a running sequence needs a block and none is free, the latest-arrived one is preempted: it
loses its blocks, goes to the head of the queue, and later recomputes prompt and output so far. Nothing is admitted in
an iteration that preempted. Simplifications: cached prompt tokens need no prefill but occupy blocks of their own
(vLLM would share them), and a preempted sequence finds only its prompt's cached share again.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

OwnerT = TypeVar("OwnerT")

_POSITIVE_INTEGERS = ("kv_tokens", "max_batch", "max_batched_tokens", "block_tokens")
_DURATIONS_MS = ("base_ms", "per_sequence_ms", "per_context_token_ms", "per_prefill_token_ms", "request_overhead_ms")


class RequestTooLargeError(ValueError):
    """Prompt and output together exceed the KV cache: no schedule can ever run it."""


@dataclass(frozen=True, slots=True)
class EngineParameters:
    """Timing (milliseconds) and limits (tokens, sequences) of one replica. Raises ValueError for impossible ones."""

    base_ms: float
    per_sequence_ms: float
    per_context_token_ms: float
    per_prefill_token_ms: float
    request_overhead_ms: float
    kv_tokens: int
    max_batch: int
    max_batched_tokens: int
    block_tokens: int = 16

    def __post_init__(self) -> None:
        for name in _DURATIONS_MS:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value!r}; give milliseconds, 0 or more")
        if self.base_ms == 0:
            raise ValueError("base_ms is 0; an iteration must take time, give a positive number of milliseconds")
        for name in _POSITIVE_INTEGERS:
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} is {value!r}; give a whole number, 1 or more")
        if self.kv_tokens < self.block_tokens:
            raise ValueError(f"kv_tokens is {self.kv_tokens}, less than one block of {self.block_tokens} tokens")

    @property
    def kv_blocks(self) -> int:
        """Whole blocks of the KV cache."""
        return self.kv_tokens // self.block_tokens

    def memory_seconds(self, context_tokens: int) -> float:
        """The part of an iteration bound by memory traffic: weights read (base) and KV read."""
        return (self.base_ms + self.per_context_token_ms * context_tokens) / 1000

    def prefill_seconds(self, prefill_tokens: int) -> float:
        """The part of an iteration bound by arithmetic: prompt tokens."""
        return self.per_prefill_token_ms * prefill_tokens / 1000

    def iteration_seconds(self, decoding: int, context_tokens: int, prefill_tokens: int) -> float:
        """Seconds of one iteration: `decoding` sequences with `context_tokens` in all, and `prefill_tokens`."""
        per_sequence_seconds = self.per_sequence_ms * decoding / 1000
        return self.memory_seconds(context_tokens) + per_sequence_seconds + self.prefill_seconds(prefill_tokens)


@dataclass(frozen=True, slots=True)
class Request:
    """Tokens in, tokens out, and how many of the prompt's tokens a prefix cache already holds."""

    prompt_tokens: int
    output_tokens: int
    cached_tokens: int = 0

    def __post_init__(self) -> None:
        if self.prompt_tokens < 1 or self.output_tokens < 1:
            raise ValueError(f"a request needs at least one prompt and one output token, not {self}")
        if not 0 <= self.cached_tokens <= self.prompt_tokens:
            raise ValueError(f"cached_tokens must lie between 0 and prompt_tokens, not {self}")


@dataclass(slots=True, eq=False)
class Sequence(Generic[OwnerT]):
    """A request in the engine. Times are virtual seconds; NaN until they happen."""

    request: Request
    owner: OwnerT
    arrived_at: float
    ready_at: float
    """When it joined the waiting queue: arrival plus the request overhead."""
    scheduled_at: float = math.nan
    """When it was first scheduled; a preemption does not reset it."""
    first_token_at: float = math.nan
    last_token_at: float = math.nan
    generated: int = 0
    preemptions: int = 0
    held: int = 0
    """Tokens whose keys and values are computed."""
    blocks: int = 0
    capacity: int = 0
    """Tokens that its blocks can hold."""
    decoding: bool = False
    """Prefill is done since the last admission."""
    done: bool = False
    """Finished or aborted."""


@dataclass(frozen=True, slots=True)
class Iteration(Generic[OwnerT]):
    """One forward pass, as scheduled."""

    started_at: float
    duration_seconds: float
    decoding: list[Sequence[OwnerT]]
    prefilling: list[tuple[Sequence[OwnerT], int]]
    """With the tokens of the chunk."""
    preempted: list[Sequence[OwnerT]]
    context_tokens: int
    prefill_tokens: int

    @property
    def ends_at(self) -> float:
        return self.started_at + self.duration_seconds


@dataclass(frozen=True, slots=True)
class Completion(Generic[OwnerT]):
    """What an iteration brought: a token to each of `tokens`, the first to those in `first`, the last to `finished`."""

    iteration: Iteration[OwnerT]
    completed_at: float
    tokens: list[Sequence[OwnerT]]
    first: list[Sequence[OwnerT]]
    finished: list[Sequence[OwnerT]]
    gaps: list[tuple[float, int]]
    """Inter-token gaps, seconds, with how many sequences saw each."""


@dataclass(slots=True)
class EngineCounters:
    """Totals since the engine began: seconds of virtual time, tokens, requests."""

    iterations: int = 0
    busy_seconds: float = 0.0
    prompt_tokens: int = 0
    """Prompts that reached their first token, cached tokens included."""
    prefilled_tokens: int = 0
    """Prompt tokens computed, recomputation after preemption included."""
    generated_tokens: int = 0
    preemptions: int = 0
    prefix_query_tokens: int = 0
    prefix_hit_tokens: int = 0
    finished: int = 0
    aborted: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Engine(Generic[OwnerT]):
    """The scheduler. Call `next_iteration(now)` and `complete(iteration, now)` in turn; the others at any time."""

    parameters: EngineParameters
    slowdown: float = 1.0
    """Stretches the iterations scheduled from now on: 2 is half speed."""
    counters: EngineCounters = field(default_factory=EngineCounters)
    in_flight: Iteration[OwnerT] | None = None
    _arriving: deque[Sequence[OwnerT]] = field(default_factory=deque)
    _waiting: deque[Sequence[OwnerT]] = field(default_factory=deque)
    _running: list[Sequence[OwnerT]] = field(default_factory=list)
    _free_blocks: int = 0
    _now: float = -math.inf

    def __post_init__(self) -> None:
        self._free_blocks = self.parameters.kv_blocks

    @property
    def running(self) -> int:
        """Sequences that hold KV blocks."""
        return len(self._running)

    @property
    def outstanding(self) -> int:
        """Everything accepted and not finished."""
        return len(self._arriving) + len(self._waiting) + len(self._running)

    @property
    def used_blocks(self) -> int:
        return self.parameters.kv_blocks - self._free_blocks

    @property
    def kv_usage(self) -> float:
        """Share of the KV blocks in use, 0 to 1."""
        return self.used_blocks / self.parameters.kv_blocks

    @property
    def next_ready_at(self) -> float | None:
        """When the next submitted request becomes schedulable; None when there is none."""
        return self._arriving[0].ready_at if self._arriving else None

    def waiting(self, now: float) -> int:
        """Sequences that are ready at `now` and not scheduled, preempted ones included."""
        return len(self._waiting) + sum(sequence.ready_at <= now for sequence in self._arriving)

    def submit(self, request: Request, now: float, owner: OwnerT) -> Sequence[OwnerT]:
        """Accept a request that arrives at `now`. Raises RequestTooLargeError, and ValueError when out of order."""
        limit = self.parameters.kv_blocks * self.parameters.block_tokens
        if request.prompt_tokens + request.output_tokens > limit:
            self.counters.rejected += 1
            tokens = f"{request.prompt_tokens} prompt and {request.output_tokens} output tokens"
            raise RequestTooLargeError(f"{tokens} exceed the KV cache of {limit} tokens")
        if self._arriving and now < self._arriving[-1].arrived_at:
            raise ValueError(
                f"a request at {now} comes before one already submitted, at {self._arriving[-1].arrived_at}"
            )
        sequence = Sequence(request, owner, now, now + self.parameters.request_overhead_ms / 1000)
        self._arriving.append(sequence)
        return sequence

    def abort(self, sequence: Sequence[OwnerT]) -> None:
        """Forget a sequence that is not done, and free its blocks; the iteration in flight brings it no token."""
        if sequence.done:
            return
        sequence.done = True
        self.counters.aborted += 1
        for queue in (self._arriving, self._waiting, self._running):
            if sequence in queue:
                queue.remove(sequence)
        self._release(sequence)

    def next_iteration(self, now: float) -> Iteration[OwnerT] | None:
        """Schedule one iteration from `now`; None when nothing is ready (see `next_ready_at`)."""
        if self.in_flight is not None:
            raise RuntimeError("an iteration is in flight; complete it first")
        self._advance(now)
        while self._arriving and self._arriving[0].ready_at <= now:
            self._waiting.append(self._arriving.popleft())
        decoding: list[Sequence[OwnerT]] = []
        prefilling: list[tuple[Sequence[OwnerT], int]] = []
        preempted: list[Sequence[OwnerT]] = []
        budget = self._schedule_running(decoding, prefilling, preempted)
        if not preempted:
            self._admit(now, budget, prefilling)
        if not decoding and not prefilling:
            return None
        # The token being computed attends to itself as well.
        context_tokens = sum([sequence.held for sequence in decoding]) + len(decoding)
        prefill_tokens = sum([chunk for _, chunk in prefilling])
        seconds = self.parameters.iteration_seconds(len(decoding), context_tokens, prefill_tokens) * self.slowdown
        self.in_flight = Iteration(now, seconds, decoding, prefilling, preempted, context_tokens, prefill_tokens)
        return self.in_flight

    def complete(self, iteration: Iteration[OwnerT], now: float) -> Completion[OwnerT]:
        """End the iteration in flight at `now`, usually its `ends_at`: hand out tokens, free finished sequences."""
        if iteration is not self.in_flight:
            raise RuntimeError("this iteration is not in flight")
        self._advance(now)
        self.in_flight = None
        tokens = [sequence for sequence in iteration.decoding if not sequence.done]
        for sequence in tokens:
            sequence.held += 1
        first: list[Sequence[OwnerT]] = []
        for sequence, chunk in iteration.prefilling:
            if sequence.done:
                continue
            sequence.held += chunk
            if sequence.held == sequence.request.prompt_tokens + sequence.generated:
                sequence.decoding = True
                tokens.append(sequence)
                if not sequence.generated:
                    first.append(sequence)
        gaps, finished = self._hand_out(tokens, now)
        for sequence in first:
            sequence.first_token_at = now
            self.counters.prompt_tokens += sequence.request.prompt_tokens
        self._account(iteration, now, len(tokens), len(finished))
        return Completion(iteration, now, tokens, first, finished, gaps)

    def _advance(self, now: float) -> None:
        if now < self._now:
            raise ValueError(f"time ran backwards: {now} after {self._now}")
        self._now = now

    def _schedule_running(
        self,
        decoding: list[Sequence[OwnerT]],
        prefilling: list[tuple[Sequence[OwnerT], int]],
        preempted: list[Sequence[OwnerT]],
    ) -> int:
        """Give running sequences their tokens of this iteration, filling the three lists. Returns the budget left."""
        budget = self.parameters.max_batched_tokens
        running = self._running
        index = 0
        while index < len(running) and budget:
            sequence = running[index]
            if sequence.decoding:
                if sequence.held == sequence.capacity and not self._reserve(sequence, 1, preempted):
                    break
                decoding.append(sequence)
                budget -= 1
            else:
                chunk = min(sequence.request.prompt_tokens + sequence.generated - sequence.held, budget)
                if not self._reserve(sequence, chunk, preempted):
                    break
                prefilling.append((sequence, chunk))
                budget -= chunk
            index += 1
        return budget

    def _admit(self, now: float, budget: int, prefilling: list[tuple[Sequence[OwnerT], int]]) -> None:
        """Move sequences from the head of the queue into the batch while tokens, places and blocks last."""
        while self._waiting and budget and len(self._running) < self.parameters.max_batch:
            sequence = self._waiting[0]
            target = sequence.request.prompt_tokens + sequence.generated
            if self._blocks_for(target) > self._free_blocks:
                return
            self._running.append(self._waiting.popleft())
            # At least one token must run through the model to yield the next.
            sequence.held = min(sequence.request.cached_tokens, target - 1)
            chunk = min(target - sequence.held, budget)
            self._take(sequence, chunk)
            prefilling.append((sequence, chunk))
            budget -= chunk
            if math.isnan(sequence.scheduled_at):
                sequence.scheduled_at = now
                self.counters.prefix_query_tokens += sequence.request.prompt_tokens
                self.counters.prefix_hit_tokens += sequence.held

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.parameters.block_tokens)

    def _reserve(self, sequence: Sequence[OwnerT], tokens: int, preempted: list[Sequence[OwnerT]]) -> bool:
        """Blocks for `tokens` more, preempting the latest arrivals as needed. False when that was `sequence` itself."""
        while self._blocks_for(sequence.held + tokens) - sequence.blocks > self._free_blocks:
            victim = self._running.pop()
            self._release(victim)
            victim.decoding = False
            victim.held = 0
            victim.preemptions += 1
            self.counters.preemptions += 1
            self._waiting.appendleft(victim)
            preempted.append(victim)
            if victim is sequence:
                return False
        self._take(sequence, tokens)
        return True

    def _take(self, sequence: Sequence[OwnerT], tokens: int) -> None:
        needed = self._blocks_for(sequence.held + tokens)
        self._free_blocks -= needed - sequence.blocks
        sequence.blocks = needed
        sequence.capacity = needed * self.parameters.block_tokens

    def _release(self, sequence: Sequence[OwnerT]) -> None:
        self._free_blocks += sequence.blocks
        sequence.blocks = sequence.capacity = 0

    def _hand_out(
        self, tokens: list[Sequence[OwnerT]], now: float
    ) -> tuple[list[tuple[float, int]], list[Sequence[OwnerT]]]:
        """One token for each; returns the inter-token gaps and the sequences that are finished, their blocks freed."""
        finished: list[Sequence[OwnerT]] = []
        sequences_by_last_token: dict[float, int] = {}
        for sequence in tokens:
            if sequence.generated:
                last = sequence.last_token_at
                sequences_by_last_token[last] = sequences_by_last_token.get(last, 0) + 1
            sequence.generated += 1
            sequence.last_token_at = now
            if sequence.generated == sequence.request.output_tokens:
                sequence.done = True
                self._release(sequence)
                finished.append(sequence)
        if finished:
            self._running = [sequence for sequence in self._running if not sequence.done]
        return [(now - last, count) for last, count in sequences_by_last_token.items()], finished

    def _account(self, iteration: Iteration[OwnerT], now: float, tokens: int, finished: int) -> None:
        counters = self.counters
        counters.iterations += 1
        counters.busy_seconds += now - iteration.started_at
        counters.prefilled_tokens += iteration.prefill_tokens
        counters.generated_tokens += tokens
        counters.finished += finished
