"""DemandEvents in a tick: the load that they announce for each workload, and their statuses."""

from flyball.api.sharing import to_demand_event
from flyball.core.decision import Condition
from flyball.core.names import ConditionType, WorkloadKey
from flyball.core.ports import Cluster
from flyball.core.traffic.demand_events import DemandEvent, DemandWindow, EventPhase, expected
from flyball.runtime import pool_status
from flyball.runtime.mirror import Declared, Mirror
from flyball.runtime.own_status import OwnStatuses

MOST_NAMES = 64
_NAMED = 3


class Announced:
    """What ticks need of DemandEvents. `begin` reads them once for a whole tick."""

    def __init__(self, mirror: Mirror, cluster: Cluster) -> None:
        self._mirror = mirror
        self._statuses = OwnStatuses(cluster.write_demand_event_status)
        self._events: dict[str, list[DemandEvent]] = {}
        self._concerned: dict[WorkloadKey, list[str]] = {}

    def begin(self, declared: tuple[Declared, ...]) -> None:
        """Read what is announced now for these workloads."""
        events = [
            to_demand_event(key.namespace, key.name, event.spec)
            for key, event in self._mirror.demand_events.valid.items()
        ]
        self._events = {}
        for event in events:
            self._events.setdefault(event.namespace, []).append(event)
        self._concerned = {WorkloadKey(event.namespace, event.name): [] for event in events}
        for entry in declared:
            for event in self._events.get(entry.key.namespace, ()):
                if event.concerns(entry.key, entry.labels):
                    self._concerned[WorkloadKey(event.namespace, event.name)].append(entry.key.name)

    def expected(self, entry: Declared, at: float) -> tuple[DemandWindow, ...]:
        """The load that is announced for a workload, now and later."""
        return expected(self._events.get(entry.key.namespace, ()), entry.key, entry.labels, at)

    async def tell(self, at: float) -> None:
        """Write the events' statuses where they say something new."""
        shelf = self._mirror.demand_events
        for events in self._events.values():
            for event in events:
                key = WorkloadKey(event.namespace, event.name)
                if key in shelf.raw:
                    names = sorted(self._concerned[key])
                    phase = event.phase(at)
                    parts = {"phase": str(phase), "summary": _summary(names), "workloads": names[:MOST_NAMES]}
                    await self._statuses.write(key, shelf.raw[key], parts, [_ready(event, names, phase)], at)
        for key, errors in list(shelf.invalid.items()):
            await self._statuses.write(key, shelf.raw[key], {}, pool_status.invalid(errors), at)
        self._statuses.forget_all_but(shelf.raw)


def _summary(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return f"{len(names)}: {shown}" if names else "none"


def _ready(event: DemandEvent, names: list[str], phase: EventPhase) -> Condition:
    missing = sorted(event.workloads - set(names))
    if not names:
        wanted = ", ".join(missing[:MOST_NAMES]) or ", ".join(f"{name}={value}" for name, value in event.labels)
        text = f"no WorkloadSLO in namespace {event.namespace} is meant by {wanted}; correct it, or create one"
        return Condition(ConditionType.READY, False, "NoWorkload", text[:1024])
    if missing:
        text = f"no WorkloadSLO in namespace {event.namespace} is called {', '.join(missing)}"[:1024]
        return Condition(ConditionType.READY, False, "WorkloadMissing", text)
    said = "is past and has no effect" if phase is EventPhase.PAST else "is reckoned with"
    return Condition(ConditionType.READY, True, "Reconciled", f"the event {said}")
