"""Which resource a kind is, and whether it scales: what the API server says of its groups, remembered a while."""

from collections.abc import Callable
from dataclasses import dataclass

from flyball.cluster.client import ApiServer
from flyball.cluster.resources import Object, Resource
from flyball.core.ports import Missing

_REMEMBER_SECONDS = 600.0
_REMEMBER_ABSENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that the API server serves. `scalable` when it has a `scale` subresource."""

    resource: Resource
    scalable: bool


class Discovery:
    """The API server's kinds by apiVersion. What is there is believed for ten minutes, what is not for one."""

    def __init__(self, api_server: ApiServer, clock: Callable[[], float]) -> None:
        self._api_server = api_server
        self._clock = clock
        self._known: dict[str, tuple[float, dict[str, Kind]]] = {}

    async def find(self, api_version: str, kind: str) -> Kind | None:
        """The kind, or None where the API server does not serve it. Raises the ports' errors."""
        return (await self._kinds(api_version)).get(kind)

    async def _kinds(self, api_version: str) -> dict[str, Kind]:
        now = self._clock()
        until, kinds = self._known.get(api_version, (0.0, {}))
        if now < until:
            return kinds
        group, _, version = api_version.rpartition("/")
        try:
            document = await self._api_server.get_path(f"/apis/{api_version}" if group else f"/api/{version}")
        except Missing:
            document = {"resources": []}
        kinds = kinds_of(group, version, document)
        self._known[api_version] = (now + (_REMEMBER_SECONDS if kinds else _REMEMBER_ABSENCE_SECONDS), kinds)
        return kinds


def kinds_of(group: str, version: str, document: Object) -> dict[str, Kind]:
    """The namespaced kinds of an APIResourceList."""
    entries = document.get("resources") or ()
    names = {entry["name"] for entry in entries}
    return {
        entry["kind"]: Kind(Resource(group, version, entry["name"]), f"{entry['name']}/scale" in names)
        for entry in entries
        if "/" not in entry["name"] and entry.get("namespaced")
    }
