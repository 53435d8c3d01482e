"""How requests reach replicas, in compiled code: arrivals, routing, the gateway's queue, and patience running out.

Routing looks over the replicas that take requests, from behind the one it chose last, and takes the first with the
fewest requests in flight (leastOutstanding) or the least share of its KV cache filled by its requests' prompts, waiting
ones too, and generated tokens (kvAware); simply the next (roundRobin); or one drawn at random (random). With a gateway
queue only those replicas come into question that have fewer requests in flight than places in their batch, and whose
KV cache has room for this prompt beside the tokens of their requests. The queue is served first come, first served: its
head waits for such a replica, and all others behind it. After a reclaim, requests go back to the head of the queue.
Where a fallback answers what comes while no replica is ready, that never enters the queue.
"""

import numpy as np

from flyball.lab.fleet.compiled import compiled, inner
from flyball.lab.fleet.kernel import leave, submit
from flyball.lab.fleet.model import Routing
from flyball.lab.fleet.queues import GATEWAY, push_back, push_front, remove
from flyball.lab.fleet.state import ROUTINGS, Integers, State, Status
from flyball.lab.fleet.stretches import cut, steps_done

_HELD, _ARRIVING, _WAITING, _FINISHED, _DROPPED = (
    int(status) for status in (Status.HELD, Status.ARRIVING, Status.WAITING, Status.FINISHED, Status.DROPPED)
)
_LEAST_OUTSTANDING, _ROUND_ROBIN, _RANDOM, _KV_AWARE = map(
    ROUTINGS.index, (Routing.LEAST_OUTSTANDING, Routing.ROUND_ROBIN, Routing.RANDOM, Routing.KV_AWARE)
)


@inner
def arrive(s: State, i: int, now: float) -> None:
    """Request `i` comes to the gateway."""
    s.requests[i].cold = s.fleet[0].ready == 0
    if s.requests[i].cold and s.fleet[0].fallback:
        s.requests[i].status = _FINISHED
        s.requests[i].first_token_at = now + s.fleet[0].fallback_first_token
        s.requests[i].finished_at = (
            s.requests[i].first_token_at + (s.requests[i].output - 1) * s.fleet[0].fallback_token
        )
        return
    r = _choose(s, i, now) if s.fleet[0].held == 0 else -1
    if r >= 0:
        submit(s, i, r, now)
    else:
        s.requests[i].status = _HELD
        s.fleet[0].held += 1
        push_back(s, GATEWAY, i)


@compiled
def release(s: State, now: float) -> None:
    """Hand out the requests held at the gateway, as far as replicas take them."""
    while s.fleet[0].held > 0:
        i = s.ends[GATEWAY, 0]
        r = _choose(s, i, now)
        if r < 0:
            return
        remove(s, GATEWAY, i)
        s.fleet[0].held -= 1
        submit(s, i, r, now)


@inner
def _choose(s: State, i: int, now: float) -> int:
    """The slot that request `i` goes to; -1 when it must be held."""
    fleet = s.fleet[0]
    start = int(s.requests[i].chance * fleet.ready) if fleet.routing == _RANDOM else fleet.cursor
    best, chosen, least = -1, 0, np.inf
    for offset in range(fleet.ready):
        at = (start + offset) % fleet.ready
        slot = s.slots[s.ready[at]]
        room = slot.kv_blocks * slot.block_tokens
        load = 0
        if fleet.gateway_queue or fleet.routing == _KV_AWARE:
            load = slot.load + slot.batch * steps_done(s, s.ready[at], now)
        if fleet.gateway_queue and (slot.in_flight >= slot.max_batch or load + s.requests[i].prompt > room):
            continue
        key = 0.0
        if fleet.routing == _LEAST_OUTSTANDING:
            key = float(slot.in_flight)
        elif fleet.routing == _KV_AWARE:
            key = load / room
        if key < least:
            best, chosen, least = s.ready[at], at, key
    if best >= 0:
        fleet.cursor = (chosen + 1) % fleet.ready
    return best


@inner
def drop(s: State, i: int, now: float) -> None:
    """A request whose client has given up leaves all queues, or the batch that its prompt is computed in."""
    request = s.requests[i]
    status, r = request.status, request.slot
    request.status = _DROPPED
    if status == _HELD:
        remove(s, GATEWAY, i)
        s.fleet[0].held -= 1
    else:
        if status == _ARRIVING:
            remove(s, 2 + 2 * r, i)
        elif status == _WAITING:
            remove(s, 1 + 2 * r, i)
            s.slots[r].waiting -= 1
            s.slots[r].waiting_tokens -= request.prompt
            if s.slots[r].pure and s.slots[r].steps > 1:
                # The one behind it may fit.
                cut(s, r, now)
        else:
            _take_out(s, i, r)
        leave(s, r, request.prompt)
    release(s, now)


@inner
def _take_out(s: State, i: int, r: int) -> None:
    kept = 0
    for n in range(s.slots[r].batch):
        if s.places[r, n].running != i:
            if kept < n:
                s.places[r, kept] = s.places[r, n]
            kept += 1
    s.slots[r].batch = kept


@compiled
def take_back(s: State, lost: Integers) -> None:
    """A replica is gone: its requests, sorted, go to the head of the gateway's queue, oldest first, and begin anew."""
    for index in range(len(lost) - 1, -1, -1):
        request = s.requests[lost[index]]
        request.status = _HELD
        request.slot = -1
        request.scheduled_at = np.nan
        request.first_token_at = np.nan
        request.generated = 0
        push_front(s, GATEWAY, lost[index])
    s.fleet[0].held += len(lost)
