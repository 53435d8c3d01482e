"""From the answer by segment to what is known of each workload's segments. Pure."""

import math
from collections.abc import Mapping, Sequence

from flyball.core.names import Indicator
from flyball.core.service.latency import LatencySource, SegmentReading, SegmentsReading
from flyball.core.spec import Objective, WorkloadSpec
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.histograms import BadHistogram, Buckets, bracket, good_events, merge, percentiles
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.segments_query import ALL, COUNT, TOP, Split
from flyball.telemetry.stages_query import Wanted, wanted

_Place = tuple[str, tuple[str, ...]]


class SegmentTables:
    """The rows of one answer by part and workload's histogram, then by segment."""

    __slots__ = ("_rows",)

    def __init__(self, answer: Answer) -> None:
        self._rows: dict[_Place, dict[tuple[str, ...], list[Row]]] = {}
        for row in answer.rows:
            tag = row.labels.get(SERIES_LABEL, "")
            own, _, split = tag.partition("|")
            values = tuple(row.labels.get(name, "") for name in own.split()[2:])
            segment = tuple(row.labels.get(name, "") for name in split.split())
            self._rows.setdefault((tag, values), {}).setdefault(segment, []).append(row)

    def of(self, split: Split, kind: str, histogram: Wanted) -> Mapping[tuple[str, ...], Sequence[Row]]:
        """The rows of that kind by the values of the segments' labels."""
        return self._rows.get((split.part(kind), histogram.values()), {})


def read_segments(spec: WorkloadSpec, tables: SegmentTables | None) -> tuple[SegmentsReading, ...]:
    """Each of the workload's latencies by segment; nothing where nothing is split, or not known yet."""
    if tables is None:
        return ()
    found = (_read(spec, indicator, source, tables) for indicator, source in spec.telemetry.split)
    return tuple(reading for reading in found if reading is not None)


def _read(
    spec: WorkloadSpec, indicator: Indicator, source: LatencySource, tables: SegmentTables
) -> SegmentsReading | None:
    promised = next((o for o in spec.objectives if o.indicator is indicator and not o.segment), None)
    histogram = wanted(spec, source)
    for family, (_, scale) in zip(histogram.families(), source.metrics, strict=True):
        split = Split(family, tuple(name for name in spec.telemetry.segment_by if name not in family.by))
        top = tables.of(split, TOP, histogram)
        segments = [
            segment
            for values, rows in top.items()
            if (segment := _segment(tuple(zip(split.labels, values, strict=True)), rows, scale, promised)) is not None
        ]
        if not segments:
            continue
        segments.sort(key=lambda each: (-each.requests, each.labels))
        every = _segment(
            (), [row for rows in tables.of(split, ALL, histogram).values() for row in rows], scale, promised
        )
        counts = [row.value for rows in tables.of(split, COUNT, histogram).values() for row in rows]
        count = int(counts[0]) if counts and math.isfinite(counts[0]) else len(segments)
        rest = _rest(every, segments) if count > len(segments) else None
        return SegmentsReading(str(indicator), tuple(segments), rest, count, promised.name if promised else "")
    return None


def _segment(
    labels: tuple[tuple[str, str], ...], rows: Sequence[Row], scale: float, promised: Objective | None
) -> SegmentReading | None:
    try:
        buckets = merge([(float(row.labels.get("le", "nan")) * scale, row.value) for row in rows])
    except (BadHistogram, ValueError):
        return None
    seen = percentiles(buckets) if buckets is not None else None
    if buckets is None or seen is None:
        return None
    return SegmentReading(labels, buckets.total, seen.p95, _missed(buckets, promised))


def _missed(buckets: Buckets, promised: Objective | None) -> float | None:
    if promised is None or promised.threshold_seconds is None:
        return None
    good = good_events(buckets, bracket(buckets.edges, promised.threshold_seconds), promised.threshold_seconds)
    return None if good is None else max(0.0, buckets.total - good)


def _rest(every: SegmentReading | None, segments: Sequence[SegmentReading]) -> SegmentReading | None:
    """What all requests are more than those of the segments that are told apart; of its p95 nothing is known."""
    if every is None:
        return None
    requests = max(0.0, every.requests - sum(segment.requests for segment in segments))
    missed = None
    if every.missed is not None and all(segment.missed is not None for segment in segments):
        missed = min(requests, max(0.0, every.missed - sum(segment.missed or 0.0 for segment in segments)))
    return SegmentReading((), requests, math.nan, missed)
