"""Reading whole collections over many namespaces in few requests."""

import asyncio
from collections.abc import Iterable, Mapping

from flyball.cluster.client import ApiServer
from flyball.cluster.resources import Object, Resource
from flyball.core.ports import PortError, Rejected

# From here on one list of all namespaces is cheaper than one of each.
_CLUSTER_WIDE_FROM = 32

Found = dict[str, list[Object] | PortError]
"""By namespace, what is there, or why that is not known."""


class NamespacedLists:
    """Lists by namespace: one request each for a few namespaces, one for the whole cluster beyond that.

    `namespaces` are those that the operator is confined to; none of them means the whole cluster. A resource that may
    not be listed cluster-wide is listed by namespace from then on. Nothing here raises.
    """

    def __init__(self, api_server: ApiServer, namespaces: Iterable[str] = ()) -> None:
        self._api_server = api_server
        self._confined = frozenset(namespaces)
        self._by_namespace_only: set[Resource] = set()

    async def read(self, resource: Resource, selectors: Mapping[str, str]) -> Found:
        """Objects of a resource in the namespaces that are the keys of `selectors`, filtered by their selectors.

        The answer may hold more than the label selectors ask for, never less.
        """
        names = sorted(selectors)
        if len(names) >= _CLUSTER_WIDE_FROM and not self._confined and resource not in self._by_namespace_only:
            whole = await self._whole_cluster(resource, names)
            if whole is not None:
                return whole
        lists = await asyncio.gather(*(self._one(resource, name, selectors[name]) for name in names))
        return dict(zip(names, lists, strict=True))

    async def _one(self, resource: Resource, namespace: str, labels: str) -> list[Object] | PortError:
        if self._confined and namespace not in self._confined:
            watched = ", ".join(sorted(self._confined))
            return Rejected(f"namespace {namespace} is not among those that the operator watches: {watched}")
        try:
            return await self._api_server.list_all(resource, namespace, labels=labels, cached=True)
        except PortError as error:
            return error

    async def _whole_cluster(self, resource: Resource, names: list[str]) -> Found | None:
        try:
            listed = await self._api_server.list_all(resource, cached=True)
        except Rejected:
            self._by_namespace_only.add(resource)
            return None
        except PortError as error:
            return dict.fromkeys(names, error)
        found: dict[str, list[Object]] = {name: [] for name in names}
        for item in listed:
            namespace = item["metadata"]["namespace"]
            if namespace in found:
                found[namespace].append(item)
        return dict(found)
