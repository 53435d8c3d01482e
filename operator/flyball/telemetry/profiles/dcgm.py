"""NVIDIA's DCGM exporter, with the names of its default-counters.csv."""

from flyball.telemetry.profiles.model import GpuProfile, Unit, gauge

DCGM = GpuProfile(
    name="DCGM",
    utilization=(
        gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", unit=Unit.SHARE),
        # "A kernel was running", and not there on MIG instances.
        gauge("DCGM_FI_DEV_GPU_UTIL", unit=Unit.PERCENT),
    ),
)
