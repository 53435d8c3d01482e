"""`status.signals` of what users name themselves: what gives nothing is Missing, and says why and what to do."""

import json
from collections.abc import Callable

import pytest
from support.prometheus import Respond, Stub, make_objective, make_spec, vector

from flyball.core.names import Indicator
from flyball.core.service.latency import LatencySource
from flyball.core.service.sources import SignalQuality, SignalSource
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry.pods import GROUP_LABEL
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.settings import PrometheusSettings

NOW = 1000.0
POD = {"namespace": "team-a", GROUP_LABEL: "llm/*"}
TOO_MANY = 422, {}, json.dumps({"status": "error", "error": "would load too many samples into memory"}).encode()
MALFORMED = 400, {}, json.dumps({"status": "error", "error": "1:4: parse error"}).encode()
EMPTY = 200, {}, vector()
SHOP = LatencySource((("shop_seconds", 1.0),), (("stage", "answer"),), namespaced=True)
Answered = tuple[int, dict[str, str], bytes]


def prometheus(own: dict[str, Answered]) -> Respond:
    """A vLLM pod with one request; queries that hold one of those texts are answered with what is beside it."""

    def respond(form: dict[str, str]) -> Answered:
        query = form["query"]
        for text, answered in own.items():
            if text in query:
                return answered
        if "__name__=~" in query:
            return 200, {}, vector(({**POD, SERIES_LABEL: "vllm:num_requests_running"}, 1))
        parts = (("sampled_at", NOW), ("running", 1), ("waiting", 0)) if "sampled_at" in query else ()
        return 200, {}, vector(*(({**POD, SERIES_LABEL: part, "pod": "a"}, value) for part, value in parts))

    return respond


async def sources(server: Stub, spec: WorkloadSpec) -> dict[str, SignalSource]:
    metrics = PrometheusMetrics(PrometheusSettings(server.url, timeout_seconds=60.0, slow_timeout_seconds=60.0))
    signals = await metrics.read([spec], NOW)
    for task in list(metrics._outside._segments._running.values()):
        await task
    signals = await metrics.read([spec], NOW + 1)
    await metrics.aclose()
    return {source.signal: source for source in signals[spec.key].sources}


@pytest.mark.parametrize(
    ("answered", "quality", "words"),
    [
        pytest.param((200, {}, vector(({}, 0.5))), SignalQuality.EXACT, "telemetry.overrides.KVCacheUsage", id="there"),
        pytest.param(EMPTY, SignalQuality.MISSING, "telemetry.overrides.KVCacheUsage gives no series", id="empty"),
        pytest.param(
            (200, {}, vector(({}, "NaN"))), SignalQuality.MISSING, "KVCacheUsage gives no usable number", id="no number"
        ),
        pytest.param(MALFORMED, SignalQuality.MISSING, "parse error): correct telemetry.overrides", id="malformed"),
        pytest.param(TOO_MANY, SignalQuality.MISSING, "too many samples", id="too large"),
    ],
)
async def test_an_override(
    start: Callable[[Respond], Stub], answered: Answered, quality: SignalQuality, words: str
) -> None:
    spec = make_spec(telemetry=TelemetrySource(overrides=(("KVCacheUsage", "my_cache"),)))
    found = (await sources(start(prometheus({"my_cache": answered})), spec))["KVCacheUsage"]
    assert (found.quality, words in found.text, found.age_seconds) == (quality, True, None), found.text


@pytest.mark.parametrize(
    ("answered", "words"),
    [
        pytest.param(EMPTY, "shop_seconds{stage=answer} gives no series", id="not there"),
        pytest.param(TOO_MANY, "too many samples", id="too large"),
    ],
)
async def test_a_histogram_that_users_name(start: Callable[[Respond], Stub], answered: Answered, words: str) -> None:
    objective = make_objective(Indicator.END_TO_END)
    spec = make_spec(
        telemetry=TelemetrySource(latencies=((Indicator.END_TO_END, SHOP),)),
        objectives=(objective,),
    )
    found = (await sources(start(prometheus({"shop_seconds_bucket": answered})), spec))["EndToEnd"]
    assert (found.quality, words in found.text) == (SignalQuality.MISSING, True), found.text


async def test_segments_that_are_too_many_for_prometheus_are_said_to_be_missing(
    start: Callable[[Respond], Stub],
) -> None:
    telemetry = TelemetrySource(latencies=((Indicator.END_TO_END, SHOP),), segment_by=("tenant",))
    found = await sources(start(prometheus({"topk": TOO_MANY})), make_spec(telemetry=telemetry))
    assert found["Segments"].quality is SignalQuality.MISSING
    assert "too many samples" in found["Segments"].text
    assert "Segments" not in await sources(start(prometheus({})), make_spec(telemetry=telemetry))
