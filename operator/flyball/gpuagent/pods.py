"""Who holds which GPU: the kubelet's pod-resources API, v1, over its gRPC socket.

What device plugins call a GPU differs, and with it the device ids that the kubelet knows:

    GPU-6b…                 NVIDIA's device plugin          MIG-5c…           the same, a MIG device
    GPU-6b…::2              one of a GPU's time slices      MIG-5c…::0        one of a MIG device's
    nvidia0, nvidia0/vgpu2  GKE's device plugin             nvidia0/gi3       the same, a MIG GPU instance
"""

from collections.abc import Mapping
from pathlib import Path

import grpc

from flyball.gpuagent.pod_resources_pb2 import ListRequest, ListResponse
from flyball.gpuagent.readings import Gpu, Holder, InstanceReading

RESOURCES = "nvidia.com/"
"""Devices of other vendors' resources are not ours, whatever their ids."""

TIMEOUT_SECONDS = 2.0

# The channel tries again no later than this after a kubelet that restarts; gRPC's own default is two minutes.
_OPTIONS = (("grpc.max_reconnect_backoff_ms", 5000), ("grpc.max_receive_message_length", 16 << 20))

Holders = Mapping[str, tuple[Holder, ...]]


class PodResources:
    """The kubelet of this node. One channel is kept; it finds a kubelet that comes back by itself."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._channel = grpc.insecure_channel(f"unix://{socket}", options=_OPTIONS)
        self._list = self._channel.unary_unary(
            "/v1.PodResourcesLister/List",
            request_serializer=ListRequest.SerializeToString,
            response_deserializer=ListResponse.FromString,
        )

    def holders(self) -> Holders:
        """Who holds what, by device id without the name of a share. Raises ConnectionError."""
        try:
            answer = self._list(ListRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise ConnectionError(f"the kubelet does not answer on {self._socket}: {error.details()}") from error
        return by_device(answer)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def by_device(answer: ListResponse) -> Holders:
    """The kubelet's answer turned round: holders by device id, each once."""
    found: dict[str, dict[Holder, None]] = {}
    for pod in answer.pods:
        for container in pod.containers:
            for devices in container.devices:
                if not devices.resource_name.startswith(RESOURCES):
                    continue
                for each in devices.device_ids:
                    device, share = split_share(each)
                    found.setdefault(device, {})[Holder(pod.namespace, pod.name, container.name, share)] = None
    return {device: tuple(holders) for device, holders in found.items()}


def split_share(device_id: str) -> tuple[str, str]:
    """A device id without the share of the device that it names, and that share: ("GPU-6b", "2") of GPU-6b::2."""
    for separator in ("::", "/vgpu"):
        device, found, share = device_id.partition(separator)
        if found:
            return device, share if separator == "::" else f"vgpu{share}"
    return device_id, ""


def of_gpu(holders: Holders, gpu: Gpu) -> tuple[Holder, ...]:
    """Who holds a whole GPU, or shares of it."""
    return _holders(holders, (gpu.uuid, f"nvidia{gpu.minor}"))


def of_instance(holders: Holders, gpu: Gpu, instance: InstanceReading) -> tuple[Holder, ...]:
    """Who holds a MIG GPU instance, or compute instances in it."""
    return _holders(holders, (*instance.uuids, f"nvidia{gpu.minor}/gi{instance.id}"))


def _holders(holders: Holders, names: tuple[str, ...]) -> tuple[Holder, ...]:
    return tuple(dict.fromkeys(holder for name in names for holder in holders.get(name, ())))
