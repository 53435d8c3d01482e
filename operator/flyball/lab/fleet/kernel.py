"""One replica's scheduler in event time: the semantics of lab/engine.py, in compiled code.

An event is an iteration, or a stretch of them (stretches.py) in which all that runs decodes and nothing can be
admitted: up to the first completion, or until the free KV blocks are spent. A request that becomes ready meanwhile and
could be admitted cuts it. The functions take the state first, and change it in place; `r` is a slot, `i` a request.
"""

import math

import numpy as np

from flyball.lab.fleet.compiled import inner
from flyball.lab.fleet.counting import count_finished, count_first_token
from flyball.lab.fleet.queues import push_back, push_front, remove
from flyball.lab.fleet.samples import Column
from flyball.lab.fleet.state import State, Status
from flyball.lab.fleet.stretches import blocks_after, cut, stretch_seconds

_ARRIVING, _WAITING, _RUNNING, _FINISHED = (
    int(status) for status in (Status.ARRIVING, Status.WAITING, Status.RUNNING, Status.FINISHED)
)
_BUSY = int(Column.BUSY_SECONDS)
_CACHED = int(Column.CACHED_TOKENS)
_GENERATED = int(Column.GENERATED_TOKENS)
_PREEMPTIONS = int(Column.PREEMPTIONS)


@inner
def submit(s: State, i: int, r: int, now: float) -> None:
    """Hand a request to a replica; it joins the waiting queue after the request overhead."""
    slot, request = s.slots[r], s.requests[i]
    request.status = _ARRIVING
    request.slot = r
    request.submitted_at = now
    request.ready_at = now + slot.overhead
    push_back(s, 2 + 2 * r, i)
    slot.in_flight += 1
    slot.load += request.prompt
    if slot.steps == 0:
        slot.event_at = min(slot.event_at, request.ready_at)
    elif slot.pure and slot.waiting == 0 and slot.batch < min(slot.max_batch, slot.max_batched_tokens):
        cut(s, r, request.ready_at)


@inner
def leave(s: State, r: int, tokens: int) -> None:
    """A request with so many prompt and generated tokens is in flight at the replica no more."""
    slot = s.slots[r]
    slot.in_flight -= 1
    slot.load -= tokens
    if slot.draining and slot.in_flight == 0:
        s.fleet[0].emptied = True


@inner
def schedule(s: State, r: int, now: float) -> None:
    """Begin the next iteration, or stretch of them, of a replica that has none in progress."""
    slot = s.slots[r]
    arriving = s.ends[2 + 2 * r, 0]
    while arriving >= 0 and s.requests[arriving].ready_at <= now:
        remove(s, 2 + 2 * r, arriving)
        push_back(s, 1 + 2 * r, arriving)
        _wait(s, r, arriving)
        arriving = s.ends[2 + 2 * r, 0]
    slot.began_at = now
    if slot.batch == 0 and slot.waiting == 0:
        slot.event_at = s.requests[arriving].ready_at if arriving >= 0 else np.inf
        return
    steps = 0
    if slot.batch == slot.decoding and 0 < slot.batch <= slot.max_batched_tokens:
        steps = _decodable(s, r)
    if steps > 0:
        _decode(s, r, steps)
    else:
        _iterate(s, r, now)


@inner
def _wait(s: State, r: int, i: int) -> None:
    s.requests[i].status = _WAITING
    s.slots[r].waiting += 1
    s.slots[r].waiting_tokens += s.requests[i].prompt


@inner
def _decodable(s: State, r: int) -> int:
    """Iterations until the first completion, as far as free blocks allow; 0 when the head of the queue can join, or
    someone must be preempted.
    """
    slot, head, size = s.slots[r], s.ends[1 + 2 * r, 0], s.slots[r].block_tokens
    free = slot.kv_blocks - blocks_after(s, r, 1)
    if free < 0:
        return 0
    has_place = slot.batch < min(slot.max_batch, slot.max_batched_tokens)
    if head >= 0 and has_place and (s.requests[head].prompt + s.requests[head].generated + size - 1) // size <= free:
        return 0
    steps: int = s.places[r, 0].remaining
    for n in range(1, slot.batch):
        steps = min(steps, s.places[r, n].remaining)
    if slot.batch * ((steps + size - 2) // size) <= free:
        return steps
    enough, too_many = 1, steps + 1
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        if blocks_after(s, r, middle) <= slot.kv_blocks:
            enough = middle
        else:
            too_many = middle
    return enough


@inner
def _decode(s: State, r: int, steps: int) -> None:
    slot, context = s.slots[r], 0
    for n in range(slot.batch):
        context += s.places[r, n].held
    slot.pure = True
    slot.pace = slot.base + slot.per_sequence * slot.batch + slot.per_context_token * context
    slot.growth = slot.per_context_token * slot.batch
    slot.steps = steps
    slot.event_at = slot.began_at + stretch_seconds(slot.pace, slot.growth, steps)
    arriving = s.ends[2 + 2 * r, 0]
    if arriving >= 0 and slot.waiting == 0 and slot.batch < min(slot.max_batch, slot.max_batched_tokens):
        cut(s, r, s.requests[arriving].ready_at)


@inner
def _iterate(s: State, r: int, now: float) -> None:
    """One iteration of any kind: running requests first, then the waiting queue."""
    slot, size = s.slots[r], s.slots[r].block_tokens
    budget, free = slot.max_batched_tokens, slot.kv_blocks - blocks_after(s, r, 0)
    preempted = s.counters[r, _PREEMPTIONS]
    for n in range(slot.batch):
        s.places[r, n].chunk = 0
    n = 0
    while n < slot.batch and budget > 0:
        place = s.places[r, n]
        tokens = 1 if place.is_decoding else min(place.target - place.held, budget)
        needed = (place.held + tokens + size - 1) // size - (place.held + size - 1) // size
        while needed > free and slot.batch > n:
            free += _preempt(s, r)
        if slot.batch <= n:
            break
        free -= needed
        place.chunk = tokens
        budget -= tokens
        n += 1
    if s.counters[r, _PREEMPTIONS] == preempted:
        _admit(s, r, now, budget, free)
    decoding, context, prefill = 0, 0, 0
    for n in range(slot.batch):
        place = s.places[r, n]
        if place.is_decoding and place.chunk > 0:
            decoding += 1
            context += place.held + 1
        else:
            prefill += place.chunk
    slot.pure = False
    slot.steps = 1
    memory = slot.base + slot.per_sequence * decoding + slot.per_context_token * context
    slot.event_at = now + memory + slot.per_prefill_token * prefill


@inner
def _preempt(s: State, r: int) -> int:
    """Send the latest-admitted request back to the head of the queue; returns the blocks that it held."""
    slot = s.slots[r]
    slot.batch -= 1
    place = s.places[r, slot.batch]
    i = place.running
    s.requests[i].generated = s.requests[i].output - place.remaining
    if place.is_decoding:
        slot.decoding -= 1
    push_front(s, 1 + 2 * r, i)
    _wait(s, r, i)
    s.counters[r, _PREEMPTIONS] += 1
    blocks: int = (place.held + slot.block_tokens - 1) // slot.block_tokens
    return blocks


@inner
def _admit(s: State, r: int, now: float, budget: int, free: int) -> None:
    """Move requests from the head of the queue into the batch while tokens, places and blocks last."""
    slot, size = s.slots[r], s.slots[r].block_tokens
    while budget > 0 and slot.waiting > 0 and slot.batch < slot.max_batch:
        i = s.ends[1 + 2 * r, 0]
        request = s.requests[i]
        target = request.prompt + request.generated
        if (target + size - 1) // size > free:
            return
        remove(s, 1 + 2 * r, i)
        request.status = _RUNNING
        slot.waiting -= 1
        slot.waiting_tokens -= request.prompt
        place = s.places[r, slot.batch]
        slot.batch += 1
        place.running = i
        # At least one token must run through the model to yield the next.
        place.held = min(request.cached, target - 1)
        place.target = target
        place.remaining = request.output - request.generated
        place.chunk = min(target - place.held, budget)
        place.is_decoding = False
        budget -= place.chunk
        free -= (place.held + place.chunk + size - 1) // size
        if math.isnan(request.scheduled_at):
            request.scheduled_at = now
            s.counters[r, _CACHED] += place.held


@inner
def complete(s: State, r: int) -> int:
    """End the iterations in progress: hand out tokens, let finished requests go. Returns how many finished."""
    slot, tokens = s.slots[r], 0
    now = slot.event_at
    if slot.pure:
        tokens = slot.steps * slot.batch
        for n in range(slot.batch):
            s.places[r, n].held += slot.steps
            s.places[r, n].remaining -= slot.steps
    else:
        tokens = _hand_out(s, r, now)
    slot.load += tokens
    s.counters[r, _GENERATED] += tokens
    s.counters[r, _BUSY] += now - slot.began_at
    slot.steps = 0
    slot.event_at = np.inf
    kept = 0
    for n in range(slot.batch):
        if s.places[r, n].remaining > 0:
            if kept < n:
                s.places[r, kept] = s.places[r, n]
            kept += 1
        else:
            _finish(s, r, s.places[r, n].running, now)
    finished: int = slot.batch - kept
    slot.batch = kept
    slot.decoding -= finished
    return finished


@inner
def _hand_out(s: State, r: int, now: float) -> int:
    """The tokens of one iteration; returns how many."""
    tokens = 0
    for n in range(s.slots[r].batch):
        place = s.places[r, n]
        place.held += place.chunk
        if place.is_decoding:
            tokens += place.chunk
            place.remaining -= place.chunk
        elif place.chunk > 0 and place.held == place.target:
            tokens += 1
            place.remaining -= 1
            place.is_decoding = True
            s.slots[r].decoding += 1
            if math.isnan(s.requests[place.running].first_token_at):
                s.requests[place.running].first_token_at = now
                count_first_token(s, r, place.running)
    return tokens


@inner
def _finish(s: State, r: int, i: int, now: float) -> None:
    request = s.requests[i]
    request.status = _FINISHED
    request.finished_at = now
    count_finished(s, r, i)
    leave(s, r, request.prompt + request.output)
