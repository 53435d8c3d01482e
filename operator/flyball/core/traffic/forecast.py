"""What arrives after a replica ordered now is ready: an ensemble of simple forecasts, and a distribution around them.

Arrivals are a rate (requests/s) seen once a tick over a trailing window. For one lead time the members are persistence
over several smoothing times, a damped trend, and the same time of the day and week before; each is weighed by a
power of its own decayed error at that lead, so that a trend or season counts only where it has earned it.

Around the combined forecast stand quantiles of its scaled error, tracked by adaptive conformal inference (Gibbs and
Candès 2021): each moves up by its level when it was exceeded and down by the rest when it was not, so that its long-run
coverage is right whatever the traffic does. Errors are scaled by the root of the level, as counts are.
"""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from flyball.core.values import dataclass, replace

Numbers = npt.NDArray[np.float64]

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)
"""The quantiles that are tracked."""

# Smoothing times of the persistence members, seconds: from the window itself to a quarter of an hour, which is as long
# as real traffic's level holds (its autocorrelation at 15 minutes is still above 0.9 in most recorded traces).
SMOOTHING_SECONDS = (0.0, 120.0, 300.0, 900.0)
# A level smoothed over more than so many leads is not asked: it would only hold the past of a load that is over.
OLDEST_LEADS = 4.0
# A rate this many deviations away from a level, of counts or of what forecasts err by, is a step: it follows at once.
STEP_DEVIATIONS = 3.0
# The trend member: its level and slope smooth over these times, and a slope is believed for this long only (Gardner
# and McKenzie 1985: damped trends beat undamped ones at every horizon).
LEVEL_SECONDS, SLOPE_SECONDS, DAMPING_SECONDS = 60.0, 300.0, 600.0
# A member's weight falls with this power of its squared error: members err together, so a mean of all would carry the
# lag of the slow ones along; on recorded traffic this came within 2% of the best member everywhere.
SHARPNESS = 6.0
# Errors of members fade with this half-life: a regime of traffic lasts hours.
ERROR_HALF_LIFE_SECONDS = 7200.0
# Step of the quantile tracker, in units of the mean absolute scaled error, for one tick of this many seconds: some 30
# misses move a quantile by one such unit.
STEP, STEP_SECONDS = 0.03, 15.0
# A forecast is judged by a rate that came no later than this after its time.
LONGEST_LATE_SECONDS = 60.0
# A season is a mean rate by slot of the day or week: half an hour, linear in between, keeps two weeks in 672 numbers.
SLOT_SECONDS = 1800.0
DAY_SECONDS, WEEK_SECONDS = 86_400.0, 604_800.0
MOST_SLOTS = int(2 * WEEK_SECONDS / SLOT_SECONDS)
# A season is asked only when this many of its periods have been seen whole.
SEASONS_TO_EARN = 2


@dataclass(frozen=True, slots=True)
class Issued:
    """A forecast waiting for its time: what each member and their combination said, and the quantiles around it."""

    due_at: float
    members: tuple[float, ...]
    combined: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ForecastMemory:
    """What forecasting one workload's arrivals has learned. Rates in requests/s, times in seconds since the epoch.

    `smoothed` has one level for each smoothing time, `errors` the decayed mean squared error of each member, scaled as
    counts are (0: not judged yet). `quantiles` are scaled errors at LEVELS and `scale` their mean absolute value.
    `judged` counts the forecasts that came due and `below` how many of them were not exceeded by each quantile. `slots`
    are mean rates by slot of half an hour, newest last, ending before `slot`.
    """

    at: float
    smoothed: tuple[float, ...]
    level: float
    slope: float
    errors: tuple[float, ...]
    quantiles: tuple[float, ...]
    scale: float
    pending: tuple[Issued, ...] = ()
    judged: int = 0
    below: tuple[int, ...] = (0,) * len(LEVELS)
    slots: tuple[float, ...] = ()
    slot: int = 0
    slot_sum: float = 0.0
    slot_count: int = 0


@dataclass(frozen=True, slots=True)
class Outlook:
    """Arrivals (requests/s) at the lead time: the combined forecast, and rates with the probability that each stands
    for.
    """

    mean: float
    rates: tuple[float, ...]
    masses: tuple[float, ...]

    def quantile(self, level: float) -> float:
        """The rate not exceeded with probability `level`, linear between the tracked ones."""
        if level <= LEVELS[0]:
            return self.rates[0]
        for index in range(1, len(LEVELS)):
            if level <= LEVELS[index]:
                share = (level - LEVELS[index - 1]) / (LEVELS[index] - LEVELS[index - 1])
                return self.rates[index - 1] + share * (self.rates[index] - self.rates[index - 1])
        return self.rates[-1]


def _masses() -> tuple[float, ...]:
    bounds = [0.0, *((low + high) / 2 for low, high in pairwise(LEVELS)), 1.0]
    return tuple(high - low for low, high in pairwise(bounds))


MASSES = _masses()
"""The probability that each tracked quantile stands for."""

# Standard normal quantiles at LEVELS, for the distribution before anything was seen.
_NORMAL = (-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645, 2.054)
# Before anything was seen, counts are taken to vary twice as much as independent arrivals do (recorded traffic's
# dispersion at a minute lies between 1 and 13).
_PRIOR_DEVIATIONS = 2.0
# And their level to wander by this share of itself in an hour, as a random walk: a daily pattern's steep flanks.
_PRIOR_DRIFT_PER_HOUR = 0.5
_LARGEST_SEASONAL_FACTOR = 4.0
# The level that a season moves: smoothed over five minutes.
_SEASONAL_LEVEL = 2
_TREND = len(SMOOTHING_SECONDS)
_SMALLEST_ERROR = 1e-4


def start(at: float, rate: float, window_seconds: float, lead_seconds: float) -> ForecastMemory:
    """Before any forecast: the rate as it is now, and the spread of counts over the window."""
    drift = _PRIOR_DRIFT_PER_HOUR**2 * (lead_seconds / 3600.0) * rate
    scale = math.sqrt(_PRIOR_DEVIATIONS**2 / window_seconds + drift)
    members = len(SMOOTHING_SECONDS) + 3
    return ForecastMemory(
        at=at,
        smoothed=(rate,) * len(SMOOTHING_SECONDS),
        level=rate,
        slope=0.0,
        errors=(0.0,) * members,
        quantiles=tuple(scale * deviation for deviation in _NORMAL),
        scale=scale,
        slot=int(at // SLOT_SECONDS),
    )


def observe(
    memory: ForecastMemory, at: float, rate: float, lead_seconds: float, window_seconds: float
) -> tuple[ForecastMemory, Outlook]:
    """The memory after a tick that saw `rate` over the trailing window, and the outlook at the lead time.

    A time that is not later than the last one teaches nothing; after a gap longer than the lead the levels start anew.
    """
    if at - memory.at > max(lead_seconds, LONGEST_LATE_SECONDS):
        memory = replace(memory, at=at, smoothed=(rate,) * len(SMOOTHING_SECONDS), level=rate, slope=0.0, pending=())
    elif at > memory.at:
        memory = _judge(memory, at, rate, window_seconds)
        memory = _follow(memory, at, rate, window_seconds)
    members = _members(memory, at, lead_seconds)
    combined = _combined(members, memory.errors)
    if not memory.pending or at + lead_seconds > memory.pending[-1].due_at:
        issued = Issued(at + lead_seconds, members, combined, memory.quantiles)
        memory = replace(memory, pending=(*memory.pending, issued))
    unit = _unit(combined, window_seconds)
    rates = tuple(max(0.0, combined + unit * error) for error in memory.quantiles)
    return memory, Outlook(combined, rates, MASSES)


def coverage(memory: ForecastMemory) -> tuple[tuple[float, float], ...]:
    """For each level the share of outcomes that its quantile covered; empty before any forecast came due."""
    if not memory.judged:
        return ()
    return tuple((level, count / memory.judged) for level, count in zip(LEVELS, memory.below, strict=True))


def ahead(memory: ForecastMemory, at: float, until: float) -> tuple[Numbers, Numbers]:
    """The mean rates of the slots from `at` to `until`, and for how many seconds of each that is.

    Each is the mean of the same slot of earlier weeks, or of earlier days where no whole week was seen. Empty where not
    even a day was.
    """
    seen = np.array(memory.slots)
    period = next((p for p in (WEEK_SECONDS, DAY_SECONDS) if len(seen) * SLOT_SECONDS >= p), None)
    if period is None or until <= at or np.isnan(seen).all():
        return np.empty(0), np.empty(0)
    slots = int(period / SLOT_SECONDS)
    places = (memory.slot - len(seen) + np.arange(len(seen))) % slots
    known = ~np.isnan(seen)
    counts = np.bincount(places[known], minlength=slots)
    sums = np.bincount(places[known], weights=seen[known], minlength=slots)
    means = np.divide(sums, counts, out=np.full(slots, float(seen[known].mean())), where=counts > 0)
    coming = np.arange(int(at // SLOT_SECONDS), math.ceil(until / SLOT_SECONDS))
    starts = np.maximum(at, coming * SLOT_SECONDS)
    return means[coming % slots], np.minimum(until, (coming + 1) * SLOT_SECONDS) - starts


def _judge(memory: ForecastMemory, at: float, rate: float, window_seconds: float) -> ForecastMemory:
    """Hold the forecasts that are due against what came."""
    due = [issued for issued in memory.pending if issued.due_at <= at]
    if not due:
        return memory
    pending = tuple(issued for issued in memory.pending if issued.due_at > at)
    if at - due[-1].due_at > LONGEST_LATE_SECONDS:
        return replace(memory, pending=pending)  # its time passed unseen
    latest = due[-1]
    elapsed = min(at - memory.at, STEP_SECONDS * 4)
    fading = 0.5 ** (elapsed / ERROR_HALF_LIFE_SECONDS)
    keep = min(fading, 1.0 - 1.0 / (memory.judged + 1.0))  # a plain mean at first: one early error is no record
    errors = []
    for said, error in zip(latest.members, memory.errors, strict=True):
        if math.isnan(said):
            errors.append(error)
            continue
        missed = (rate - said) ** 2 / max(said, rate, 1.0 / window_seconds)
        errors.append(max(_SMALLEST_ERROR, missed if error == 0.0 else keep * error + (1 - keep) * missed))
    scaled = (rate - latest.combined) / _unit(latest.combined, window_seconds)
    step = STEP * elapsed / STEP_SECONDS * memory.scale
    moved = sorted(
        quantile + step * (level - (scaled <= said))
        for quantile, level, said in zip(memory.quantiles, LEVELS, latest.quantiles, strict=True)
    )
    return replace(
        memory,
        pending=pending,
        errors=tuple(errors),
        quantiles=tuple(moved),
        scale=fading * memory.scale + (1 - fading) * abs(scaled),
        judged=memory.judged + 1,
        below=tuple(count + (scaled <= said) for count, said in zip(memory.below, latest.quantiles, strict=True)),
    )


def _follow(memory: ForecastMemory, at: float, rate: float, window_seconds: float) -> ForecastMemory:
    """Levels, slope and slots after one more rate."""
    elapsed = at - memory.at
    deviation = max(_PRIOR_DEVIATIONS / math.sqrt(window_seconds), memory.scale)
    smoothed = tuple(
        _nearer(level, rate, _share(elapsed, seconds), deviation, window_seconds)
        for level, seconds in zip(memory.smoothed, SMOOTHING_SECONDS, strict=True)
    )
    expected = max(0.0, memory.level + memory.slope * elapsed)
    level = _nearer(expected, rate, _share(elapsed, LEVEL_SECONDS), deviation, window_seconds)
    slope = memory.slope + _share(elapsed, SLOPE_SECONDS) * ((level - memory.level) / elapsed - memory.slope)
    slot = int(at // SLOT_SECONDS)
    slots, total, count = memory.slots, memory.slot_sum, memory.slot_count
    if slot != memory.slot:
        mean = total / count if count else rate
        gap = min(slot - memory.slot - 1, MOST_SLOTS)
        slots = (*slots, mean, *((math.nan,) * gap))[-MOST_SLOTS:]
        total, count = 0.0, 0
    return replace(
        memory,
        at=at,
        smoothed=smoothed,
        level=level,
        slope=slope,
        slots=slots,
        slot=slot,
        slot_sum=total + rate,
        slot_count=count + 1,
    )


def _members(memory: ForecastMemory, at: float, lead: float) -> tuple[float, ...]:
    """Every member's forecast; NaN for a season that is not known yet, and a level older than the lead calls for."""
    oldest = max(SMOOTHING_SECONDS[1], OLDEST_LEADS * lead)
    levels = (v if s <= oldest else math.nan for v, s in zip(memory.smoothed, SMOOTHING_SECONDS, strict=True))
    trend = memory.level + memory.slope * DAMPING_SECONDS * (1.0 - math.exp(-lead / DAMPING_SECONDS))
    seasons = (_seasonal(memory, at, lead, DAY_SECONDS), _seasonal(memory, at, lead, WEEK_SECONDS))
    return (*levels, max(0.0, trend), *seasons)


def _seasonal(memory: ForecastMemory, at: float, lead: float, period: float) -> float:
    """The level now, moved as the season moved at this time in earlier periods; NaN until two were seen."""
    if len(memory.slots) * SLOT_SECONDS < SEASONS_TO_EARN * period:
        return math.nan
    now, then = _season_at(memory, at, period), _season_at(memory, at + lead, period)
    if not (now > 0 and then >= 0):
        return math.nan
    factor = min(_LARGEST_SEASONAL_FACTOR, max(1.0 / _LARGEST_SEASONAL_FACTOR, then / now))
    return memory.smoothed[_SEASONAL_LEVEL] * factor


def _season_at(memory: ForecastMemory, at: float, period: float) -> float:
    """The mean rate at this time in earlier periods, linear between the middles of slots."""
    position = at / SLOT_SECONDS - 0.5
    first = math.floor(position)
    share = position - first
    before, after = _slot_mean(memory, first, period), _slot_mean(memory, first + 1, period)
    return before + share * (after - before)


def _slot_mean(memory: ForecastMemory, slot: int, period: float) -> float:
    """The mean of that slot's rates one, two … periods before; NaN where none was seen."""
    per_period = int(period / SLOT_SECONDS)
    index = len(memory.slots) - (memory.slot - slot)
    values = []
    index -= per_period
    while index >= 0:
        if index < len(memory.slots) and not math.isnan(memory.slots[index]):
            values.append(memory.slots[index])
        index -= per_period
    return sum(values) / len(values) if values else math.nan


def _combined(members: tuple[float, ...], errors: tuple[float, ...]) -> float:
    """The mean of the members, weighed by their errors; before any was judged, of the rate and its trend."""
    judged = [(said, error) for said, error in zip(members, errors, strict=True) if error > 0 and not math.isnan(said)]
    if not judged:
        return (members[0] + members[_TREND]) / 2
    weights = [math.pow(max(_SMALLEST_ERROR, error), -SHARPNESS) for _, error in judged]
    return sum(weight * said for weight, (said, _) in zip(weights, judged, strict=True)) / sum(weights)


def _unit(rate: float, window_seconds: float) -> float:
    return math.sqrt(max(rate, 1.0 / window_seconds))


def _nearer(level: float, rate: float, share: float, deviation: float, window_seconds: float) -> float:
    """The level moved by that share toward the rate; all the way to a rate that chance does not explain."""
    stepped = abs(rate - level) > STEP_DEVIATIONS * deviation * _unit(level, window_seconds)
    return rate if stepped else level + share * (rate - level)


def _share(elapsed: float, seconds: float) -> float:
    return 1.0 - math.exp(-elapsed / seconds) if seconds > 0 else 1.0
