"""NVML's GPU performance monitoring (GPM): which parts of a GPU work. Hopper and newer; MIG instances have their own.

A value is the mean between two samples, here those of two sweeps: the first sweep of a session has none.
"""

import contextlib
import math

from flyball.gpuagent.metrics import GPM
from flyball.gpuagent.nvml import Handle, Nvml, NvmlError

_IDS = tuple(GPM)


class Gpm:
    """The samples of a session, two for each GPU or MIG instance, taken in turn. Samples are memory of NVML's."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, int | None], list[object]] = {}

    def read(
        self, nvml: Nvml, handle: Handle, uuid: str, instance: int | None = None
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Values by metric since the last call for the same, and the errors in the place of others. Raises NvmlError.

        `handle` and `uuid` are the GPU's, also for an `instance` of it.
        """
        samples = self._samples.setdefault((uuid, instance), [])
        sample = samples.pop(0) if len(samples) == 2 else nvml.ask("nvmlGpmSampleAlloc")
        samples.append(sample)
        try:
            if instance is None:
                nvml.ask("nvmlGpmSampleGet", handle, sample)
            else:
                nvml.ask("nvmlGpmMigSampleGet", handle, instance, sample)
        except NvmlError:
            self._free(nvml, (uuid, instance))
            raise
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        if len(samples) == 2:
            for (metric, scale), value in zip(GPM.values(), nvml.between(samples[0], samples[1], _IDS), strict=True):
                if isinstance(value, NvmlError):
                    missing[metric.name] = value.name
                elif math.isfinite(value):
                    values[metric.name] = value * scale
        return values, missing

    def close(self, nvml: Nvml) -> None:
        """Give all samples back, before the session ends."""
        for key in list(self._samples):
            self._free(nvml, key)

    def _free(self, nvml: Nvml, key: tuple[str, int | None]) -> None:
        for sample in self._samples.pop(key):
            # Where the driver is gone there may be nobody who takes it.
            with contextlib.suppress(NvmlError):
                nvml.ask("nvmlGpmSampleFree", sample)
