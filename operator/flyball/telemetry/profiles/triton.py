"""NVIDIA Triton with the TensorRT-LLM backend, and TensorRT-LLM's own server: Triton's docs/user_guide/metrics.md."""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import (
    Counter,
    Endings,
    EngineProfile,
    Gauge,
    Histogram,
    Origin,
    Selector,
    Unit,
    counter,
)
from flyball.telemetry.profiles.vllm import FINISHED_REASONS, FIRST_TOKEN_EDGES, REQUEST_EDGES, TOKEN_GAP_EDGES


def _batch_manager(kind: str) -> Selector:
    return Selector("nv_trt_llm_request_metrics", (("request_type", "=", kind),))


_MEANS_ONLY = "Triton exports means and summaries, of which no share can be had; trtllm-serve a histogram"
_TOKEN_TIME = (Histogram(("trtllm_time_per_output_token_seconds",), TOKEN_GAP_EDGES),)

TRITON = EngineProfile(
    name="Triton",
    origin=Origin(
        "Triton 23.11 on with TensorRT-LLM; trtllm-serve 1.2 on",
        "triton docs/user_guide/metrics.md, tensorrtllm_backend README, tensorrt_llm/metrics/collector.py",
        "Triton of nvidia-pytriton 0.7.0",
        ("nv_trt_llm_", "nv_inference_first_response_", "trtllm_"),
        MappingProxyType(
            {
                "PromptTokens": "Triton exports none; trtllm-serve does",
                "OutputTokens": "Triton exports none; trtllm-serve does",
                "PromptTokensPerRequest": "from PromptTokens and Completions, where both are there",
                "OutputTokensPerRequest": "from OutputTokens and Completions, where both are there",
                "InterTokenLatency": "Triton exports none; trtllm-serve does",
                "EndToEnd": _MEANS_ONLY,
                "QueueTime": _MEANS_ONLY,
                "CachedPromptShare": "not exported as counters",
            }
        ),
    ),
    signs=("nv_trt_llm_request_metrics", "trtllm_num_requests_running", "nv_inference_pending_request_count"),
    running=Gauge((_batch_manager("scheduled"), Selector("trtllm_num_requests_running"))),
    # Older backends do not say how many wait; the core's queue is before the backend's, which it keeps short.
    waiting=Gauge(
        (
            _batch_manager("waiting"),
            Selector("trtllm_num_requests_waiting"),
            Selector("nv_inference_pending_request_count"),
        )
    ),
    kv_cache_usage=Gauge(
        (
            Selector("nv_trt_llm_kv_cache_block_metrics", (("kv_cache_block_type", "=", "fraction"),)),
            Selector("trtllm_kv_cache_utilization"),
        ),
        Unit.SHARE,
    ),
    # An ensemble counts a request once itself and once for each of its models: only the LLM's own count.
    completions=Counter(
        (
            Selector("nv_inference_request_success", (("model", "=", "tensorrt_llm"),)),
            Selector("nv_inference_request_success"),
            Selector("trtllm_request_success_total", (("finished_reason", "!=", "abort"),)),
        )
    ),
    prompt_tokens=counter("trtllm_prompt_tokens_total", unit=Unit.TOKENS),
    output_tokens=counter("trtllm_generation_tokens_total", unit=Unit.TOKENS),
    decode_seconds=Histogram(("trtllm_request_decode_time_seconds",), REQUEST_EDGES),
    seconds_per_output_token=_TOKEN_TIME,
    latencies=MappingProxyType(
        {
            # Opt-in, for models that answer in parts.
            Indicator.TIME_TO_FIRST_TOKEN: (
                Histogram(("trtllm_time_to_first_token_seconds",), FIRST_TOKEN_EDGES),
                Histogram(
                    ("nv_inference_first_response_histogram_ms",), (100.0, 500.0, 2000.0, 5000.0), Unit.MILLISECONDS
                ),
            ),
            Indicator.INTER_TOKEN_LATENCY: _TOKEN_TIME,
            Indicator.END_TO_END: (Histogram(("trtllm_e2e_request_latency_seconds",), REQUEST_EDGES),),
            Indicator.QUEUE_TIME: (Histogram(("trtllm_request_queue_time_seconds",), REQUEST_EDGES),),
        }
    ),
    endings=(Endings(counter("trtllm_request_success_total"), "finished_reason", FINISHED_REASONS),),
)
