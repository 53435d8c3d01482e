"""The simulated GPU in DCGM exporter's names, read off the engine's own iterations.

Utilization is the share of the last second that iterations filled. Of an iteration's time, the part for prompt tokens
is bound by arithmetic and the part for weights and KV by memory; DRAM and tensor activity are these parts times what a
kernel reaches of the peak (0.8 of the bandwidth, 0.5 of the FLOPS: the roofline of the derived presets). Power is
linear in utilization between idle and the board limit. All GPUs of a replica (tensor parallel) work alike.
"""

import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from flyball.lab.engine import EngineParameters, Iteration
from flyball.lab.presets import Accelerator

WINDOW_SECONDS = 1.0
_BANDWIDTH_EFFICIENCY = 0.8
_FLOPS_EFFICIENCY = 0.5
_MEMORY_SHARE = 0.9
"""vLLM's gpu_memory_utilization: taken whole at start, for weights and KV cache."""
_RESERVED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class GpuActivity:
    """Shares of the last second, 0 to 1."""

    active: float
    tensor: float
    dram: float


IDLE = GpuActivity(0.0, 0.0, 0.0)
BUSY = GpuActivity(1.0, _FLOPS_EFFICIENCY, _BANDWIDTH_EFFICIENCY)


class BusyWindow:
    """Remembers the iterations of the last second."""

    __slots__ = ("_parameters", "_recent")

    def __init__(self, parameters: EngineParameters) -> None:
        self._parameters = parameters
        self._recent: deque[tuple[float, float, Iteration[Any]]] = deque()

    def add(self, iteration: Iteration[Any]) -> None:
        """Take note of an iteration that is over; forget those too old to matter."""
        self._recent.append((iteration.started_at, iteration.ends_at, iteration))
        horizon = iteration.ends_at - WINDOW_SECONDS
        while self._recent[0][1] < horizon:
            self._recent.popleft()

    def activity(self, now: float, in_flight: Iteration[Any] | None) -> GpuActivity:
        """Activity over the second before `now`, the iteration in flight included."""
        spans = list(self._recent)
        if in_flight is not None:
            spans.append((in_flight.started_at, now, in_flight))
        active = tensor = dram = 0.0
        for start, end, iteration in spans:
            seconds = min(end, now) - max(start, now - WINDOW_SECONDS)
            if seconds <= 0:
                continue
            memory = self._parameters.memory_seconds(iteration.context_tokens)
            prefill = self._parameters.prefill_seconds(iteration.prefill_tokens)
            nominal = self._parameters.iteration_seconds(
                len(iteration.decoding), iteration.context_tokens, iteration.prefill_tokens
            )
            active += seconds
            tensor += seconds * prefill / nominal * _FLOPS_EFFICIENCY
            dram += seconds * memory / nominal * _BANDWIDTH_EFFICIENCY
        return GpuActivity(min(1.0, active), tensor, dram)


class GpuExporter:
    """DCGM exporter's families for the GPUs of one replica."""

    __slots__ = ("_accelerator", "_labels")

    def __init__(self, accelerator: Accelerator, gpus: int, hostname: str) -> None:
        self._accelerator = accelerator
        self._labels = [
            {
                "gpu": str(index),
                "UUID": f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{index}.{hostname}')}",
                "pci_bus_id": f"00000000:{index + 1:02X}:00.0",
                "device": f"nvidia{index}",
                "modelName": accelerator.dcgm_model,
                "Hostname": hostname,
            }
            for index in range(gpus)
        ]

    def families(self, activity: GpuActivity, loaded: bool) -> Iterator[Metric]:
        """All series; `loaded` says whether the engine has taken its memory."""
        memory = self._accelerator.memory_mib
        reserved = round(memory * _RESERVED_SHARE)
        used = round(memory * _MEMORY_SHARE) if loaded else 0
        idle, peak = self._accelerator.idle_watts, self._accelerator.peak_watts
        for name, documentation, value in (
            ("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", round(activity.active * 100)),
            ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Ratio of time the graphics engine is active.", activity.active),
            ("DCGM_FI_PROF_DRAM_ACTIVE", "Ratio of cycles the device memory interface is active.", activity.dram),
            ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "Ratio of cycles the tensor pipe is active.", activity.tensor),
            ("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB).", used),
            ("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB).", memory - used - reserved),
            ("DCGM_FI_DEV_FB_RESERVED", "Framebuffer memory reserved (in MiB).", reserved),
            ("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W).", idle + (peak - idle) * activity.active),
        ):
            family = GaugeMetricFamily(name, documentation, labels=list(self._labels[0]))
            for labels in self._labels:
                family.add_metric(list(labels.values()), value)
            yield family
