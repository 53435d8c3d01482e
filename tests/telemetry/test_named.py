"""Where signals come from that users name, and how old they are, on a real Prometheus with known history."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.prometheus import make_objective, make_spec
from support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.core.observation import WorkloadSignals
from flyball.core.service.latency import ACTIVE_SESSIONS, LatencySource, Stage
from flyball.core.service.sources import SignalQuality, SignalSource
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
POD = {"namespace": "team-a", "pod": "llm-6d4f5c9b7d-bcdfg"}


def until(history: History, name: str, labels: dict[str, str], behind: float, per_second: float = 1.0) -> None:
    """A series whose newest sample is that many seconds old."""
    times = [NOW - behind - 15 * step for step in range(40, -1, -1)]
    history.add(name, labels, times, lambda at: per_second * (at - NOW + 3600))


def histogram(history: History, name: str, labels: dict[str, str], behind: float) -> None:
    until(history, f"{name}_bucket", labels | {"le": "0.5"}, behind)
    until(history, f"{name}_bucket", labels | {"le": "+Inf"}, behind, 2.0)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    history = History()
    for name in ("num_requests_running", "num_requests_waiting"):
        until(history, f"vllm:{name}", POD, 4.0)
    # Of two pods of a gateway one is behind; a third ended, though Prometheus' lookback still gives its sample.
    for pod, behind in (("g-0", 5.0), ("g-1", 30.0), ("g-2", 200.0)):
        histogram(history, "gateway_seconds", {"namespace": "edge", "pod": pod, "model": "llm"}, behind)
    histogram(history, "gateway_seconds", {"namespace": "edge", "pod": "g-0", "model": "other"}, 1.0)
    histogram(history, "rag_seconds", {"namespace": "team-a", "stage": "rerank"}, 12.0)
    for edge, rate in (("0.5", 9.0), ("+Inf", 3.0)):
        until(history, "rag_seconds_bucket", {"namespace": "team-a", "stage": "broken", "le": edge}, 6.0, rate)
    for tier, behind in (("gold", 8.0), ("free", 70.0)):
        until(history, "queue_length", {"tier": tier}, behind)
        until(history, "sessions_open", {"tier": tier}, behind)
    with serve(history, tmp_path_factory.mktemp("prometheus")) as address:
        yield address


async def read(url: str, *specs: WorkloadSpec) -> WorkloadSignals:
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60.0, slow_timeout_seconds=60.0))
    signals = await metrics.read(specs, NOW)
    await metrics.aclose()
    return signals[specs[0].key]


async def sources(url: str, telemetry: TelemetrySource, *indicators: Indicator) -> dict[str, SignalSource]:
    spec = make_spec(telemetry=telemetry, objectives=tuple(make_objective(each) for each in indicators))
    return {source.signal: source for source in (await read(url, spec)).sources}


def of(metric: str, *, namespaced: bool = False, **labels: str) -> LatencySource:
    return LatencySource(((metric, 1.0),), tuple(sorted(labels.items())), namespaced)


GATEWAY = ((Indicator.END_TO_END, of("gateway_seconds", model="llm")),)


@pytest.mark.parametrize("counted", [(Indicator.END_TO_END,), ()], ids=["counted", "no objective"])
async def test_a_gateways_histogram_is_as_old_as_its_oldest_sample_that_counts(
    url: str, counted: tuple[Indicator, ...]
) -> None:
    found = (await sources(url, TelemetrySource(latencies=GATEWAY), *counted))["EndToEnd"]
    assert found == SignalSource("EndToEnd", "gateway_seconds{model=llm}", SignalQuality.EXACT, 30.0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (of("rag_seconds", namespaced=True, stage="rerank"), ("rag_seconds{stage=rerank}", 12.0)),
        (of("rag_seconds", namespaced=True, stage="none"), ("rag_seconds{stage=none} gives no series", None)),
        (of("rag_seconds", namespaced=True, stage="broken"), ("rag_seconds{stage=broken} gives no usable", None)),
        (LatencySource(query="sum by (le) (rate(rag_seconds_bucket[1m]))"), ("telemetry.stages[Rerank].query", None)),
        (LatencySource(query='rag_seconds_bucket{stage="rerank"}'), ("telemetry.stages[Rerank].query", 12.0)),
        (LatencySource(query="nothing"), ("telemetry.stages[Rerank].query gives no series", None)),
        (LatencySource(query="sum(("), ("telemetry.stages[Rerank].query: Prometheus", None)),
    ],
)
async def test_a_stage(url: str, source: LatencySource, expected: tuple[str, float | None]) -> None:
    found = (await sources(url, TelemetrySource(stages=(Stage("Rerank", source),))))["stages.Rerank"]
    text, age = expected
    missing = "gives no" in text or ": " in text
    assert found.text.startswith(text)
    assert (found.quality, found.age_seconds) == (SignalQuality.MISSING if missing else SignalQuality.EXACT, age)


@pytest.mark.parametrize(
    ("query", "age"),
    [
        ("queue_length", 70.0),
        ('queue_length{tier="gold"}', 8.0),
        ("sum(queue_length)", None),
        ("queue_length offset 1m", None),
    ],
)
@pytest.mark.parametrize("signal", ["Waiting", ACTIVE_SESSIONS])
async def test_a_query_of_the_users_own(url: str, signal: str, query: str, age: float | None) -> None:
    found = (await sources(url, TelemetrySource(overrides=((signal, query),))))[signal]
    assert found == SignalSource(signal, f"telemetry.overrides.{signal}", SignalQuality.EXACT, age)


async def test_the_time_beside_a_query_changes_nothing_of_what_it_gives(url: str) -> None:
    plain, other = [
        await read(
            url,
            make_spec(
                telemetry=TelemetrySource(
                    overrides=(("Waiting", f"{query}queue_length"), (ACTIVE_SESSIONS, f"{query}sessions_open"))
                )
            ),
        )
        for query in ("", "0 + ")
    ]
    assert plain.variants[0].waiting.value == other.variants[0].waiting.value > 0
    assert plain.segments == other.segments
    assert len(plain.segments[0].segments) == 2


async def test_ages_cost_no_query_however_many_workloads_there_are(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(telemetry: TelemetrySource, count: int) -> int:
        one = make_spec(telemetry=telemetry, objectives=(make_objective(Indicator.END_TO_END),))
        specs = [replace(one, key=replace(one.key, name=f"w{index}"), uid=f"w{index}") for index in range(count)]
        metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60.0, slow_timeout_seconds=60.0))
        texts: list[str] = []
        ask = metrics._client.ask
        monkeypatch.setattr(metrics._client, "ask", lambda query, *rest: (texts.append(query), ask(query, *rest))[1])
        found = await metrics.read(specs, NOW)
        await metrics.aclose()
        ages = {s.age_seconds for key in found for s in found[key].sources if s.signal == "EndToEnd"}
        assert ages == {30.0}
        return sum("gateway_seconds" in text for text in texts)

    telemetry = TelemetrySource(latencies=GATEWAY)
    assert await asked(telemetry, 1) == await asked(telemetry, 20)
