"""One replica's scheduler in event time: the semantics of lab/engine.py, in compiled code.

While everything that runs decodes and nothing can be admitted, iteration i takes pace + i × growth seconds, for each
sequence's context grows by a token: k iterations take k × pace + growth × k (k + 1) / 2 seconds. Such a stretch is one
event, up to the first completion or until the free KV blocks are spent; a request that becomes ready, and could be
admitted, cuts it at the first iteration's end from then on. All other iterations are events of their own.

The functions take the state first, and change it in place; `r` is a slot and `i` a request.
"""

import math

import numpy as np

from flyball.lab.fleet.compiled import compiled
from flyball.lab.fleet.samples import END_TO_END, FIRST_TOKEN, QUEUE_TIME, TOKEN_TIME, Column, HistogramColumns
from flyball.lab.fleet.state import Scalar, State, Status

_ARRIVING, _WAITING, _RUNNING, _FINISHED = (
    int(status) for status in (Status.ARRIVING, Status.WAITING, Status.RUNNING, Status.FINISHED)
)
_EMPTIED = int(Scalar.EMPTIED)

# Compiled code takes plain numbers and arrays for constants.
_COLUMN_FINISHED = int(Column.FINISHED)
_BUSY = int(Column.BUSY_SECONDS)
_PROMPT = int(Column.PROMPT_TOKENS)
_CACHED = int(Column.CACHED_TOKENS)
_GENERATED = int(Column.GENERATED_TOKENS)
_PREEMPTIONS = int(Column.PREEMPTIONS)
_FINISHED_PROMPT = int(Column.FINISHED_PROMPT_TOKENS)
_FINISHED_OUTPUT = int(Column.FINISHED_OUTPUT_TOKENS)

_HISTOGRAMS: tuple[HistogramColumns, ...] = (FIRST_TOKEN, TOKEN_TIME, END_TO_END, QUEUE_TIME)
_EDGES = np.array([edge for histogram in _HISTOGRAMS for edge in (*histogram.edges, math.inf)])
"""The upper edges of all buckets, in the order of the sample's columns."""
_FIRST_BUCKET = FIRST_TOKEN.start
_SUMS = np.array([int(histogram.sum) for histogram in _HISTOGRAMS])
_STARTS = np.array([histogram.start for histogram in _HISTOGRAMS])
_FIRST_TOKEN, _TOKEN_TIME, _END_TO_END, _QUEUE_TIME = range(4)


@compiled
def push_back(s: State, queue: int, i: int) -> None:
    """Append request `i` to a queue."""
    tail = s.ends[queue, 1]
    s.requests[i].previous = tail
    s.requests[i].next = -1
    s.ends[queue, 1] = i
    if tail < 0:
        s.ends[queue, 0] = i
    else:
        s.requests[tail].next = i


@compiled
def push_front(s: State, queue: int, i: int) -> None:
    """Put request `i` at the head of a queue."""
    head = s.ends[queue, 0]
    s.requests[i].next = head
    s.requests[i].previous = -1
    s.ends[queue, 0] = i
    if head < 0:
        s.ends[queue, 1] = i
    else:
        s.requests[head].previous = i


@compiled
def remove(s: State, queue: int, i: int) -> None:
    """Take request `i` out of the queue that it is in."""
    before, after = s.requests[i].previous, s.requests[i].next
    if before < 0:
        s.ends[queue, 0] = after
    else:
        s.requests[before].next = after
    if after < 0:
        s.ends[queue, 1] = before
    else:
        s.requests[after].previous = before


@compiled
def submit(s: State, i: int, r: int, now: float) -> None:
    """Hand a request to a replica; it joins the waiting queue after the request overhead."""
    s.requests[i].status = _ARRIVING
    s.requests[i].slot = r
    s.requests[i].submitted_at = now
    s.requests[i].ready_at = now + s.slots[r].overhead
    push_back(s, 2 + 2 * r, i)
    s.slots[r].in_flight += 1
    s.slots[r].load += s.requests[i].prompt
    if s.slots[r].steps == 0:
        s.slots[r].event_at = min(s.slots[r].event_at, s.requests[i].ready_at)
    elif (
        s.slots[r].pure
        and s.slots[r].waiting == 0
        and s.slots[r].batch < min(s.slots[r].max_batch, s.slots[r].max_batched_tokens)
    ):
        cut(s, r, s.requests[i].ready_at)


@compiled
def cut(s: State, r: int, at: float) -> None:
    """End a pure stretch with the first iteration that ends at `at` or later."""
    steps = steps_until(s, r, at)
    if steps < s.slots[r].steps:
        s.slots[r].steps = steps
        s.slots[r].event_at = s.slots[r].began_at + stretch_seconds(s, r, steps)


@compiled
def stretch_seconds(s: State, r: int, steps: int) -> float:
    """How long the first `steps` iterations of a pure stretch take."""
    seconds: float = steps * s.slots[r].pace + s.slots[r].growth * (steps * (steps + 1) // 2)
    return seconds


@compiled
def steps_until(s: State, r: int, at: float) -> int:
    """The fewest iterations, one at least, of a pure stretch that end at `at` or later."""
    seconds = at - s.slots[r].began_at
    if seconds <= 0:
        return 1
    linear = s.slots[r].pace + s.slots[r].growth / 2
    steps: int = max(
        1, math.ceil(2 * seconds / (linear + math.sqrt(linear * linear + 2 * s.slots[r].growth * seconds)))
    )
    # The root is inexact in its last digits, which decide at an iteration's end.
    while s.slots[r].began_at + stretch_seconds(s, r, steps) < at:
        steps += 1
    while steps > 1 and s.slots[r].began_at + stretch_seconds(s, r, steps - 1) >= at:
        steps -= 1
    return steps


@compiled
def steps_done(s: State, r: int, now: float) -> int:
    """The iterations of the stretch in progress that have ended by `now`."""
    if not s.slots[r].pure or s.slots[r].steps <= 1:
        return 0
    steps = steps_until(s, r, now)
    if s.slots[r].began_at + stretch_seconds(s, r, steps) > now:
        steps -= 1
    last: int = s.slots[r].steps - 1
    return min(steps, last)


@compiled
def blocks_after(s: State, r: int, steps: int) -> int:
    """KV blocks in use when each running request holds `steps` tokens more than it does."""
    size: int = s.slots[r].block_tokens
    blocks = 0
    for place in range(s.slots[r].batch):
        blocks += (s.places[r, place].held + steps + size - 1) // size
    return blocks


@compiled
def schedule(s: State, r: int, now: float) -> None:
    """Begin the next iteration, or stretch of them, of a replica that has none in progress."""
    arriving = s.ends[2 + 2 * r, 0]
    while arriving >= 0 and s.requests[arriving].ready_at <= now:
        remove(s, 2 + 2 * r, arriving)
        push_back(s, 1 + 2 * r, arriving)
        _wait(s, r, arriving)
        arriving = s.ends[2 + 2 * r, 0]
    s.slots[r].began_at = now
    if s.slots[r].batch == 0 and s.slots[r].waiting == 0:
        s.slots[r].steps = 0
        s.slots[r].event_at = s.requests[arriving].ready_at if arriving >= 0 else np.inf
        return
    if s.slots[r].batch == s.slots[r].decoding and 0 < s.slots[r].batch <= s.slots[r].max_batched_tokens:
        steps = _decodable(s, r)
        if steps > 0:
            _decode(s, r, steps)
            return
    _iterate(s, r, now)


@compiled
def _wait(s: State, r: int, i: int) -> None:
    s.requests[i].status = _WAITING
    s.slots[r].waiting += 1
    s.slots[r].waiting_tokens += s.requests[i].prompt


@compiled
def _decodable(s: State, r: int) -> int:
    """Iterations until the first completion, as far as free blocks allow; 0 when the head of the queue can join, or
    someone must be preempted.
    """
    head = s.ends[1 + 2 * r, 0]
    used = blocks_after(s, r, 1)
    free = s.slots[r].kv_blocks - used
    if free < 0:
        return 0
    if head >= 0 and s.slots[r].batch < min(s.slots[r].max_batch, s.slots[r].max_batched_tokens):
        size = s.slots[r].block_tokens
        if (s.requests[head].prompt + s.requests[head].generated + size - 1) // size <= free:
            return 0
    steps: int = s.places[r, 0].remaining
    for place in range(1, s.slots[r].batch):
        steps = min(steps, s.places[r, place].remaining)
    if s.slots[r].batch * ((steps + s.slots[r].block_tokens - 2) // s.slots[r].block_tokens) <= free:
        return steps
    enough, too_many = 1, steps + 1
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        if blocks_after(s, r, middle) <= s.slots[r].kv_blocks:
            enough = middle
        else:
            too_many = middle
    return enough


@compiled
def _decode(s: State, r: int, steps: int) -> None:
    batch, context = s.slots[r].batch, 0
    for place in range(batch):
        context += s.places[r, place].held
    s.slots[r].pure = True
    s.slots[r].pace = s.slots[r].base + s.slots[r].per_sequence * batch + s.slots[r].per_context_token * context
    s.slots[r].growth = s.slots[r].per_context_token * batch
    s.slots[r].steps = steps
    s.slots[r].event_at = s.slots[r].began_at + stretch_seconds(s, r, steps)
    arriving = s.ends[2 + 2 * r, 0]
    if arriving >= 0 and s.slots[r].waiting == 0 and batch < min(s.slots[r].max_batch, s.slots[r].max_batched_tokens):
        cut(s, r, s.requests[arriving].ready_at)


@compiled
def _iterate(s: State, r: int, now: float) -> None:
    """One iteration of any kind: running requests first, then the waiting queue."""
    budget, free = s.slots[r].max_batched_tokens, s.slots[r].kv_blocks - blocks_after(s, r, 0)
    size = s.slots[r].block_tokens
    before = s.counters[r, _PREEMPTIONS]
    for place in range(s.slots[r].batch):
        s.places[r, place].chunk = 0
    place = 0
    while place < s.slots[r].batch and budget > 0:
        held = s.places[r, place].held
        tokens = 1 if s.places[r, place].is_decoding else min(s.places[r, place].target - held, budget)
        needed = (held + tokens + size - 1) // size - (held + size - 1) // size
        while needed > free and s.slots[r].batch > place:
            free += _preempt(s, r)
        if s.slots[r].batch <= place:
            break
        free -= needed
        s.places[r, place].chunk = tokens
        budget -= tokens
        place += 1
    if s.counters[r, _PREEMPTIONS] == before:
        _admit(s, r, now, budget, free)
    decoding, context, prefill = 0, 0, 0
    for place in range(s.slots[r].batch):
        if s.places[r, place].is_decoding and s.places[r, place].chunk > 0:
            decoding += 1
            context += s.places[r, place].held + 1
        else:
            prefill += s.places[r, place].chunk
    s.slots[r].pure = False
    s.slots[r].steps = 1
    s.slots[r].event_at = (
        now
        + s.slots[r].base
        + s.slots[r].per_sequence * decoding
        + s.slots[r].per_context_token * context
        + s.slots[r].per_prefill_token * prefill
    )


@compiled
def _preempt(s: State, r: int) -> int:
    """Send the latest-admitted request back to the head of the queue; returns the blocks that it held."""
    place = s.slots[r].batch - 1
    i = s.places[r, place].running
    blocks: int = (s.places[r, place].held + s.slots[r].block_tokens - 1) // s.slots[r].block_tokens
    s.requests[i].generated = s.requests[i].output - s.places[r, place].remaining
    s.slots[r].batch = place
    if s.places[r, place].is_decoding:
        s.slots[r].decoding -= 1
    push_front(s, 1 + 2 * r, i)
    _wait(s, r, i)
    s.counters[r, _PREEMPTIONS] += 1
    return blocks


@compiled
def _admit(s: State, r: int, now: float, budget: int, free: int) -> None:
    size = s.slots[r].block_tokens
    while budget > 0 and s.ends[1 + 2 * r, 0] >= 0 and s.slots[r].batch < s.slots[r].max_batch:
        i = s.ends[1 + 2 * r, 0]
        target = s.requests[i].prompt + s.requests[i].generated
        if (target + size - 1) // size > free:
            return
        remove(s, 1 + 2 * r, i)
        s.requests[i].status = _RUNNING
        s.slots[r].waiting -= 1
        s.slots[r].waiting_tokens -= s.requests[i].prompt
        place = s.slots[r].batch
        s.slots[r].batch = place + 1
        # At least one token must run through the model to yield the next.
        held = min(s.requests[i].cached, target - 1)
        tokens = min(target - held, budget)
        s.places[r, place].running = i
        s.places[r, place].held = held
        s.places[r, place].target = target
        s.places[r, place].remaining = s.requests[i].output - s.requests[i].generated
        s.places[r, place].chunk = tokens
        s.places[r, place].is_decoding = False
        budget -= tokens
        free -= (held + tokens + size - 1) // size
        if math.isnan(s.requests[i].scheduled_at):
            s.requests[i].scheduled_at = now
            s.counters[r, _CACHED] += held


@compiled
def complete(s: State, r: int) -> int:
    """End the stretch in progress: hand out tokens, let finished requests go. Returns how many finished."""
    now, steps, tokens = s.slots[r].event_at, s.slots[r].steps, 0
    if s.slots[r].pure:
        tokens = steps * s.slots[r].batch
        for place in range(s.slots[r].batch):
            s.places[r, place].held += steps
            s.places[r, place].remaining -= steps
    else:
        for place in range(s.slots[r].batch):
            s.places[r, place].held += s.places[r, place].chunk
            if s.places[r, place].is_decoding:
                tokens += s.places[r, place].chunk
                s.places[r, place].remaining -= s.places[r, place].chunk
            elif s.places[r, place].chunk > 0 and s.places[r, place].held == s.places[r, place].target:
                tokens += 1
                s.places[r, place].remaining -= 1
                s.places[r, place].is_decoding = True
                s.slots[r].decoding += 1
                _begin(s, r, s.places[r, place].running, now)
    s.slots[r].load += tokens
    s.counters[r, _GENERATED] += tokens
    s.counters[r, _BUSY] += now - s.slots[r].began_at
    s.slots[r].steps = 0
    s.slots[r].event_at = np.inf
    return _let_go(s, r, now)


@compiled
def _begin(s: State, r: int, i: int, now: float) -> None:
    if math.isnan(s.requests[i].first_token_at):
        s.requests[i].first_token_at = now
        s.counters[r, _PROMPT] += s.requests[i].prompt
        _observe(s, r, _FIRST_TOKEN, now - s.requests[i].submitted_at)


@compiled
def _let_go(s: State, r: int, now: float) -> int:
    """Remove the finished requests from the batch, in order."""
    kept = 0
    for place in range(s.slots[r].batch):
        if s.places[r, place].remaining > 0:
            if kept < place:
                s.places[r, kept] = s.places[r, place]
            kept += 1
        else:
            _finish(s, r, s.places[r, place].running, now)
    finished: int = s.slots[r].batch - kept
    s.slots[r].batch = kept
    s.slots[r].decoding -= finished
    return finished


@compiled
def _finish(s: State, r: int, i: int, now: float) -> None:
    s.requests[i].status = _FINISHED
    s.requests[i].finished_at = now
    leave(s, r, s.requests[i].prompt + s.requests[i].output)
    s.counters[r, _COLUMN_FINISHED] += 1
    s.counters[r, _FINISHED_PROMPT] += s.requests[i].prompt
    s.counters[r, _FINISHED_OUTPUT] += s.requests[i].output
    gaps = s.requests[i].output - 1
    _observe(s, r, _TOKEN_TIME, (now - s.requests[i].first_token_at) / gaps if gaps > 0 else 0.0)
    _observe(s, r, _END_TO_END, now - s.requests[i].submitted_at)
    _observe(s, r, _QUEUE_TIME, s.requests[i].scheduled_at - s.requests[i].ready_at)


@compiled
def leave(s: State, r: int, tokens: int) -> None:
    """A request with so many prompt and generated tokens is in flight at the replica no more."""
    s.slots[r].in_flight -= 1
    s.slots[r].load -= tokens
    if s.slots[r].draining and s.slots[r].in_flight == 0:
        s.scalars[_EMPTIED] = 1


@compiled
def _observe(s: State, r: int, histogram: int, value: float) -> None:
    column = _STARTS[histogram]
    while value > _EDGES[column - _FIRST_BUCKET]:
        column += 1
    s.counters[r, column] += 1
    s.counters[r, _SUMS[histogram]] += value
