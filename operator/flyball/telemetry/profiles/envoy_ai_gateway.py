"""Envoy AI Gateway: https://aigateway.envoyproxy.io/docs/capabilities/observability/metrics.

OpenTelemetry's names, of which exporters make Prometheus' with or without the unit at the end.
"""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import Counter, GatewayProfile, Histogram, Origin, Selector, Unit

REQUEST_EDGES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_TOKEN_EDGES = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)
TOKEN_EDGES = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)


def with_unit(name: str, unit: str = "seconds") -> tuple[str, str]:
    """Both names that an OpenTelemetry instrument may have in Prometheus."""
    return f"{name}_{unit}", name


def tokens(kind: str) -> Counter:
    """Tokens of that type, whatever the exporter made of the histogram's name."""
    matchers = (("gen_ai_token_type", "=", kind),)
    names = ("gen_ai_client_token_usage_token_sum", "gen_ai_client_token_usage_sum")
    return Counter(tuple(Selector(name, matchers) for name in names), Unit.TOKENS)


_REQUESTS = with_unit("gen_ai_server_request_duration")

ENVOY_AI_GATEWAY = GatewayProfile(
    name="EnvoyAIGateway",
    origin=Origin("0.1 to 1.1; edges of 1.0", "internal/metrics/genai.go", "Envoy AI Gateway 1.0.0"),
    signs=("gen_ai_server_request_duration_seconds_count", "gen_ai_server_request_duration_count"),
    requests=Counter(tuple(Selector(f"{name}_count") for name in _REQUESTS)),
    prompt_tokens=tokens("input"),
    output_tokens=tokens("output"),
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: (
                Histogram(with_unit("gen_ai_server_time_to_first_token"), _FIRST_TOKEN_EDGES),
            ),
            Indicator.INTER_TOKEN_LATENCY: (Histogram(with_unit("gen_ai_server_time_per_output_token"), TOKEN_EDGES),),
            Indicator.END_TO_END: (Histogram(_REQUESTS, REQUEST_EDGES),),
        }
    ),
    segments=MappingProxyType(
        {"model": ("gen_ai_request_model", "gen_ai_original_model"), "route": ("gen_ai_operation_name",)}
    ),
)
