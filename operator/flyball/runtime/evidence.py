"""What ticks are evidence for: experiments and reviews, beside the loop. Each report is taken and nobody waits.

Only the operator that leads acts: `lead` hands over what it may write with, and what an earlier term began goes on from
the ledger.
"""

from collections.abc import Callable, Mapping

from flyball.core.names import WorkloadKey
from flyball.core.ports import Events, ExperimentCluster
from flyball.runtime.counts import Counts
from flyball.runtime.experiments import Experiments
from flyball.runtime.mirror import Mirror
from flyball.runtime.reviews import Reviews
from flyball.runtime.tick import TickReport


class Evidence:
    """Experiments over what the mirror holds, and reviews. `url` is the ledger's; without one there are no reviews, and
    experiments say that they need one.
    """

    def __init__(self, mirror: Mirror, url: str, zone: str = "") -> None:
        self._mirror = mirror
        self._url, self._zone = url, zone
        self._counts = Counts()
        self._experiments: Experiments | None = None
        self._reviews = Reviews(self._counts, url, zone, self._labels) if url else None

    def lead(self, cluster: ExperimentCluster, events: Events) -> None:
        """Act from now on, with these."""
        self._experiments = Experiments(self._mirror, cluster, events, self._counts, self._url, self._zone)

    def take(self, report: TickReport) -> None:
        """Take in a finished tick."""
        if self._experiments is not None:
            self._counts.take(report, self._experiments.concerned())
            self._experiments.take(report)
            if self._reviews is not None:
                self._reviews.take(report)

    async def aclose(self) -> None:
        """Stop."""
        if self._experiments is not None:
            await self._experiments.aclose()
        if self._reviews is not None:
            await self._reviews.aclose()

    def _labels(self) -> dict[WorkloadKey, Mapping[str, str]]:
        return {entry.key: entry.labels for entry in self._mirror.declared()}


def to_all(*takers: Callable[[TickReport], None]) -> Callable[[TickReport], None]:
    """Hand every report to all of them."""

    def take(report: TickReport) -> None:
        for each in takers:
            each(report)

    return take
