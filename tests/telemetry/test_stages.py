"""What is measured outside of engines, from a real Prometheus with known history, and how it is asked for."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.prometheus import make_objective, make_spec
from support.real_prometheus import History, serve

from flyball.api.latencies import SPAN_METRICS
from flyball.core.names import Indicator
from flyball.core.observation import SignalState, WorkloadSignals
from flyball.core.service.latency import LatencySource, Stage
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry import queries, stages_query
from flyball.telemetry.answers import Answer, Row
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.settings import PrometheusSettings
from flyball.telemetry.stages import Histograms
from flyball.telemetry.stages_query import MOST_FAMILIES, wanted

NOW = 1_700_000_000.0
TIMES = [NOW - 1200 + 15 * step for step in range(81)]
ODD = 'a"b\\c|d.*'


def rising(history: History, name: str, labels: dict[str, str], per_second: dict[str, float]) -> None:
    escaped = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in labels.items()}
    for edge, rate in per_second.items():
        history.add(f"{name}_bucket", escaped | {"le": edge}, TIMES, lambda at, rate=rate: rate * (at - TIMES[0]))


def build() -> History:
    history = History()
    collector = {"namespace": "observability", "pod": "collector-0", "service_name": "shop"}
    spans = "traces_span_metrics_duration_milliseconds"
    rising(history, spans, collector | {"span_name": "request", "tier": "free"}, {"1000": 1.0, "5000": 2, "+Inf": 2})
    rising(history, spans, collector | {"span_name": "request", "tier": "gold"}, {"1000": 0.0, "5000": 1, "+Inf": 1})
    rising(history, spans, collector | {"span_name": ODD}, {"100": 3.0, "1000": 3.0, "+Inf": 3.0})
    rising(history, spans, collector | {"service_name": "other", "span_name": "request"}, {"1000": 99.0, "+Inf": 99.0})
    for namespace, rate in (("team-a", 3.0), ("team-b", 70.0)):
        labels = {"namespace": namespace, "pod": "rag-0", "stage": "rerank"}
        rising(history, "rag_seconds", labels, {"0.5": rate / 2, "1.0": rate, "+Inf": rate})
    # The same pod, scraped by two monitors, of which one adds its service.
    twice = {"namespace": "team-a", "pod": "rag-0", "stage": "delivery"}
    for monitor in ({"job": "one"}, {"job": "two", "service": "rag", "endpoint": "http"}):
        rising(history, "rag_seconds", twice | monitor, {"0.5": 3.0, "+Inf": 3.0})
    # Half of the gateway's pods have other edges.
    for pod, buckets in (("g-0", {"0.5": 1.0, "1.0": 1.5, "+Inf": 2.0}), ("g-1", {"0.25": 0.2, "1": 1.5, "+Inf": 2.0})):
        rising(history, "rag_seconds", {"namespace": "team-a", "pod": pod, "stage": "uneven"}, buckets)
    # Labels of those names that the application uses itself.
    for service, job in (("chat", "a"), ("code", "b")):
        own = {"namespace": "team-a", "pod": "rag-0", "stage": "served", "service": service, "job": job}
        rising(history, "rag_seconds", own, {"0.5": 1.0, "+Inf": 1.0 if service == "chat" else 2.0})
    rising(history, "rag_seconds", {"namespace": "team-a", "stage": "broken"}, {"0.5": 9.0, "+Inf": 3.0})
    engine = {"namespace": "team-a", "pod": "llm-6d4f5c9b7d-bcdfg", "engine": "0"}
    rising(history, "vllm:e2e_request_latency_seconds", engine, {"0.5": 1.5, "1.0": 3.0, "+Inf": 3.0})
    for name in ("num_requests_running", "num_requests_waiting"):
        history.add(f"vllm:{name}", engine, TIMES, lambda _: 0.0)
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


def span(name: str, **labels: str) -> LatencySource:
    return LatencySource(SPAN_METRICS, tuple(sorted({**labels, "service_name": "shop", "span_name": name}.items())))


def of_metric(stage: str) -> LatencySource:
    return LatencySource((("rag_seconds", 1.0),), (("stage", stage),), namespaced=True)


WHOLE = replace(make_objective(Indicator.END_TO_END, 1.0, window=900.0), name="answer")
GOLD = replace(WHOLE, name="gold", segment=(("tier", "gold"),))
RERANK = replace(make_objective(Indicator.STAGE, 0.5, window=60.0), name="rerank", stage="Rerank")
OWN = "sum by (le) (rate(rag_seconds_bucket{namespace='team-a',stage='rerank'}[1m]))"
TELEMETRY = TelemetrySource(
    latencies=((Indicator.END_TO_END, span("request")),),
    stages=(
        Stage("Retrieval", span(ODD)),
        Stage("Rerank", of_metric("rerank")),
        Stage("Delivery", of_metric("delivery")),
        Stage("Broken", of_metric("broken")),
        Stage("Missing", of_metric("missing")),
        Stage("Own", LatencySource(query=OWN)),
    ),
)
SPEC = make_spec(objectives=(WHOLE, GOLD, RERANK), telemetry=TELEMETRY)


async def read(url: str, *specs: WorkloadSpec) -> WorkloadSignals:
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60.0, slow_timeout_seconds=60.0))
    signals = await metrics.read(specs, NOW)
    await metrics.aclose()
    return signals[specs[0].key]


async def test_stages_and_whole_requests(url: str) -> None:
    signals = await read(url, SPEC)
    stages = {stage.name: stage for stage in signals.stages}
    assert stages["Retrieval"].requests == pytest.approx(180.0)
    assert stages["Retrieval"].p95 == pytest.approx(0.095)
    assert stages["Rerank"].requests == stages["Delivery"].requests == stages["Own"].requests == pytest.approx(180.0)
    assert (stages["Rerank"].p50, stages["Rerank"].p95) == (pytest.approx(0.5), pytest.approx(0.95))
    assert [stages[name].requests for name in ("Broken", "Missing")] == [0.0, 0.0]
    answer, gold, rerank = (signals.objective(name) for name in ("answer", "gold", "rerank"))
    assert [(share.window_seconds, round(share.bad_share, 3)) for share in answer.shares] == [
        (60.0, 0.667),
        (300.0, 0.667),
        (900.0, 0.667),
    ]
    assert answer.shares[0].total == pytest.approx(180.0)
    assert (gold.shares[0].bad_share, gold.shares[0].total) == (1.0, pytest.approx(60.0))
    assert (rerank.state, rerank.shares[0].bad_share) == (SignalState.OK, pytest.approx(0.5))
    whole = signals.whole("answer")
    assert whole is not None
    assert whole.engine is not None
    assert (whole.whole.edges, whole.engine.edges) == ((1.0, 5.0, math.inf), (0.5, 1.0, math.inf))
    assert whole.engine.total == pytest.approx(180.0)
    assert signals.whole("rerank") is None


async def test_an_edge_that_half_of_the_series_lack_is_a_share_of_the_others(url: str) -> None:
    half, one = (
        replace(make_objective(Indicator.STAGE, threshold, window=900.0), name=name, stage="Uneven")
        for name, threshold in (("half", 0.5), ("one", 1.0))
    )
    spec = replace(
        SPEC, telemetry=TelemetrySource(stages=(Stage("Uneven", of_metric("uneven")),)), objectives=(half, one)
    )
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60.0, slow_timeout_seconds=60.0))
    await metrics.read([spec], NOW)
    while beside := asyncio.all_tasks() - {asyncio.current_task()}:  # what edges there are is looked up beside the read
        await asyncio.wait(beside)
    signals = (await metrics.read([spec], NOW))[spec.key]
    await metrics.aclose()
    for name, share in (("half", 0.5), ("one", 0.75)):
        shares = signals.objective(name).shares
        assert [each.window_seconds for each in shares] == [60.0, 300.0, 900.0]
        assert [each.good / each.total for each in shares] == pytest.approx([share] * 3)
        assert shares[0].total == pytest.approx(240.0)


@pytest.mark.parametrize(("label", "value", "requests"), [("service", "code", 120.0), ("job", "a", 60.0)])
async def test_a_label_that_monitors_use_may_choose_series(url: str, label: str, value: str, requests: float) -> None:
    source = LatencySource((("rag_seconds", 1.0),), tuple(sorted({label: value, "stage": "served"}.items())), True)
    signals = await read(url, replace(SPEC, telemetry=replace(TELEMETRY, stages=(Stage("Served", source),))))
    assert signals.stages[0].requests == pytest.approx(requests)


async def test_a_single_stage_of_the_engine_is_its_part(url: str) -> None:
    telemetry = replace(TELEMETRY, stages=(Stage("Generation", of_metric("rerank"), engine=True),))
    whole = (await read(url, replace(SPEC, telemetry=telemetry))).whole("answer")
    assert whole is not None
    assert whole.engine is not None
    assert whole.engine.counts[0] == pytest.approx(90.0)


async def test_of_a_segment_the_engines_part_is_that_segments(url: str) -> None:
    telemetry = replace(TELEMETRY, stages=(Stage("Generation", span("request"), engine=True),))
    signals = await read(url, replace(SPEC, telemetry=telemetry))
    parts = {whole.objective: whole.engine.total for whole in signals.wholes if whole.engine is not None}
    assert parts == {"answer": pytest.approx(180.0), "gold": pytest.approx(60.0)}


async def test_without_series_the_objective_is_absent(url: str) -> None:
    telemetry = replace(TELEMETRY, latencies=((Indicator.END_TO_END, span("nowhere")),), stages=())
    signals = await read(url, replace(SPEC, telemetry=telemetry))
    assert signals.objective("answer").state is SignalState.ABSENT
    assert signals.whole("answer") is None


def test_the_number_of_queries_does_not_depend_on_the_number_of_workloads() -> None:
    def asked(count: int) -> tuple[str, list[str]]:
        specs = [replace(SPEC, key=replace(SPEC.key, name=f"w{index}")) for index in range(count)]
        plan = queries.plan(specs, 60.0)
        further = stages_query.over_further_windows(specs, plan)
        first = stages_query.query(stages_query.over_rate_window(specs), 60.0)
        return first, [stages_query.query(found, window) for window, found in further.items()]

    assert asked(1) == asked(200)


def test_of_many_metrics_a_bounded_number_is_asked_for() -> None:
    sources = {wanted(SPEC, LatencySource(((f"m{index:03}", 1.0),))) for index in range(3 * MOST_FAMILIES)}
    assert stages_query.query(sources, 60.0).count("increase(") == MOST_FAMILIES


def test_what_users_write_never_leaves_its_quotes() -> None:
    text = stages_query.query({wanted(SPEC, span('x"} or vector(1) #', tier="a\nb"))}, 60.0)
    assert 'span_name=~"x\\"\\\\}\\\\ or\\\\ vector\\\\(1\\\\)\\\\ \\\\#"' in text
    assert "\n" not in text


@pytest.mark.parametrize("edge", ["", "many", "NaN"])
def test_an_edge_that_is_none_makes_no_histogram(edge: str) -> None:
    source = wanted(SPEC, of_metric("x"))
    (family,) = source.families()
    labels = {SERIES_LABEL: stages_query.part(family), "stage": "x", "namespace": "team-a", "le": edge}
    with pytest.raises(ValueError, match="bucket"):
        Histograms(Answer((Row(labels, 1.0),))).of(source)
