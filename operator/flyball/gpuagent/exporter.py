"""The agent's metrics, computed at scrape time from the last sweep: a GPU or pod that is gone leaves no series.

Labels are those of DCGM exporter: gpu, UUID, pci_bus_id, device, modelName, Hostname; GPU_I_ID and GPU_I_PROFILE of a
MIG instance; namespace, pod and container of who holds the device, and vgpu where it is a share of one. A GPU that
several containers share has its series once for each of them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from flyball.gpuagent import pods
from flyball.gpuagent.metrics import CLOCK_EVENTS_SEEN, LAST_XID, PROCESS_MEMORY, PROCESS_SM, READ, XIDS, Metric
from flyball.gpuagent.readings import AgentState, Gpu, GpuReading, GpuState, Holder, Process, Snapshot
from flyball.gpuagent.watch import Watch

STATE = Metric("flyball_gpuagent_state", "1 for the state that the agent is in, 0 for the others.")
INFO = Metric("flyball_gpuagent_info", "1; its labels say which driver and which NVML answer.")
GPUS = Metric("flyball_gpuagent_gpus", "GPUs that the driver counts, lost ones among them.")
PODS_UP = Metric("flyball_gpuagent_pod_resources_up", "1 when the kubelet said who holds the GPUs, 0 when it did not.")
SWEEPS = Metric("flyball_gpuagent_sweeps_total", "Sweeps finished.", "counter")
DEFECTS = Metric("flyball_gpuagent_defects_total", "Sweeps that ended in an error of the agent's own.", "counter")
SESSIONS = Metric("flyball_gpuagent_sessions_total", "Times that NVML was initialized: more after a reload.", "counter")
SWEPT_AT = Metric("flyball_gpuagent_last_sweep_timestamp_seconds", "When the last sweep finished.")
SWEEP_SECONDS = Metric("flyball_gpuagent_sweep_duration_seconds", "How long the last sweep took.")
GPU_STATE = Metric("flyball_gpu_state", "1 for the state that a GPU is in, 0 for the others.")
GPU_MISSING = Metric("flyball_gpu_metric_missing", "1 for each metric that a GPU does not have; `error` is NVML's.")

OWN = (STATE, INFO, GPUS, PODS_UP, SWEEPS, DEFECTS, SESSIONS, SWEPT_AT, SWEEP_SECONDS)
OF_GPU = (*READ, LAST_XID, XIDS, CLOCK_EVENTS_SEEN, PROCESS_MEMORY, PROCESS_SM, GPU_STATE, GPU_MISSING)

Labels = Mapping[str, str]
Sample = tuple[Metric, Labels, float]


class SweepCollector(Collector):
    """Yields every family that has a sample now."""

    def __init__(self, watch: Watch, node_name: str) -> None:
        self._watch, self._node_name = watch, node_name

    def collect(self) -> Iterator[Family]:
        """One pass over what is known now."""
        snapshot = self._watch.look()
        built: dict[str, Family] = {}
        for metric, labels, value in (*self._of_agent(snapshot), *_of_gpus(snapshot, self._node_name)):
            family = built.get(metric.name)
            if family is None:
                family = built[metric.name] = Family(metric.name, metric.help, metric.kind)
            family.add_sample(metric.name, dict(labels), value)
        yield from built.values()

    def _of_agent(self, snapshot: Snapshot) -> Iterator[Sample]:
        watch, node = self._watch, {"Hostname": self._node_name}
        for state in AgentState:
            yield STATE, node | {"state": state}, snapshot.state is state
        if snapshot.driver_version:
            versions = {"driver_version": snapshot.driver_version, "nvml_version": snapshot.nvml_version}
            yield INFO, node | versions, 1
        if snapshot.state in (AgentState.RUNNING, AgentState.NO_GPU):
            yield GPUS, node, len(snapshot.gpus)
        if snapshot.state is AgentState.RUNNING and watch.maps_pods:
            yield PODS_UP, node, snapshot.holders is not None
        yield SWEEPS, node, watch.sweeps
        yield DEFECTS, node, watch.defects
        yield SESSIONS, node, snapshot.sessions
        if watch.sweeps:
            yield SWEPT_AT, node, watch.finished_at
            yield SWEEP_SECONDS, node, watch.duration_seconds


def _of_gpus(snapshot: Snapshot, node_name: str) -> Iterator[Sample]:
    holders = snapshot.holders or {}
    for reading in snapshot.gpus:
        labels = gpu_labels(reading.gpu, node_name)
        held = pods.of_gpu(holders, reading.gpu)
        yield from _of_gpu(reading, labels, held)
        yield from _of_processes(reading.processes, labels, held)
        for instance in reading.instances:
            within = labels | {"GPU_I_ID": str(instance.id), "GPU_I_PROFILE": instance.profile}
            held = pods.of_instance(holders, reading.gpu, instance)
            for each in _holding(within, held):
                yield from _values(instance.values, each)
            yield from _of_processes(instance.processes, within, held)


def _of_gpu(reading: GpuReading, labels: Labels, held: tuple[Holder, ...]) -> Iterator[Sample]:
    for each in _holding(labels, held):
        yield from _values(reading.values, each)
        if reading.last_xid is not None:
            yield LAST_XID, each, reading.last_xid
        for xid, count in reading.xids.items():
            yield XIDS, {**each, "xid": str(xid)}, count
        for name, count in reading.clock_events.items():
            yield CLOCK_EVENTS_SEEN, {**each, "clock_event": name}, count
        for state in GpuState:
            yield GPU_STATE, {**each, "state": state}, reading.state is state
    for name, error in reading.missing.items():
        yield GPU_MISSING, {**labels, "metric": name, "error": error}, 1


def _values(values: Mapping[str, float], labels: Labels) -> Iterator[Sample]:
    for metric in READ:
        if (value := values.get(metric.name)) is not None:
            yield metric, labels, value


def _of_processes(processes: Iterable[Process], labels: Labels, held: tuple[Holder, ...]) -> Iterator[Sample]:
    """A process belongs to the one container that holds the device; among several NVML does not say to which."""
    (holding,) = _holding(labels, held) if len(held) == 1 else (labels,)
    for process in processes:
        each = {**holding, "pid": str(process.pid)}
        if process.memory_bytes is not None:
            yield PROCESS_MEMORY, each, process.memory_bytes
        if process.sm_share is not None:
            yield PROCESS_SM, each, process.sm_share


def gpu_labels(gpu: Gpu, node_name: str) -> dict[str, str]:
    """The labels of a GPU; what it never told is empty, which to Prometheus is the same as absent."""
    return {
        "gpu": str(gpu.index),
        "UUID": gpu.uuid,
        "pci_bus_id": gpu.bus_id,
        "device": "" if gpu.minor is None else f"nvidia{gpu.minor}",
        "modelName": gpu.model,
        "Hostname": node_name,
    }


def _holding(labels: Labels, held: tuple[Holder, ...]) -> list[Labels]:
    """The labels for each holder, or as they are where there is none."""
    if not held:
        return [labels]
    return [
        {**labels, "namespace": each.namespace, "pod": each.pod, "container": each.container}
        | ({"vgpu": each.vgpu} if each.vgpu else {})
        for each in held
    ]


# The client library writes the header of every counter with a suffix that DCGM exporter's names do not have, and that
# ours have already.
_SUFFIXED = re.compile(rb"^(# (?:HELP|TYPE) (?:DCGM_|flyball_)\w+)_total ", re.MULTILINE)


def exposition(registry: CollectorRegistry) -> bytes:
    """What a scrape is answered with: Prometheus' text format."""
    return _SUFFIXED.sub(rb"\1 ", generate_latest(registry))
