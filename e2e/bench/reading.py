"""What a tick's read costs Prometheus and the operator: processor time for a fleet's signals, by a real Prometheus.

Twenty workloads of vLLM that export everything the profile knows, scraped every 15 s. After one read that fills what is
remembered, some more are made a tick apart. The floor is one query that fetches all the pods' series over the rate
window and sums them without any grouping.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.prometheus import make_objective, make_spec, make_variant
from tests.support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.telemetry.profiles import ENGINES
from flyball.telemetry.profiles.model import Gauge, Histogram, Selector
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.promql import quote
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.transport import PrometheusClient

if TYPE_CHECKING:
    from flyball.core.spec import WorkloadSpec

WORKLOADS, PODS = 20, 60
READS, TICK_SECONDS = 4, 15
SCRAPE_SECONDS, HISTORY_SECONDS = 15, 3900
NOW = 1_700_000_000.0
PER_SECOND = 2.0
JOB = "llm"


def measure(**_: float) -> dict[str, str]:
    """Processor seconds of Prometheus and of the operator for one read, and Prometheus' as a ratio of the floor."""
    with tempfile.TemporaryDirectory() as folder, serve(_history(), Path(folder)) as url:
        return asyncio.run(_measure(url))


async def _measure(url: str) -> dict[str, str]:
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=120, slow_timeout_seconds=120))
    asked = _recorded(metrics)
    await metrics.read(FLEET, NOW)
    asked.clear()
    theirs, ours, began = _processor_seconds(url), time.process_time(), time.monotonic()
    for read in range(READS):
        signals = await metrics.read(FLEET, NOW + read * TICK_SECONDS)
        if problems := {each.problem for each in signals.values()} - {""}:
            raise RuntimeError(f"a read failed: {'; '.join(problems)}")
    ours, elapsed = time.process_time() - ours, time.monotonic() - began
    theirs = _processor_seconds(url) - theirs
    await metrics.aclose()
    floor = _floor(url)
    return {
        f"{WORKLOADS} workloads, {PODS} pods, scraped every {SCRAPE_SECONDS} s: queries of a read": (
            f"{len(asked) / READS:.1f}"
        ),
        "Prometheus' processor time for a read": f"{theirs / READS:.3f} s",
        "floor: all series over the rate window in one sum": f"{floor:.3f} s",
        "ratio to the floor": f"{theirs / READS / floor:.2f}",
        "the operator's processor time for a read": f"{ours / READS:.3f} s",
        "time that a read takes": f"{elapsed / READS:.2f} s",
    }


def _recorded(metrics: PrometheusMetrics) -> list[str]:
    """The list that every query of the reads will be in."""
    asked: list[str] = []
    client = metrics._client  # noqa: SLF001 - what is asked is counted, nothing else
    ask = client.ask

    def recording(query: str, at: float, timeout_seconds: float) -> object:
        asked.append(query)
        return ask(query, at, timeout_seconds)

    client.ask = recording
    return asked


def _floor(url: str) -> float:
    with closing(PrometheusClient(PrometheusSettings(url))) as client:
        began = _processor_seconds(url)
        for _ in range(READS):
            if failure := client.ask(f"sum(last_over_time({{job={quote(JOB)}}}[60s]))", NOW, 60.0).failure:
                raise RuntimeError(failure)
        return (_processor_seconds(url) - began) / READS


def _processor_seconds(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return float(re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)[1])


def _spec(index: int) -> WorkloadSpec:
    return make_spec(
        f"model-{index}",
        f"team-{index % 4}",
        (make_variant(target=f"model-{index}"),),
        (
            make_objective(Indicator.TIME_TO_FIRST_TOKEN, 1.0, 86400.0),
            make_objective(Indicator.INTER_TOKEN_LATENCY, 0.05, 86400.0),
            make_objective(Indicator.END_TO_END, 25.0, 86400.0),
        ),
    )


FLEET = [_spec(index) for index in range(WORKLOADS)]


def _history() -> History:
    history = History()
    times = [NOW - HISTORY_SECONDS + at for at in range(0, HISTORY_SECONDS + READS * TICK_SECONDS, SCRAPE_SECONDS)]
    for index in range(PODS):
        spec = FLEET[index % WORKLOADS]
        name = f"{spec.variants[0].target.name}-6d4f5c9b7d-{'bcdfghjklm'[index // WORKLOADS]}vxz2"
        _pod(history, times, {"namespace": spec.key.namespace, "pod": name, "job": JOB, "model_name": "m"})
    return history


def _pod(history: History, times: list[float], labels: dict[str, str]) -> None:
    """A pod that exports all that vLLM's profile knows under its newest names."""
    profile = ENGINES["VLLM"]

    def rising(selector: Selector, per_second: float, **more: str) -> None:
        history.add(selector.name, labels | more, times, lambda at: per_second * (at - times[0]))

    for gauge in (profile.running, profile.waiting, profile.kv_cache_usage):
        _gauge(history, times, labels, gauge)
    for name in ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", *_cached()):
        rising(Selector(name), PER_SECOND * 100)
    for reason in ("stop", "length", "abort"):
        rising(profile.completions.selectors[0], PER_SECOND / 3, finished_reason=reason)
    for status in ("2xx", "4xx", "5xx"):
        rising(Selector("http_requests_total"), PER_SECOND / 3, handler="/v1/chat/completions", status=status)
    for histogram in _histograms():
        edges = [f"{edge:g}" for edge in histogram.edges]
        for rank, edge in enumerate(edges, 1):  # objectives are met, as they mostly are
            rising(Selector(f"{histogram.names[0]}_bucket"), PER_SECOND * (1 - 0.1**rank), le=edge)
        rising(Selector(f"{histogram.names[0]}_bucket"), PER_SECOND, le="+Inf")
        rising(Selector(f"{histogram.names[0]}_count"), PER_SECOND)
        rising(Selector(f"{histogram.names[0]}_sum"), PER_SECOND * 0.5)


def _gauge(history: History, times: list[float], labels: dict[str, str], gauge: Gauge | None) -> None:
    if gauge is not None:
        matched = {label: value for label, _, value in gauge.selectors[0].matchers}
        history.add(gauge.selectors[0].name, labels | matched, times, lambda _: 0.5)


def _cached() -> list[str]:
    """The counters that shares of cached prompt tokens are made of, but for the prompt's own."""
    profile = ENGINES["VLLM"]
    counters = [counter for ratio in profile.cached_prompt_share for counter in (ratio.part, ratio.whole)]
    names = {counter.selectors[0].name for counter in counters} - {"vllm:prompt_tokens_total"}
    return sorted(names)


def _histograms() -> set[Histogram]:
    """All of them, each once."""
    profile = ENGINES["VLLM"]
    single = (profile.prompt_tokens_per_request, profile.output_tokens_per_request, profile.decode_seconds)
    listed = [*single, *profile.seconds_per_output_token, *(h for each in profile.latencies.values() for h in each)]
    return {histogram for histogram in listed if histogram is not None}
