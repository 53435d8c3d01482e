"""Which metrics carry which signal, by engine and GPU exporter: data that queries and readings are made from."""

from collections.abc import Mapping
from types import MappingProxyType

from flyball.telemetry.profiles.dcgm import DCGM
from flyball.telemetry.profiles.model import EngineProfile, GpuProfile
from flyball.telemetry.profiles.vllm import VLLM

CUSTOM = "Custom"
"""The engine that is described by overrides alone."""

ENGINES: Mapping[str, EngineProfile] = MappingProxyType({VLLM.name: VLLM})
GPU: GpuProfile = DCGM

__all__ = ["CUSTOM", "ENGINES", "GPU", "EngineProfile", "GpuProfile"]
