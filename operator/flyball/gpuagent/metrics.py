"""Which metrics a GPU has and which call of NVML each comes from, as data.

Where NVIDIA's DCGM exporter exports a thing, its name, type and unit are used (its default-counters.csv, and the lines
commented out there): dashboards, alerts and Flyball's own telemetry read both alike. NVML's own units are milliwatts,
bytes, MHz, nanoseconds and millijoules (its API reference).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, what it says with its unit, and its type."""

    name: str
    help: str
    kind: Literal["gauge", "counter"] = "gauge"


@dataclass(frozen=True, slots=True)
class Question:
    """One call of NVML about a GPU, and the metrics that `read` finds in its answer, in their order."""

    function: str
    metrics: tuple[Metric, ...]
    read: Callable[[Any], tuple[float, ...]]
    arguments: tuple[int, ...] = ()


MEMORY_V2 = 0x02000028  # nvmlMemory_v2: the version that tells what the driver reserved from what is used (driver 510)
CLOCK_SM, CLOCK_MEMORY, SENSOR_GPU = 1, 2, 0  # NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU

MEMORY = Question(
    "nvmlDeviceGetMemoryInfo",
    (
        Metric("DCGM_FI_DEV_FB_TOTAL", "Framebuffer memory in all (in MiB)."),
        Metric("DCGM_FI_DEV_FB_FREE", "Framebuffer memory free (in MiB)."),
        Metric("DCGM_FI_DEV_FB_USED", "Framebuffer memory used (in MiB)."),
        Metric("DCGM_FI_DEV_FB_RESERVED", "Framebuffer memory reserved by the driver (in MiB)."),
    ),
    lambda memory: (memory.total // MIB, memory.free // MIB, memory.used // MIB, memory.reserved // MIB),
    (MEMORY_V2,),
)
"""Also asked of each MIG instance."""

MIG_MODE = Metric("DCGM_FI_DEV_MIG_MODE", "1 where the GPU is cut into MIG instances, 0 where it is not.")
INSTANCES = "GPU_I_ID"
"""What is missing where a GPU's MIG instances may not be seen: all series with that label."""

CLOCK_EVENTS = Metric(
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "Why clocks are below the highest now, as NVML's bit mask; 0 is no reason."
)

QUESTIONS = (
    Question(
        "nvmlDeviceGetUtilizationRates",
        (
            Metric("DCGM_FI_DEV_GPU_UTIL", "Time in which a kernel ran (in %)."),
            Metric("DCGM_FI_DEV_MEM_COPY_UTIL", "Time in which memory was read or written (in %)."),
        ),
        lambda rates: (rates.gpu, rates.memory),
    ),
    Question(
        "nvmlDeviceGetEncoderUtilization",
        (Metric("DCGM_FI_DEV_ENC_UTIL", "Encoder utilization (in %)."),),
        lambda answer: (answer[0],),
    ),
    Question(
        "nvmlDeviceGetDecoderUtilization",
        (Metric("DCGM_FI_DEV_DEC_UTIL", "Decoder utilization (in %)."),),
        lambda answer: (answer[0],),
    ),
    MEMORY,
    Question(
        "nvmlDeviceGetPowerUsage",
        (Metric("DCGM_FI_DEV_POWER_USAGE", "Power draw (in W)."),),
        lambda milliwatts: (milliwatts / 1000,),
    ),
    Question(
        "nvmlDeviceGetEnforcedPowerLimit",
        (Metric("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "Power limit in force (in W)."),),
        lambda milliwatts: (milliwatts / 1000,),
    ),
    Question(
        "nvmlDeviceGetClockInfo",
        (Metric("DCGM_FI_DEV_SM_CLOCK", "SM clock frequency (in MHz)."),),
        lambda megahertz: (megahertz,),
        (CLOCK_SM,),
    ),
    Question(
        "nvmlDeviceGetClockInfo",
        (Metric("DCGM_FI_DEV_MEM_CLOCK", "Memory clock frequency (in MHz)."),),
        lambda megahertz: (megahertz,),
        (CLOCK_MEMORY,),
    ),
    Question(
        "nvmlDeviceGetTemperature",
        (Metric("DCGM_FI_DEV_GPU_TEMP", "GPU temperature (in C)."),),
        lambda celsius: (celsius,),
        (SENSOR_GPU,),
    ),
    Question("nvmlDeviceGetCurrentClocksEventReasons", (CLOCK_EVENTS,), lambda reasons: (reasons,)),
)

# NVML_FI_DEV_… → metric: all of these come from one nvmlDeviceGetFieldValues.
FIELDS = {
    3: Metric("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "Single-bit ECC errors since the driver was loaded.", "counter"),
    4: Metric("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "Double-bit ECC errors since the driver was loaded.", "counter"),
    5: Metric("DCGM_FI_DEV_ECC_SBE_AGG_TOTAL", "Single-bit ECC errors in the GPU's life.", "counter"),
    6: Metric("DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", "Double-bit ECC errors in the GPU's life.", "counter"),
    29: Metric("DCGM_FI_DEV_RETIRED_SBE", "Pages retired for single-bit errors.", "counter"),
    30: Metric("DCGM_FI_DEV_RETIRED_DBE", "Pages retired for double-bit errors.", "counter"),
    31: Metric("DCGM_FI_DEV_RETIRED_PENDING", "1 while pages wait for retirement."),
    74: Metric("DCGM_FI_DEV_POWER_VIOLATION", "Time throttled by the power limit (in ns).", "counter"),
    75: Metric("DCGM_FI_DEV_THERMAL_VIOLATION", "Time throttled by temperature (in ns).", "counter"),
    76: Metric("DCGM_FI_DEV_SYNC_BOOST_VIOLATION", "Time throttled by sync boost (in ns).", "counter"),
    77: Metric("DCGM_FI_DEV_BOARD_LIMIT_VIOLATION", "Time throttled by the board's limit (in ns).", "counter"),
    78: Metric("DCGM_FI_DEV_LOW_UTIL_VIOLATION", "Time throttled by low utilization (in ns).", "counter"),
    79: Metric("DCGM_FI_DEV_RELIABILITY_VIOLATION", "Time throttled for reliability (in ns).", "counter"),
    82: Metric("DCGM_FI_DEV_MEMORY_TEMP", "Memory temperature (in C)."),
    83: Metric("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "Energy since the driver was loaded (in mJ).", "counter"),
    94: Metric("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "PCIe retries.", "counter"),
    142: Metric("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "Rows remapped for correctable errors.", "counter"),
    143: Metric("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "Rows remapped for uncorrectable errors.", "counter"),
    144: Metric("DCGM_FI_DEV_ROW_REMAP_PENDING", "1 while a remapping waits for a reset of the GPU."),
    145: Metric("DCGM_FI_DEV_ROW_REMAP_FAILURE", "1 where a remapping of rows has failed."),
}

# NVML_GPM_METRIC_… → metric, and what makes its unit of NVML's, which is percent or MiB/s. Hopper and newer.
GPM = {
    1: (Metric("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Share of time in which any engine worked (0 to 1)."), 0.01),
    2: (Metric("DCGM_FI_PROF_SM_ACTIVE", "Share of the SMs that worked, over time (0 to 1)."), 0.01),
    3: (Metric("DCGM_FI_PROF_SM_OCCUPANCY", "Share of the warps that SMs can hold which were there (0 to 1)."), 0.01),
    5: (Metric("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "Share of time in which tensor cores worked (0 to 1)."), 0.01),
    10: (Metric("DCGM_FI_PROF_DRAM_ACTIVE", "Share of the memory bandwidth that was used (0 to 1)."), 0.01),
    20: (Metric("DCGM_FI_PROF_PCIE_TX_BYTES", "Sent over PCIe (in bytes per second)."), MIB),
    21: (Metric("DCGM_FI_PROF_PCIE_RX_BYTES", "Received over PCIe (in bytes per second)."), MIB),
}

# Kept across sweeps rather than read.
LAST_XID = Metric("DCGM_FI_DEV_XID_ERRORS", "Last XID error that was seen; 0 when none was.")
XIDS = Metric("DCGM_EXP_XID_ERRORS_TOTAL", "XID errors seen since the agent started.", "counter")
CLOCK_EVENTS_SEEN = Metric(
    "DCGM_EXP_CLOCK_EVENTS_TOTAL", "Times that a reason for lower clocks was seen to begin.", "counter"
)

CLOCK_EVENT_NAMES = {
    0x001: "gpu_idle",
    0x002: "clocks_setting",
    0x004: "power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal",
    0x040: "hw_thermal",
    0x080: "hw_power_brake",
    0x100: "display_clocks",
}
"""The bits of nvmlClocksEventReason… in DCGM exporter's words, its label `clock_event`."""

READ = (
    *(metric for question in QUESTIONS for metric in question.metrics),
    *FIELDS.values(),
    MIG_MODE,
    *(metric for metric, _ in GPM.values()),
)
"""Every metric whose value a sweep reads."""


PROCESS_MEMORY = Metric("flyball_gpu_process_memory_used_bytes", "GPU memory that a compute process has.")
PROCESS_SM = Metric(
    "flyball_gpu_process_sm_utilization_ratio",
    "Share of time in which a process's kernels ran, mean of NVML's samples since the last sweep.",
)
"""The two of `processes`; DCGM exporter has no series by process."""
