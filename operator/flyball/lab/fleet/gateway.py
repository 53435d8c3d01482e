"""The fleet's event loop in compiled code: arrivals, routing, patience running out, and what a scraper reads.

Routing looks over the replicas that take requests, from where it last left off, and takes the first one with the least
requests in flight (leastOutstanding) or the least share of its KV cache filled by the prompts, waiting ones too, and
generated tokens of its requests (kvAware); the next (roundRobin); or one drawn at random. With a gateway queue only
those replicas come into question that have fewer requests in flight than places in their batch, and whose KV cache
holds the tokens of their requests and this prompt; the queue is served first come, first served, so the oldest request
waits for such a replica and all others behind it. After a reclaim, requests go back to the head of the queue.

At equal times arrivals come first, then replicas' events, then patience runs out.
"""

import math

import numpy as np

from flyball.lab.fleet.compiled import compiled
from flyball.lab.fleet.kernel import (
    blocks_after,
    complete,
    cut,
    leave,
    push_back,
    push_front,
    remove,
    schedule,
    steps_done,
    submit,
)
from flyball.lab.fleet.model import Routing
from flyball.lab.fleet.samples import COLUMNS, Column
from flyball.lab.fleet.state import GATEWAY, ROUTINGS, Floats, Integers, Scalar, State, Status

_NEXT_ARRIVAL, _NEXT_DEADLINE, _READY, _ACTIVE, _HELD, _CURSOR, _EMPTIED, _ROUTING, _GATEWAY_QUEUE = map(int, Scalar)
_EXPECTED, _IS_HELD, _ARRIVING, _WAITING, _RUNNING, _FINISHED, _DROPPED, _REJECTED = map(int, Status)
_LEAST_OUTSTANDING, _ROUND_ROBIN, _RANDOM, _KV_AWARE = map(
    ROUTINGS.index, (Routing.LEAST_OUTSTANDING, Routing.ROUND_ROBIN, Routing.RANDOM, Routing.KV_AWARE)
)
_COLUMN_RUNNING = int(Column.RUNNING)
_COLUMN_WAITING = int(Column.WAITING)
_KV_USAGE = int(Column.KV_USAGE)
_QUEUED_TOKENS = int(Column.QUEUED_PROMPT_TOKENS)
_BUSY = int(Column.BUSY_SECONDS)
_GENERATED = int(Column.GENERATED_TOKENS)


@compiled
def run(s: State, until: float) -> float:
    """Play all events up to and at `until`. Returns `until`, or an earlier time at which a draining replica emptied."""
    count = len(s.requests)
    while True:
        r, event_at = -1, np.inf
        for index in range(s.scalars[_ACTIVE]):
            candidate = s.active[index]
            if s.slots[candidate].event_at < event_at:
                r, event_at = candidate, s.slots[candidate].event_at
        arrival, deadline = s.scalars[_NEXT_ARRIVAL], s.scalars[_NEXT_DEADLINE]
        arrival_at = s.requests[arrival].arrived_at if arrival < count else np.inf
        deadline_at = s.requests[deadline].arrived_at + s.timeout[0] if deadline < count else np.inf
        now = min(arrival_at, event_at, deadline_at)
        if now > until or now == np.inf:
            return until
        if arrival_at <= now:
            s.scalars[_NEXT_ARRIVAL] += 1
            if s.requests[arrival].status != _REJECTED:
                _arrive(s, arrival, now)
        elif event_at <= now:
            if s.slots[r].steps > 0 and complete(s, r) > 0:
                release(s, now)
            schedule(s, r, now)
        else:
            s.scalars[_NEXT_DEADLINE] += 1
            if s.requests[deadline].status < _FINISHED and math.isnan(s.requests[deadline].first_token_at):
                _drop(s, deadline, now)
        if s.scalars[_EMPTIED] > 0:
            s.scalars[_EMPTIED] = 0
            return now


@compiled
def _arrive(s: State, i: int, now: float) -> None:
    s.requests[i].cold = s.scalars[_READY] == 0
    r = choose(s, i, now) if s.scalars[_HELD] == 0 else -1
    if r >= 0:
        submit(s, i, r, now)
    else:
        s.requests[i].status = _IS_HELD
        s.scalars[_HELD] += 1
        push_back(s, GATEWAY, i)


@compiled
def release(s: State, now: float) -> None:
    """Hand out the requests held at the gateway, as far as replicas take them."""
    while s.scalars[_HELD] > 0:
        i = s.ends[GATEWAY, 0]
        r = choose(s, i, now)
        if r < 0:
            return
        remove(s, GATEWAY, i)
        s.scalars[_HELD] -= 1
        submit(s, i, r, now)


@compiled
def choose(s: State, i: int, now: float) -> int:
    """The slot that request `i` goes to; -1 when it must be held."""
    ready, routing = s.scalars[_READY], s.scalars[_ROUTING]
    start = s.scalars[_CURSOR]
    if routing == _RANDOM:
        start = int(s.requests[i].chance * ready)
    best, best_at, least = -1, 0, np.inf
    for offset in range(ready):
        at = (start + offset) % ready
        r = s.ready[at]
        if s.scalars[_GATEWAY_QUEUE] > 0 and not _has_room(s, i, r, now):
            continue
        if routing == _LEAST_OUTSTANDING:
            key = float(s.slots[r].in_flight)
        elif routing == _KV_AWARE:
            key = _load(s, r, now) / (s.slots[r].kv_blocks * s.slots[r].block_tokens)
        else:
            key = 0.0
        if key < least:
            best, best_at, least = r, at, key
            if routing in (_ROUND_ROBIN, _RANDOM):
                break
    if best >= 0:
        s.scalars[_CURSOR] = (best_at + 1) % ready
    return best


@compiled
def _load(s: State, r: int, now: float) -> int:
    tokens: int = s.slots[r].load + s.slots[r].batch * steps_done(s, r, now)
    return tokens


@compiled
def _has_room(s: State, i: int, r: int, now: float) -> bool:
    if s.slots[r].in_flight >= s.slots[r].max_batch:
        return False
    room: int = s.slots[r].kv_blocks * s.slots[r].block_tokens - _load(s, r, now)
    fits: bool = s.requests[i].prompt <= room
    return fits


@compiled
def _drop(s: State, i: int, now: float) -> None:
    """A request whose client has given up leaves all queues, or the batch that its prompt is computed in."""
    status, r = s.requests[i].status, s.requests[i].slot
    s.requests[i].status = _DROPPED
    if status == _IS_HELD:
        remove(s, GATEWAY, i)
        s.scalars[_HELD] -= 1
    elif status == _ARRIVING:
        remove(s, 2 + 2 * r, i)
    elif status == _WAITING:
        remove(s, 1 + 2 * r, i)
        s.slots[r].waiting -= 1
        s.slots[r].waiting_tokens -= s.requests[i].prompt
        if s.slots[r].pure and s.slots[r].steps > 1:
            # The one behind it may fit.
            cut(s, r, now)
    else:
        _take_out(s, i, r)
    if status != _IS_HELD:
        leave(s, r, s.requests[i].prompt)
    release(s, now)


@compiled
def _take_out(s: State, i: int, r: int) -> None:
    kept = 0
    for place in range(s.slots[r].batch):
        if s.places[r, place].running != i:
            if kept < place:
                s.places[r, kept] = s.places[r, place]
            kept += 1
    s.slots[r].batch = kept


@compiled
def evict(s: State, r: int) -> None:
    """A replica is lost: its requests go back to the head of the gateway's queue, oldest first, and begin anew."""
    lost = np.empty(s.slots[r].in_flight, np.int64)
    count = 0
    for place in range(s.slots[r].batch):
        lost[count] = s.places[r, place].running
        count += 1
    for queue in (1 + 2 * r, 2 + 2 * r):
        while s.ends[queue, 0] >= 0:
            lost[count] = s.ends[queue, 0]
            remove(s, queue, s.ends[queue, 0])
            count += 1
    lost.sort()
    for index in range(count - 1, -1, -1):
        i = lost[index]
        s.requests[i].status = _IS_HELD
        s.requests[i].slot = -1
        s.requests[i].scheduled_at = np.nan
        s.requests[i].first_token_at = np.nan
        s.requests[i].generated = 0
        push_front(s, GATEWAY, i)
    s.scalars[_HELD] += count
    s.slots[r].in_flight = 0
    s.slots[r].event_at = np.inf


@compiled
def scrape(s: State, slots: Integers, now: float) -> Floats:
    """A row for each of the slots, in the layout of samples.py."""
    values = np.empty((len(slots), COLUMNS))
    for row in range(len(slots)):
        r = slots[row]
        values[row] = s.counters[r]
        waiting, waiting_tokens = s.slots[r].waiting, s.slots[r].waiting_tokens
        arriving = s.ends[2 + 2 * r, 0]
        while arriving >= 0 and s.requests[arriving].ready_at <= now:
            waiting += 1
            waiting_tokens += s.requests[arriving].prompt
            arriving = s.requests[arriving].next
        values[row, _COLUMN_RUNNING] = s.slots[r].batch
        values[row, _COLUMN_WAITING] = waiting
        values[row, _QUEUED_TOKENS] = waiting_tokens
        values[row, _KV_USAGE] = _blocks_now(s, r, now) / s.slots[r].kv_blocks
        if s.slots[r].steps > 0:
            values[row, _GENERATED] += s.slots[r].batch * steps_done(s, r, now)
            values[row, _BUSY] += now - s.slots[r].began_at
    return values


@compiled
def _blocks_now(s: State, r: int, now: float) -> int:
    """The KV blocks in use, those of the iteration in flight too."""
    if s.slots[r].steps == 0 or s.slots[r].pure:
        return blocks_after(s, r, steps_done(s, r, now) + 1 if s.slots[r].steps > 0 else 0)
    size, blocks = s.slots[r].block_tokens, 0
    for place in range(s.slots[r].batch):
        blocks += (s.places[r, place].held + s.places[r, place].chunk + size - 1) // size
    return blocks
