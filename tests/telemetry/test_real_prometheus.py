"""The whole read against a real Prometheus with known history: every expected number is computed by hand."""

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from support.prometheus import make_objective, make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.core.names import Indicator, RoiMetric
from flyball.core.observation import SignalState, WorkloadSignals
from flyball.core.service.sources import SignalQuality
from flyball.core.spec import RoiTarget, TelemetrySource, WorkloadSpec
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
START = NOW - 7200
TIMES = [START + 60 * step for step in range(110)] + [NOW - 600 + 15 * step for step in range(41)]
FIRST = "llm-7b-6d4f5c9b7d-bcdfg"
SECOND = "llm-7b-6d4f5c9b7d-hjklm"
GONE = "llm-7b-5f7d8c4b96-zzz24"


def rising(history: History, name: str, labels: dict[str, str], per_second: float) -> None:
    """A counter that rises evenly since START."""
    history.add(name, labels, TIMES, lambda at: per_second * (at - START))


def histogram(history: History, name: str, labels: dict[str, str], per_second: dict[str, float], mean: float) -> None:
    """A histogram whose buckets rise evenly."""
    for edge, rate in per_second.items():
        rising(history, f"{name}_bucket", labels | {"le": edge}, rate)
    rising(history, f"{name}_count", labels, per_second["+Inf"])
    rising(history, f"{name}_sum", labels, per_second["+Inf"] * mean)


def chat_pod(history: History, pod: str, load: float, edges: dict[str, float], now: dict[str, float]) -> None:
    """A pod of today's vLLM that finishes `load` requests/s of 100 prompt and 20 output tokens."""
    labels = {"namespace": "team-a", "pod": pod, "model_name": "m", "engine": "0"}
    for name, value in now.items():
        history.add(f"vllm:{name}", labels, TIMES, lambda _, value=value: value)
    for reason, count in (("capacity", 3.0), ("deferred", 50.0)):
        reasons = labels | {"reason": reason}
        history.add("vllm:num_requests_waiting_by_reason", reasons, TIMES, lambda _, count=count: count)
    for reason, share in (("stop", 0.75), ("length", 0.25), ("abort", 4.0)):
        rising(history, "vllm:request_success_total", labels | {"finished_reason": reason}, load * share)
    rising(history, "vllm:prompt_tokens_total", labels, load * 100)
    rising(history, "vllm:generation_tokens_total", labels, load * 20)
    rising(history, "vllm:prefix_cache_queries_total", labels, load * 100)
    rising(history, "vllm:prefix_cache_hits_total", labels, load * 25)
    histogram(history, "vllm:request_prompt_tokens", labels, {"+Inf": load}, 100.0)
    histogram(history, "vllm:request_generation_tokens", labels, {"+Inf": load}, 20.0)
    histogram(history, "vllm:time_to_first_token_seconds", labels, {e: load * share for e, share in edges.items()}, 0.5)
    token_edges = {"0.05": load * 0.5, "0.1": load * 0.9, "+Inf": load}
    histogram(history, "vllm:request_time_per_output_token_seconds", labels, token_edges, 0.04)
    histogram(history, "vllm:inter_token_latency_seconds", labels, {"0.05": load, "+Inf": load * 20}, 0.9)


def build() -> History:
    history = History()
    now = {"num_requests_running": 8.0, "num_requests_waiting": 53.0, "kv_cache_usage_perc": 0.5}
    chat_pod(history, FIRST, 2.0, {"0.5": 0.5, "1.0": 0.8, "2.5": 0.9, "+Inf": 1.0}, now)
    now = {"num_requests_running": 4.0, "num_requests_waiting": 53.0, "kv_cache_usage_perc": 0.25}
    chat_pod(history, SECOND, 1.0, {"0.5": 0.4, "1": 0.7, "2.5": 0.9, "+Inf": 1.0}, now)
    # A pod that stopped three minutes ago: Prometheus' lookback still shows its 99 requests.
    gone = {"namespace": "team-a", "pod": GONE, "model_name": "m", "engine": "0"}
    history.add("vllm:num_requests_running", gone, [t for t in TIMES if t <= NOW - 180], lambda _: 99.0)
    # Neighbours with names like ours.
    for pod in ("llm-55d8c7b9f4-vwxz2", "llm-7b-large-6d4f5c9b7d-qrstv", "llm-7b-0", "llm-7b-large-0"):
        chat_pod(history, pod, 100.0, {"0.5": 0.0, "+Inf": 1.0}, now)
    # Two models in one pod.
    for model, running in (("small", 1.0), ('q"u\\ote', 2.0)):
        labels = {
            "namespace": "team-a",
            "pod": "multi-0",
            "model_name": model.replace("\\", "\\\\").replace('"', '\\"'),
        }
        history.add("vllm:num_requests_running", labels, TIMES, lambda _, running=running: running)
    old_engine(history)
    silent = {"namespace": "team-b", "pod": "silent-0", "engine": "0"}
    for name in ("num_requests_running", "num_requests_waiting"):
        history.add(f"vllm:{name}", silent, [t for t in TIMES if t <= NOW - 210], lambda _: 5.0)
    for pod, used in ((FIRST, 0.8), (SECOND, 0.6)):
        labels = {"namespace": "gpu-operator", "pod": "dcgm-x7k2p", "exported_namespace": "team-a", "exported_pod": pod}
        history.add("DCGM_FI_PROF_GR_ENGINE_ACTIVE", labels | {"gpu": "0"}, TIMES, lambda _, used=used: used)
        history.add("DCGM_FI_PROF_GR_ENGINE_ACTIVE", labels | {"gpu": "1"}, TIMES, lambda _: 1e18)
        history.add("DCGM_FI_DEV_GPU_UTIL", labels | {"gpu": "0"}, TIMES, lambda _: 100.0)
    return history


def old_engine(history: History) -> None:
    """A StatefulSet's pod of an old vLLM, with the same name as team-a's Deployment, scraped with its own labels."""
    labels = {"namespace": "team-b", "pod": "llm-7b-0"}
    for name, value in (("num_requests_running", 2.0), ("num_requests_waiting", 1.0), ("gpu_cache_usage_perc", 0.9)):
        history.add(f"vllm:{name}", labels, TIMES, lambda _, value=value: value)
    rising(history, "vllm:request_success_total", labels | {"finished_reason": "stop"}, 0.5)
    histogram(history, "vllm:time_per_output_token_seconds", labels, {"0.05": 0.1, "0.1": 0.3, "+Inf": 0.5}, 0.08)
    history.add("DCGM_FI_DEV_GPU_UTIL", labels | {"gpu": "0"}, TIMES, lambda _: 50.0)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


async def read(url: str, *specs: WorkloadSpec) -> list[WorkloadSignals]:
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    signals = await metrics.read(specs, NOW)
    await metrics.aclose()
    return [signals[spec.key] for spec in specs]


CHAT = make_spec(
    variants=(make_variant(target="llm-7b"),),
    objectives=(
        make_objective(threshold=1.0, window=7200.0),
        make_objective(threshold=0.75),
        make_objective(threshold=0.1),
        make_objective(Indicator.INTER_TOKEN_LATENCY, 0.05),
        make_objective(Indicator.END_TO_END, 10.0),
    ),
    roi_targets=(RoiTarget("worth", RoiMetric.VALUE_COST_RATIO, Decimal(3), 21600.0),),
)
OLD = make_spec(
    "old",
    "team-b",
    variants=(make_variant(target="llm-7b", kind="StatefulSet"),),
    objectives=(make_objective(Indicator.INTER_TOKEN_LATENCY, 0.1),),
)


async def test_a_deployment_is_read_as_computed_by_hand(url: str) -> None:
    (signals,) = await read(url, CHAT)
    main = signals.variant("main")
    assert signals.problem == ""
    assert (main.running.value, main.running.state, main.running.age_seconds) == (12.0, SignalState.OK, 0.0)
    assert main.waiting.value == 6.0
    assert main.reporting_replicas.value == 2.0
    assert main.kv_cache_usage.value == pytest.approx(0.375)
    assert main.gpu_utilization.value == pytest.approx(0.7)
    assert main.completions_per_second.value == pytest.approx(3.0)
    assert main.prompt_tokens_per_second.value == pytest.approx(300.0)
    assert main.output_tokens_per_second.value == pytest.approx(60.0)
    assert main.prompt_tokens_per_request.value == pytest.approx(100.0)
    assert main.output_tokens_per_request.value == pytest.approx(20.0)
    assert main.seconds_per_output_token.value == pytest.approx(0.04)
    assert main.cached_prompt_share.value == pytest.approx(0.25)
    # Six hours reach back before the start: the count since then.
    assert dict(signals.completions) == pytest.approx({300.0: 900.0, 3600.0: 10800.0, 21600.0: 21600.0}, rel=0.01)
    assert dict(signals.tokens) == pytest.approx(
        {300.0: 108_000.0, 3600.0: 1_296_000.0, 21600.0: 2_592_000.0}, rel=0.01
    )


async def test_shares_are_counted_at_edges_in_both_spellings_and_over_all_windows(url: str) -> None:
    (signals,) = await read(url, CHAT)
    reading = signals.objective("TimeToFirstToken-1.0")
    assert (reading.state, reading.edges and reading.edges.exact, reading.estimated) == (SignalState.OK, True, False)
    counts = [(share.window_seconds, share.good, share.total) for share in reading.shares]
    expected = [(60, 138, 180), (300, 690, 900), (3600, 8280, 10800), (7200, 16560, 21600)]
    assert counts == [pytest.approx(row, rel=0.01) for row in expected]


async def test_a_threshold_between_edges_is_interpolated_and_named(url: str) -> None:
    (signals,) = await read(url, CHAT)
    between = signals.objective("TimeToFirstToken-0.75")
    assert between.edges is not None
    assert (between.edges.exact, between.edges.lower, between.edges.upper) == (False, 0.5, 1.0)
    assert [share.good / share.total for share in between.shares] == pytest.approx([1 - (1.6 * 0.7) ** 0.5 / 3] * 3)
    below = signals.objective("TimeToFirstToken-0.1")
    assert below.edges is not None
    assert (below.edges.lower, below.edges.upper, below.shares) == (0.0, 0.5, ())


async def test_percentiles_are_those_of_histogram_quantile(url: str) -> None:
    (signals,) = await read(url, CHAT)
    found = signals.objective("TimeToFirstToken-1.0").percentiles
    assert found is not None
    selector = f'vllm:time_to_first_token_seconds_bucket{{pod=~"{FIRST}|{SECOND}"}}'
    # The two spellings of one edge are two buckets for PromQL: make them one.
    one = f'label_replace(increase({selector}[60s]), "le", "1.0", "le", "1")'
    expected = [evaluate(url, f"histogram_quantile({q}, sum by (le) ({one}))") for q in (0.5, 0.95, 0.99)]
    assert [found.p50, found.p95, found.p99] == pytest.approx(expected)


async def test_an_old_engine_is_read_by_its_old_names_and_marked_as_estimated(url: str) -> None:
    _, signals = await read(url, CHAT, OLD)
    main, latency = signals.variant("main"), signals.objectives[0]
    assert (main.running.value, main.waiting.value, main.kv_cache_usage.value) == (2.0, 1.0, pytest.approx(0.9))
    assert main.completions_per_second.value == pytest.approx(0.5)
    assert main.seconds_per_output_token.value == pytest.approx(0.08)
    assert main.gpu_utilization.value == pytest.approx(0.5)
    assert main.prompt_tokens_per_second.state is SignalState.ABSENT
    assert latency.estimated
    assert [share.good / share.total for share in latency.shares] == pytest.approx([0.6] * 3)


async def test_the_exact_token_time_is_preferred_where_both_are_exported(url: str) -> None:
    signals, _ = await read(url, CHAT, OLD)
    latency = signals.objective("InterTokenLatency-0.05")
    assert not latency.estimated
    assert latency.shares[0].good == pytest.approx(90.0)


async def test_silence_is_stale_and_what_never_was_is_absent(url: str) -> None:
    silent = make_spec("silent", "team-b", (make_variant(target="silent", kind="StatefulSet"),), (make_objective(),))
    never = make_spec("never", "team-b", (make_variant(target="never"),), (make_objective(),))
    patient = replace(
        silent, key=replace(silent.key, name="patient"), telemetry=TelemetrySource(stale_after_seconds=300)
    )
    stale, absent, fresh = await read(url, silent, never, patient)
    running = stale.variant("main").running
    assert (running.state, running.age_seconds) == (SignalState.STALE, 210.0)
    assert math.isnan(running.value)
    assert stale.variant("main").reporting_replicas.value == 0.0
    assert stale.objectives[0].state is SignalState.STALE
    assert absent.variant("main").running.state is SignalState.ABSENT
    assert absent.objectives[0].state is SignalState.ABSENT
    assert (fresh.variant("main").running.value, fresh.variant("main").running.age_seconds) == (5.0, 210.0)


async def test_a_pod_that_prometheus_forgot_is_still_known_to_have_been(url: str) -> None:
    silent = make_spec("silent", "team-b", (make_variant(target="silent", kind="StatefulSet"),))
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    signals = await metrics.read([silent], NOW + 390)
    await metrics.aclose()
    running = signals[silent.key].variant("main").running
    assert running.state is SignalState.STALE
    assert running.age_seconds == pytest.approx(600, abs=31)


async def test_a_selector_tells_models_of_one_pod_apart(url: str) -> None:
    variants = (make_variant(target="multi", kind="StatefulSet"),)
    small = make_spec("small", "team-a", variants, telemetry=TelemetrySource(selector=(("model_name", "small"),)))
    odd = make_spec("odd", "team-a", variants, telemetry=TelemetrySource(selector=(("model_name", 'q"u\\ote'),)))
    both = make_spec("both", "team-a", variants)
    found = await read(url, small, odd, both)
    assert [signals.variant("main").running.value for signals in found] == [1.0, 2.0, 3.0]


async def test_overrides_replace_signals_one_query_each(url: str) -> None:
    source = TelemetrySource(
        engine="Custom",
        overrides=(
            ("Running", "vector(7)"),
            ("Waiting", "vector(NaN)"),
            ("Completions", 'sum(rate(vllm:request_success_total{namespace="team-b"}[1m]))'),
            ("OutputTokens", "vector(10)"),
            ("TimeToFirstToken", f'sum by (le) (rate(vllm:time_to_first_token_seconds_bucket{{pod="{FIRST}"}}[1m]))'),
        ),
    )
    (signals,) = await read(url, make_spec(objectives=(make_objective(),), telemetry=source))
    main = signals.variant("main")
    assert (main.running.value, main.waiting.state) == (7.0, SignalState.INVALID)
    assert main.completions_per_second.value == pytest.approx(0.5)
    assert main.output_tokens_per_request.value == pytest.approx(20.0)
    assert [(s.good, s.total) for s in signals.objectives[0].shares] == [pytest.approx((96.0, 120.0))]


@pytest.mark.parametrize(
    ("name", "query", "field", "value"),
    [
        (
            "PromptTokensPerRequest",
            'label_replace(vector(300), "a", "b", "", "") or vector(100)',
            "prompt_tokens",
            200.0,
        ),
        ("OutputTokensPerRequest", "vector(40)", "output_tokens", 40.0),
        ("SecondsPerOutputToken", "vector(0.02)", "seconds_per_output_token", 0.02),
        ("CachedPromptShare", "vector(0.4)", "cached_prompt_share", 0.4),
        ("CachedPromptShare", "vector(40)", "cached_prompt_share", None),
    ],
)
async def test_what_a_profile_derives_may_be_overridden_too(
    url: str, name: str, query: str, field: str, value: float | None
) -> None:
    (signals,) = await read(url, make_spec(telemetry=TelemetrySource(overrides=((name, query),))))
    reading = getattr(signals.variant("main"), f"{field}_per_request" if field.endswith("_tokens") else field)
    assert (reading.value if reading.ok else None) == (pytest.approx(value) if value is not None else None)
    quality = next(source.quality for source in signals.sources if source.signal == name)
    assert quality is (SignalQuality.MISSING if value is None else SignalQuality.EXACT)


async def test_bad_promql_in_an_override_is_named(url: str) -> None:
    bad = make_spec("bad", telemetry=TelemetrySource(overrides=(("Running", "sum(("),)))
    signals, good = await read(url, bad, CHAT)
    assert "telemetry.overrides.Running" in signals.problem
    assert "parse error" in signals.problem
    assert good.problem == ""


async def test_the_number_of_queries_does_not_depend_on_that_of_workloads(url: str) -> None:
    def many(count: int) -> list[WorkloadSpec]:
        return [replace(CHAT, key=replace(CHAT.key, name=f"chat-{n}", namespace=f"team-{n}")) for n in range(count)]

    asked = []
    for count in (1, 50, 60):
        before = queries_answered(url)
        await read(url, CHAT, OLD, *many(count))
        asked.append(queries_answered(url) - before)
    assert asked[0] == asked[1] == asked[2] > 0


def evaluate(url: str, query: str) -> float:
    text = urllib.parse.urlencode({"query": query, "time": NOW})
    with urllib.request.urlopen(f"{url}/api/v1/query?{text}") as answer:
        return float(json.load(answer)["data"]["result"][0]["value"][1])


def queries_answered(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    name = 'prometheus_http_requests_total{code="200",handler="/api/v1/query"}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))
