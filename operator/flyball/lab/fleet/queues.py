"""Queues of requests, as doubly linked lists through the requests: any one leaves in constant time.

A request is in at most one queue: the gateway's, or the waiting or arriving queue of one slot.
"""

from flyball.lab.fleet.compiled import inner
from flyball.lab.fleet.state import State

GATEWAY = 0
"""The gateway's queue; slot r has the waiting queue 1 + 2r and the arriving queue 2 + 2r."""


@inner
def push_back(s: State, queue: int, i: int) -> None:
    """Append request `i` to a queue."""
    request, tail = s.requests[i], s.ends[queue, 1]
    request.previous = tail
    request.next = -1
    s.ends[queue, 1] = i
    if tail < 0:
        s.ends[queue, 0] = i
    else:
        s.requests[tail].next = i


@inner
def push_front(s: State, queue: int, i: int) -> None:
    """Put request `i` at the head of a queue."""
    request, head = s.requests[i], s.ends[queue, 0]
    request.next = head
    request.previous = -1
    s.ends[queue, 0] = i
    if head < 0:
        s.ends[queue, 1] = i
    else:
        s.requests[head].previous = i


@inner
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
