"""Which metrics carry which signal, by engine, gateway and GPU exporter: data that queries are made from."""

from collections.abc import Mapping
from types import MappingProxyType

from flyball.telemetry.profiles.dcgm import DCGM
from flyball.telemetry.profiles.dynamo import DYNAMO
from flyball.telemetry.profiles.endpoint_picker import ENDPOINT_PICKER
from flyball.telemetry.profiles.envoy_ai_gateway import ENVOY_AI_GATEWAY
from flyball.telemetry.profiles.litellm import LITELLM
from flyball.telemetry.profiles.model import EngineProfile, GatewayProfile, GpuProfile
from flyball.telemetry.profiles.nim import NIM
from flyball.telemetry.profiles.opentelemetry import OPEN_TELEMETRY
from flyball.telemetry.profiles.sglang import SGLANG
from flyball.telemetry.profiles.tgi import TGI
from flyball.telemetry.profiles.triton import TRITON
from flyball.telemetry.profiles.vllm import VLLM

CUSTOM = "Custom"
"""The engine or gateway that is described by overrides alone."""

ENGINES: Mapping[str, EngineProfile] = MappingProxyType(
    {profile.name: profile for profile in (VLLM, SGLANG, TGI, TRITON, NIM, DYNAMO)}
)
GATEWAYS: Mapping[str, GatewayProfile] = MappingProxyType(
    {profile.name: profile for profile in (ENDPOINT_PICKER, LITELLM, ENVOY_AI_GATEWAY, OPEN_TELEMETRY)}
)
GPU: GpuProfile = DCGM

__all__ = ["CUSTOM", "ENGINES", "GATEWAYS", "GPU", "EngineProfile", "GatewayProfile", "GpuProfile"]
