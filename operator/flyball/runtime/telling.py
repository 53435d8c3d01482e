"""Telling people: Events in their order, and the status where it says something new."""

from collections.abc import Iterable

from flyball.core.decision import Event
from flyball.core.names import WorkloadKey
from flyball.core.ports import Cluster, Events, Missing, PortError, Rejected
from flyball.runtime import status
from flyball.runtime.known import Known
from flyball.runtime.news import Shown, news

# Events that could not be written wait for the next tick, this many of a workload at most: the newest.
UNPUBLISHED_LIMIT = 20


class Teller:
    """Writes what is to be told of a workload. Every method returns the failures; what is not written now is later."""

    def __init__(self, cluster: Cluster, events: Events) -> None:
        self._cluster = cluster
        self._events = events

    async def publish(self, key: WorkloadKey, known: Known, events: Iterable[Event], at: float) -> list[str]:
        """Write Events in their order; those that cannot be written now are kept for the next tick.

        An Event that is refused for good is in the failures and the log, and nowhere else.
        """
        queue = [*known.unpublished, *((event, at) for event in events)]
        known.unpublished = []
        failures = []
        for index, (event, when) in enumerate(queue):
            try:
                await self._events.publish(key, known.uid, event, when)
            except (Rejected, Missing) as error:
                failures.append(f"event {event.reason} is lost: {error}")
            except PortError as error:
                failures.append(f"event {event.reason} waits: {error}")
                waiting = queue[index:]
                failures += [f"event {lost.reason} is lost" for lost, _ in waiting[:-UNPUBLISHED_LIMIT]]
                known.unpublished = waiting[-UNPUBLISHED_LIMIT:]
                break
        return failures

    async def show(self, key: WorkloadKey, known: Known, now: Shown, at: float) -> list[str]:
        written = Shown(known.status, known.figures, known.states) if known.status_at is not None else None
        why = news(written, now, at - (known.status_at or 0.0))
        known.shown = now
        return await self.put(key, known, now, at, why) if why else []

    async def put(self, key: WorkloadKey, known: Known, now: Shown, at: float, why: str) -> list[str]:
        try:
            await self._cluster.write_status(key, now.status)
        except PortError as error:
            return [f"status: {error}"]
        known.conditions = status.conditions_of(now.status)
        known.status, known.status_at, known.status_why, known.states = now.status, at, why, now.states
        known.figures = {**known.figures, **now.figures}  # one that is unknown now is no news when it comes back
        return []
