"""Prints what vLLM's own Prometheus logger exports after ten requests, four that run and three that wait.

Run by `e2e.exporters` with vLLM's Python files on the path; nothing of vLLM but its metrics code is run.
"""

import sys
from types import SimpleNamespace

from prometheus_client import generate_latest
from standins import load

engine, _, stats, loggers = load(
    "vllm.v1.engine",
    "vllm.v1.metrics.buckets",
    "vllm.v1.metrics.stats",
    "vllm.v1.metrics.loggers",
    "vllm.v1.metrics.cache_hit_source",
    "vllm.v1.metrics.utils",
    besides=("torch",),
)[:4]

CONFIG = SimpleNamespace(
    model_config=SimpleNamespace(served_model_name="llama-3-8b", max_model_len=8192, is_diffusion=False),
    observability_config=SimpleNamespace(
        show_hidden_metrics=False, kv_cache_metrics=False, custom_histogram_buckets=None, enable_mfu_metrics=False
    ),
    cache_config=SimpleNamespace(metrics_info=lambda: {"block_size": "16", "num_gpu_blocks": "1000"}),
    speculative_config=None,
    kv_transfer_config=None,
    ec_transfer_config=None,
    watermark_config=None,
    lora_config=None,
)
ENDINGS = ("STOP",) * 7 + ("LENGTH", "ABORT", "ERROR")


def main() -> None:
    logger = loggers.PrometheusStatLogger(CONFIG)
    logger.log_engine_initialized()
    logger.record(
        stats.SchedulerStats(
            num_running_reqs=4,
            num_waiting_reqs=2,
            num_skipped_waiting_reqs=1,
            kv_cache_usage=0.5,
            prefix_cache_stats=stats.PrefixCacheStats(requests=10, queries=1000, hits=250),
        ),
        None,
    )
    for number, ending in enumerate(ENDINGS, start=1):
        seconds, iteration = number * 0.4, stats.IterationStats()
        iteration.num_generation_tokens = 21
        prefilled = stats.PrefillStats()
        prefilled.set(100, 25, 0)
        iteration.prompt_token_stats.update_from_output(prefilled)
        iteration.time_to_first_tokens_iter = [number * 0.06]
        iteration.inter_token_latencies_iter = [number * 0.01] * 20
        iteration.finished_requests = [
            stats.FinishedRequestStats(
                finish_reason=engine.FinishReason[ending],
                e2e_latency=seconds,
                num_prompt_tokens=100,
                num_generation_tokens=21,
                queued_time=number * 0.02,
                prefill_time=number * 0.04,
                inference_time=number * 0.24,
                decode_time=number * 0.2,
                mean_time_per_output_token=number * 0.01,
                num_cached_tokens=25,
            )
        ]
        logger.record(None, iteration)
    sys.stdout.write(generate_latest().decode())


main()
