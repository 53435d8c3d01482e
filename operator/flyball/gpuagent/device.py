"""One GPU in an NVML session: who it is, and what a sweep reads of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flyball.gpuagent.gpm import Gpm
from flyball.gpuagent.metrics import FIELDS, GPM, INSTANCES, MEMORY, MIG_MODE, PROCESS_MEMORY, PROCESS_SM, QUESTIONS
from flyball.gpuagent.nvml import Handle, Nvml, NvmlError, as_text
from flyball.gpuagent.readings import Gpu, GpuState, InstanceReading, Process

_STATES = {
    "GPU_IS_LOST": GpuState.LOST,
    "GPU_NOT_FOUND": GpuState.LOST,
    "RESET_REQUIRED": GpuState.RESET_REQUIRED,
    "NO_PERMISSION": GpuState.NO_PERMISSION,
}

# A MIG device's name ends with its profile: NVIDIA H100 80GB HBM3 MIG 1g.10gb.
_PROFILE = re.compile(r"\bMIG (\S+)")


def state_of(error: NvmlError) -> GpuState:
    """What a refusal says about the GPU that gave it."""
    return _STATES.get(error.name, GpuState.FAILING)


@dataclass(frozen=True, slots=True)
class Instance:
    """A MIG GPU instance and the MIG devices in it: several where it is cut into compute instances."""

    id: int
    profile: str
    uuids: tuple[str, ...]
    handle: Handle


@dataclass(slots=True)
class Device:
    """A GPU of this session. `unsupported` are metrics that it does not have, with NVML's error: asked only once.

    `mig` says whether MIG is on; None where there is no such mode, or it is not told. `sampled_until` is the time of
    the last utilization sample of its processes, in NVML's microseconds.
    """

    gpu: Gpu
    handle: Handle
    mig: bool | None = None
    instances: tuple[Instance, ...] = ()
    unsupported: dict[str, str] = field(default_factory=dict)
    sampled_until: int = 0


def identify(nvml: Nvml, index: int, handle: Handle) -> Device:
    """Ask a GPU who it is, and for its MIG instances. Raises NvmlError."""
    pci = _told(nvml, "nvmlDeviceGetPciInfo", handle)
    minor = _told(nvml, "nvmlDeviceGetMinorNumber", handle)
    gpu = Gpu(
        index=index,
        uuid=as_text(nvml.ask("nvmlDeviceGetUUID", handle)),
        bus_id="" if pci is None else as_text(pci.busId),
        minor=index if minor is None else minor,
        model=as_text(_told(nvml, "nvmlDeviceGetName", handle) or ""),
    )
    device = Device(gpu, handle)
    try:
        device.mig = nvml.mig_is_on(handle)
        device.instances = _instances(nvml, handle) if device.mig else ()
    except NvmlError as error:
        device.unsupported[INSTANCES] = _bearable(error)
    return device


def _told(nvml: Nvml, function: str, handle: Handle) -> Any:
    """The answer, or None where this GPU or driver has none."""
    try:
        return nvml.ask(function, handle)
    except NvmlError as error:
        _bearable(error)
        return None


def _instances(nvml: Nvml, handle: Handle) -> tuple[Instance, ...]:
    found: dict[int, Instance] = {}
    for device in nvml.instances(handle):
        number = nvml.ask("nvmlDeviceGetGpuInstanceId", device)
        uuid = as_text(nvml.ask("nvmlDeviceGetUUID", device))
        named = _PROFILE.search(as_text(nvml.ask("nvmlDeviceGetName", device)))
        first = found.get(number)
        if first is None:
            found[number] = Instance(number, named.group(1) if named else "", (uuid,), device)
        else:
            found[number] = Instance(number, first.profile, (*first.uuids, uuid), first.handle)
    return tuple(found.values())


Told = tuple[dict[str, float], dict[str, str]]
"""Values by metric, and for others NVML's error."""


def read_values(nvml: Nvml, device: Device) -> Told:
    """The values of a GPU by metric, and for the others NVML's error. Raises an NvmlError that concerns all of it."""
    values: dict[str, float] = {}
    missing = dict(device.unsupported)
    for question in QUESTIONS:
        names = [metric.name for metric in question.metrics]
        if names[0] in device.unsupported:
            continue
        try:
            answer = nvml.ask(question.function, device.handle, *question.arguments)
        except NvmlError as error:
            refused = dict.fromkeys(names, _bearable(error))
            missing |= refused
            if error.absent:
                device.unsupported |= refused
        else:
            values.update(zip(names, question.read(answer), strict=True))
    for name, value in _field_values(nvml, device.handle):
        if isinstance(value, NvmlError):
            missing[name] = _bearable(value)
        else:
            values[name] = value
    if device.mig is not None:
        values[MIG_MODE.name] = device.mig
    return values, missing


def _field_values(nvml: Nvml, handle: Handle) -> Iterable[tuple[str, float | NvmlError]]:
    names = [metric.name for metric in FIELDS.values()]
    try:
        return zip(names, nvml.fields(handle, tuple(FIELDS)), strict=True)
    except NvmlError as error:
        return [(name, error) for name in names]


def _bearable(error: NvmlError) -> str:
    """The error's name, for one that concerns a single value; raises it otherwise."""
    if error.of_session or error.of_gpu:
        raise error
    return error.name


def read_processes(nvml: Nvml, device: Device) -> tuple[tuple[Process, ...], dict[str, str]]:
    """The compute processes on a GPU, and NVML's error where it does not tell their memory or their utilization.

    They are those that have memory there now, and those that ran since the last sweep.
    """
    memory: dict[int, int | None] = {}
    shares: dict[int, list[int]] = {}
    missing: dict[str, str] = {}
    try:
        memory = _memory_of_processes(nvml, device.handle)
    except NvmlError as error:
        missing[PROCESS_MEMORY.name] = _bearable(error)
    since = device.sampled_until
    try:
        for sample in nvml.utilization_of_processes(device.handle, since):
            if sample.timeStamp > since:
                shares.setdefault(sample.pid, []).append(sample.smUtil)
                device.sampled_until = max(device.sampled_until, sample.timeStamp)
    except NvmlError as error:
        missing[PROCESS_SM.name] = _bearable(error)
    found = tuple(
        Process(pid, memory.get(pid), sum(shares[pid]) / len(shares[pid]) / 100 if pid in shares else None)
        for pid in sorted(memory.keys() | shares.keys())
    )
    return found, missing


def read_gpm(nvml: Nvml, gpm: Gpm, device: Device, instance: Instance | None = None) -> Told:
    """Which parts of a GPU, or of a MIG instance of it, worked since the last sweep."""
    names = [metric.name for metric, _ in GPM.values()]
    if names[0] in device.unsupported:
        return {}, {}  # said with the GPU's other values
    try:
        if not nvml.has_gpm(device.handle):
            refused = dict.fromkeys(names, "NOT_SUPPORTED")
            device.unsupported |= refused
            return {}, refused
        return gpm.read(nvml, device.handle, device.gpu.uuid, None if instance is None else instance.id)
    except NvmlError as error:
        refused = dict.fromkeys(names, _bearable(error))
        if error.absent:
            device.unsupported |= refused
        return {}, refused


def read_instance(nvml: Nvml, gpm: Gpm, device: Device, instance: Instance) -> tuple[InstanceReading, dict[str, str]]:
    """What NVML tells of a MIG instance, and its errors: memory and processes, and with GPM which parts work."""
    values, missing = read_gpm(nvml, gpm, device, instance)
    processes: dict[int, int | None] = {}
    names = [metric.name for metric in MEMORY.metrics]
    try:
        answer = nvml.ask(MEMORY.function, instance.handle, *MEMORY.arguments)
        values.update(zip(names, MEMORY.read(answer), strict=True))
    except NvmlError as error:
        missing |= dict.fromkeys(names, _bearable(error))
    try:
        processes = _memory_of_processes(nvml, instance.handle)
    except NvmlError as error:
        missing[PROCESS_MEMORY.name] = _bearable(error)
    reading = InstanceReading(
        id=instance.id,
        profile=instance.profile,
        uuids=instance.uuids,
        values=values,
        processes=tuple(Process(pid, size) for pid, size in sorted(processes.items())),
    )
    return reading, missing


def _memory_of_processes(nvml: Nvml, handle: Handle) -> dict[int, int | None]:
    running = nvml.ask("nvmlDeviceGetComputeRunningProcesses_v3", handle)
    return {process.pid: process.usedGpuMemory for process in running}
