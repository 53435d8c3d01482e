"""The endpoint picker of llm-d and of the Gateway API Inference Extension: llm-d-router's docs/metrics.md.

llm-d's router carries on what the extension began: newer names first, then those of the extension's own picker.
"""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import (
    GatewayProfile,
    Histogram,
    Origin,
    Selector,
    Unit,
    Version,
    counter,
)

_REQUEST_EDGES = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0),
    *(30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0),
)
_TOKEN_EDGES = (
    *(0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    *(1.0, 1.5, 2.0, 3.0, 4.5, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 48.0, 60.0, 90.0, 120.0, 180.0, 270.0, 360.0),
)
_QUEUE_EDGES = (
    *(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
_OBJECTIVE = "inference_objective"

ENDPOINT_PICKER = GatewayProfile(
    name="EndpointPicker",
    origin=Origin(
        "llm-d router 0.6 on; Gateway API Inference Extension 1.0 to 1.5",
        "llm-d-router docs/metrics.md; gateway-api-inference-extension pkg/epp/metrics/metrics.go",
        "Gateway API Inference Extension 1.5.0",
        ("llm_d_epp_",),
    ),
    signs=("llm_d_epp_request_total", f"{_OBJECTIVE}_request_total"),
    requests=counter("llm_d_epp_request_total", f"{_OBJECTIVE}_request_total"),
    prompt_tokens=counter("llm_d_epp_request_input_tokens_sum", f"{_OBJECTIVE}_input_tokens_sum", unit=Unit.TOKENS),
    output_tokens=counter("llm_d_epp_request_output_tokens_sum", f"{_OBJECTIVE}_output_tokens_sum", unit=Unit.TOKENS),
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: (
                Histogram(("llm_d_epp_request_ttft_seconds", f"{_OBJECTIVE}_request_ttft_seconds"), _REQUEST_EDGES),
            ),
            Indicator.INTER_TOKEN_LATENCY: (
                Histogram(
                    ("llm_d_epp_request_streaming_tpot_seconds", f"{_OBJECTIVE}_request_tpot_seconds"), _TOKEN_EDGES
                ),
                # Over the whole request, prefill included.
                Histogram(
                    (
                        "llm_d_epp_request_ntpot_seconds",
                        f"{_OBJECTIVE}_normalized_time_per_output_token_seconds",
                    ),
                    (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
                    estimated=True,
                ),
            ),
            Indicator.END_TO_END: (
                Histogram(
                    ("llm_d_epp_request_duration_seconds", f"{_OBJECTIVE}_request_duration_seconds"), _REQUEST_EDGES
                ),
            ),
            Indicator.QUEUE_TIME: (
                Histogram(
                    (
                        "llm_d_epp_flow_control_request_queue_duration_seconds",
                        "inference_extension_flow_control_request_queue_duration_seconds",
                    ),
                    _QUEUE_EDGES,
                ),
            ),
        }
    ),
    segments=MappingProxyType(
        {"model": ("model_name", "target_model_name"), "tenant": ("fairness_id",), "tier": ("priority",)}
    ),
    version=Version(
        (Selector("llm_d_epp_info"), Selector("inference_extension_info")),
        "build_ref",
    ),
)
