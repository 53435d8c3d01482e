"""NVIDIA Dynamo's workers, which pass their engine's own metrics on beside Dynamo's.

https://docs.nvidia.com/dynamo/latest/observability/metrics.html. Its frontend stands before all workers of a model and
is no pod of theirs: what it exports (`dynamo_frontend_…`) users name in `telemetry.latencies`.
"""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import (
    Counter,
    EngineProfile,
    Gauge,
    Histogram,
    Origin,
    Selector,
    Unit,
)
from flyball.telemetry.profiles.sglang import SGLANG
from flyball.telemetry.profiles.triton import TRITON
from flyball.telemetry.profiles.vllm import VLLM

_ENGINES = (VLLM, SGLANG, TRITON)
_WORKER = "dynamo_component"
_WORKER_EDGES = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
# How long the worker has a request: without the frontend, and where prefill is apart, of its own part alone.
_IN_WORKER = Histogram(
    (f"{_WORKER}_request_duration_seconds",),
    _WORKER_EDGES,
    estimated=True,
    matchers=(("dynamo_endpoint", "=", "generate"),),
)


def _all_of(*counters: Counter | None, unit: Unit = Unit.EACH) -> Counter:
    return Counter(tuple(selector for each in counters if each for selector in each.selectors), unit)


def _histograms(indicator: Indicator) -> tuple[Histogram, ...]:
    return tuple(histogram for engine in _ENGINES for histogram in engine.latencies.get(indicator, ()))


DYNAMO = EngineProfile(
    name="Dynamo",
    origin=Origin(
        "0.4 to 1.6, with vLLM, SGLang or TensorRT-LLM",
        "lib/runtime/src/metrics/prometheus_names.rs and the engines' own",
        "Dynamo 1.6.1",
        ("vllm:", "sglang:", "trtllm_", "nv_"),
    ),
    signs=(f"{_WORKER}_inflight_requests",),
    running=Gauge(
        (*(s for engine in _ENGINES for s in engine.running.selectors), Selector(f"{_WORKER}_inflight_requests"))
    ),
    waiting=Gauge(tuple(s for engine in _ENGINES for s in engine.waiting.selectors), plus=SGLANG.waiting.plus),
    kv_cache_usage=Gauge(
        tuple(s for engine in _ENGINES if engine.kv_cache_usage for s in engine.kv_cache_usage.selectors), Unit.SHARE
    ),
    # Dynamo's own `requests_total` counts requests that begin; its histogram counts those that ended.
    completions=Counter(
        (
            *(s for engine in _ENGINES for s in engine.completions.selectors),
            Selector(f"{_WORKER}_request_duration_seconds_count"),
        )
    ),
    prompt_tokens=_all_of(*(engine.prompt_tokens for engine in _ENGINES), unit=Unit.TOKENS),
    output_tokens=_all_of(*(engine.output_tokens for engine in _ENGINES), unit=Unit.TOKENS),
    prompt_tokens_per_request=Histogram(
        ("vllm:request_prompt_tokens", "sglang:prompt_tokens_histogram"), unit=Unit.TOKENS
    ),
    output_tokens_per_request=Histogram(
        ("vllm:request_generation_tokens", "sglang:generation_tokens_histogram"), unit=Unit.TOKENS
    ),
    prefill_seconds=Histogram(("vllm:request_prefill_time_seconds",)),
    decode_seconds=Histogram(("vllm:request_decode_time_seconds", "trtllm_request_decode_time_seconds")),
    seconds_per_output_token=tuple(h for engine in _ENGINES for h in engine.seconds_per_output_token),
    cached_prompt_share=tuple(ratio for engine in _ENGINES for ratio in engine.cached_prompt_share),
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: _histograms(Indicator.TIME_TO_FIRST_TOKEN),
            Indicator.INTER_TOKEN_LATENCY: _histograms(Indicator.INTER_TOKEN_LATENCY),
            Indicator.END_TO_END: (*_histograms(Indicator.END_TO_END), _IN_WORKER),
            Indicator.QUEUE_TIME: _histograms(Indicator.QUEUE_TIME),
        }
    ),
    repeated=SGLANG.repeated,
    endings=tuple(endings for engine in _ENGINES for endings in engine.endings),
)
