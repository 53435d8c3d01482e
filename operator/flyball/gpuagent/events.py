"""What GPUs have gone through since the agent started: XID errors, and reasons for lower clocks that began.

Both are kept by UUID and go on across sessions with the driver.
"""

from collections import Counter
from collections.abc import Mapping

from flyball.gpuagent.metrics import CLOCK_EVENT_NAMES
from flyball.gpuagent.nvml import Handle, Nvml, NvmlError, address

XID_CRITICAL_ERROR = 0x8  # nvmlEventTypeXidCriticalError


class Xids:
    """XID errors of GPUs that are watched. What happens while nobody watches, NVML does not tell afterwards."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[int]] = {}
        self._last: dict[str, int] = {}
        self._set: object = None
        self._watched: dict[int, str] = {}

    def open(self) -> None:
        """Begin a session: what was registered in the last one is void."""
        self._set, self._watched = None, {}

    def watch(self, nvml: Nvml, handle: Handle, uuid: str) -> str:
        """Watch a GPU, once in a session. The name of NVML's error where that is refused, else nothing."""
        if address(handle) in self._watched:
            return ""
        try:
            self._set = self._set or nvml.ask("nvmlEventSetCreate")
            nvml.ask("nvmlDeviceRegisterEvents", handle, XID_CRITICAL_ERROR, self._set)
        except NvmlError as error:
            if error.of_session or error.of_gpu:
                raise
            return error.name
        self._watched[address(handle)] = uuid
        self._counts.setdefault(uuid, Counter())
        return ""

    def collect(self, nvml: Nvml) -> None:
        """Count what happened since the last call."""
        if self._set is None:
            return
        try:
            for at, xid in nvml.events(self._set):
                if (uuid := self._watched.get(at)) is not None:
                    self._counts[uuid][xid] += 1
                    self._last[uuid] = xid
        except NvmlError as error:
            # A lost GPU makes the whole set answer that it is lost; the sweep finds out which one it is.
            if error.of_session:
                raise

    def last(self, uuid: str) -> int | None:
        """The last XID of a GPU: 0 when it has had none, None when it was never watched."""
        return self._last.get(uuid, 0) if uuid in self._counts else None

    def counts(self, uuid: str) -> Mapping[int, int]:
        """How often a GPU had which XID."""
        return dict(self._counts.get(uuid, {}))


class ClockEvents:
    """How often each reason for lower clocks was seen to begin. What holds at the first look has not begun then."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._counts: dict[str, Counter[str]] = {}

    def see(self, uuid: str, reasons: int) -> None:
        """Take in the bit mask of the reasons that hold now."""
        began = reasons & ~self._before.get(uuid, reasons)
        self._before[uuid] = reasons
        counts = self._counts.setdefault(uuid, Counter())
        counts.update(name for bit, name in CLOCK_EVENT_NAMES.items() if began & bit)

    def counts(self, uuid: str) -> Mapping[str, int]:
        """How often which reason began on a GPU."""
        return dict(self._counts.get(uuid, {}))
