"""Reviews on schedule, beside the loop: what objectives attained goes into the ledger by the hour, and when a week or
month is over its review is made of the ledger and kept.

Nothing here acts on a workload. What fails is tried again an hour later; a review that was missed while the operator
was down is made when it is back, as long as its week or month is the last one.
"""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from flyball.core.evidence.review_figures import Kind
from flyball.core.money.meter import milliseconds
from flyball.core.names import WorkloadKey
from flyball.core.spec import WorkloadSpec
from flyball.ledger import reviews
from flyball.ledger.attainment import add_hours, declare, prune
from flyball.ledger.errors import LedgerError
from flyball.runtime.aside import in_thread_of_its_own
from flyball.runtime.beside_ledger import BesideLedger
from flyball.runtime.counts import HOUR_MS, Counts
from flyball.runtime.tick import TickReport
from flyball.telemetry.dimensions import ROUTES

SETTLED_MS = 1_800_000
"""How long after its end a period is reviewed: its last rows are in the ledger by then."""
LEDGER_SECONDS = 120.0

log = structlog.get_logger("flyball.reviews")


class Reviews(BesideLedger):
    """Keeps reviews in the ledger at a URL. `labels` says the labels of the workloads declared now."""

    def __init__(
        self, counts: Counts, url: str, zone: str, labels: Callable[[], Mapping[WorkloadKey, Mapping[str, str]]]
    ) -> None:
        super().__init__("reviews", url, zone)
        self._counts = counts
        self._labels = labels
        self._next = 0

    def take(self, report: TickReport) -> None:
        """Take in a finished tick. Never waits; once an hour there is something to do."""
        now = milliseconds(report.at)
        if now >= self._next and self._aside.offer(lambda: self._work(report, now)):
            self._next = now - now % HOUR_MS + HOUR_MS

    async def _work(self, report: TickReport, now: int) -> None:
        specs = [outcome.spec for outcome in report.outcomes]
        labels = self._labels()
        try:
            made = await in_thread_of_its_own(lambda: self._written(specs, labels, now), LEDGER_SECONDS)
        except (LedgerError, TimeoutError) as error:
            log.warning("reviews wait for the ledger", reason=str(error) or type(error).__name__)
            return
        for name in made:
            log.info("a review is made", review=name)

    def _written(
        self, specs: list[WorkloadSpec], labels: Mapping[WorkloadKey, Mapping[str, str]], now: int
    ) -> list[str]:
        """Write what objectives attained, and the reviews that are due; their names."""
        ledger = self.opened()
        hours = self._counts.hours_before(now)
        try:
            add_hours(ledger, {key: (count.good, count.total) for key, count in hours.items()})
        except LedgerError:
            self._counts.put_back(hours)
            raise
        declare(ledger, {spec.key: declared(spec, labels.get(spec.key, {})) for spec in specs}, now)
        prune(ledger, now)
        made = []
        for kind in Kind:
            period = reviews.before(ledger.calendar, reviews.period_of(ledger.calendar, kind, now))
            if period.end + SETTLED_MS > now or reviews.find(ledger, period.name) is not None:
                continue
            document = reviews.make(ledger, period, specs, now, ROUTES)
            if document["workloads"] and reviews.keep(ledger, document, now):
                made.append(period.name)
        return made


def declared(spec: WorkloadSpec, labels: Mapping[str, str]) -> dict[str, Any]:
    """What a workload's owner declares that figures are later held against."""
    return {
        "objectives": {each.name: each.target for each in spec.objectives},
        "labels": dict(labels),
        "mode": str(spec.mode),
        "targets": {each.name: [each.min_replicas, each.max_replicas] for each in spec.variants},
    }
