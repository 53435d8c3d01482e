"""Every engine's profile on a real Prometheus, and what goes wrong with engines and their scrapers."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.prometheus import make_objective, make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.cli.main import main
from flyball.core.names import Indicator
from flyball.core.observation import SignalState, WorkloadSignals
from flyball.core.service.sources import SignalQuality
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry import queries
from flyball.telemetry.check import Checker
from flyball.telemetry.check_results import State
from flyball.telemetry.profiles import ENGINES, GPU, EngineProfile
from flyball.telemetry.profiles.model import Counter, Gauge, Histogram, Selector
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
TIMES = [NOW - 600 + 15 * step for step in range(41)]
PER_SECOND = 2.0
LENGTHS = {"prompt": 100.0, "output": 20.0}


class Pod:
    """A pod's exporter, scraped by one job."""

    def __init__(self, history: History, pod: str, job: str = "engines", **labels: str) -> None:
        self._history = history
        self._labels = {"namespace": "team-a", "pod": pod, "job": job, "instance": "10.0.0.1:8000"} | labels

    def gauge(self, selector: Selector, value: float, **labels: str) -> None:
        self._history.add(selector.name, self._labels | matched(selector) | labels, TIMES, lambda _: value)

    def counter(self, selector: Selector, per_second: float, **labels: str) -> None:
        self.counts(selector, lambda at: per_second * (at - TIMES[0]), **labels)

    def counts(self, selector: Selector, count: object, **labels: str) -> None:
        self._history.add(selector.name, self._labels | matched(selector) | labels, TIMES, count)

    def histogram(self, name: str, shares: Mapping[str, float], mean: float, per_second: float = PER_SECOND) -> None:
        for edge, share in {**shares, "+Inf": 1.0}.items():
            self.counter(Selector(f"{name}_bucket"), per_second * share, le=edge)
        self.counter(Selector(f"{name}_count"), per_second)
        self.counter(Selector(f"{name}_sum"), per_second * mean)


def matched(selector: Selector) -> dict[str, str]:
    """Labels that the selector's matchers keep."""
    return {label: value if operator == "=" else "other" for label, operator, value in selector.matchers}


def whole(pod: Pod, profile: EngineProfile) -> None:
    """A pod that exports all that the profile knows under the newest names: 3 running, 2 waiting, half the cache."""

    def exported(given: Gauge | Counter | None, number: float) -> None:
        if isinstance(given, Gauge):
            pod.gauge(given.selectors[0], number / given.unit.scale)
        elif given is not None:
            pod.counter(given.selectors[0], number / given.unit.scale)

    def spread(histogram: Histogram | None, mean: float) -> None:
        if histogram is not None:
            edges = histogram.edges or (0.5, 1.0)
            shares = {f"{edge:g}": (index + 1) / (len(edges) + 1) for index, edge in enumerate(edges)}
            pod.histogram(histogram.names[0], shares, mean / histogram.scale)

    if profile.signs[0] not in (profile.running.selectors[0].name, profile.waiting.selectors[0].name):
        pod.gauge(Selector(profile.signs[0]), 9.0)
    exported(profile.running, 3.0)
    exported(profile.waiting, 2.0)
    exported(profile.kv_cache_usage, 0.5)
    exported(profile.completions, PER_SECOND)
    spread(profile.prompt_tokens_per_request, LENGTHS["prompt"])
    spread(profile.output_tokens_per_request, LENGTHS["output"])
    for tokens, kind in ((profile.prompt_tokens, "prompt"), (profile.output_tokens, "output")):
        if tokens and not tokens.selectors[0].name.endswith("_sum"):
            exported(tokens, PER_SECOND * LENGTHS[kind])
    for histograms in profile.latencies.values():
        spread(histograms[0], 0.5)


SGLANG, VLLM = ENGINES["SGLang"], ENGINES["VLLM"]
TTFT = "vllm:time_to_first_token_seconds"


def build() -> History:
    history = History()
    for name, profile in ENGINES.items():
        whole(Pod(history, f"{name.lower()}-0", model_name="m"), profile)
    # Four ranks of a tensor parallel group say the same; two data parallel groups do not.
    for rank in ("0", "1", "2", "3"):
        for group, running in (("0", 5.0), ("1", 7.0)):
            pod = Pod(history, "ranks-0", tp_rank=rank, dp_rank=group)
            pod.gauge(SGLANG.running.selectors[0], running)
            pod.gauge(SGLANG.waiting.selectors[0], 1.0)
            pod.gauge(Selector("sglang:num_decode_prealloc_queue_reqs"), 2.0)
            pod.counter(SGLANG.completions.selectors[0], 1.0)
    # Two monitors scrape one pod, with different labels of their own.
    for job, extra in (("pod-monitor", {"container": "vllm"}), ("annotations", {"app": "llm", "service": "llm"})):
        pod = Pod(history, "twice-0", job, **extra)
        whole(pod, VLLM)
    # Half of the pods have other edges.
    for pod_name, shares in (("edges-0", {"0.5": 0.5, "1.0": 0.8}), ("edges-1", {"0.25": 0.2, "1.0": 0.6})):
        pod = Pod(history, pod_name)
        pod.gauge(VLLM.running.selectors[0], 1.0)
        pod.gauge(VLLM.waiting.selectors[1], 0.0)
        pod.counter(VLLM.completions.selectors[0], PER_SECOND)
        pod.histogram(TTFT, shares, 0.4)
    whole(Pod(history, "calm-0", namespace="team-b"), VLLM)
    # An upgrade has renamed a metric: one pod still has the old name.
    for pod_name, gauge in (("renamed-0", "vllm:gpu_cache_usage_perc"), ("renamed-1", "vllm:kv_cache_usage_perc")):
        pod = Pod(history, pod_name)
        pod.gauge(VLLM.running.selectors[0], 1.0)
        pod.gauge(VLLM.waiting.selectors[1], 0.0)
        pod.gauge(Selector(gauge), 0.4 if pod_name == "renamed-0" else 0.8)
        pod.counter(VLLM.completions.selectors[0], PER_SECOND)
    # A container restarts within the rate window, and its counters begin anew.
    pod = Pod(history, "restarts-0")
    pod.gauge(VLLM.running.selectors[0], 1.0)
    pod.gauge(VLLM.waiting.selectors[1], 0.0)
    restart = NOW - 30
    pod.counts(VLLM.completions.selectors[0], lambda at: PER_SECOND * (at - (restart if at >= restart else TIMES[0])))
    # A label with very many values, and one with quotes and newlines.
    for number in range(2000):
        pod = Pod(history, "tenants-0", tenant=f"tenant-{number}")
        pod.gauge(SGLANG.running.selectors[0], 1.0)
    pod = Pod(history, "tenants-0", tenant=r"a\"}\n or up{x=\"")
    pod.gauge(SGLANG.running.selectors[0], 4.0)
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


def workload(*targets: str, engine: str = "", **rest: object) -> WorkloadSpec:
    variants = tuple(make_variant(name, name, "StatefulSet") for name in targets)
    return make_spec(targets[0], "team-a", variants, telemetry=TelemetrySource(engine=engine), **rest)


async def read(url: str, *specs: WorkloadSpec) -> list[WorkloadSignals]:
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    signals = await metrics.read(specs, NOW)
    await metrics.aclose()
    return [signals[spec.key] for spec in specs]


async def test_every_engine_is_recognized_and_read(url: str) -> None:
    found = await read(url, *(workload(name.lower()) for name in ENGINES))
    for name, signals in zip(ENGINES, found, strict=True):
        main = signals.variants[0]
        profile, exported = ENGINES[name], {source.signal: source for source in signals.sources}
        assert (signals.problem, main.running.value, main.waiting.value) == ("", 3.0, 2.0), name
        assert main.completions_per_second.value == pytest.approx(PER_SECOND), name
        assert main.kv_cache_usage.otherwise(0.5) == pytest.approx(0.5), name
        assert main.prompt_tokens_per_request.otherwise(100.0) == pytest.approx(100.0), name
        assert main.prompt_tokens_per_second.otherwise(200.0) == pytest.approx(200.0), name
        assert exported["Running"].text.startswith(f"{name} "), name
        assert exported["Running"].quality is SignalQuality.EXACT
        lacking = {signal for signal, source in exported.items() if source.quality is SignalQuality.MISSING}
        assert lacking - {"GPUUtilization", "SecondsPerOutputToken", "CachedPromptShare"} <= set(profile.origin.lacks)


async def test_a_gap_between_tokens_is_told_as_estimated(url: str) -> None:
    (signals,) = await read(url, workload("nim"))
    qualities = {source.signal: source.quality for source in signals.sources}
    assert (qualities["InterTokenLatency"], qualities["EndToEnd"]) == (SignalQuality.ESTIMATED, SignalQuality.EXACT)


async def test_ranks_count_once_and_the_queues_of_a_split_engine_are_added(url: str) -> None:
    (signals,) = await read(url, workload("ranks"))
    main = signals.variants[0]
    assert (main.running.value, main.waiting.value) == (12.0, 6.0)
    assert main.completions_per_second.value == pytest.approx(2.0)


async def test_a_pod_that_is_scraped_twice_counts_once(url: str) -> None:
    (signals,) = await read(url, workload("twice", objectives=(make_objective(threshold=1.0),)))
    main = signals.variants[0]
    assert (main.running.value, main.waiting.value) == (3.0, 2.0)
    assert main.completions_per_second.value == pytest.approx(PER_SECOND)
    assert signals.objectives[0].shares[0].total == pytest.approx(60 * PER_SECOND)


async def test_an_edge_that_half_of_the_pods_lack_is_a_share_of_the_others(url: str) -> None:
    (signals,) = await read(url, workload("edges", objectives=(make_objective(threshold=0.5), make_objective())))
    half, one = signals.objectives
    assert half.edges is not None
    assert half.edges.exact
    for share in half.shares:
        assert share.good / share.total == pytest.approx(0.5)
    for share in one.shares:
        assert share.good / share.total == pytest.approx(0.7)
    assert one.shares[0].total == pytest.approx(2 * 60 * PER_SECOND)


async def test_a_later_read_is_like_the_first_though_less_is_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calm, uneven = (workload(name, objectives=(make_objective(threshold=0.5),)) for name in ("calm", "edges"))
    calm = replace(calm, key=replace(calm.key, namespace="team-b"))
    asked: list[str] = []
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    ask = metrics._client.ask
    monkeypatch.setattr(metrics._client, "ask", lambda query, *rest: (asked.append(query), ask(query, *rest))[1])
    reads = []
    for governed in ([calm], [calm], [calm, uneven], [calm, uneven]):
        asked.clear()
        found = await metrics.read(governed, NOW)
        reads.append(([found[spec.key].objectives for spec in governed], sum("_covered" in query for query in asked)))
    await metrics.aclose()
    assert reads[0][0] == reads[1][0] == reads[2][0][:1] == reads[3][0][:1]
    assert [share.good / share.total for share in reads[3][0][1][0].shares] == pytest.approx([0.5] * 3)
    assert [covered for _, covered in reads] == [2, 0, 3, 3], "two windows at first; with uneven edges all three"


async def test_a_metric_that_an_upgrade_renamed_is_read_under_both_names(url: str) -> None:
    (signals,) = await read(url, workload("renamed"))
    assert signals.variants[0].kv_cache_usage.value == pytest.approx(0.6)
    text = next(source.text for source in signals.sources if source.signal == "KVCacheUsage")
    assert text == "VLLM vllm:kv_cache_usage_perc"


async def test_two_engines_in_one_workload_are_read_each_in_its_own_way(url: str) -> None:
    objective = make_objective(Indicator.END_TO_END, 1.0)
    both, *alone = await read(
        url,
        workload("vllm", "sglang", objectives=(objective,)),
        replace(workload("vllm", objectives=(objective,)), key=replace(workload("vllm").key, name="one")),
        workload("sglang", objectives=(objective,)),
    )
    assert [variant.running.value for variant in both.variants] == [3.0, 3.0]
    assert dict(both.completions)[300.0] == pytest.approx(sum(dict(each.completions)[300.0] for each in alone))
    assert both.objectives[0].state is SignalState.OK
    summed = sum(each.objectives[0].shares[0].good for each in alone)
    assert both.objectives[0].shares[0].good == pytest.approx(summed)
    assert both.objectives[0].shares[0].total == pytest.approx(2 * 60 * PER_SECOND)
    text = next(source.text for source in both.sources if source.signal == "Running")
    assert text == "VLLM vllm:num_requests_running; SGLang sglang:num_running_reqs"


async def test_a_counter_that_begins_anew_loses_no_more_than_what_was_not_scraped(url: str) -> None:
    (signals,) = await read(url, workload("restarts"))
    rate = signals.variants[0].completions_per_second
    assert rate.state is SignalState.OK
    assert PER_SECOND / 2 <= rate.value <= PER_SECOND


async def test_an_engine_that_is_named_wrongly_is_absent_and_said_to_be(url: str) -> None:
    (signals,) = await read(url, workload("sglang", engine="TGI"))
    assert signals.variants[0].running.state is SignalState.ABSENT
    assert next(s for s in signals.sources if s.signal == "Running").quality is SignalQuality.MISSING


@pytest.mark.parametrize(("value", "running"), [("tenant-7", 1.0), ('a"}\n or up{x="', 4.0), ("nobody", None)])
async def test_a_label_of_any_number_of_values_costs_one_row_for_each_that_is_asked_for(
    url: str, value: str, running: float | None
) -> None:
    source = TelemetrySource("SGLang", selector=(("tenant", value),))
    spec = make_spec("one", "team-a", (make_variant("tenants", "tenants", "StatefulSet"),), telemetry=source)
    (signals,) = await read(url, spec)
    found = signals.variants[0].running
    assert (found.value if found.ok else None) == running
    with closing(Checker(PrometheusSettings(url, timeout_seconds=60), NOW)) as checker:
        rows = checker._ask(queries.first_queries(SGLANG, GPU, queries.plan([spec], 60.0))[queries.GAUGES]).rows
    assert len([row for row in rows if row.labels["pod"] == "tenants-0"]) <= 4


async def test_the_number_of_queries_is_that_of_engines_in_use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    ask = metrics._client.ask
    monkeypatch.setattr(metrics._client, "ask", lambda query, *rest: (asked.append(query), ask(query, *rest))[1])
    counts = []
    for specs in (
        [workload("vllm")],
        [workload("vllm"), workload("twice"), workload("edges")],
        [workload("vllm"), workload("sglang")],
        [workload("vllm"), workload("sglang"), workload("ranks")],
    ):
        await metrics.read(specs, NOW)
        if beside := asyncio.all_tasks() - {asyncio.current_task()}:  # what was begun beside the read
            await asyncio.wait(beside)
        asked.clear()
        await metrics.read(specs, NOW + 1)
        counts.append(len(asked))
    await metrics.aclose()
    assert counts[0] == counts[1]
    assert counts[2] == counts[3] <= 2 * counts[0]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        pytest.param("--query.max-samples=3", ("too many samples", "query limits"), id="too many samples"),
        pytest.param("--query.timeout=0s", ("timed", "query limits"), id="too slow"),
    ],
)
async def test_limits_of_prometheus_are_told_and_nothing_is_made_up(
    tmp_path: Path, flag: str, words: tuple[str, ...]
) -> None:
    history = History()
    for name in ("a-0", "a-1", "a-2", "a-3", "a-4"):
        whole(Pod(history, name), VLLM)
    with serve(history, tmp_path, flag) as limited:
        (signals,) = await read(limited, workload("a"))
    assert all(word in signals.problem for word in words), signals.problem
    assert signals.variants == ()
    assert signals.sources == ()


def test_check_says_what_is_there_what_is_not_and_what_that_costs(url: str) -> None:
    with closing(Checker(PrometheusSettings(url, timeout_seconds=60), NOW)) as checker:
        found = checker.engine(ENGINES["TGI"], workload("tgi"))
        missing = checker.engine(ENGINES["TGI"], workload("vllm"))
        doubled = checker.engine(VLLM, workload("twice"))
    states = {signal.signal: signal for signal in found.signals}
    assert found.usable
    assert (states["Running"].state, states["Running"].source) == (State.FOUND, "tgi_batch_current_size")
    assert states["InterTokenLatency"].state is State.ESTIMATED
    assert states["TimeToFirstToken"].state is State.MISSING
    assert "gateway" in states["TimeToFirstToken"].source
    assert states["TimeToFirstToken"].costs == "objectives on it are not judged"
    assert not missing.usable
    assert "more than one job" in doubled.notes[0]


def test_the_command_prints_it_and_exits_by_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyball.cli.telemetry.time.time", lambda: NOW)
    monkeypatch.setattr("flyball.telemetry.transport._Session._compare", lambda *_: None)  # the server's clock is ours
    options = ["telemetry", "check", "--prometheus-url", url, "--prometheus-timeout", "60s"]
    good = CliRunner().invoke(main, [*options, "--engine", "TGI"])
    assert good.exit_code == 0, good.output
    assert "documentation only" in good.output
    assert "Missing" in good.output
    none = CliRunner().invoke(main, [*options, "--gateway", "LiteLLM", "-o", "json"])
    assert (none.exit_code, '"usable": false' in none.output) == (1, True)
    neither = CliRunner().invoke(main, options)
    assert neither.exit_code == 2
