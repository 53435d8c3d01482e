"""Who holds a GPU: device ids of every device plugin, and a kubelet that answers, is away, and comes back."""

import socket
import time
from pathlib import Path

import pytest
from e2e.gpu import kubelet

from flyball.gpuagent import pods
from flyball.gpuagent.pod_resources_pb2 import Container, Devices, ListResponse, Pod
from flyball.gpuagent.readings import Gpu, Holder, InstanceReading

GPU = Gpu(3, "GPU-6b", "00000000:04:00.0", 5, "NVIDIA L4")
INSTANCE = InstanceReading(7, "1g.10gb", ("MIG-5c", "MIG-5d"), {})


def _holder(pod: str, share: str = "") -> Holder:
    return Holder("team-a", pod, "main", share)


@pytest.mark.parametrize(
    ("device_id", "of_gpu", "of_instance"),
    [
        pytest.param("GPU-6b", [_holder("chat")], [], id="a GPU by its UUID"),
        pytest.param("GPU-6b::2", [_holder("chat", "2")], [], id="a time slice of it"),
        pytest.param("nvidia5", [_holder("chat")], [], id="a GPU by its device file"),
        pytest.param("nvidia5/vgpu1", [_holder("chat", "vgpu1")], [], id="a share of it"),
        pytest.param("MIG-5c", [], [_holder("chat")], id="a MIG device"),
        pytest.param("MIG-5d", [], [_holder("chat")], id="another compute instance of the same GPU instance"),
        pytest.param("MIG-5c::0", [], [_holder("chat", "0")], id="a time slice of a MIG device"),
        pytest.param("nvidia5/gi7", [], [_holder("chat")], id="a MIG instance by its device file"),
        pytest.param("nvidia5/gi7/vgpu0", [], [_holder("chat", "vgpu0")], id="a share of that"),
        pytest.param("GPU-77", [], [], id="another GPU"),
        pytest.param("nvidia3", [], [], id="the index is not the device file's number"),
    ],
)
def test_a_device_id_names_a_gpu_or_an_instance(device_id, of_gpu, of_instance):
    holders = pods.by_device(ListResponse(pods=[kubelet.pod("chat", device_id)]))
    assert list(pods.of_gpu(holders, GPU)) == of_gpu
    assert list(pods.of_instance(holders, GPU, INSTANCE)) == of_instance


def test_a_gpu_may_have_several_holders_and_each_counts_once():
    answer = ListResponse(
        pods=[
            kubelet.pod("a", "GPU-6b::0", "GPU-6b::0"),
            kubelet.pod("b", "GPU-6b::1"),
            kubelet.pod("none"),
            Pod(name="c", namespace="team-c", containers=[
                Container(name="one", devices=[Devices(resource_name="nvidia.com/gpu", device_ids=["GPU-6b"])]),
                Container(name="two"),
            ]),
        ]
    )  # fmt: skip
    assert pods.of_gpu(pods.by_device(answer), GPU) == (
        _holder("a", "0"),
        _holder("b", "1"),
        Holder("team-c", "c", "one"),
    )


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb"])
def test_all_resources_of_nvidia_count(resource):
    assert pods.by_device(ListResponse(pods=[kubelet.pod("chat", "GPU-6b", resource=resource)]))


def test_devices_of_others_do_not(gpus):
    assert pods.by_device(ListResponse(pods=[kubelet.pod("chat", "GPU-6b", resource="example.com/gpu")])) == {}


def test_the_kubelet_is_asked_over_its_socket_and_found_again_when_it_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.sock"
    resources = pods.PodResources(path)
    with pytest.raises(ConnectionError, match=r"the kubelet does not answer on .*kubelet\.sock"):
        resources.holders()
    held = [kubelet.pod("chat", "GPU-6b")]
    for name in ("chat", "other"):
        held[:] = [kubelet.pod(name, "GPU-6b")]
        with kubelet.serving(path, held):
            assert _eventually(resources) == {"GPU-6b": (_holder(name),)}
        with pytest.raises(ConnectionError):
            resources.holders()
    resources.close()


def _eventually(resources: pods.PodResources) -> pods.Holders:
    """The answer, once the channel has tried the socket anew: until then it says at once that there is none."""
    while True:
        try:
            return resources.holders()
        except ConnectionError:
            time.sleep(0.01)


def test_a_kubelet_that_does_not_answer_in_time_is_one_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(pods, "TIMEOUT_SECONDS", 0.05)
    path = tmp_path / "kubelet.sock"
    resources = pods.PodResources(path)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        with pytest.raises(ConnectionError, match="Deadline"):
            resources.holders()
    resources.close()
