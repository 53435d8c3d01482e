"""What a run attained and what it cost, by EVALUATION's words; times in seconds, shares 0 to 1.

A request is good for TimeToFirstToken when its first token comes within the threshold after its arrival; for EndToEnd
when it is finished within the threshold. For InterTokenLatency the deadline form is judged:

    finished ≤ arrival + TTFT threshold + (output − 1) × ITL threshold,

since one chunk of another's prefill spoils the mean of a short answer that nobody noticed. Without a TimeToFirstToken
objective the answer's own first token stands for arrival + TTFT threshold. What was dropped or never finished is late;
what no replica could ever hold (rejected) is left out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flyball.lab.policies.model import Objective
from flyball.lab.trace import Seconds, Trace

Flags = npt.NDArray[np.bool_]

TIME_TO_FIRST_TOKEN = "TimeToFirstToken"  # noqa: S105 - a latency, not a secret
INTER_TOKEN_LATENCY = "InterTokenLatency"  # noqa: S105 - a latency, not a secret
END_TO_END = "EndToEnd"
INDICATORS = (TIME_TO_FIRST_TOKEN, INTER_TOKEN_LATENCY, END_TO_END)
ALL = "all"
"""The share of requests that met every objective."""

WINDOW_SECONDS = 300.0
HOUR_SECONDS = 3600.0
MINUTE_SECONDS = 60.0
DIP = 0.02
"""A shortfall that counts as a dip: 2 points, of EVALUATION's T7."""


class Answers(Protocol):
    """What became of each request of a trace, in its order; NaN where it did not happen."""

    @property
    def first_token_at(self) -> Seconds: ...

    @property
    def finished_at(self) -> Seconds: ...

    @property
    def rejected(self) -> Flags: ...


@dataclass(frozen=True, slots=True)
class Service:
    """How well the requests of a span were served. A share is NaN where no request counts.

    `windows_met` is the share of five-minute windows with requests in which every objective held. `worst_hour` is the
    lowest share of requests that met every objective in any hour (every five minutes one begins; the whole span where
    it is shorter). `worst_dip` is the largest shortfall below a target in a five-minute window, `dip_seconds` the
    longest stretch of minutes that each fell more than 2 points short; minutes without requests neither end nor
    lengthen it.
    """

    attainment: Mapping[str, float]
    margin: float
    windows_met: float
    worst_hour: float
    worst_dip: float
    dip_seconds: float


def good(trace: Trace, answers: Answers, objectives: Sequence[Objective]) -> dict[str, Flags]:
    """For each indicator and for "all": which requests were good. Rejected ones are in it as bad: leave them out."""
    first_token_limit = next(
        (objective.threshold_seconds for objective in objectives if objective.indicator == TIME_TO_FIRST_TOKEN), None
    )
    found: dict[str, Flags] = {}
    for objective in objectives:
        limits = np.full(len(trace), objective.threshold_seconds)
        if objective.indicator == TIME_TO_FIRST_TOKEN:
            taken = answers.first_token_at - trace.t_seconds
        elif objective.indicator == END_TO_END:
            taken = answers.finished_at - trace.t_seconds
        elif objective.indicator == INTER_TOKEN_LATENCY:
            begins = answers.first_token_at if first_token_limit is None else trace.t_seconds + first_token_limit
            taken, limits = answers.finished_at - begins, limits * (trace.output_tokens - 1)
        else:
            raise ValueError(f"the lab cannot judge {objective.indicator}; it judges {', '.join(INDICATORS)}")
        # Times are sums of many iterations: a difference in the last bit must not decide.
        found[objective.indicator] = taken <= limits + 1e-9
    found[ALL] = np.logical_and.reduce(list(found.values()))
    return found


def attained(
    trace: Trace, answers: Answers, objectives: Sequence[Objective], start: float, end: float = math.inf
) -> dict[str, float]:
    """The share of good requests among those that arrived in [start, end), by indicator and for "all"."""
    counted = counts(trace, answers, start, end)
    total = np.count_nonzero(counted)
    return {
        name: float(np.count_nonzero(flags & counted) / total) if total else math.nan
        for name, flags in good(trace, answers, objectives).items()
    }


def counts(trace: Trace, answers: Answers, start: float, end: float = math.inf) -> Flags:
    """Which requests count: those that arrived in [start, end), without the rejected ones."""
    return (trace.t_seconds >= start) & (trace.t_seconds < end) & ~answers.rejected


def margin(attainment: Mapping[str, float], objectives: Sequence[Objective]) -> float:
    """The least of share − target over the objectives; NaN where a share is unknown."""
    return float(np.min([attainment[objective.indicator] - objective.target for objective in objectives]))


def service(trace: Trace, answers: Answers, objectives: Sequence[Objective], start: float) -> Service:
    """How well the requests that arrive from `start` on were served."""
    counted = counts(trace, answers, start)
    times = trace.t_seconds[counted] - start
    flags = {name: values[counted] for name, values in good(trace, answers, objectives).items()}
    attainment = {name: float(values.mean()) if len(values) else math.nan for name, values in flags.items()}
    shortfalls = _shortfalls(times, flags, objectives, WINDOW_SECONDS)
    known = shortfalls[~np.isnan(shortfalls)]
    return Service(
        attainment=attainment,
        margin=margin(attainment, objectives),
        windows_met=float((known <= 0).mean()) if len(known) else math.nan,
        worst_hour=_worst_hour(times, flags[ALL]),
        worst_dip=float(known.max(initial=0.0)),
        dip_seconds=_longest_dip(_shortfalls(times, flags, objectives, MINUTE_SECONDS)) * MINUTE_SECONDS,
    )


def _shortfalls(
    times: Seconds, flags: Mapping[str, Flags], objectives: Sequence[Objective], seconds: float
) -> npt.NDArray[np.float64]:
    """For each window of so many seconds: how far the worst objective is below its target (negative above it); NaN
    where no request came.
    """
    windows = np.floor_divide(times, seconds).astype(np.int64)
    length = int(windows[-1]) + 1 if len(windows) else 0
    totals = np.bincount(windows, minlength=length)
    worst = np.full(length, -np.inf)
    for objective in objectives:
        hits = np.bincount(windows, weights=flags[objective.indicator], minlength=length)
        # A share of exactly its target meets it, whatever the last bit of the division says.
        worst = np.maximum(worst, objective.target - hits / np.maximum(totals, 1) - 1e-12)
    return np.where(totals > 0, worst, math.nan)


def _worst_hour(times: Seconds, flags: Flags) -> float:
    if not len(times):
        return math.nan
    begins = np.arange(0.0, max(times[-1] - HOUR_SECONDS, 0.0) + WINDOW_SECONDS, WINDOW_SECONDS)
    cumulative = np.concatenate(([0], np.cumsum(flags)))
    first = np.searchsorted(times, begins, side="left")
    last = np.searchsorted(times, begins + HOUR_SECONDS, side="left")
    some = last > first
    return float(((cumulative[last] - cumulative[first])[some] / (last - first)[some]).min())


def _longest_dip(shortfalls: npt.NDArray[np.float64]) -> int:
    longest = current = 0
    for shortfall in shortfalls.tolist():
        if math.isnan(shortfall):
            continue
        current = current + 1 if shortfall > DIP else 0
        longest = max(longest, current)
    return longest
