"""Asking Prometheus for what is measured outside of engines: one query per window for all workloads together."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from flyball.core.spec import WorkloadSpec
from flyball.telemetry import segments_query, stages_query
from flyball.telemetry.answers import Answer
from flyball.telemetry.promql import either
from flyball.telemetry.queries import Plan
from flyball.telemetry.segments import SegmentTables
from flyball.telemetry.slow import Ask, SlowWindows
from flyball.telemetry.stages import Histograms, Outside, edges_needed, uneven_parts
from flyball.telemetry.stages_query import Wanted
from flyball.telemetry.windows import FAST_SECONDS, SHORT_SECONDS

SEGMENTS_REFRESH_SECONDS = 60.0
"""Segments are looked at this seldom, in the background: a label with a million values costs the decisions nothing."""
EDGES_REFRESH_SECONDS = 60.0
"""How old it may be what is known of edges that some series lack: until then their requests count too little there."""
STAGES, SEGMENTS = "stages", "segments"
"""Under what a failure of either query over the shortest window is noted."""
AskNow = Callable[[str, float, float], Awaitable[Answer]]
"""Asks a query at a time (epoch seconds) within a deadline (monotonic seconds)."""


class OutsideReader:
    """Reads stages, and objectives of whole requests. `note` is told of each query's failure, or of none."""

    def __init__(self, ask: AskNow, note: Callable[[str, str], None], refresh_seconds: float) -> None:
        self._ask = ask
        self._note = note
        self._slow = SlowWindows(refresh_seconds, Histograms)
        self._uneven = SlowWindows(min(refresh_seconds, EDGES_REFRESH_SECONDS), uneven_parts)
        self._segments = SlowWindows(min(refresh_seconds, SEGMENTS_REFRESH_SECONDS), SegmentTables)

    async def read(
        self, specs: Sequence[WorkloadSpec], plan: Plan, at: float, deadline: float, ask_slowly: Ask
    ) -> Outside:
        """What Prometheus says; long windows as they were last refreshed."""
        by_segment = segments_query.query(specs, SHORT_SECONDS)
        asked = {SHORT_SECONDS: by_segment} if by_segment else {}

        async def ask(query: str) -> Answer:
            answer = await ask_slowly(query)
            self._note(SEGMENTS, answer.failure)
            return answer

        segments = (await self._segments.read(SEGMENTS, asked, at, ask, 0.0)).get(SHORT_SECONDS)
        wanted, declared = stages_query.over_rate_window(specs), stages_query.declared(specs)
        if not wanted and not declared:
            return Outside(segments=segments)
        having = {SHORT_SECONDS: stages_query.having(wanted)} if wanted else {}
        uneven = (await self._uneven.read("edges", having, at, ask_slowly, 0.0)).get(SHORT_SECONDS, frozenset())
        window = plan.rate_window_seconds
        text = either(filter(None, (_whole(wanted, window, uneven), stages_query.sampled(declared, window))))
        first = Histograms(await self._ask(text, at, deadline))
        self._note(STAGES, first.failure)
        edges = edges_needed(specs, first)
        further = {
            window: _whole(histograms, window, uneven, edges)
            for window, histograms in stages_query.over_further_windows(specs, plan).items()
        }
        fast, slow = await asyncio.gather(
            self._fast({w: query for w, query in further.items() if w <= FAST_SECONDS}, at, deadline),
            self._slow.read(
                "stages",
                {w: query for w, query in further.items() if w > FAST_SECONDS},
                at,
                ask_slowly,
                deadline - time.monotonic(),
            ),
        )
        return Outside(first, fast | slow, segments)

    async def aclose(self) -> None:
        """Stop what runs in the background."""
        await self._slow.aclose()
        await self._uneven.aclose()
        await self._segments.aclose()

    async def _fast(self, queries: dict[float, str], at: float, deadline: float) -> dict[float, Histograms]:
        answers = await asyncio.gather(*(self._ask(query, at, deadline) for query in queries.values()))
        for window, answer in zip(queries, answers, strict=True):
            self._note(f"stages {window:g} s", answer.failure)
        return {window: Histograms(answer) for window, answer in zip(queries, answers, strict=True)}


def _whole(histograms: Iterable[Wanted], window: float, uneven: frozenset[str], edges: Sequence[str] = ()) -> str:
    """The query over a window, with what edges are shares of that some series lack."""
    wanted = frozenset(histograms)
    parts = (
        stages_query.query(wanted, window, edges),
        stages_query.covered(wanted, window, uneven, edges),
    )
    return either(filter(None, parts))
