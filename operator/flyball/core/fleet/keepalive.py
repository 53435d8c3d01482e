"""How long an idle workload's last replica is worth keeping: its price against that of the wait for the next one.

All in seconds of one replica. Over the stretches without requests that were seen (gaps), keeping it for τ costs

    Σ min(gap, τ) + (start + wait) for each gap longer than τ

where `start` is how long a new one is paid for before it serves, and `wait` what it is worth that somebody waits for
it. The τ with the least cost is the best fixed keep-alive in hindsight (Shahrad et al. 2020 choose one so, from a
histogram). With too few gaps, or beyond the longest of them, it is ski rental: keep for as long as a new one would
cost, which is never dearer than twice the optimum (Karlin et al. 1988).
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

# Fewer gaps than this say less than the bound that holds for any traffic.
FEWEST_GAPS = 5
# So many of the last gaps are remembered: a week of nights and lunch breaks, and a day of a trickle.
MOST_GAPS = 50
# A gap of the same kind may be this much longer than the one that was seen.
MARGIN = 1.1


def keep_for(gaps: Sequence[float], least: float, start: float, wait: float) -> float:
    """For how long (seconds, `least` at least) to keep the last replica when nobody asks for it."""
    again = start + wait
    if len(gaps) < FEWEST_GAPS:
        return max(least, again)
    ordered = sorted(gaps)
    below = [0.0, *accumulate(ordered)]
    # Kept through all of them; one longer still is of another kind than those that taught this.
    best, cheapest = max(least, MARGIN * ordered[-1], ordered[-1] + again), below[-1]
    for candidate in (least, *(MARGIN * gap for gap in ordered if MARGIN * gap > least)):
        ended = bisect_right(ordered, candidate)
        cost = below[ended] + (len(ordered) - ended) * (candidate + again)
        if cost < cheapest:
            best, cheapest = candidate, cost
    return best
