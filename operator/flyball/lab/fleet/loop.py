"""The fleet's event loop in compiled code, and what a scraper reads between two events."""

import math

import numpy as np

from flyball.lab.fleet.compiled import compiled, inner
from flyball.lab.fleet.gateway import arrive, drop, release
from flyball.lab.fleet.kernel import complete, schedule
from flyball.lab.fleet.samples import COLUMNS, Column
from flyball.lab.fleet.state import Floats, Integers, State, Status
from flyball.lab.fleet.stretches import blocks_after, steps_done

_FINISHED, _REJECTED = int(Status.FINISHED), int(Status.REJECTED)
_RUNNING = int(Column.RUNNING)
_WAITING = int(Column.WAITING)
_KV_USAGE = int(Column.KV_USAGE)
_QUEUED_TOKENS = int(Column.QUEUED_PROMPT_TOKENS)
_BUSY = int(Column.BUSY_SECONDS)
_GENERATED = int(Column.GENERATED_TOKENS)


@compiled
def run(s: State, until: float) -> float:
    """Play all events up to and at `until`: at equal times arrivals, then replicas' events, then dropped requests.

    Returns `until`, or an earlier time at which a draining replica lost its last request.
    """
    fleet, count = s.fleet[0], len(s.requests)
    while True:
        r, event_at = -1, np.inf
        for index in range(fleet.active):
            candidate = s.active[index]
            if s.slots[candidate].event_at < event_at:
                r, event_at = candidate, s.slots[candidate].event_at
        i, patient = fleet.next_arrival, fleet.next_deadline
        arrival_at = s.requests[i].arrived_at if i < count else np.inf
        deadline_at = s.requests[patient].arrived_at + fleet.timeout if patient < count else np.inf
        now = min(arrival_at, event_at, deadline_at)
        if now > until or now == np.inf:
            return until
        if arrival_at <= now:
            fleet.next_arrival += 1
            if s.requests[i].status != _REJECTED:
                arrive(s, i, now)
        elif event_at <= now:
            if s.slots[r].steps > 0 and complete(s, r) > 0:
                release(s, now)
            schedule(s, r, now)
        else:
            fleet.next_deadline += 1
            if s.requests[patient].status < _FINISHED and math.isnan(s.requests[patient].first_token_at):
                drop(s, patient, now)
        if fleet.emptied:
            fleet.emptied = False
            return now


@compiled
def scrape(s: State, slots: Integers, now: float) -> Floats:
    """A row for each of the slots, in the layout of samples.py."""
    values = np.empty((len(slots), COLUMNS))
    for row in range(len(slots)):
        r = slots[row]
        slot = s.slots[r]
        for column in range(COLUMNS):
            values[row, column] = s.counters[r, column]
        waiting, waiting_tokens = slot.waiting, slot.waiting_tokens
        i = s.ends[2 + 2 * r, 0]
        while i >= 0 and s.requests[i].ready_at <= now:
            waiting += 1
            waiting_tokens += s.requests[i].prompt
            i = s.requests[i].next
        values[row, _RUNNING] = slot.batch
        values[row, _WAITING] = waiting
        values[row, _QUEUED_TOKENS] = waiting_tokens
        done = steps_done(s, r, now)
        blocks = 0
        if slot.steps > 0:
            values[row, _GENERATED] += slot.batch * done
            values[row, _BUSY] += now - slot.began_at
            # Those of the iteration in flight are taken already.
            blocks = blocks_after(s, r, done + 1) if slot.pure else _blocks_taken(s, r)
        values[row, _KV_USAGE] = blocks / slot.kv_blocks
    return values


@inner
def _blocks_taken(s: State, r: int) -> int:
    size, blocks = s.slots[r].block_tokens, 0
    for n in range(s.slots[r].batch):
        blocks += (s.places[r, n].held + s.places[r, n].chunk + size - 1) // size
    return blocks
