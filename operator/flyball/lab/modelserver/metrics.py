"""The server's metrics in vLLM's names, types, labels and bucket edges, and its own flyball_modelserver_….

As in vLLM, requests that were aborted appear in request_success_total and in no histogram of whole requests.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from flyball.lab.engine import Completion, Sequence
from flyball.lab.modelserver.config import ModelServerConfig
from flyball.lab.modelserver.driver import EngineDriver
from flyball.lab.modelserver.faults import Faults
from flyball.lab.modelserver.gpu import BUSY, IDLE, BusyWindow, GpuActivity, GpuExporter
from flyball.lab.modelserver.histograms import (
    ITERATION_TOKENS_EDGES,
    ITL_EDGES,
    REQUEST_EDGES,
    TTFT_EDGES,
    Histogram,
    token_edges,
)
from flyball.lab.modelserver.sinks import Sink

FINISHED_REASONS = ("stop", "length", "abort", "error")


class RequestHistograms:
    """Every distribution that vLLM exports."""

    __slots__ = (
        "decode_time",
        "e2e_latency",
        "generation_tokens",
        "inference_time",
        "inter_token_latency",
        "iteration_tokens",
        "max_tokens",
        "prefill_time",
        "prompt_tokens",
        "queue_time",
        "time_per_output_token",
        "time_to_first_token",
    )

    def __init__(self, context_limit: int) -> None:
        tokens = token_edges(context_limit)
        self.time_to_first_token = Histogram(
            "vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", TTFT_EDGES
        )
        self.inter_token_latency = Histogram(
            "vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", ITL_EDGES
        )
        self.time_per_output_token = Histogram(
            "vllm:request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.",
            ITL_EDGES,
        )
        self.e2e_latency = Histogram(
            "vllm:e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", REQUEST_EDGES
        )
        self.queue_time = Histogram(
            "vllm:request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", REQUEST_EDGES
        )
        self.inference_time = Histogram(
            "vllm:request_inference_time_seconds",
            "Histogram of time spent in RUNNING phase for request.",
            REQUEST_EDGES,
        )
        self.prefill_time = Histogram(
            "vllm:request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", REQUEST_EDGES
        )
        self.decode_time = Histogram(
            "vllm:request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", REQUEST_EDGES
        )
        self.prompt_tokens = Histogram("vllm:request_prompt_tokens", "Number of prefill tokens processed.", tokens)
        self.generation_tokens = Histogram(
            "vllm:request_generation_tokens", "Number of generation tokens processed.", tokens
        )
        self.max_tokens = Histogram(
            "vllm:request_params_max_tokens", "Histogram of the max_tokens request parameter.", tokens
        )
        self.iteration_tokens = Histogram(
            "vllm:iteration_tokens_total", "Histogram of number of tokens per engine_step.", ITERATION_TOKENS_EDGES
        )

    def observe(self, completion: Completion[Sink]) -> None:
        """Take what an iteration brought."""
        iteration = completion.iteration
        self.iteration_tokens.observe(iteration.prefill_tokens + len(iteration.decoding))
        for gap_seconds, count in completion.gaps:
            self.inter_token_latency.observe(gap_seconds, count)
        for sequence in completion.first:
            self.time_to_first_token.observe(sequence.first_token_at - sequence.arrived_at)
        for sequence in completion.finished:
            self._observe_finished(sequence)

    def _observe_finished(self, sequence: Sequence[Sink]) -> None:
        decode_seconds = sequence.last_token_at - sequence.first_token_at
        self.e2e_latency.observe(sequence.last_token_at - sequence.arrived_at)
        self.queue_time.observe(sequence.scheduled_at - sequence.ready_at)
        self.inference_time.observe(sequence.last_token_at - sequence.scheduled_at)
        self.prefill_time.observe(sequence.first_token_at - sequence.scheduled_at)
        self.decode_time.observe(decode_seconds)
        # vLLM counts an answer of one token with 0 seconds.
        self.time_per_output_token.observe(decode_seconds / max(1, sequence.generated - 1))
        self.prompt_tokens.observe(sequence.request.prompt_tokens)
        self.generation_tokens.observe(sequence.generated)
        self.max_tokens.observe(sequence.owner.ending.max_tokens)

    def families(self, labels: dict[str, str]) -> Iterator[Metric]:
        for name in self.__slots__:
            histogram: Histogram = getattr(self, name)
            yield histogram.family(labels)


class ServerCollector(Collector):
    """Collects engine, GPU and server at the moment of the scrape, as honestly as the faults in force let it."""

    def __init__(
        self, config: ModelServerConfig, driver: EngineDriver, faults: Callable[[], Faults], ready: Callable[[], bool]
    ) -> None:
        self._config = config
        self._driver = driver
        self._faults = faults
        self._ready = ready
        self._histograms = RequestHistograms(config.context_limit)
        self._window = BusyWindow(config.parameters)
        self._gpus = GpuExporter(config.accelerator, config.gpus, config.hostname)
        self._labels = {"model_name": config.model_name, "engine": "0"}
        self._finished: Counter[str] = Counter()
        self._responses: Counter[tuple[str, str, str]] = Counter()

    def observe(self, completion: Completion[Sink]) -> None:
        """Take what an iteration brought."""
        self._histograms.observe(completion)
        self._window.add(completion.iteration)
        for sequence in completion.finished:
            self._finished[sequence.owner.ending.finish_reason] += 1

    def count_abort(self) -> None:
        """A client left, or its connection was cut."""
        self._finished["abort"] += 1

    def count_response(self, handler: str, method: str, status: int) -> None:
        """An answer to an API request."""
        self._responses[handler, method, f"{status // 100}xx"] += 1

    @override
    def collect(self) -> Iterator[Metric]:
        """All families; before the server is ready only the GPU's, since a loading engine exports nothing."""
        honest = self._faults().lie_metrics != "nan"
        for family in self._families():
            if not honest and family.type == "gauge":
                family.samples = [sample._replace(value=math.nan) for sample in family.samples]
            yield family

    def _families(self) -> Iterator[Metric]:
        yield from self._gpus.families(self._activity(), loaded=self._ready())
        if self._ready():
            yield from self._engine_gauges()
            yield from self._engine_counters()
            yield from self._histograms.families(self._labels)
            yield from self._server_families()

    def _activity(self) -> GpuActivity:
        lie = self._faults().lie_metrics
        if lie == "idle-gpu":
            return IDLE
        if lie == "busy-gpu":
            return BUSY
        return self._window.activity(self._driver.now, self._driver.engine.in_flight)

    def _engine_gauges(self) -> Iterator[Metric]:
        engine = self._driver.engine
        waiting = 0 if self._faults().lie_metrics == "zero-queue" else engine.waiting(self._driver.now)
        yield self._gauge("num_requests_running", "Number of requests in model execution batches.", engine.running)
        yield self._gauge("num_requests_waiting", "Number of requests waiting to be processed.", waiting)
        by_reason = GaugeMetricFamily(
            "vllm:num_requests_waiting_by_reason",
            "Number of requests waiting to be processed, by reason.",
            labels=[*self._labels, "reason"],
        )
        for reason, count in (("capacity", waiting), ("deferred", 0)):
            by_reason.add_metric([*self._labels.values(), reason], count)
        yield by_reason
        yield self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", engine.kv_usage)
        cache = {
            "engine": "0",
            "block_size": str(self._config.parameters.block_tokens),
            "num_gpu_blocks": str(self._config.parameters.kv_blocks),
            "enable_prefix_caching": str(self._config.prefix_caching),
        }
        info = GaugeMetricFamily(
            "vllm:cache_config_info", "Information of the LLMEngine CacheConfig", labels=list(cache)
        )
        info.add_metric(list(cache.values()), 1)
        yield info

    def _gauge(self, name: str, documentation: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"vllm:{name}", documentation, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _engine_counters(self) -> Iterator[Metric]:
        counters = self._driver.engine.counters
        for name, documentation, value in (
            (
                "prefix_cache_queries",
                "Prefix cache queries, in terms of number of queried tokens.",
                counters.prefix_query_tokens,
            ),
            (
                "prefix_cache_hits",
                "Prefix cache hits, in terms of number of cached tokens.",
                counters.prefix_hit_tokens,
            ),
            ("num_preemptions", "Cumulative number of preemption from the engine.", counters.preemptions),
            ("prompt_tokens", "Number of prefill tokens processed.", counters.prompt_tokens),
            ("generation_tokens", "Number of generation tokens processed.", counters.generated_tokens),
        ):
            family = CounterMetricFamily(f"vllm:{name}", documentation, labels=list(self._labels))
            family.add_metric(list(self._labels.values()), value)
            yield family
        success = CounterMetricFamily(
            "vllm:request_success",
            "Count of successfully processed requests.",
            labels=[*self._labels, "finished_reason"],
        )
        for reason in FINISHED_REASONS:
            success.add_metric([*self._labels.values(), reason], self._finished[reason])
        yield success

    def _server_families(self) -> Iterator[Metric]:
        responses = CounterMetricFamily(
            "http_requests",
            "Total number of requests by method, status and handler.",
            labels=["handler", "method", "status"],
        )
        for labels, count in self._responses.items():
            responses.add_metric(list(labels), count)
        yield responses
        for name, documentation, value in (
            ("lag_seconds", "How late the latest iteration was handled in real time.", self._driver.lag_seconds),
            ("peak_lag_seconds", "The largest lag since the start.", self._driver.peak_lag_seconds),
        ):
            yield GaugeMetricFamily(f"flyball_modelserver_{name}", documentation, value=value)
