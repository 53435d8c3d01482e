"""The kubelet's pod-resources socket, served by us: for tests and measurements without a cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from flyball.gpuagent.pod_resources_pb2 import Container, Devices, ListRequest, ListResponse, Pod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pod(name: str, *device_ids: str, resource: str = "nvidia.com/gpu", namespace: str = "team-a") -> Pod:
    """A pod whose one container, `main`, was given these devices."""
    devices = [Devices(resource_name=resource, device_ids=device_ids)] if device_ids else []
    return Pod(name=name, namespace=namespace, containers=[Container(name="main", devices=devices)])


@contextmanager
def serving(socket: Path, pods: list[Pod]) -> Iterator[None]:
    """Serve while the context lasts. The list may be changed meanwhile."""
    method = grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: ListResponse(pods=pods),
        request_deserializer=ListRequest.FromString,
        response_serializer=ListResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    handlers = grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": method})
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    try:
        yield
    finally:
        server.stop(grace=None).wait()
        socket.unlink(missing_ok=True)
