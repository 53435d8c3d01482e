"""What one sweep over a node's GPUs found, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AgentState(StrEnum):
    """What the agent can see of the node. One holds at a time."""

    STARTING = "Starting"
    RUNNING = "Running"
    NO_LIBRARY = "NoLibrary"
    NO_DRIVER = "NoDriver"
    NO_GPU = "NoGpu"
    NO_PERMISSION = "NoPermission"
    VERSION_MISMATCH = "VersionMismatch"
    FAILING = "Failing"
    STUCK = "Stuck"


MEANING = {
    AgentState.STARTING: "the first sweep is under way",
    AgentState.RUNNING: "the GPUs are read",
    AgentState.NO_LIBRARY: "libnvidia-ml.so.1 is not there: no NVIDIA driver, or the container was not given it",
    AgentState.NO_DRIVER: "the driver's kernel module is not loaded",
    AgentState.NO_GPU: "this node has no NVIDIA GPU, or the container was given none",
    AgentState.NO_PERMISSION: "the driver refuses this process: it needs the GPUs' device files",
    AgentState.VERSION_MISMATCH: "library and driver differ in version, as after an upgrade: only a restart mends it",
    AgentState.FAILING: "NVML answers with errors",
    AgentState.STUCK: "a call of NVML does not return",
}


class GpuState(StrEnum):
    """Whether a GPU answers."""

    OK = "Ok"
    LOST = "Lost"
    RESET_REQUIRED = "ResetRequired"
    NO_PERMISSION = "NoPermission"
    FAILING = "Failing"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU's identity. `index` is NVML's; `minor` is the N of /dev/nvidiaN. A lost GPU may never have told more."""

    index: int
    uuid: str = ""
    bus_id: str = ""
    minor: int | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a GPU: its memory there in bytes, and its share of the SMs' time since the last sweep, 0 to 1."""

    pid: int
    memory_bytes: int | None = None
    sm_share: float | None = None


@dataclass(frozen=True, slots=True)
class InstanceReading:
    """A MIG GPU instance: `profile` as 1g.10gb; `uuids` of its MIG devices, one for each compute instance."""

    id: int
    profile: str
    uuids: tuple[str, ...]
    values: Mapping[str, float]
    processes: tuple[Process, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU in one sweep.

    `values` are by metric name, in the metric's unit; `missing` says for every metric without a value which of NVML's
    errors stands in its place. `xids` and `clock_events` count since the agent started; `last_xid` is None where XIDs
    cannot be watched.
    """

    gpu: Gpu
    state: GpuState = GpuState.OK
    problem: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()
    instances: tuple[InstanceReading, ...] = ()
    last_xid: int | None = None
    xids: Mapping[int, int] = field(default_factory=dict)
    clock_events: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holder:
    """A container that was given a GPU, or with `vgpu` a named share of one."""

    namespace: str
    pod: str
    container: str
    vgpu: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A finished sweep. `holders` are by device id as the kubelet knows it; None where it did not answer."""

    state: AgentState
    message: str
    gpus: tuple[GpuReading, ...] = ()
    driver_version: str = ""
    nvml_version: str = ""
    sessions: int = 0
    holders: Mapping[str, tuple[Holder, ...]] | None = None
