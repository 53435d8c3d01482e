"""Whether all pods' histograms have the same bucket edges: remembered, since asking for shares of edges is dear.

A process' edges never change, so that edges that were even stay so while the same pods report. A container that begins
anew with another image under its old pod's name is silent in between for longer than two scrapes. Over a window, edges
are even once an answer over it said so, and while none were seen to differ since.
"""

import math

from flyball.core.observation import believable
from flyball.telemetry import bucket_queries, queries
from flyball.telemetry.answers import Row, Table
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.queries import Edges

REMEMBERED_SECONDS = 300.0
"""After so long it is asked again in any case; Prometheus' own lookback, so that no pod comes and goes unseen."""

Pods = frozenset[tuple[str, str]]


def reporting(gauges: Table, at: float, rate_window_seconds: float) -> Pods:
    """The pods that report now, by namespace and name: half a rate window holds two scrapes."""
    return frozenset(
        (row.labels.get("namespace", ""), row.labels.get("pod", ""))
        for row in gauges.everywhere(queries.SAMPLED_AT)
        if at - row.value <= rate_window_seconds / 2
    )


class EvenEdges:
    """What is known of one engine's pods. Times are epoch seconds."""

    def __init__(self) -> None:
        self._pods: Pods = frozenset()
        self._asked_at = -math.inf
        self._even: dict[tuple[float, str], frozenset[str]] = {}
        self.uneven: frozenset[str] = frozenset()

    def known(self, pods: Pods, at: float) -> bool:
        """Whether what is known holds for these pods at that time."""
        return pods == self._pods and 0 <= at - self._asked_at <= REMEMBERED_SECONDS

    def learn(self, pods: Pods, at: float, having: Table, parts: frozenset[str]) -> None:
        """Take the answer to `queries.edges_query` about those parts; after a failure any of them may be uneven."""
        if not 0 <= at - self._asked_at <= REMEMBERED_SECONDS:
            self._even = {}
        self._pods, self._asked_at = pods, -math.inf if having.failure else at
        self.uneven = parts if having.failure else frozenset(_uneven(having))
        self._even = {place: edges for place, edges in self._even.items() if place[1] not in self.uneven}

    def over(self, window: float, edges: Edges) -> frozenset[str]:
        """The parts of which those edges were even over all of that window (seconds)."""
        return frozenset(
            part
            for place, texts in edges.items()
            if (known := self._even.get((window, part := bucket_queries.buckets(*place)))) and known >= set(texts)
        )

    def learn_window(self, window: float, answer: Table, edges: Edges) -> None:
        """Take the answer over a window, which those edges were asked for in."""
        if answer.failure:
            return
        even = self.over(window, edges)
        for place, texts in edges.items():
            part = bucket_queries.buckets(*place)
            if part not in even and part not in self.uneven and _even(answer, part):
                self._even[window, part] = frozenset(texts)


def _uneven(having: Table) -> set[str]:
    """The parts in which some series of a namespace lack edges that others have."""
    seen: dict[tuple[str, str], set[float]] = {}
    for row in having.rows():
        place = row.labels.get(SERIES_LABEL, ""), row.labels.get("namespace", "")
        seen.setdefault(place, set()).add(row.value)
    return {part for (part, _), values in seen.items() if len(values) > 1}


def _even(answer: Table, part: str) -> bool:
    """Whether of every edge those that have it hold all events."""
    every = {source(row): row.value for row in answer.everywhere(part) if row.labels.get("le") == "+Inf"}
    covered = answer.everywhere(bucket_queries.covered(part))
    return all(believable(row.value) and _same(row.value, every.get(source(row))) for row in covered)


def _same(value: float, other: float | None) -> bool:
    return other is not None and math.isclose(value, other, rel_tol=1e-9)


def source(row: Row) -> tuple[tuple[str, str], ...]:
    """What a row is about but for its edge."""
    return tuple(sorted((name, text) for name, text in row.labels.items() if name not in ("le", SERIES_LABEL)))
