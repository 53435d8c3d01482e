"""How Knative averages what its pods report: buckets of one second over a trailing window.

Restated from pkg/autoscaler/aggregation/bucketing.go. The mean is over the buckets since the first report, but over the
window's length at most; a second without a report counts as zero when a later one has some, and is left out when none
has. After a whole window without reports the count of buckets starts anew, so that the first report after a sleep
counts in full.
"""

import math
from collections import deque


class Window:
    """A window of `seconds`, a whole number of at least 1. Times are cut to whole seconds and must not go back."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._first = self._last = 0
        self._buckets: deque[tuple[int, float]] = deque()
        self._total = 0.0

    def record(self, at: float, value: float) -> None:
        """Values of the same second add up."""
        second = math.floor(at)
        if not self._buckets or second - self._last >= self._seconds:
            self._buckets.clear()
            self._first, self._total = second, 0.0
        self._last = second
        self._forget(second)
        self._buckets.append((second, value))
        self._total += value

    def empty(self, now: float) -> bool:
        """Nothing was reported within the window."""
        return not self._buckets or math.floor(now) - self._last > self._seconds

    def mean(self, now: float) -> float:
        """Rounded to six digits, as in the source; 0 when nothing was reported for a window's length."""
        second = math.floor(now)
        silent = second - self._last
        if not self._buckets or silent >= self._seconds:
            return 0.0
        self._forget(second)
        count = min(self._last - self._first + 1, self._seconds - silent)
        return math.floor(self._total / count * 1e6 + 0.5) / 1e6

    def _forget(self, second: int) -> None:
        while self._buckets and self._buckets[0][0] <= second - self._seconds:
            self._total -= self._buckets.popleft()[1]
