"""Whether a change of counts is worth making yet. Every plan is made anew each tick, and chance moves it by one replica
up and down: acted upon, each such tick is a scale action, and the next ones undo it.

So a change has a price of its own, as in any inventory with a cost per order: it is made once what it will gain in the
time for which a count stands, and what was lost by waiting for it already, come to that. A large gain acts at once, a
small one when it has lasted, and what was chance is gone by then. Waiting never loses more than the price. What goes
may have to come back, so that its next start is charged to the gain as that of a new one is.

The price is what the whole fleet costs in half a telemetry window: the mean age of a rate that is seen over one. What
such a rate says of now is chance for about as long.
"""

from collections.abc import Mapping, Sequence

from flyball.core.fleet.economics import DWELL_SECONDS, Choice, Stakes, costs_of, switch
from flyball.core.memory import Foregone

# Of a tick after a gap no more than this counts, in seconds: nobody looked meanwhile.
LONGEST_TICK_SECONDS = 60.0


def ripe(
    choices: Sequence[Choice],
    stakes: Stakes,
    counts: Mapping[str, int],
    at: float,
    window_seconds: float,
    known: Foregone,
) -> tuple[bool, Foregone]:
    """Whether to change to these counts now, and what was foregone until now where not."""
    staying, changing = costs_of(choices, stakes, {c.name: c.current for c in choices}, counts)
    gain = staying - changing - sum(c.price * switch(c) * max(0, c.current - counts[c.name]) for c in choices)
    if gain <= 0:
        return False, Foregone()
    more = sum(c.rate * (counts[c.name] - c.current) for c in choices) > 0
    waited = known.more is more
    elapsed = min(LONGEST_TICK_SECONDS, max(0.0, at - known.at)) if waited else 0.0
    foregone = (known.amount if waited else 0.0) + gain * elapsed
    stands = max(c.startup_seconds for c in choices) + DWELL_SECONDS
    price = window_seconds / 2.0 * sum(c.price * c.current for c in choices)
    if gain * stands + foregone >= price:
        return True, Foregone()
    return False, Foregone(at, more, foregone)
