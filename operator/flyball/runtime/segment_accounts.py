"""What segments of the traffic cost, written to the ledger once an hour in a thread of its own, beside the loop.

An hour is split when all that it cost is in the ledger: by what Prometheus counted of each segment in that hour, and by
the capacity models as they are fitted when it is split. Hours that nobody split while the operator was away are split
later, up to a day back; what lies before stays `unattributed`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from flyball.core.fleet.capacity import start_fit
from flyball.core.money.bill import Charge, PathUse
from flyball.core.money.cost import gpus_of
from flyball.core.money.meter import milliseconds
from flyball.core.money.segment_bill import LabelTraffic, SegmentUse, most_named, split
from flyball.core.names import WorkloadKey
from flyball.core.ports import PortError, SegmentSource
from flyball.core.spec import WorkloadSpec
from flyball.core.traffic.work import Work, mean_batch, work
from flyball.ledger import segments
from flyball.ledger.calendar import HOUR_MS
from flyball.ledger.errors import LedgerError
from flyball.ledger.queries import Line, series
from flyball.ledger.schema import Grain
from flyball.ledger.store import DAY_MS
from flyball.runtime.advice import Advice, Seen
from flyball.runtime.aside import in_thread_of_its_own
from flyball.runtime.beside_ledger import BesideLedger
from flyball.runtime.news import Status

LAG_MS = 600_000
"""An hour is split this long after its end: its last five minutes must be written by then, and its metrics scraped."""
RETRY_MS = 300_000
MOST_HOURS = 24
LEDGER_SECONDS = 120.0

log = structlog.get_logger("flyball.ledger")


@dataclass(frozen=True, slots=True)
class Due:
    """An hour (its begin, milliseconds) that is to be split for these workloads."""

    start: int
    seen: tuple[Seen, ...]


class SegmentAccountant(BesideLedger):
    """Implements `flyball.runtime.advice.Adviser`; it says nothing by itself. `zone` is that of the ledger's days."""

    def __init__(self, url: str, zone: str, source: SegmentSource) -> None:
        super().__init__("segments", url, zone)
        self._source = source
        self._next = 0
        self._pruned_at = 0
        self._problem = ""

    def look(self, at: float, seen: Sequence[Seen]) -> None:
        """Take in a finished tick. Once an hour there is something to do."""
        now = milliseconds(at)
        mine = tuple(each for each in seen if each.spec.telemetry.segment_by or each.spec.telemetry.own.tokens)
        if mine and now >= self._next and self._aside.offer(lambda: self._work(now, mine)):
            self._next = now + RETRY_MS

    def advice(self, spec: WorkloadSpec, before: Status) -> Advice:  # noqa: ARG002 - the port's
        """Nothing: what segments cost is asked of the ledger."""
        return Advice()

    async def _work(self, now: int, seen: tuple[Seen, ...]) -> None:
        try:
            for due in await in_thread_of_its_own(lambda: self._due(now, seen), LEDGER_SECONDS):
                specs = [each.spec for each in due.seen]
                found = await self._source.read_hour(specs, (due.start + HOUR_MS) / 1000)
                await in_thread_of_its_own(partial(self._split, due, found), LEDGER_SECONDS)
        except (PortError, LedgerError, TimeoutError) as error:
            self._tell(str(error) or "the ledger took too long")
            return
        self._next = max(self._next, now - (now - LAG_MS) % HOUR_MS + HOUR_MS)
        self._tell("")

    def _due(self, now: int, seen: tuple[Seen, ...]) -> list[Due]:
        """The hours that are over, cost anything, and are not split, oldest first."""
        ledger = self.opened()
        if now - self._pruned_at >= DAY_MS:
            segments.prune(ledger, now)
            self._pruned_at = now
        known = segments.marks(ledger)
        end = ledger.calendar.floor(now - LAG_MS, Grain.HOUR)
        costly = segments.hours_with_costs(ledger, end - MOST_HOURS * HOUR_MS, end)
        hours: dict[int, list[Seen]] = {}
        for each in seen:
            mark, through = known.get(each.spec.uid, (None, 0))
            for start in range(max(mark or 0, end - MOST_HOURS * HOUR_MS), end, HOUR_MS):
                if start + HOUR_MS <= through and (each.spec.uid, start) in costly:
                    hours.setdefault(start, []).append(each)
        return [Due(start, tuple(hours[start])) for start in sorted(hours)]

    def _split(self, due: Due, found: Mapping[WorkloadKey, Sequence[LabelTraffic]]) -> None:
        ledger = self.opened()
        lines: dict[str, list[Line]] = {}
        for line in series(ledger, due.start, due.start + HOUR_MS, Grain.HOUR):
            lines.setdefault(line.uid, []).append(line)
        most = most_named(len(found), max((len(each) for each in found.values()), default=0))
        splits = {
            each.spec.uid: split_hour(each, lines.get(each.spec.uid, []), found.get(each.spec.key, ()), most)
            for each in due.seen
        }
        segments.append(ledger, due.start, splits, most)

    def _tell(self, problem: str) -> None:
        """Say once that costs are not split, and once that they are again."""
        if problem and problem != self._problem:
            log.warning("costs are not split by segment for now", reason=problem)
        elif not problem and self._problem:
            log.info("costs are split by segment again")
        self._problem = problem


def split_hour(seen: Seen, lines: Sequence[Line], traffic: Sequence[LabelTraffic], most: int) -> tuple[SegmentUse, ...]:
    """What the segments of a workload caused of an hour's lines, each label for itself."""
    uses = [line.what for line in lines if isinstance(line.what, PathUse)]
    charges = [line.what for line in lines if isinstance(line.what, Charge)]
    works = works_of(seen, uses)
    return tuple(use for each in traffic for use in split(each, uses, charges, works, most))


def works_of(seen: Seen, uses: Sequence[PathUse]) -> dict[str, Work]:
    """The work of tokens on each variant, at the batch at which its replicas ran in that hour."""
    used = {use.path: use for use in uses}
    shape = seen.memory.shape
    uncached = shape.prefill_tokens / shape.prompt_tokens if shape is not None and shape.prompt_tokens > 0 else 1.0
    found = {}
    for variant in seen.spec.variants:
        fit = seen.memory.variant(variant.name).fit or start_fit(variant.engine)
        use = used.get(variant.name, PathUse(variant.name))
        gpus = gpus_of(variant, seen.observation.state.variant(variant.name)) or 1
        batch = mean_batch(
            fit,
            uncached,
            float(use.requests),
            float(use.prompt_tokens),
            float(use.output_tokens),
            (use.serving_ms + use.unmeasured_ms) / 1000 / gpus,
        )
        found[variant.name] = work(fit, shape, batch)
    return found
