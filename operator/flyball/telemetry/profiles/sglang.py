"""SGLang, started with --enable-metrics: https://docs.sglang.io/references/production_metrics.html."""

from types import MappingProxyType

from flyball.core.names import Indicator
from flyball.telemetry.profiles.model import (
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

_FIRST_TOKEN_EDGES = (
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0),
    *(100.0, 200.0, 400.0),
)
_TOKEN_GAP_EDGES = (
    *(0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08),
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0),
)
_QUEUE_EDGES = (
    *(
        0.0,
        0.001,
        0.005,
        0.01,
        0.05,
        0.1,
        0.2,
        0.5,
        1.0,
        2.0,
        3.0,
        4.0,
        5.0,
        10.0,
        15.0,
        20.0,
        30.0,
        40.0,
        50.0,
        60.0,
        70.0,
        80.0,
        90.0,
    ),
    *(100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0, 1200.0, 1400.0, 1600.0, 1800.0),
    *(2000.0, 2500.0, 3000.0),
)

# A request's own mean time per output token; else the gaps between tokens, in which long answers weigh more.
_TOKEN_TIME = (
    Histogram(("sglang:request_time_per_output_token_seconds",), _TOKEN_GAP_EDGES),
    Histogram(
        ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
        _TOKEN_GAP_EDGES,
        estimated=True,
    ),
)


def _all_priorities(name: str) -> Selector:
    """With priority scheduling a gauge has a series for each priority beside that of all, whose priority is empty."""
    return Selector(name, (("priority", "=", ""),))


SGLANG = EngineProfile(
    name="SGLang",
    origin=Origin(
        "0.4 to 0.5",
        "python/sglang/srt/observability/metrics_collector.py",
        "SGLang 0.5.23",
        ("sglang:num_prefill_prealloc_queue_reqs",),
    ),
    signs=("sglang:num_running_reqs",),
    running=Gauge((_all_priorities("sglang:num_running_reqs"),)),
    # Where prefill and decode are apart, requests also wait in the queues between them.
    waiting=Gauge(
        (_all_priorities("sglang:num_queue_reqs"),),
        plus=(
            _all_priorities("sglang:num_prefill_prealloc_queue_reqs"),
            _all_priorities("sglang:num_prefill_bootstrap_queue_reqs"),
            _all_priorities("sglang:num_prefill_inflight_queue_reqs"),
            _all_priorities("sglang:num_decode_prealloc_queue_reqs"),
            _all_priorities("sglang:num_decode_transfer_queue_reqs"),
        ),
    ),
    kv_cache_usage=gauge("sglang:token_usage", unit=Unit.SHARE),
    completions=counter("sglang:num_requests_total"),
    prompt_tokens=counter("sglang:prompt_tokens_total", unit=Unit.TOKENS),
    output_tokens=counter("sglang:generation_tokens_total", unit=Unit.TOKENS),
    prompt_tokens_per_request=Histogram(("sglang:prompt_tokens_histogram",), unit=Unit.TOKENS),
    output_tokens_per_request=Histogram(("sglang:generation_tokens_histogram",), unit=Unit.TOKENS),
    seconds_per_output_token=_TOKEN_TIME,
    cached_prompt_share=(Ratio(counter("sglang:cached_tokens_total"), counter("sglang:prompt_tokens_total")),),
    latencies=MappingProxyType(
        {
            Indicator.TIME_TO_FIRST_TOKEN: (Histogram(("sglang:time_to_first_token_seconds",), _FIRST_TOKEN_EDGES),),
            Indicator.INTER_TOKEN_LATENCY: _TOKEN_TIME,
            Indicator.END_TO_END: (
                Histogram(
                    ("sglang:e2e_request_latency_seconds",), (*_FIRST_TOKEN_EDGES, 600.0, 1200.0, 1800.0, 2400.0)
                ),
            ),
            Indicator.QUEUE_TIME: (Histogram(("sglang:queue_time_seconds",), _QUEUE_EDGES),),
        }
    ),
    # Every rank of a tensor, pipeline or expert parallel group exports what the group does; data parallel ranks do not.
    repeated=("tp_rank", "pp_rank", "moe_ep_rank"),
)
