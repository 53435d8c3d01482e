"""Which trailing windows are asked for, so that their number is bounded whatever users declare.

Windows of the catalog are always asked for as they are. Of other windows the shortest twelve are, too; any further one
is rounded to the nearest of the catalog (by ratio, the longer of two equally near), and the share or count says for
which window it stands. Nothing shorter than the rate window or longer than 30 days is asked for.
"""

import math
from collections.abc import Iterable, Mapping

SHORT_SECONDS = 300.0
LONG_SECONDS = 3600.0
"""The two windows that every objective is judged over, beside the rate window and its own, and that costs are per."""
CATALOG = (300.0, 900.0, 1800.0, 3600.0, 21600.0, 86400.0, 259200.0, 604800.0, 2419200.0, 2592000.0)
MOST_OTHERS = 12
FAST_SECONDS = 3600.0
"""Windows up to this are asked for in every read; longer ones are refreshed in the background."""


def plan(declared: Iterable[float], shortest: float) -> Mapping[float, float]:
    """For each declared window (seconds) the one to ask for; `shortest` is the rate window."""
    wanted = {seconds: _within(seconds, shortest) for seconds in declared}
    others = sorted({seconds for seconds in wanted.values() if seconds not in CATALOG and seconds != shortest})
    rounded = {seconds: _nearest(seconds) for seconds in others[MOST_OTHERS:]}
    return {seconds: rounded.get(asked, asked) for seconds, asked in wanted.items()}


def of_objective(own: float, shortest: float) -> tuple[float, ...]:
    """An objective's windows, shortest first, its own (as planned) last."""
    between = [seconds for seconds in (SHORT_SECONDS, LONG_SECONDS) if shortest < seconds < own]
    return (shortest, *between, own) if own > shortest else (shortest,)


def _within(seconds: float, shortest: float) -> float:
    """Whole seconds between the rate window and the catalog's longest."""
    return shortest if seconds <= shortest else max(shortest, min(float(round(seconds)), CATALOG[-1]))


def _nearest(seconds: float) -> float:
    return min(CATALOG, key=lambda window: (abs(math.log(window / seconds)), -window))
