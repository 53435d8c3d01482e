"""Which metrics carry which signal, by engine, gateway and GPU exporter: data that queries are made from."""

from collections.abc import Mapping
from types import MappingProxyType

from flyball.telemetry.profiles.dcgm import DCGM
from flyball.telemetry.profiles.dynamo import DYNAMO
from flyball.telemetry.profiles.model import EngineProfile, GpuProfile
from flyball.telemetry.profiles.nim import NIM
from flyball.telemetry.profiles.sglang import SGLANG
from flyball.telemetry.profiles.tgi import TGI
from flyball.telemetry.profiles.triton import TRITON
from flyball.telemetry.profiles.vllm import VLLM

CUSTOM = "Custom"
"""The engine that is described by overrides alone."""

ENGINES: Mapping[str, EngineProfile] = MappingProxyType(
    {profile.name: profile for profile in (VLLM, SGLANG, TGI, TRITON, NIM, DYNAMO)}
)
GPU: GpuProfile = DCGM

__all__ = ["CUSTOM", "ENGINES", "GPU", "EngineProfile", "GpuProfile"]
