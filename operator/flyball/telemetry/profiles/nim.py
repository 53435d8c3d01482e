"""NVIDIA NIM for LLMs at /v1/metrics: https://docs.nvidia.com/nim/large-language-models/latest/observability.html.

Its names have no prefix, so that other programs may export them too: they are read from a workload's own pods only.
"""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import (
    Counter,
    EngineProfile,
    Histogram,
    Origin,
    Selector,
    Unit,
    counter,
    gauge,
)

# Gaps between tokens, as vLLM's histogram of that name.
_TOKEN_TIME = (Histogram(("time_per_output_token_seconds",), estimated=True),)

NIM = EngineProfile(
    name="NIM",
    origin=Origin(
        "1.0 to 1.14",
        "NIM for LLMs, Observability",
        lacks=MappingProxyType(
            {
                "QueueTime": "not exported: Waiting says how many wait, not for how long",
                "CachedPromptShare": "not exported",
                "SecondsPerOutputToken": "gaps between tokens, in which long answers weigh more",
            }
        ),
    ),
    signs=("num_requests_running", "num_request_max"),
    running=gauge("num_requests_running"),
    waiting=gauge("num_requests_waiting"),
    kv_cache_usage=gauge("gpu_cache_usage_perc", unit=Unit.SHARE),
    completions=Counter(
        (
            Selector("request_finish_total", (("finished_reason", "!=", "abort"),)),
            Selector("request_success_total", (("finished_reason", "!=", "abort"),)),
        )
    ),
    prompt_tokens=counter("prompt_tokens_total", unit=Unit.TOKENS),
    output_tokens=counter("generation_tokens_total", unit=Unit.TOKENS),
    prompt_tokens_per_request=Histogram(("request_prompt_tokens",), unit=Unit.TOKENS),
    output_tokens_per_request=Histogram(("request_generation_tokens",), unit=Unit.TOKENS),
    seconds_per_output_token=_TOKEN_TIME,
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: (Histogram(("time_to_first_token_seconds",)),),
            Indicator.INTER_TOKEN_LATENCY: _TOKEN_TIME,
            Indicator.END_TO_END: (Histogram(("e2e_request_latency_seconds",)),),
        }
    ),
)
