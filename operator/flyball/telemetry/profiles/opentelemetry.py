"""Any server or client that follows OpenTelemetry's conventions for generative AI, through a collector or an exporter.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/. A server's own histograms count before a client's,
which hold the network too.
"""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.envoy_ai_gateway import REQUEST_EDGES, TOKEN_EDGES, tokens, with_unit
from flyball.telemetry.profiles.model import Counter, GatewayProfile, Histogram, Origin, Selector, Version

_FIRST_TOKEN_EDGES = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)
_SERVER, _CLIENT = with_unit("gen_ai_server_request_duration"), with_unit("gen_ai_client_operation_duration")

OPEN_TELEMETRY = GatewayProfile(
    name="OpenTelemetry",
    origin=Origin(
        "semantic conventions 1.28 to 1.42",
        "semantic-conventions docs/gen-ai",
        "OpenTelemetry's instrumentation of OpenAI clients 2.4b0",
        ("gen_ai_server_", "gen_ai_client_operation_time_"),
    ),
    signs=tuple(f"{name}_count" for name in (*_CLIENT, *_SERVER)),
    requests=Counter(tuple(Selector(f"{name}_count") for name in (*_SERVER, *_CLIENT))),
    prompt_tokens=tokens("input"),
    output_tokens=tokens("output"),
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: (
                Histogram(with_unit("gen_ai_server_time_to_first_token"), _FIRST_TOKEN_EDGES),
                Histogram(with_unit("gen_ai_client_operation_time_to_first_chunk"), estimated=True),
            ),
            Indicator.INTER_TOKEN_LATENCY: (
                Histogram(with_unit("gen_ai_server_time_per_output_token"), TOKEN_EDGES),
                Histogram(with_unit("gen_ai_client_operation_time_per_output_chunk"), estimated=True),
            ),
            Indicator.END_TO_END: (Histogram((*_SERVER, *_CLIENT), REQUEST_EDGES),),
        }
    ),
    segments=MappingProxyType({"model": ("gen_ai_request_model",), "route": ("gen_ai_operation_name",)}),
    version=Version((Selector("target_info"),), "service_version"),
)
