"""Reading the targets of all workloads: what they are, how many replicas they ask for, and which pods are theirs.

Requests: one list per kind and namespace; for kinds other than Deployment and StatefulSet also one read of `scale` per
target. What cannot be read becomes a sentence, never an exception.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from flyball.cluster import groups
from flyball.cluster.client import ApiServer
from flyball.cluster.discovery import Discovery, Kind
from flyball.cluster.namespaces import NamespacedLists
from flyball.cluster.resources import DEPLOYMENTS, STATEFUL_SETS, Object, dig
from flyball.core.ports import Missing, PortError
from flyball.core.spec import TargetRef

KNOWN_KINDS = {
    ("apps/v1", "Deployment"): Kind(DEPLOYMENTS, scalable=True),
    ("apps/v1", "StatefulSet"): Kind(STATEFUL_SETS, scalable=True),
}

Place = tuple[str, TargetRef]
"""A target with its namespace."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target as read. `found` is None where it does not exist or where `problem` says why that is not known.

    Its pods are those of `selector` (a LabelSelector), or of `selector_text` where only the scale subresource tells.
    """

    found: Object | None = None
    scalable: bool = False
    replicas: int = 0
    selector: Object | None = None
    selector_text: str = ""
    problem: str = ""


def template_of(target: TargetRef, found: Object) -> Object:
    """The pod template's spec, empty where the kind has none at the usual place."""
    spec: Object = (
        groups.pod_spec_of(found) if groups.is_group(target) else dig(found, "spec", "template", "spec") or {}
    )
    return spec


class Targets:
    """Finds targets of any kind."""

    def __init__(self, api_server: ApiServer, discovery: Discovery, lists: NamespacedLists) -> None:
        self._api_server = api_server
        self._discovery = discovery
        self._lists = lists

    async def kind_of(self, target: TargetRef) -> Kind | None:
        """What kind of resource a target is, None where the API server does not serve it."""
        known = KNOWN_KINDS.get((target.api_version, target.kind))
        return known or await self._discovery.find(target.api_version, target.kind)

    async def read(self, places: Iterable[Place]) -> dict[Place, Target]:
        """All of these targets as they are now."""
        by_kind: dict[tuple[str, str], set[Place]] = defaultdict(set)
        for place in places:
            by_kind[place[1].api_version, place[1].kind].add(place)
        parts = await asyncio.gather(*(self._read_kind(same_kind) for same_kind in by_kind.values()))
        return {place: target for part in parts for place, target in part.items()}

    async def _read_kind(self, places: set[Place]) -> dict[Place, Target]:
        reference = next(iter(places))[1]
        try:
            kind = await self.kind_of(reference)
        except PortError as error:
            return dict.fromkeys(places, Target(problem=str(error)))
        if kind is None:
            return dict.fromkeys(places, Target())
        found = await self._lists.read(kind.resource, {namespace: "" for namespace, _ in places})
        named = {namespace: _by_name(part) for namespace, part in found.items()}
        ordered = sorted(places, key=str)
        targets = await asyncio.gather(*(self._read_one(place, kind, named[place[0]]) for place in ordered))
        return dict(zip(ordered, targets, strict=True))

    async def _read_one(self, place: Place, kind: Kind, named: dict[str, Object] | PortError) -> Target:
        namespace, reference = place
        if isinstance(named, PortError):
            return Target(problem=str(named))
        found = named.get(reference.name)
        if found is None or not kind.scalable:
            return Target(found=found)
        if (reference.api_version, reference.kind) in KNOWN_KINDS:
            replicas = dig(found, "spec", "replicas")
            return Target(found, True, 1 if replicas is None else int(replicas), dig(found, "spec", "selector") or {})
        try:
            scale = await self._api_server.get(kind.resource, reference.name, namespace, "scale")
        except Missing:
            return Target()
        except PortError as error:
            return Target(problem=str(error))
        if groups.is_group(reference):
            return Target(found, True, int(dig(scale, "spec", "replicas") or 0), groups.selector_of(reference))
        replicas, text = dig(scale, "spec", "replicas") or 0, dig(scale, "status", "selector") or ""
        return Target(found, True, int(replicas), selector_text=str(text))


def _by_name(part: list[Object] | PortError) -> dict[str, Object] | PortError:
    return part if isinstance(part, PortError) else {found["metadata"]["name"]: found for found in part}
