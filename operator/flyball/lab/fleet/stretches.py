"""Stretches of iterations in which everything that runs decodes, in closed form.

Each sequence's context grows by a token an iteration, so iteration i takes pace + i × growth seconds, and k iterations
take k × pace + growth × k (k + 1) / 2. The functions change the state in place; `r` is a slot.
"""

import math

from flyball.lab.fleet.compiled import inner
from flyball.lab.fleet.state import State


@inner
def stretch_seconds(pace: float, growth: float, steps: int) -> float:
    """How long the first `steps` iterations of a stretch take."""
    return steps * pace + growth * (steps * (steps + 1) // 2)


@inner
def steps_until(s: State, r: int, at: float) -> int:
    """The fewest iterations, one at least, of the stretch in progress that end at `at` or later."""
    slot = s.slots[r]
    began_at, pace, growth = slot.began_at, slot.pace, slot.growth
    seconds = at - began_at
    if seconds <= 0:
        return 1
    linear = pace + growth / 2
    steps: int = max(1, math.ceil(2 * seconds / (linear + math.sqrt(linear * linear + 2 * growth * seconds))))
    # The root is inexact in its last digits, which decide at an iteration's end.
    while began_at + stretch_seconds(pace, growth, steps) < at:
        steps += 1
    while steps > 1 and began_at + stretch_seconds(pace, growth, steps - 1) >= at:
        steps -= 1
    return steps


@inner
def steps_done(s: State, r: int, now: float) -> int:
    """The iterations of the stretch in progress that have ended by `now`."""
    slot = s.slots[r]
    if not slot.pure or slot.steps <= 1:
        return 0
    steps = steps_until(s, r, now)
    if slot.began_at + stretch_seconds(slot.pace, slot.growth, steps) > now:
        steps -= 1
    last: int = slot.steps - 1
    return min(steps, last)


@inner
def cut(s: State, r: int, at: float) -> None:
    """End the stretch in progress with the first iteration that ends at `at` or later."""
    slot = s.slots[r]
    steps = steps_until(s, r, at)
    if steps < slot.steps:
        slot.steps = steps
        slot.event_at = slot.began_at + stretch_seconds(slot.pace, slot.growth, steps)


@inner
def blocks_after(s: State, r: int, steps: int) -> int:
    """KV blocks in use when each running request holds `steps` tokens more than it does."""
    size, blocks = s.slots[r].block_tokens, 0
    for n in range(s.slots[r].batch):
        blocks += (s.places[r, n].held + steps + size - 1) // size
    return blocks
