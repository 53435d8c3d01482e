"""The Events port: events.k8s.io/v1 Events about WorkloadSLOs, aggregated as `aggregation` says."""

import socket
from datetime import UTC, datetime

from flyball.cluster.aggregation import Aggregation, Create, Dropped, Plan, Repeat
from flyball.cluster.client import ApiServer, PatchType
from flyball.cluster.resources import CONTROLLER, EVENTS, GROUP, VERSION, Object, dig
from flyball.core.decision import Event
from flyball.core.names import WorkloadKey
from flyball.core.ports import Conflict, Missing, PortError

NOTE_LIMIT_BYTES = 1024
_WORD_LIMIT = 128


class EventRecorder:
    """A recorder of Events. `instance` names this process, by default the host (in a cluster, the pod)."""

    def __init__(self, api_server: ApiServer, *, instance: str = "") -> None:
        self._api_server = api_server
        self._instance = (instance or socket.gethostname() or "flyball")[:_WORD_LIMIT]
        self._aggregation = Aggregation()

    @property
    def dropped(self) -> int:
        """How many Events were not written because their workload had too many."""
        return self._aggregation.dropped

    async def publish(self, key: WorkloadKey, uid: str, event: Event, at: float) -> None:
        """Write one Event about a WorkloadSLO; repeats become a series, and floods are dropped.

        Raises the ports' errors; the Event is then not counted as written. `at` is seconds since the epoch.
        """
        plan = self._aggregation.plan(key.name, uid, event, at)
        if isinstance(plan, Dropped):
            return
        try:
            await self._write(plan, key, uid, event, at)
        except PortError:
            self._aggregation.failed(plan.name, uid, event)
            raise

    async def _write(self, plan: Plan, key: WorkloadKey, uid: str, event: Event, at: float) -> None:
        match plan:
            case Create(name):
                body = event_body(name, key, uid, event, at, self._instance)
                try:
                    await self._api_server.create(EVENTS, key.namespace, body)
                except Conflict:
                    existing = await self._api_server.get(EVENTS, name, key.namespace)
                    count = int(dig(existing, "series", "count") or 1)
                    await self._repeat(self._aggregation.exists(name, count), key.namespace, at)
            case Repeat(name, _):
                try:
                    await self._repeat(plan, key.namespace, at)
                except Missing:
                    body = event_body(name, key, uid, event, at, self._instance)
                    await self._api_server.create(EVENTS, key.namespace, body)
            case Dropped():
                return

    async def _repeat(self, plan: Repeat, namespace: str, at: float) -> None:
        body: Object = {"series": {"count": plan.count, "lastObservedTime": micro_time(at)}}
        await self._api_server.patch(EVENTS, plan.name, namespace, body, PatchType.MERGE)


def event_body(name: str, key: WorkloadKey, uid: str, event: Event, at: float, instance: str) -> Object:
    """A first Event as it is created; a note longer than 1 kB is cut."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": key.namespace},
        "eventTime": micro_time(at),
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
        "action": event.action[:_WORD_LIMIT],
        "reason": event.reason.value,
        "regarding": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "WorkloadSLO",
            "name": key.name,
            "namespace": key.namespace,
            "uid": uid,
        },
        "note": _cut(event.message),
        "type": "Warning" if event.warning else "Normal",
    }


def micro_time(at: float) -> str:
    """A Kubernetes MicroTime of seconds since the epoch."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= NOTE_LIMIT_BYTES:
        return text
    return encoded[: NOTE_LIMIT_BYTES - 3].decode(errors="ignore") + "…"
