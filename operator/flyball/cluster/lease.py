"""The Lease by which one of several processes acts, as client-go's leader election writes it.

Times in a Lease are for people: every process measures by its own clock, from when it saw the record change. The clock
counts on while the process is stopped or the machine sleeps, and no clock change moves it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flyball.cluster.client import ApiServer, PatchType
from flyball.cluster.errors import Unprocessable
from flyball.cluster.events import micro_time
from flyball.cluster.resources import LEASES, Object, dig
from flyball.core.ports import Conflict, Missing


def boot_time() -> float:
    """Seconds on a clock that never jumps; on Linux it also counts while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Held:
    """What a Lease says: who holds it (nobody: empty), for how long after each renewal, the how manieth holder, and the
    version that the API server gave this record.
    """

    holder: str = ""
    seconds: int = 0
    transitions: int = 0
    acquired: str | None = None
    version: str = ""


class Lease:
    """One Lease object. Its methods raise the ports' errors."""

    def __init__(self, api_server: ApiServer, namespace: str, name: str) -> None:
        self._api_server = api_server
        self._namespace, self._name = namespace, name

    async def read(self) -> Held:
        """What it says now; a Lease that is not there is created, held by nobody."""
        try:
            found = await self._api_server.get(LEASES, self._name, self._namespace)
        except Missing:
            body: Object = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": {"leaseTransitions": 0},
            }
            found = await self._api_server.create(LEASES, self._namespace, body)
        return _held(found)

    async def take(self, seen: Held, holder: str, seconds: int) -> Held:
        """Take it, or renew it where `holder` holds it; Conflict where it changed since it was `seen`."""
        now = micro_time(time.time())
        if seen.holder == holder:
            wanted = replace(seen, seconds=seconds)
        else:
            wanted = Held(holder, seconds, seen.transitions + 1, now, seen.version)
        return await self._write(wanted, now)

    async def give_up(self, held: Held) -> None:
        """Let the next one have it at once; Conflict where somebody has it already."""
        await self._write(replace(held, holder="", seconds=1), micro_time(time.time()))

    async def _write(self, wanted: Held, renewed: str) -> Held:
        spec: Mapping[str, Any] = {
            "holderIdentity": wanted.holder,
            "leaseDurationSeconds": wanted.seconds,
            "leaseTransitions": wanted.transitions,
            "acquireTime": wanted.acquired or renewed,
            "renewTime": renewed,
        }
        patch: list[Object] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": wanted.version},
            {"op": "add", "path": "/spec", "value": spec},
        ]
        try:
            return _held(await self._api_server.patch(LEASES, self._name, self._namespace, patch, PatchType.JSON))
        except Unprocessable as error:
            raise Conflict(f"the Lease {self._name} changed since it was read") from error


def _held(found: Object) -> Held:
    spec = found.get("spec") or {}
    return Held(
        holder=str(spec.get("holderIdentity") or ""),
        seconds=int(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        acquired=spec.get("acquireTime"),
        version=str(dig(found, "metadata", "resourceVersion") or ""),
    )
