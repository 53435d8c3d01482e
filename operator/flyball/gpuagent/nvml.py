"""NVML through pynvml (nvidia-ml-py). No other module knows that library.

A value that NVML refuses is an `NvmlError`, which says what the refusal is about: one value, one GPU, or the whole
session with the driver. What a function means and its units: NVIDIA's "NVML API Reference Guide".
"""

import ctypes
from collections.abc import Callable
from typing import Any, NewType, TypeVar

import pynvml

Handle = NewType("Handle", object)
"""A GPU, or a MIG instance of one, as NVML names it within a session."""

T = TypeVar("T")

_NAMES: dict[int, str] = {
    value: name.removeprefix("NVML_ERROR_") for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")
}

# The library, the driver or the session with it is gone: nothing else will answer either.
_OF_SESSION = frozenset({"UNINITIALIZED", "LIBRARY_NOT_FOUND", "DRIVER_NOT_LOADED", "LIB_RM_VERSION_MISMATCH"})
# This GPU answers nothing any more.
_OF_GPU = frozenset({"GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND"})
# This GPU or driver does not have that value, and will not have it with the next sweep either.
_ABSENT = frozenset({"NOT_SUPPORTED", "FUNCTION_NOT_FOUND", "ARGUMENT_VERSION_MISMATCH", "DEPRECATED"})


class NvmlError(Exception):
    """What NVML answered in place of a value: its error's `name` without the prefix, and the function asked."""

    def __init__(self, code: int, function: str) -> None:
        self.name = _NAMES.get(code, str(code))
        self.function = function
        super().__init__(f"{function}: {self.name}")

    @property
    def of_session(self) -> bool:
        """Whether nothing will answer until the library has been initialized anew."""
        return self.name in _OF_SESSION

    @property
    def of_gpu(self) -> bool:
        """Whether the GPU that was asked will answer nothing else either."""
        return self.name in _OF_GPU

    @property
    def absent(self) -> bool:
        """Whether the value does not exist on this GPU or driver."""
        return self.name in _ABSENT


def code_of(name: str) -> int:
    """NVML's number of an error's name."""
    return int(getattr(pynvml, f"NVML_ERROR_{name}"))


class Nvml:
    """The library. `asking` names the function that is being asked, for whoever finds that it does not return."""

    __slots__ = ("asking",)

    def __init__(self) -> None:
        self.asking = ""

    def ask(self, function: str, *arguments: object) -> Any:
        """What pynvml's function of that name returns; raises NvmlError."""
        self.asking = function
        try:
            return getattr(pynvml, function)(*arguments)
        except pynvml.NVMLError as error:
            raise NvmlError(error.value, function) from error
        finally:
            self.asking = ""

    def fields(self, handle: Handle, ids: tuple[int, ...]) -> list[float | NvmlError]:
        """The values of NVML's field ids, asked in one call, each refused on its own."""
        answers = self.ask("nvmlDeviceGetFieldValues", handle, ids)
        return [
            _read_value(each) if each.nvmlReturn == pynvml.NVML_SUCCESS else NvmlError(each.nvmlReturn, "field value")
            for each in answers
        ]

    def has_gpm(self, handle: Handle) -> bool:
        """Whether a GPU tells which parts of it work."""
        return bool(self.ask("nvmlGpmQueryDeviceSupport", handle).isSupportedDevice)

    def between(self, earlier: object, later: object, ids: tuple[int, ...]) -> list[float | NvmlError]:
        """GPM's metrics of these ids between two samples, each refused on its own."""
        request = pynvml.c_nvmlGpmMetricsGet_t()
        request.version, request.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(ids)
        request.sample1, request.sample2 = earlier, later
        for position, number in enumerate(ids):
            request.metrics[position].metricId = number
        self.ask("nvmlGpmMetricsGet", request)
        answers = [request.metrics[position] for position in range(len(ids))]
        return [
            float(each.value) if each.nvmlReturn == pynvml.NVML_SUCCESS else NvmlError(each.nvmlReturn, "GPM metric")
            for each in answers
        ]

    def events(self, event_set: object) -> list[tuple[int, int]]:
        """The events that wait in a set, as (address of the GPU's handle, data), without waiting for more."""
        found = []
        while (event := self._optional("TIMEOUT", "nvmlEventSetWait_v2", event_set, 0)) is not None:
            found.append((address(event.device), int(event.eventData)))
        return found

    def utilization_of_processes(self, handle: Handle, since: int) -> list[Any]:
        """Samples of processes after a time in microseconds; none where nothing ran."""
        return self._optional("NOT_FOUND", "nvmlDeviceGetProcessUtilization", handle, since) or []

    def mig_is_on(self, handle: Handle) -> bool | None:
        """Whether a GPU is cut into MIG instances; None where it cannot be."""
        mode = self._optional("NOT_SUPPORTED", "nvmlDeviceGetMigMode", handle)
        return None if mode is None else bool(mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE)

    def instances(self, handle: Handle) -> list[Handle]:
        """The MIG devices of a GPU on which MIG is on."""
        slots = range(self.ask("nvmlDeviceGetMaxMigDeviceCount", handle))
        found = [self._optional("NOT_FOUND", "nvmlDeviceGetMigDeviceHandleByIndex", handle, slot) for slot in slots]
        return [each for each in found if each is not None]

    def _optional(self, nothing: str, function: str, *arguments: object) -> Any:
        """The answer, or None for the one error that says that there is none."""
        try:
            return self.ask(function, *arguments)
        except NvmlError as error:
            if error.name == nothing:
                return None
            raise


def as_text(answer: object) -> str:
    """A text of NVML's: pynvml returns bytes or a string, by its version."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)


def address(handle: object) -> int:
    """What a handle points to: two handles of one GPU have the same."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


_VALUE: dict[int, Callable[[Any], float]] = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: lambda value: value.dVal,
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: lambda value: value.uiVal,
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: lambda value: value.ulVal,
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: lambda value: value.ullVal,
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: lambda value: value.sllVal,
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: lambda value: value.siVal,
    pynvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: lambda value: value.usVal,
}


def _read_value(answer: Any) -> float | NvmlError:
    read = _VALUE.get(answer.valueType)
    return NvmlError(pynvml.NVML_ERROR_UNKNOWN, "field value") if read is None else float(read(answer.value))
