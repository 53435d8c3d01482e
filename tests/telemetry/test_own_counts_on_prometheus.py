"""How requests end and what users count, read from a real Prometheus: every expected number is computed by hand."""

import asyncio
from collections.abc import Iterator

import pytest
from support.prometheus import make_objective, make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.core.observation import SignalState, WorkloadSignals
from flyball.core.service.own_counts import Cache, CacheKind, CacheReading, Guard, OwnCounts, TemplateCounts, TokenCount
from flyball.core.service.reliability import RequestEvent
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
START = NOW - 7200
TIMES = [START + 30 * step for step in range(241)]
E, T = RequestEvent, TokenCount


def build() -> History:
    """An engine that finishes 10 requests/s, behind a gateway that sees 12, of which one is a retry."""
    history = History()

    def rising(name: str, per_second: float, **labels: str) -> None:
        history.add(name, labels, TIMES, lambda at: per_second * (at - START))

    pod = {"namespace": "team-a", "pod": "llm-0"}
    for name in ("num_requests_running", "num_requests_waiting"):
        history.add(f"vllm:{name}", pod, TIMES, lambda _: 1.0)
    for reason, rate in (("stop", 7.0), ("length", 2.0), ("abort", 0.5), ("error", 0.5)):
        rising("vllm:request_success_total", rate, finished_reason=reason, **pod)
    for handler, status, rate in (
        ("/v1/chat/completions", "2xx", 9.5),
        ("/v1/chat/completions", "4xx", 1.0),
        ("/v1/completions", "5xx", 0.25),
        ("/health", "5xx", 50.0),
    ):
        rising("http_requests_total", rate, handler=handler, status=status, **pod)
    for code, rate in (("200", 10.0), ("429", 0.6), ("503", 0.6), ("404", 0.8)):
        rising("gateway_requests_total", rate, code=code, service="chat")
    rising("gateway_retries_total", 1.0, service="chat")
    for template, rate in (("faq", 8.0), ("refund", 2.0)):
        rising("app_requests_total", rate, template=template)
        rising("app_context_tokens_total", rate * 900.0, template=template)
    rising("cache_lookups_total", 20.0)
    rising("cache_hits_total", 5.0)
    history.add("cache_age_seconds", {}, TIMES, lambda _: 90.0)
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


OBJECTIVES = tuple(
    make_objective(indicator, None, 7200.0)
    for indicator in (Indicator.AVAILABILITY, Indicator.TRUNCATION, Indicator.RETRIES)
)
AVAILABLE, TRUNCATED, RETRIED = (objective.name for objective in OBJECTIVES)
VARIANTS = (make_variant(kind="StatefulSet"),)


def everything(signals: WorkloadSignals) -> bool:
    """Whether every query has had an answer."""
    own = signals.own
    retries = [each.window_seconds for each in own.events if each.of(E.RETRY) is not None and each.of(E.RATE_LIMITED)]
    tokens = [len(each.counts) for each in own.templates]
    caches = [None not in (each.hits, each.lookups, each.guard) for each in own.caches]
    return len(retries) == 3 and tokens == [2, 2] and all(caches) and bool(own.problems)


async def read_until_counted(url: str, spec: WorkloadSpec) -> WorkloadSignals:
    """What the users' queries say is asked beside the reads: so often as it takes until all of it is there."""
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    for _ in range(600):
        signals = (await metrics.read([spec], NOW))[spec.key]
        if everything(signals):
            break
        await asyncio.sleep(0.05)
    await metrics.aclose()
    return signals


def shares(signals: WorkloadSignals, name: str) -> list[tuple[float, float, float]]:
    return [(each.window_seconds, each.good, each.total) for each in signals.objective(name).shares]


async def test_the_engine_and_its_server_tell_how_requests_end(url: str) -> None:
    spec = make_spec(variants=VARIANTS, objectives=OBJECTIVES)
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    signals = (await metrics.read([spec], NOW))[spec.key]
    await metrics.aclose()
    # 10.75 requests/s at the server, 1 the client's mistake, 0.5 failed in the engine; /health is no request.
    windows = (60, 300, 3600, 7200)
    assert shares(signals, AVAILABLE) == [pytest.approx((w, w * 9.25, w * 9.75), rel=0.02) for w in windows]
    assert shares(signals, TRUNCATED) == [pytest.approx((w, w * 7.0, w * 9.0), rel=0.02) for w in windows]
    assert signals.objective(AVAILABLE).state is SignalState.OK
    assert signals.objective(RETRIED).state is SignalState.ABSENT


async def test_what_users_count_stands_for_it(url: str) -> None:
    cache = Cache(
        "answers",
        CacheKind.RESPONSE,
        "increase(cache_hits_total[$window])",
        "increase(cache_lookups_total[$window])",
        guard=Guard("cache_age_seconds", at_most_seconds=60.0),
    )
    own = OwnCounts(
        events=(
            (E.RESPONSES, 'sum by (code) (increase(gateway_requests_total{service="chat"}[$window]))'),
            (E.RETRY, "increase(gateway_retries_total[$window])"),
            (E.FALLBACK, "sum by (code (increase(nothing[$window]))"),
        ),
        tokens=(
            (T.REQUESTS, "sum by (template) (increase(app_requests_total[$window]))"),
            (T.RETRIEVAL_CONTEXT, "sum by (template) (increase(app_context_tokens_total[$window]))"),
        ),
        caches=(cache,),
    )
    spec = make_spec(variants=VARIANTS, objectives=OBJECTIVES, telemetry=TelemetrySource(own=own))
    signals = await read_until_counted(url, spec)
    windows = (300, 3600, 7200)
    assert shares(signals, AVAILABLE)[1:] == [pytest.approx((w, w * 10.0, w * 11.2), rel=0.02) for w in windows]
    assert shares(signals, RETRIED) == [pytest.approx((w, w * 10.2, w * 11.2), rel=0.02) for w in windows]
    assert shares(signals, TRUNCATED)[0] == pytest.approx((60, 420, 540), rel=0.02)
    assert [text.partition(":")[0] for text in signals.own.problems] == ["telemetry.requestEvents[Fallback].query"]
    assert signals.own.templates == (
        TemplateCounts("faq", approximately((T.REQUESTS, 28_800.0), (T.RETRIEVAL_CONTEXT, 25_920_000.0))),
        TemplateCounts("refund", approximately((T.REQUESTS, 7_200.0), (T.RETRIEVAL_CONTEXT, 6_480_000.0))),
    )
    (found,) = signals.own.caches
    assert found == CacheReading(
        "answers", 3600.0, pytest.approx(18_000.0, rel=0.02), pytest.approx(72_000.0, rel=0.02), 90.0
    )


def approximately(*counts: tuple[TokenCount, float]) -> tuple[tuple[TokenCount, float], ...]:
    return tuple((kind, pytest.approx(count, rel=0.02)) for kind, count in counts)
