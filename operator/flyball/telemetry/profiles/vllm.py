"""vLLM, V1 engine: https://docs.vllm.ai/en/stable/usage/metrics.html."""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.core.service.reliability import RequestEvent
from flyball.telemetry.profiles.model import (
    Counter,
    Endings,
    EngineProfile,
    Gauge,
    Histogram,
    Origin,
    Ratio,
    Selector,
    Unit,
    counter,
    gauge,
)

FIRST_TOKEN_EDGES = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
TOKEN_GAP_EDGES = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
REQUEST_EDGES = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)

# A request's own mean time per output token; else the gaps between tokens, in which long answers weigh more.
_TOKEN_TIME = (
    Histogram(("vllm:request_time_per_output_token_seconds",), TOKEN_GAP_EDGES),
    Histogram(
        ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"), TOKEN_GAP_EDGES, estimated=True
    ),
)

FINISHED_REASONS = MappingProxyType(
    {
        "stop": (RequestEvent.ANSWER,),
        "length": (RequestEvent.ANSWER, RequestEvent.TRUNCATED),
        "repetition": (RequestEvent.ANSWER,),
        "error": (RequestEvent.SERVICE_ERROR,),
        "abort": (RequestEvent.CLIENT_MISTAKE,),
    }
)
_ENDINGS = (
    Endings(counter("vllm:request_success_total"), "finished_reason", FINISHED_REASONS),
    # The API server's own counter (prometheus-fastapi-instrumentator), by classes such as 5xx. It rejects with 503 what
    # the engine has no room for, and answers no 408 or 429 of its own.
    Endings(Counter((Selector("http_requests_total", (("handler", "=~", "/v1/.+"),)),)), "status"),
)


VLLM = EngineProfile(
    name="VLLM",
    origin=Origin("0.8 to 0.33", "vllm/v1/metrics/loggers.py", "vLLM 0.33.0"),
    signs=("vllm:num_requests_running",),
    running=gauge("vllm:num_requests_running"),
    # `deferred` waits by the scheduler's policy; only `capacity` waits for a GPU.
    waiting=Gauge(
        (
            Selector("vllm:num_requests_waiting_by_reason", (("reason", "=", "capacity"),)),
            Selector("vllm:num_requests_waiting"),
        )
    ),
    # Named percent, counted from 0 to 1.
    kv_cache_usage=gauge("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", unit=Unit.SHARE),
    # Despite its name it counts every finished request; an aborted one was never answered.
    completions=Counter((Selector("vllm:request_success_total", (("finished_reason", "!=", "abort"),)),)),
    prompt_tokens=counter("vllm:prompt_tokens_total", unit=Unit.TOKENS),
    output_tokens=counter("vllm:generation_tokens_total", unit=Unit.TOKENS),
    prompt_tokens_per_request=Histogram(("vllm:request_prompt_tokens",), unit=Unit.TOKENS),
    output_tokens_per_request=Histogram(("vllm:request_generation_tokens",), unit=Unit.TOKENS),
    prefill_seconds=Histogram(("vllm:request_prefill_time_seconds",)),
    decode_seconds=Histogram(("vllm:request_decode_time_seconds",), REQUEST_EDGES),
    seconds_per_output_token=_TOKEN_TIME,
    cached_prompt_share=(
        Ratio(counter("vllm:prompt_tokens_cached_total"), counter("vllm:prompt_tokens_total")),
        Ratio(
            counter("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
            counter("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
        ),
    ),
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: (Histogram(("vllm:time_to_first_token_seconds",), FIRST_TOKEN_EDGES),),
            Indicator.INTER_TOKEN_LATENCY: _TOKEN_TIME,
            Indicator.END_TO_END: (Histogram(("vllm:e2e_request_latency_seconds",), REQUEST_EDGES),),
            Indicator.QUEUE_TIME: (Histogram(("vllm:request_queue_time_seconds",), REQUEST_EDGES),),
        }
    ),
    endings=_ENDINGS,
)
