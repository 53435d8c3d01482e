"""NVIDIA's DCGM exporter, with the names of its default-counters.csv. `flyball gpuagent` exports the same."""

from flyball.telemetry.profiles.model import GpuProfile, Origin, Unit, gauge

DCGM = GpuProfile(
    name="DCGM",
    origin=Origin("DCGM exporter 3 and 4; flyball gpuagent", "dcgm-exporter etc/default-counters.csv"),
    utilization=(
        gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", unit=Unit.SHARE),
        # "A kernel was running", and not there on MIG instances.
        gauge("DCGM_FI_DEV_GPU_UTIL", unit=Unit.PERCENT),
    ),
)
