"""The exposition: names, types and labels as DCGM exporter writes them, and nothing that is not known."""

import re

import pytest
from e2e.gpu import kubelet
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from flyball.gpuagent.exporter import OF_GPU, OWN, SweepCollector, exposition
from flyball.gpuagent.metrics import FIELDS, GPM
from flyball.gpuagent.nvml import code_of
from flyball.gpuagent.pod_resources_pb2 import ListResponse
from flyball.gpuagent.pods import by_device
from flyball.gpuagent.readings import AgentState, Gpu, GpuReading, Holder, Snapshot
from flyball.gpuagent.watch import Watch

FIRST, SECOND = (f"GPU-00000000-0000-0000-0000-{index:012}" for index in range(2))
LABELS = {
    "gpu": "0",
    "UUID": FIRST,
    "pci_bus_id": "00000000:01:00.0",
    "device": "nvidia0",
    "modelName": "NVIDIA Fake 80GB",
    "Hostname": "node-a",
}


class Found:
    """A stand-in for a watch: it has found a snapshot."""

    maps_pods, sweeps, defects, finished_at, duration_seconds = True, 7, 0, 1.8e9, 0.25

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def look(self) -> Snapshot:
        return self._snapshot


class Kubelet:
    """A stand-in for the kubelet: these pods hold GPUs."""

    def __init__(self, *pods):
        self._pods = pods

    def holders(self):
        return by_device(ListResponse(pods=self._pods))


def _text(watch) -> str:
    registry = CollectorRegistry()
    registry.register(SweepCollector(watch, "node-a"))
    return exposition(registry).decode()


def _samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Labels and values by the names that stand in the text: the parser gives every counter a suffix."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name if f"\n{sample.name}{{" in text else sample.name.removesuffix("_total")
            found.setdefault(name, []).append((sample.labels, sample.value))
    return found


@pytest.fixture
def scrape(sampler, clock):
    """Sweep, with pods that hold GPUs, and read what a scrape answers."""

    def swept(*pods) -> dict[str, list[tuple[dict[str, str], float]]]:
        watch = Watch(sampler, Kubelet(*pods), 5.0, 15.0, clock)
        watch.sweep()
        return _samples(_text(watch))

    return swept


def test_a_gpu_that_nobody_holds_has_its_own_labels(scrape):
    assert scrape()["DCGM_FI_DEV_GPU_UTIL"] == [(LABELS, 50)]


def test_who_holds_a_gpu_is_named(gpus, scrape):
    gpus.write("gpus 2")
    held, free = scrape(kubelet.pod("chat-0", FIRST))["DCGM_FI_DEV_FB_USED"]
    assert held == (LABELS | {"namespace": "team-a", "pod": "chat-0", "container": "main"}, 1024)
    assert free[0]["UUID"] == SECOND
    assert "pod" not in free[0]


def test_a_gpu_that_is_shared_has_its_series_for_each_that_shares_it(gpus, scrape):
    gpus.write("process 0 -1 4242 2048 20")
    found = scrape(kubelet.pod("a", f"{FIRST}::0"), kubelet.pod("b", f"{FIRST}::1"))
    assert [(labels["pod"], labels["vgpu"]) for labels, _ in found["DCGM_FI_DEV_GPU_UTIL"]] == [("a", "0"), ("b", "1")]
    # NVML does not say whose process it is.
    ((labels, _),) = found["flyball_gpu_process_memory_used_bytes"]
    assert (labels["pid"], "pod" in labels) == ("4242", False)


def test_a_process_belongs_to_the_one_that_holds_its_gpu(gpus, scrape):
    gpus.write("process 0 -1 4242 2048 20")
    found = scrape(kubelet.pod("chat-0", FIRST))
    expected = LABELS | {"namespace": "team-a", "pod": "chat-0", "container": "main", "pid": "4242"}
    assert found["flyball_gpu_process_memory_used_bytes"] == [(expected, 2**31)]
    assert found["flyball_gpu_process_sm_utilization_ratio"] == [(expected, 0.3)]


def test_a_mig_instance_has_its_own_labels_and_holder(gpus, scrape):
    gpus.write("mig 0 2", "process 0 1 12 200 0")
    found = scrape(kubelet.pod("small", "MIG-00000000-0000-0000-0000-000000000001", resource="nvidia.com/mig-1g.10gb"))
    whole, free, held = (labels for labels, _ in found["DCGM_FI_DEV_FB_USED"])
    assert whole == LABELS
    assert free == LABELS | {"GPU_I_ID": "7", "GPU_I_PROFILE": "1g.10gb"}
    within = LABELS | {"GPU_I_ID": "8", "GPU_I_PROFILE": "1g.10gb"}
    assert held == within | {"namespace": "team-a", "pod": "small", "container": "main"}
    assert [labels["pod"] for labels, _ in found["flyball_gpu_process_memory_used_bytes"]] == ["small"]
    assert "DCGM_FI_DEV_GPU_UTIL" not in found


def test_xids_clock_events_and_what_is_missing_are_told(gpus, sampler, clock):
    gpus.write("set reasons 0 0")
    watch = Watch(sampler, None, 5.0, 15.0, clock)
    watch.sweep()
    gpus.xid(0, 79)
    gpus.drop("set reasons")
    gpus.add("set reasons 0 4", f"fail nvmlDeviceGetPowerUsage {code_of('NO_PERMISSION')} -1")
    watch.sweep()
    found = _samples(_text(watch))
    assert found["DCGM_FI_DEV_XID_ERRORS"] == [(LABELS, 79)]
    assert found["DCGM_EXP_XID_ERRORS_TOTAL"] == [(LABELS | {"xid": "79"}, 1)]
    assert found["DCGM_EXP_CLOCK_EVENTS_TOTAL"] == [(LABELS | {"clock_event": "power_cap"}, 1)]
    missing = {labels["metric"]: labels["error"] for labels, _ in found["flyball_gpu_metric_missing"]}
    assert missing["DCGM_FI_DEV_POWER_USAGE"] == "NO_PERMISSION"
    assert "DCGM_FI_DEV_POWER_USAGE" not in found
    assert "flyball_gpuagent_pod_resources_up" not in found  # nobody asked for pods


def test_a_lost_gpu_is_told_with_its_holder_and_without_values(gpus, scrape):
    scrape()
    gpus.write("gpus 2", f"fail * {code_of('GPU_IS_LOST')} 0")
    scrape()
    found = scrape(kubelet.pod("chat-0", FIRST))
    states = {
        (labels["gpu"], labels["state"]): (labels.get("pod"), value) for labels, value in found["flyball_gpu_state"]
    }
    assert states["0", "Lost"] == ("chat-0", 1)
    assert states["0", "Ok"] == ("chat-0", 0)
    assert states["1", "Ok"] == (None, 1)
    assert [labels["gpu"] for labels, _ in found["DCGM_FI_DEV_GPU_UTIL"]] == ["1"]


@pytest.mark.parametrize("state", AgentState)
def test_one_state_holds_and_gpus_are_counted_only_where_somebody_looked(state):
    found = _samples(_text(Found(Snapshot(state, "why"))))
    assert [labels["state"] for labels, value in found["flyball_gpuagent_state"] if value] == [state]
    assert ("flyball_gpuagent_gpus" in found) is (state in (AgentState.RUNNING, AgentState.NO_GPU))


def test_the_kubelet_is_up_when_it_said_who_holds_what():
    for holders, up in (({}, 1), (None, 0)):
        found = _samples(_text(Found(Snapshot(AgentState.RUNNING, "", holders=holders))))
        assert found["flyball_gpuagent_pod_resources_up"] == [({"Hostname": "node-a"}, up)]


def test_every_name_has_the_type_that_is_documented_and_no_other(gpus, sampler, clock):
    watch = Watch(sampler, Kubelet(), 5.0, 15.0, clock)
    parts = ("set gpm 0 1", *(f"set gpm{number} 0 1" for number in GPM))
    fields = (f"field {number} 0 1" for number in FIELDS)
    gpus.write("set reasons 0 0", "process 0 -1 4242 2048 20", *fields, *parts)
    watch.sweep()
    gpus.xid(0, 79)
    gpus.drop("set reasons")
    gpus.add("set reasons 0 4", f"fail nvmlDeviceGetPowerUsage {code_of('TIMEOUT')} -1")
    watch.sweep()
    text = _text(watch)
    told = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    documented = {metric.name: metric.kind for metric in (*OWN, *OF_GPU)}
    del documented["DCGM_FI_DEV_POWER_USAGE"]  # refused just now
    assert told == documented
    assert set(re.findall(r"^(\w+)\{", text, re.MULTILINE)) == set(told)


@given(st.text(), st.text())
def test_whatever_a_name_holds_the_exposition_can_be_read(model, pod):
    reading = GpuReading(Gpu(0, "GPU-a", model=model), values={"DCGM_FI_DEV_GPU_UTIL": 1.0})
    holders = {"GPU-a": (Holder("team", pod, "main"),)}
    found = _samples(_text(Found(Snapshot(AgentState.RUNNING, "", (reading,), holders=holders))))
    ((labels, _),) = found["DCGM_FI_DEV_GPU_UTIL"]
    assert (labels["modelName"], labels["pod"]) == (model, pod)
