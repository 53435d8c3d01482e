"""Segments of the traffic for people: the largest ones with how they fare, what is left of the traffic, and the worst.

The worst is named once it surely misses more than the objective allows, so that chance names nobody. What is left
(`other`) is held against the objective like any segment: nobody is hidden by the cap on their number. Of segments that
fare alike the one named before stays named.
"""

import re

from flyball.core.confidence import Z_NEWS, share_bounds
from flyball.core.decision import SegmentReport, SegmentsReport
from flyball.core.memory import Memory
from flyball.core.observation import WorkloadSignals
from flyball.core.service.latency import SegmentReading, SegmentsReading
from flyball.core.spec import WorkloadSpec

OTHER, ALL = "other", "all"
LONGEST_VALUE = 48
"""Longer label values are cut for people; the objective of a segment names them in full."""
ALIKE = 0.8
"""Shares of misses that differ by less than this factor are alike."""
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


def told(spec: WorkloadSpec, signals: WorkloadSignals, memory: Memory) -> tuple[SegmentsReport, ...]:
    """Each latency by segment."""
    readings = (reading for reading in signals.segments if reading.segments)
    return tuple(_told(spec, reading, memory.state(subject(reading.measured))) for reading in readings)


def subject(measured: str) -> str:
    """What the worst segment is remembered under."""
    return f"segment/{measured}"


def _told(spec: WorkloadSpec, reading: SegmentsReading, before: str | None) -> SegmentsReport:
    budget = next((o.budget for o in spec.objectives if o.name == reading.objective), None)
    rest = (reading.rest,) if reading.rest is not None else ()
    named = [(name_of(segment), segment) for segment in reading.segments]
    named += [(OTHER, segment) for segment in rest]
    return SegmentsReport(
        measured=reading.measured,
        count=reading.count,
        segments=tuple(_one(name, segment) for name, segment in named),
        worst=_worst(named, budget, before) if budget is not None else "",
    )


def _one(name: str, segment: SegmentReading) -> SegmentReport:
    missed = None if segment.missed is None or segment.requests <= 0 else segment.missed / segment.requests
    return SegmentReport(name, segment.requests, segment.p95, None if missed is None else 1.0 - missed)


def _worst(named: list[tuple[str, SegmentReading]], budget: float, before: str | None) -> str:
    sure = {
        name: low
        for name, segment in named
        if segment.missed is not None and (low := share_bounds(segment.missed, segment.requests, Z_NEWS)[0]) > budget
    }
    worst = max(sure, key=lambda name: sure[name], default="")
    return before if before in sure and sure[before] >= ALIKE * sure[worst] else worst


def name_of(segment: SegmentReading) -> str:
    """A segment in words: its labels with their values, printable and short; `all` where nothing tells it apart."""
    return ",".join(f"{label}={_shown(value)}" for label, value in segment.labels) or ALL


def _shown(value: str) -> str:
    printable = _UNPRINTABLE.sub("?", value)
    return printable if len(printable) <= LONGEST_VALUE else f"{printable[:LONGEST_VALUE]}~"
