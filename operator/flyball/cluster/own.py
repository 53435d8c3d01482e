"""Writing to Flyball's own resources: the finalizer that holds an object, and its status."""

from collections.abc import Mapping

from flyball.cluster.client import ApiServer, PatchType
from flyball.cluster.errors import Unprocessable
from flyball.cluster.resources import FINALIZER, GROUP, VERSION, Object, Resource, dig, pointer
from flyball.core.names import WorkloadKey
from flyball.core.ports import Conflict, Missing

_ATTEMPTS = 3


async def hold_finalizer(api_server: ApiServer, resource: Resource, key: WorkloadKey, hold: bool, lost: str) -> None:
    """Add or remove Flyball's finalizer. Missing where the object is gone and should be held; Conflict, with the
    sentence `lost`, where others write faster.
    """
    for _ in range(_ATTEMPTS):
        try:
            found = await api_server.get(resource, key.name, key.namespace)
            patch = finalizer_patch(found, hold)
            if patch:
                await api_server.patch(resource, key.name, key.namespace, patch, PatchType.JSON)
        except Unprocessable:
            continue  # somebody wrote in between
        except Missing:
            if hold:
                raise
        return
    raise Conflict(lost)


def finalizer_patch(found: Object, hold: bool) -> list[Object]:
    """The JSON patch that adds or removes Flyball's finalizer, tested against the object as read; empty if it is so."""
    finalizers: list[str] = dig(found, "metadata", "finalizers") or []
    if (FINALIZER in finalizers) == hold:
        return []
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]}
    if not hold:
        return [version, {"op": "remove", "path": pointer("metadata", "finalizers", finalizers.index(FINALIZER))}]
    if not finalizers:
        return [version, {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}]
    return [version, {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}]


async def write_status(
    api_server: ApiServer, resource: Resource, kind: str, name: str, namespace: str, status: Mapping[str, object]
) -> None:
    """Server-side apply the whole status; what an earlier one had and this one has not is removed."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    body: Object = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "status": dict(status)}
    await api_server.patch(resource, name, namespace, body, PatchType.APPLY, subresource="status")
