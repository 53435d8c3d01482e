"""Prints what SGLang's own collectors export for a group of two tensor parallel ranks, after ten requests.

Run by `e2e.exporters` with SGLang's Python files on the path; nothing of SGLang but its metrics code is run.
"""

import sys
from types import SimpleNamespace
from typing import Any

from prometheus_client import generate_latest
from standins import load

collectors, *_ = load(
    "sglang.srt.observability.metrics_collector",
    "sglang.srt.observability.scheduler_stage_metrics",
    "sglang.srt.observability.utils",
    "sglang.srt.utils.gauge_histogram",
)

SETTINGS = SimpleNamespace(
    prompt_tokens_buckets=None,
    generation_tokens_buckets=None,
    prefill_delayer_max_delay_passes=30,
    prefill_delayer_forward_passes_buckets=None,
    prefill_delayer_wait_seconds_buckets=None,
)
LABELS = {"model_name": "llama-3-8b", "engine_type": "unified"}


RANKS = [LABELS | {"tp_rank": rank, "pp_rank": 0, "moe_ep_rank": 0, "priority": ""} for rank in (0, 1)]


def scheduler() -> Any:
    """The scheduler's collector. Every rank of a group exports the same; of two priorities one alone has a queue."""
    collector = collectors.SchedulerMetricsCollector(RANKS[0], SETTINGS)
    stats, queue = collectors.SchedulerStats(), collectors.QueueCount
    stats.num_running_reqs, stats.num_queue_reqs = queue(4, {0: 3, 1: 1}), queue(3, {0: 3, 1: 0})
    stats.token_usage = 0.5
    for collector.labels in reversed(RANKS):
        collector.log_stats(stats)
    return collector


def main() -> None:
    for accessor in ("get_observability", "get_schedule"):
        setattr(collectors, accessor, lambda: SETTINGS)
    collectors.exports_expert_balancedness_to_prometheus = lambda: False
    first_rank, tokenizer = scheduler(), collectors.TokenizerMetricsCollector(SETTINGS, LABELS)
    for number in range(1, 11):
        first_rank.observe_queue_time(number * 0.02)
        tokenizer.observe_time_to_first_token(LABELS, number * 0.06, stream=True)
        tokenizer.observe_inter_token_latency(LABELS, number * 0.2, 20)
        tokenizer.observe_one_finished_request(
            LABELS, 100, 21, 25, number * 0.4, False, is_streaming=True, time_per_output_token=number * 0.01
        )
    tokenizer.observe_one_aborted_request(LABELS)
    sys.stdout.write(generate_latest().decode())


main()
