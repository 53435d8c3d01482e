"""Active sessions by segment: no engine and no gateway's profile has such a gauge, so that users bring their own query.

What a gateway or an application counts, by whatever labels the query leaves: `sum by (tier) (chat_sessions_open)`.
However many values those have, Prometheus sends the largest few, the sum and the number of all. Pure.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from flyball.core.observation import WorkloadSignals, believable
from flyball.core.service.latency import ACTIVE_SESSIONS, SegmentReading, SegmentsReading
from flyball.core.spec import WorkloadSpec
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.promql import SERIES_LABEL, either, tagged
from flyball.telemetry.segments_query import ALL, COUNT, MOST_SEGMENTS, TOP


def capped(query: str) -> str:
    """The query for the largest few of the series that the user's gives, their sum, and their number."""
    own = f"(\n{query}\n)"  # on lines of its own, since it may end in a comment
    tops = f"topk({MOST_SEGMENTS}, {own})"
    return either((tagged(tops, TOP), tagged(f"sum({own})", ALL), tagged(f"count({own})", COUNT)))


def apply(spec: WorkloadSpec, signals: WorkloadSignals, answers: Mapping[str, Answer]) -> WorkloadSignals:
    """The signals with the sessions, where the user has a query and it gives any."""
    answer = answers.get(ACTIVE_SESSIONS)
    found = read(spec, answer) if answer is not None else None
    return replace(signals, segments=(*signals.segments, found)) if found is not None else signals


def read(spec: WorkloadSpec, answer: Answer) -> SegmentsReading | None:
    """What the answer says; None where there is no session to count."""
    rows = [row for row in answer.rows if believable(row.value)]
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for row in rows:
        if row.labels.get(SERIES_LABEL) == TOP:
            labels = _labels(spec, row)
            sums[labels] = sums.get(labels, 0.0) + row.value
    if not sums:
        return None
    largest = sorted(sums, key=lambda labels: (-sums[labels], labels))
    every, count = (_only(rows, part) for part in (ALL, COUNT))
    rest = SegmentReading((), max(0.0, every - sum(sums.values()))) if count > MOST_SEGMENTS else None
    segments = tuple(SegmentReading(labels, sums[labels]) for labels in largest)
    return SegmentsReading(ACTIVE_SESSIONS, segments, rest, int(max(count, len(segments))) if rest else len(segments))


def _labels(spec: WorkloadSpec, row: Row) -> tuple[tuple[str, str], ...]:
    """By what the traffic is split, or whatever the query leaves where nothing is said."""
    ours = (SERIES_LABEL, "__name__")
    names = spec.telemetry.segment_by or tuple(sorted(name for name in row.labels if name not in ours))
    return tuple((name, row.labels.get(name, "")) for name in names)


def _only(rows: list[Row], part: str) -> float:
    return next((row.value for row in rows if row.labels.get(SERIES_LABEL) == part), math.nan)
