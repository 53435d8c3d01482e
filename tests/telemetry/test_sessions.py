"""Active sessions by segment, from users' own queries on a real Prometheus."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.prometheus import make_spec
from support.real_prometheus import History, serve

from flyball.core.memory import Memory
from flyball.core.observation import WorkloadSignals
from flyball.core.service import segments
from flyball.core.service.latency import ACTIVE_SESSIONS, SegmentsReading
from flyball.core.spec import TelemetrySource
from flyball.telemetry import sessions
from flyball.telemetry.answers import Answer
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.segments_query import MOST_SEGMENTS
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
TIMES = [NOW - 600 + 15 * step for step in range(41)]
TENANTS = 14
SPEC = make_spec()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    history = History()
    for tenant in range(1, TENANTS + 1):
        for pod in ("app-0", "app-1"):
            labels = {
                "namespace": "shop",
                "pod": pod,
                "tenant": f"t{tenant}",
                "tier": "gold" if tenant > 12 else "free",
            }
            history.add("chat_sessions_open", labels, TIMES, lambda _, tenant=tenant: float(tenant))
    for name in ("num_requests_running", "num_requests_waiting"):
        history.add(f"vllm:{name}", {"namespace": "team-a", "pod": "llm-0"}, TIMES, lambda _: 0.0)
    with serve(history, tmp_path_factory.mktemp("prometheus")) as address:
        yield address


async def read(url: str, query: str, *segment_by: str) -> WorkloadSignals:
    telemetry = TelemetrySource(overrides=((ACTIVE_SESSIONS, query),), segment_by=segment_by)
    spec = replace(SPEC, telemetry=telemetry)
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60.0))
    found = (await metrics.read([spec], NOW))[spec.key]
    await metrics.aclose()
    return found


def numbers(reading: SegmentsReading) -> dict[str, float]:
    return {segments.name_of(segment): segment.requests for segment in reading.segments}


@pytest.mark.parametrize(
    ("query", "segment_by", "expected"),
    [
        pytest.param("sum by (tier) (chat_sessions_open)", (), {"tier=gold": 54, "tier=free": 156}, id="its labels"),
        pytest.param(
            "sum by (tier, pod) (chat_sessions_open) # of each pod",
            ("tier",),
            {"tier=gold": 54, "tier=free": 156},
            id="by what traffic is split, and a comment at the end",
        ),
        pytest.param("sum(chat_sessions_open)", ("tier",), {"tier=": 210}, id="a label that is not there has no name"),
        pytest.param("sum(chat_sessions_open)", (), {"all": 210}, id="nothing to tell apart"),
    ],
)
async def test_sessions_by_whatever_labels_the_query_has(
    url: str, query: str, segment_by: tuple[str, ...], expected: dict[str, float]
) -> None:
    (found,) = (await read(url, query, *segment_by)).segments
    assert (found.measured, numbers(found), found.rest) == (ACTIVE_SESSIONS, expected, None)
    assert found.count == len(expected)


async def test_of_many_segments_the_largest_are_told_and_the_others_are_one(url: str) -> None:
    signals = await read(url, "sum by (tenant) (chat_sessions_open)")
    (found,) = signals.segments
    assert list(numbers(found)) == [f"tenant=t{n}" for n in range(TENANTS, TENANTS - MOST_SEGMENTS, -1)]
    assert found.rest is not None
    assert (found.rest.requests, found.count) == (2 * (1 + 2 + 3 + 4), TENANTS)
    (told,) = segments.told(SPEC, signals, Memory())
    assert [(each.name, each.requests) for each in told.segments][-1] == ("other", 20)
    assert told.worst == ""


@pytest.mark.parametrize("query", ["nothing_of_that_name", "sum by ("])
async def test_without_an_answer_there_are_no_sessions_and_everything_else_stays(url: str, query: str) -> None:
    signals = await read(url, query)
    assert (signals.segments, signals.problem) == ((), "")


def test_no_query_is_no_sessions() -> None:
    assert sessions.apply(SPEC, WorkloadSignals(), {}) == WorkloadSignals()
    assert sessions.read(SPEC, Answer(failure="late")) is None
