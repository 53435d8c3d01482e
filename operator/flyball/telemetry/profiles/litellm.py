"""The LiteLLM proxy with its prometheus callback: https://docs.litellm.ai/docs/proxy/prometheus."""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import GatewayProfile, Histogram, Origin, Unit, counter

_EDGES = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0),
    *(30.0, 60.0, 120.0, 300.0, 420.0, 600.0),
)
_TOKEN_EDGES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

LITELLM = GatewayProfile(
    name="LiteLLM",
    origin=Origin("1.60 to 1.108; edges of 1.108", "litellm/types/integrations/prometheus.py", "LiteLLM 1.108.7"),
    signs=("litellm_proxy_total_requests_metric_total",),
    requests=counter("litellm_proxy_total_requests_metric_total"),
    prompt_tokens=counter("litellm_input_tokens_metric_total", unit=Unit.TOKENS),
    output_tokens=counter("litellm_output_tokens_metric_total", unit=Unit.TOKENS),
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: (Histogram(("litellm_llm_api_time_to_first_token_metric",), _EDGES),),
            Indicator.INTER_TOKEN_LATENCY: (
                # Over the whole call, prefill included.
                Histogram(("litellm_deployment_latency_per_output_token",), _TOKEN_EDGES, estimated=True),
            ),
            Indicator.END_TO_END: (Histogram(("litellm_request_total_latency_metric",), _EDGES),),
            Indicator.QUEUE_TIME: (Histogram(("litellm_request_queue_time_seconds",), _EDGES),),
        }
    ),
    segments=MappingProxyType(
        {"model": ("requested_model", "model"), "tenant": ("team", "team_alias"), "tier": ("service_tier",)}
    ),
)
