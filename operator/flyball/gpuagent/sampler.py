"""The sweep: every GPU of the node read once, whatever state the driver is in.

A sweep never fails. Without a library, a driver or a GPU it says so; a GPU that is lost is named and left out while the
others are read. A session with the driver that has ended, or in which no GPU answers any more, is opened anew with the
next sweep, so that a driver that was reloaded is found.
"""

import contextlib
import time
from collections.abc import Callable

from flyball.gpuagent.device import Device, identify, read_gpm, read_instance, read_processes, read_values, state_of
from flyball.gpuagent.events import ClockEvents, Xids
from flyball.gpuagent.gpm import Gpm
from flyball.gpuagent.metrics import CLOCK_EVENTS, LAST_XID
from flyball.gpuagent.nvml import Nvml, NvmlError, as_text
from flyball.gpuagent.readings import MEANING, AgentState, Gpu, GpuReading, GpuState, Process, Snapshot

LOOK_AGAIN_SECONDS = 60.0
"""How long GPUs and MIG instances are taken to be those that they were. A changed number of GPUs is seen at once."""

RETRY_SECONDS = 15.0
"""The same while a GPU does not answer."""

_AGENT_STATES = {
    "LIBRARY_NOT_FOUND": AgentState.NO_LIBRARY,
    "DRIVER_NOT_LOADED": AgentState.NO_DRIVER,
    "NO_PERMISSION": AgentState.NO_PERMISSION,
    "LIB_RM_VERSION_MISMATCH": AgentState.VERSION_MISMATCH,
    # What nvmlInit answers where no device file of a GPU can be found.
    "GPU_NOT_FOUND": AgentState.NO_GPU,
    "NOT_FOUND": AgentState.NO_GPU,
}


class Sampler:
    """Reads the node's GPUs. Not for two threads at once; `asking` may be read by any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._nvml = Nvml()
        self._clock = clock
        self._xids, self._clock_events, self._gpm = Xids(), ClockEvents(), Gpm()
        self._open = False
        self._sessions = 0
        self._versions = ("", "")
        self._count = 0
        self._devices: list[Device | GpuReading] = []
        self._look_again_at = 0.0
        self._known: dict[int, Gpu] = {}

    @property
    def asking(self) -> str:
        """The function of NVML that is being asked now; empty when none is."""
        return self._nvml.asking

    def sweep(self) -> Snapshot:
        """Read everything once."""
        try:
            if not self._open:
                self._open_session()
            self._find_devices()
            self._xids.collect(self._nvml)
            gpus = tuple(each if isinstance(each, GpuReading) else self._read(each) for each in self._devices)
        except NvmlError as error:
            self.close()
            state = _AGENT_STATES.get(error.name, AgentState.FAILING)
            return self._snapshot(state, f"{MEANING[state]} ({error})")
        if not gpus:
            # Not kept open: a session without GPUs would hold up a driver that is to be unloaded.
            self.close()
            return self._snapshot(AgentState.NO_GPU, MEANING[AgentState.NO_GPU])
        failing = [each for each in gpus if each.state is not GpuState.OK]
        if failing:
            self._look_again_at = min(self._look_again_at, self._clock() + RETRY_SECONDS)
        if len(failing) == len(gpus):
            self.close()
        return self._snapshot(AgentState.RUNNING, _summary(gpus, failing), gpus)

    def close(self) -> None:
        """End the session with the driver, if there is one."""
        if self._open:
            self._open = False
            self._gpm.close(self._nvml)
            # Where the driver that the session was with is gone, there is nothing left to end.
            with contextlib.suppress(NvmlError):
                self._nvml.ask("nvmlShutdown")

    def _open_session(self) -> None:
        self._nvml.ask("nvmlInit")
        self._open = True
        self._sessions += 1
        self._versions = ("", "")
        self._xids.open()
        self._look_again_at = self._clock()
        self._versions = (
            as_text(self._nvml.ask("nvmlSystemGetDriverVersion")),
            as_text(self._nvml.ask("nvmlSystemGetNVMLVersion")),
        )

    def _find_devices(self) -> None:
        count = self._nvml.ask("nvmlDeviceGetCount")
        now = self._clock()
        if count == self._count and now < self._look_again_at:
            return
        sampled = {each.gpu.uuid: each.sampled_until for each in self._devices if isinstance(each, Device)}
        self._devices = [self._find(index) for index in range(count)]
        for each in self._devices:
            if isinstance(each, Device):
                each.sampled_until = sampled.get(each.gpu.uuid, 0)
        self._count, self._look_again_at = count, now + LOOK_AGAIN_SECONDS

    def _find(self, index: int) -> Device | GpuReading:
        """A GPU by its index; a reading that says why where it cannot be found, with the identity it had before."""
        try:
            device = identify(self._nvml, index, self._nvml.ask("nvmlDeviceGetHandleByIndex", index))
        except NvmlError as error:
            if error.of_session:
                raise
            return self._silent(self._known.get(index, Gpu(index)), error)
        self._known[index] = device.gpu
        return device

    def _read(self, device: Device) -> GpuReading:
        nvml, uuid = self._nvml, device.gpu.uuid
        try:
            values, missing = read_values(nvml, device)
            if refused := self._xids.watch(nvml, device.handle, uuid):
                missing[LAST_XID.name] = refused
            processes: tuple[Process, ...] = ()
            instances = []
            for each in device.instances:
                instance, unknown = read_instance(nvml, self._gpm, device, each)
                instances.append(instance)
                missing |= unknown
            if not instances:  # else each instance has its own
                processes, unknown = read_processes(nvml, device)
                parts, untold = read_gpm(nvml, self._gpm, device)
                values |= parts
                missing |= unknown | untold
        except NvmlError as error:
            if error.of_session:
                raise
            return self._silent(device.gpu, error)
        if (reasons := values.get(CLOCK_EVENTS.name)) is not None:
            self._clock_events.see(uuid, int(reasons))
        return GpuReading(
            device.gpu,
            values=values,
            missing=missing,
            processes=processes,
            instances=tuple(instances),
            last_xid=self._xids.last(uuid),
            xids=self._xids.counts(uuid),
            clock_events=self._clock_events.counts(uuid),
        )

    def _silent(self, gpu: Gpu, error: NvmlError) -> GpuReading:
        """A GPU that does not answer: of it there is only what was seen of it before."""
        return GpuReading(
            gpu,
            state_of(error),
            str(error),
            last_xid=self._xids.last(gpu.uuid),
            xids=self._xids.counts(gpu.uuid),
            clock_events=self._clock_events.counts(gpu.uuid),
        )

    def _snapshot(self, state: AgentState, message: str, gpus: tuple[GpuReading, ...] = ()) -> Snapshot:
        driver, nvml = self._versions
        return Snapshot(state, message, gpus, driver, nvml, self._sessions)


def _summary(gpus: tuple[GpuReading, ...], failing: list[GpuReading]) -> str:
    if not failing:
        return f"{len(gpus)} GPU{'s' * (len(gpus) > 1)} read"
    named = "; ".join(f"GPU {each.gpu.index} {each.gpu.uuid} is {each.state} ({each.problem})" for each in failing)
    return f"{len(gpus) - len(failing)} of {len(gpus)} GPUs read: {named}"
