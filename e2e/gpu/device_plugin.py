"""A device plugin of ours: it tells the kubelet of GPUs that the node does not have.

GPUs that are patched into a node's status are scheduled, but the kubelet's pod-resources API never tells who holds one:
for that the kubelet must have given a device of a plugin itself. The resource is one of NVIDIA's names that nothing
else in the cluster uses, so that the patched `nvidia.com/gpu` stays as it is.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from e2e.gpu.device_plugin_pb2 import (
    AllocateRequest,
    AllocateResponse,
    ContainerResponse,
    Device,
    Empty,
    ListAndWatchResponse,
    RegisterRequest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KUBELET = Path("/var/lib/kubelet/device-plugins")
"""Compiled into the kubelet: no setting moves it."""

RESOURCE = "nvidia.com/gpu.shared"
ENDPOINT = "flyball-e2e.sock"
REGISTER_SECONDS = 30.0


class Plugin:
    """Devices that are always healthy. `allocated` are those that the kubelet gave to containers, in order."""

    def __init__(self, device_ids: list[str]) -> None:
        self._device_ids = device_ids
        self._over = threading.Event()
        self.allocated: list[str] = []

    def handlers(self) -> grpc.GenericRpcHandler:
        """The methods that the kubelet calls."""
        return grpc.method_handlers_generic_handler(
            "v1beta1.DevicePlugin",
            {
                # No option is used: an empty message says so.
                "GetDevicePluginOptions": grpc.unary_unary_rpc_method_handler(
                    lambda _request, _context: Empty(), Empty.FromString, Empty.SerializeToString
                ),
                "ListAndWatch": grpc.unary_stream_rpc_method_handler(
                    self._list, Empty.FromString, ListAndWatchResponse.SerializeToString
                ),
                "Allocate": grpc.unary_unary_rpc_method_handler(
                    self._allocate, AllocateRequest.FromString, AllocateResponse.SerializeToString
                ),
            },
        )

    def _list(self, _request: Empty, _context: grpc.ServicerContext) -> Iterator[ListAndWatchResponse]:
        yield ListAndWatchResponse(devices=[Device(id=each, health="Healthy") for each in self._device_ids])
        self._over.wait()

    def _allocate(self, request: AllocateRequest, _context: grpc.ServicerContext) -> AllocateResponse:
        given = [list(each.device_ids) for each in request.containers]
        self.allocated += [device for devices in given for device in devices]
        named = [ContainerResponse(environment={"NVIDIA_VISIBLE_DEVICES": ",".join(each)}) for each in given]
        return AllocateResponse(containers=named)

    def end(self) -> None:
        """Let the kubelet's watch end."""
        self._over.set()


@contextmanager
def plugged_in(device_ids: list[str]) -> Iterator[Plugin]:
    """Serve the devices and register them with this machine's kubelet, while the context lasts."""
    plugin, socket = Plugin(device_ids), KUBELET / ENDPOINT
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((plugin.handlers(),))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    try:
        with grpc.insecure_channel(f"unix://{KUBELET / 'kubelet.sock'}") as channel:
            register = channel.unary_unary(
                "/v1beta1.Registration/Register",
                request_serializer=RegisterRequest.SerializeToString,
                response_deserializer=Empty.FromString,
            )
            request = RegisterRequest(version="v1beta1", endpoint=ENDPOINT, resource_name=RESOURCE)
            register(request, timeout=REGISTER_SECONDS, wait_for_ready=True)
        yield plugin
    finally:
        plugin.end()
        server.stop(grace=None).wait()
        socket.unlink(missing_ok=True)
