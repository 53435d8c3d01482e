"""The exposition as vLLM's and DCGM exporter's: names, types, labels and bucket edges."""

from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

TTFT = "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 20 40 80 160 640 2560"
ITL = "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1 2.5 5 7.5 10 20 40 80"
REQUEST = "0.3 0.5 0.8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680"
TOKENS = "1 2 5 10 20 50 100 200 500 1000 2000"
MODEL = {"model_name", "engine"}
GPU = {"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname"}


async def exposition(replica: Any) -> dict[str, Metric]:
    """Families by name after one request; counters without their _total, as Prometheus names families."""
    await replica.post("/v1/completions", {"prompt": [1, 2], "max_tokens": 3, "ignore_eos": True})
    async with replica.session.get(replica.url + "/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {family.name: family for family in text_string_to_metric_families(await response.text())}


@pytest.mark.parametrize(
    ("name", "edges"),
    [
        ("vllm:time_to_first_token_seconds", TTFT),
        ("vllm:inter_token_latency_seconds", ITL),
        ("vllm:request_time_per_output_token_seconds", ITL),
        ("vllm:e2e_request_latency_seconds", REQUEST),
        ("vllm:request_queue_time_seconds", REQUEST),
        ("vllm:request_inference_time_seconds", REQUEST),
        ("vllm:request_prefill_time_seconds", REQUEST),
        ("vllm:request_decode_time_seconds", REQUEST),
        ("vllm:request_prompt_tokens", TOKENS),
        ("vllm:request_generation_tokens", TOKENS),
        ("vllm:request_params_max_tokens", TOKENS),
        ("vllm:iteration_tokens_total", "1 8 16 32 64 128 256 512 1024 2048 4096 8192 16384"),
    ],
)
async def test_histograms_have_vllms_edges_and_labels(replica: Any, name: str, edges: str) -> None:
    family = (await exposition(replica))[name]
    assert family.type == "histogram"
    buckets = [sample for sample in family.samples if sample.name == f"{name}_bucket"]
    assert [float(sample.labels["le"]) for sample in buckets] == [*map(float, edges.split()), float("inf")]
    assert all(set(sample.labels) == MODEL | {"le"} for sample in buckets)
    counts = [sample.value for sample in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == next(sample.value for sample in family.samples if sample.name == f"{name}_count") > 0


@pytest.mark.parametrize(
    ("name", "kind", "labels"),
    [
        ("vllm:num_requests_running", "gauge", MODEL),
        ("vllm:num_requests_waiting", "gauge", MODEL),
        ("vllm:num_requests_waiting_by_reason", "gauge", MODEL | {"reason"}),
        ("vllm:kv_cache_usage_perc", "gauge", MODEL),
        ("vllm:cache_config_info", "gauge", {"engine", "block_size", "num_gpu_blocks", "enable_prefix_caching"}),
        ("vllm:prefix_cache_queries", "counter", MODEL),
        ("vllm:prefix_cache_hits", "counter", MODEL),
        ("vllm:num_preemptions", "counter", MODEL),
        ("vllm:prompt_tokens", "counter", MODEL),
        ("vllm:generation_tokens", "counter", MODEL),
        ("vllm:request_success", "counter", MODEL | {"finished_reason"}),
        ("http_requests", "counter", {"handler", "method", "status"}),
        ("DCGM_FI_DEV_GPU_UTIL", "gauge", GPU),
        ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge", GPU),
        ("DCGM_FI_PROF_DRAM_ACTIVE", "gauge", GPU),
        ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "gauge", GPU),
        ("DCGM_FI_DEV_FB_USED", "gauge", GPU),
        ("DCGM_FI_DEV_FB_FREE", "gauge", GPU),
        ("DCGM_FI_DEV_POWER_USAGE", "gauge", GPU),
    ],
)
async def test_gauges_and_counters_have_their_types_and_labels(
    replica: Any, name: str, kind: str, labels: set[str]
) -> None:
    family = (await exposition(replica))[name]
    assert family.type == kind
    assert {sample.name for sample in family.samples} == {name + ("_total" if kind == "counter" else "")}
    assert all(set(sample.labels) == labels for sample in family.samples)


async def test_every_gpu_of_a_replica_has_its_own_series_and_no_more_memory_than_it_has(start: Any) -> None:
    families = await exposition(await start(gpus=4))
    used = families["DCGM_FI_DEV_FB_USED"].samples
    assert len({sample.labels["UUID"] for sample in used}) == len(used) == 4
    assert {sample.labels["modelName"] for sample in used} == {"NVIDIA L4"}
    parts = ("DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_RESERVED")
    assert sum(families[part].samples[0].value for part in parts) == 23034
