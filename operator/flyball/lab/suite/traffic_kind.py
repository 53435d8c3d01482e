"""What kind of traffic a trace is, by EVALUATION's words: smooth or bursty, with a daily pattern or without.

Work is measured in replica-seconds that arrive: prefill and decode at the engine's own rates. v is the standard
deviation of (work per window of one start-up − its centred one-hour mean), divided by the mean: smooth below 0.1,
bursty above 0.3. A daily pattern has an autocorrelation of hourly work at 24 h of at least 0.5.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HOUR_SECONDS = 3600.0
DAY_HOURS = 24
SMOOTH, BURSTY, DAILY = 0.1, 0.3, 0.5


@dataclass(frozen=True, slots=True)
class TrafficKind:
    """`variation` is v; `daily_correlation` is None for traces of less than two days, which cannot show a pattern."""

    variation: float
    daily_correlation: float | None

    @property
    def words(self) -> str:
        """The kind in a few words."""
        burst = "smooth" if self.variation < SMOOTH else "bursty" if self.variation > BURSTY else "uneven"
        return f"{burst}, daily pattern" if self.daily else burst

    @property
    def bursty(self) -> bool:
        return self.variation > BURSTY

    @property
    def daily(self) -> bool:
        return self.daily_correlation is not None and self.daily_correlation >= DAILY


def traffic_kind(
    t_seconds: npt.NDArray[np.float64], work: npt.NDArray[np.float64], span_seconds: float, window_seconds: float
) -> TrafficKind:
    """Classify traffic: when requests came, what work each is, and the window H."""
    windows = max(1, int(span_seconds // window_seconds))
    per_window = np.histogram(t_seconds, windows, (0.0, windows * window_seconds), weights=work)[0]
    mean = per_window.mean()
    variation = float((per_window - _centred_mean(per_window, HOUR_SECONDS / window_seconds)).std() / mean)
    hours = int(span_seconds // HOUR_SECONDS)
    if hours < 2 * DAY_HOURS:
        return TrafficKind(variation, None)
    hourly = np.histogram(t_seconds, hours, (0.0, hours * HOUR_SECONDS), weights=work)[0]
    early, late = hourly[:-DAY_HOURS], hourly[DAY_HOURS:]
    if early.std() == 0 or late.std() == 0:
        return TrafficKind(variation, 0.0)
    return TrafficKind(variation, float(np.corrcoef(early, late)[0, 1]))


def _centred_mean(values: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float64]:
    """The mean over the windows within half of `width` of each; of those there are, near the ends."""
    reach = int(width // 2)
    cumulative = np.concatenate(([0.0], np.cumsum(values)))
    index = np.arange(len(values))
    first, last = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    means: npt.NDArray[np.float64] = (cumulative[last] - cumulative[first]) / (last - first)
    return means
