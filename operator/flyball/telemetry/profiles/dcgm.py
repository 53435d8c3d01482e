"""NVIDIA's DCGM exporter, with the names of its default-counters.csv."""

from flyball.telemetry.profiles.model import Gauge, GpuProfile, Selector

DCGM = GpuProfile(
    name="DCGM",
    utilization=(
        Gauge((Selector("DCGM_FI_PROF_GR_ENGINE_ACTIVE"),)),
        # Percent, "a kernel was running", and not there on MIG instances.
        Gauge((Selector("DCGM_FI_DEV_GPU_UTIL"),), scale=0.01),
    ),
)
