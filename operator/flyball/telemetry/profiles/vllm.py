"""vLLM, V1 engine. Names and edges from vllm/v1/metrics/loggers.py, from v0.8 on."""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import Counter, EngineProfile, Gauge, Histogram, Ratio, Selector

_FIRST_TOKEN_EDGES = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
_TOKEN_GAP_EDGES = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
_REQUEST_EDGES = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)

# A request's own mean time per output token; else the gaps between tokens, in which long answers weigh more.
_TOKEN_TIME = (
    Histogram(("vllm:request_time_per_output_token_seconds",), _TOKEN_GAP_EDGES),
    Histogram(
        ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"), _TOKEN_GAP_EDGES, estimated=True
    ),
)


def _counter(*names: str) -> Counter:
    return Counter(tuple(Selector(name) for name in names))


VLLM = EngineProfile(
    name="VLLM",
    running=Gauge((Selector("vllm:num_requests_running"),)),
    # `deferred` waits by the scheduler's policy; only `capacity` waits for a GPU.
    waiting=Gauge(
        (
            Selector("vllm:num_requests_waiting_by_reason", (("reason", "=", "capacity"),)),
            Selector("vllm:num_requests_waiting"),
        )
    ),
    kv_cache_usage=Gauge((Selector("vllm:kv_cache_usage_perc"), Selector("vllm:gpu_cache_usage_perc"))),
    # Despite its name it counts every finished request; an aborted one was never answered.
    completions=Counter((Selector("vllm:request_success_total", (("finished_reason", "!=", "abort"),)),)),
    prompt_tokens=_counter("vllm:prompt_tokens_total"),
    output_tokens=_counter("vllm:generation_tokens_total"),
    prompt_tokens_per_request=Histogram(("vllm:request_prompt_tokens",)),
    output_tokens_per_request=Histogram(("vllm:request_generation_tokens",)),
    decode_seconds=Histogram(("vllm:request_decode_time_seconds",)),
    seconds_per_output_token=_TOKEN_TIME,
    cached_prompt_share=(
        Ratio(_counter("vllm:prompt_tokens_cached_total"), _counter("vllm:prompt_tokens_total")),
        Ratio(
            _counter("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
            _counter("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
        ),
    ),
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: (Histogram(("vllm:time_to_first_token_seconds",), _FIRST_TOKEN_EDGES),),
            Indicator.INTER_TOKEN_LATENCY: _TOKEN_TIME,
            Indicator.END_TO_END: (Histogram(("vllm:e2e_request_latency_seconds",), _REQUEST_EDGES),),
            Indicator.QUEUE_TIME: (Histogram(("vllm:request_queue_time_seconds",), _REQUEST_EDGES),),
        }
    ),
)
