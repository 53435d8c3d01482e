"""Objectives as a user writes them for a load test, and the share of requests that met them.

`TimeToFirstToken<1s@95%`, `InterTokenLatency<150ms@95%`, `EndToEnd<30s@99%`, `Availability@99.9%`.

A request that failed for any reason is a bad one. Left out are requests that the server refused as invalid whatever
its load (400, 413, 422: a prompt longer than the model's context, say) and those that the user's own Ctrl-C cut off.

InterTokenLatency is judged in the deadline form where a TimeToFirstToken objective stands beside it: finished by
sending + the TTFT threshold + (tokens − 1) × the ITL threshold, since one chunk of another's prefill spoils the mean
of a short answer that nobody noticed. The plain mean per output token is given as well, and alone where there is no
TTFT threshold; answers of one token have none and are left out.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from flyball.core.names import Indicator
from flyball.core.units import format_duration, parse_duration_seconds, parse_ratio
from flyball.lab.load.results import ErrorKind, RequestRecord

_FORM = re.compile(r"(?P<indicator>\w+)\s*(?:<=?\s*(?P<threshold>[^@\s]+))?\s*@\s*(?P<target>\S+)")
_TIMED = (Indicator.TIME_TO_FIRST_TOKEN, Indicator.INTER_TOKEN_LATENCY, Indicator.END_TO_END)
_INVALID_STATUSES = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class LoadObjective:
    """At least the share `target` of the requests within the threshold; None for Availability."""

    indicator: Indicator
    threshold_seconds: float | None
    target: float

    def __str__(self) -> str:
        threshold = "" if self.threshold_seconds is None else f"<{format_duration(self.threshold_seconds)}"
        return f"{self.indicator}{threshold}@{self.target * 100:.6g}%"


@dataclass(frozen=True, slots=True)
class Attainment:
    """Good requests of those that count. `form` says how a request was judged: latency, deadline, mean or success."""

    objective: LoadObjective
    form: str
    good: int
    total: int

    @property
    def share(self) -> float | None:
        """None where no request counts: absence is not success."""
        return self.good / self.total if self.total else None

    @property
    def met(self) -> bool:
        return self.share is not None and self.share >= self.objective.target


def parse_objective(text: str) -> LoadObjective:
    """Parse one objective. Raises ValueError that says what is accepted."""
    match = _FORM.fullmatch(text.strip())
    names = [*map(str, _TIMED), str(Indicator.AVAILABILITY)]
    if match is None or match["indicator"] not in names:
        raise ValueError(
            f"{text!r} is not an objective; write for example 'TimeToFirstToken<1s@95%', with one of {', '.join(names)}"
        )
    indicator = Indicator(match["indicator"])
    if (indicator in _TIMED) != (match["threshold"] is not None):
        raise ValueError(
            f"{text!r}: {indicator} " + ("needs a threshold, as in <1s" if indicator in _TIMED else "has no threshold")
        )
    threshold = None if match["threshold"] is None else parse_duration_seconds(match["threshold"])
    if threshold == 0:
        raise ValueError(f"{text!r}: a threshold of 0 cannot be met; give a longer one")
    # Rounded, since 999 good requests of 1000 must meet 99.9%, whose float may lie a hair above.
    return LoadObjective(indicator, threshold, round(parse_ratio(match["target"]), 12))


def attain(objectives: Sequence[LoadObjective], records: Iterable[RequestRecord]) -> list[Attainment]:
    """Judge every objective; InterTokenLatency gives two lines where both of its forms apply."""
    counted = [record for record in records if not _left_out(record)]
    ttft = next((o.threshold_seconds for o in objectives if o.indicator is Indicator.TIME_TO_FIRST_TOKEN), None)
    attained = []
    for objective in objectives:
        for form, judge in _judges(objective, ttft):
            verdicts = [verdict for verdict in map(judge, counted) if verdict is not None]
            attained.append(Attainment(objective, form, sum(verdicts), len(verdicts)))
    return attained


def _left_out(record: RequestRecord) -> bool:
    return record.error is ErrorKind.CANCELLED or record.status in _INVALID_STATUSES


Judge = Callable[[RequestRecord], bool | None]


def _judges(objective: LoadObjective, ttft_threshold: float | None) -> list[tuple[str, Judge]]:
    """How one request is judged: good, bad, or not at all."""
    threshold = objective.threshold_seconds
    if threshold is None:
        return [("success", lambda record: record.succeeded)]
    if objective.indicator is Indicator.TIME_TO_FIRST_TOKEN:
        return [("latency", lambda record: record.succeeded and _within(record.ttft_seconds, threshold))]
    if objective.indicator is Indicator.END_TO_END:
        return [("latency", lambda record: record.succeeded and _within(record.e2e_seconds, threshold))]
    judges: list[tuple[str, Judge]] = [("mean", lambda record: _mean_is_good(record, threshold))]
    if ttft_threshold is not None:
        judges.insert(0, ("deadline", lambda record: _deadline_is_met(record, ttft_threshold, threshold)))
    return judges


def _within(seconds: float | None, threshold: float) -> bool:
    return seconds is not None and seconds <= threshold


def _deadline_is_met(record: RequestRecord, ttft_threshold: float, itl_threshold: float) -> bool:
    deadline = ttft_threshold + (record.received_tokens - 1) * itl_threshold
    return record.succeeded and _within(record.e2e_seconds, deadline)


def _mean_is_good(record: RequestRecord, threshold: float) -> bool | None:
    if record.succeeded and record.received_tokens < 2:
        return None
    return record.succeeded and _within(record.itl_mean_seconds, threshold)
