"""Latencies by segment, from a real Prometheus with known history: the largest, the rest, and a bounded answer."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.prometheus import make_objective, make_spec
from support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.core.observation import WorkloadSignals
from flyball.core.service.latency import LatencySource, SegmentReading
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.segments_query import MOST_SEGMENTS, MOST_SPLITS, query
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
TIMES = [NOW - 600 + 15 * step for step in range(41)]
TENANTS = 30
METRIC = "gateway_seconds"
ODD = 'quo"ted\\'


def rising(history: History, labels: dict[str, str], per_second: dict[str, float]) -> None:
    escaped = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in labels.items()}
    for edge, rate in per_second.items():
        history.add(f"{METRIC}_bucket", escaped | {"le": edge}, TIMES, lambda at, rate=rate: rate * (at - TIMES[0]))


def build() -> History:
    """Tenant n has n/30 requests/s; of every tenth's all miss, of the others' none. One in a namespace of its own."""
    history = History()
    for number in range(1, TENANTS + 1):
        rate = number / 30
        labels = {"namespace": "team-a", "pod": "gateway-0", "tenant": f"t{number:02}" if number > 1 else ODD}
        rising(history, labels, {"1.0": 0.0 if number % 10 == 0 else rate, "5.0": rate, "+Inf": rate})
    rising(history, {"namespace": "team-b", "pod": "gateway-0", "tenant": "big"}, {"1.0": 9.0, "+Inf": 9.0})
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


SOURCE = LatencySource(((METRIC, 1.0),), namespaced=True)
TELEMETRY = TelemetrySource(latencies=((Indicator.END_TO_END, SOURCE),), segment_by=("tenant",))
SPEC = make_spec(objectives=(replace(make_objective(Indicator.END_TO_END, 1.0), name="answer"),), telemetry=TELEMETRY)


async def read(url: str, *specs: WorkloadSpec) -> WorkloadSignals:
    """The second read has what the first asked for in the background."""
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60.0, slow_timeout_seconds=60.0))
    for _ in range(200):
        signals = await metrics.read(specs, NOW)
        if signals[specs[0].key].segments:
            break
        await asyncio.sleep(0.05)
    await metrics.aclose()
    return signals[specs[0].key]


def seconds(segment: SegmentReading) -> float:
    return round(segment.requests)


async def test_the_largest_are_told_apart_and_the_rest_is_counted(url: str) -> None:
    (found,) = (await read(url, SPEC)).segments
    assert (found.measured, found.objective, found.count) == ("EndToEnd", "answer", TENANTS)
    assert [dict(segment.labels)["tenant"] for segment in found.segments] == [
        f"t{number}" for number in range(TENANTS, TENANTS - MOST_SEGMENTS, -1)
    ]
    largest = found.segments[0]
    assert (seconds(largest), round(largest.missed or 0.0)) == (300, 300)
    assert 1.0 < largest.p95 <= 5.0
    assert found.segments[1].missed == pytest.approx(0.0)
    assert found.rest is not None
    assert seconds(found.rest) == sum(10 * number for number in range(1, TENANTS - MOST_SEGMENTS + 1))
    assert round(found.rest.missed or 0.0) == 10 * 10 + 10 * 20


async def test_few_segments_leave_no_rest_and_odd_values_are_kept(url: str) -> None:
    narrowed = replace(SOURCE, labels=(("tenant", ODD),))
    telemetry = replace(
        TELEMETRY, latencies=((Indicator.END_TO_END, narrowed),), segment_by=("tenant", "namespace", "pod")
    )
    (found,) = (await read(url, replace(SPEC, telemetry=telemetry))).segments
    assert [segment.labels for segment in found.segments] == [(("pod", "gateway-0"),)]
    assert (found.rest, found.count) == (None, 1)


def test_one_query_for_all_workloads_of_bounded_length() -> None:
    many = [replace(SPEC, key=replace(SPEC.key, name=f"w{index}")) for index in range(100)]
    assert query(many, 300.0) == query([SPEC], 300.0)
    metrics = [
        replace(
            SPEC,
            telemetry=replace(TELEMETRY, latencies=((Indicator.END_TO_END, LatencySource(((f"m{index}", 1.0),))),)),
        )
        for index in range(3 * MOST_SPLITS)
    ]
    assert query(metrics, 300.0).count("topk") == MOST_SPLITS


def test_nothing_is_asked_for_without_labels_to_split_by() -> None:
    assert query([replace(SPEC, telemetry=replace(TELEMETRY, segment_by=()))], 300.0) == ""
