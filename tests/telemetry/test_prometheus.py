"""Whatever Prometheus does, a read gives signals, and says what to do where there are none."""

import asyncio
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from support.prometheus import Respond, Stub, make_objective, make_spec, make_variant, vector

from flyball.core.observation import SignalState, WorkloadSignals
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry.pods import GROUP_LABEL
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.promql import SERIES_LABEL
from flyball.telemetry.settings import PrometheusSettings

Start = Callable[[Respond], Stub]
SPEC = make_spec(objectives=(make_objective(window=86400.0),))
NOW = 1000.0


def patient(url: str, **more: Any) -> PrometheusSettings:
    """Settings whose time a machine that stands still for a while does not use up."""
    return PrometheusSettings(url, timeout_seconds=60.0, slow_timeout_seconds=60.0, **more)


async def read(settings: PrometheusSettings, *specs: WorkloadSpec) -> WorkloadSignals:
    metrics = PrometheusMetrics(settings)
    signals = await metrics.read(specs or (SPEC,), NOW)
    await metrics.aclose()
    return signals[(specs or (SPEC,))[0].key]


def fixed(status: int, body: bytes = b"", **headers: str) -> Respond:
    return lambda form: (status, headers, body)


def error(text: str) -> bytes:
    return json.dumps({"status": "error", "errorType": "x", "error": text}).encode()


@pytest.mark.parametrize(
    ("respond", "words"),
    [
        pytest.param(fixed(401), ("401", "bearerToken"), id="no credentials"),
        pytest.param(fixed(403), ("403", "tenant"), id="forbidden"),
        pytest.param(fixed(404, b"no"), ("404", "path prefix", "tenant"), id="a wrong path or tenant"),
        pytest.param(fixed(400, error('bad "quote"')), ('bad "quote"', "telemetry.overrides"), id="a malformed query"),
        pytest.param(fixed(422, error("too many samples")), ("too many samples", "limits"), id="not executable"),
        pytest.param(fixed(429), ("429", "raise the limit"), id="limited"),
        pytest.param(fixed(500, error("boom")), ("500", "boom", "log"), id="failing inside"),
        pytest.param(fixed(503, b"x" * 5000), ("503", "load"), id="overloaded, with a long page"),
        pytest.param(fixed(418, b"\xff\n"), ("418",), id="a status of its own"),
        pytest.param(fixed(302, Location="http://127.0.0.1:1/"), ("302", "final address"), id="a redirect"),
        pytest.param(fixed(200, b"<html>"), ("no JSON", "prometheus.url"), id="a page"),
        pytest.param(fixed(200, b""), ("no JSON",), id="an empty body"),
        pytest.param(fixed(200, b"[1]"), ("data.result",), id="other JSON"),
        pytest.param(fixed(200, b"[" * 200_000), ("answer that is none",), id="deeply nested JSON"),
        pytest.param(fixed(200, error("no")), ("data.result",), id="an error that says OK"),
        pytest.param(
            fixed(200, b'{"data":{"result":[{"metric":{}}]}}'), ("pair of time",), id="a series without value"
        ),
        pytest.param(fixed(200, b"{}", **{"Content-Length": "99"}), ("broke off",), id="a truncated answer"),
    ],
)
async def test_a_failure_is_a_sentence_that_says_what_to_do(start: Start, respond: Respond, words: list[str]) -> None:
    server = start(respond)
    signals = await read(patient(server.url))
    assert all(word in signals.problem for word in (server.url, *words)), signals.problem
    assert "\n" not in signals.problem
    assert len(signals.problem) < 500
    assert signals.variant("main").running.state is SignalState.ABSENT


async def test_nobody_listening(deaf_port: int) -> None:
    signals = await read(patient(f"http://127.0.0.1:{deaf_port}"))
    assert "cannot be reached (connection refused)" in signals.problem


async def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    signals = await read(PrometheusSettings("http://prometheus.invalid:9090"))
    assert "cannot be reached (its name is not resolved)" in signals.problem


async def test_silence_ends_at_the_deadline(start: Start) -> None:
    def hang(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        server.released.wait(30)
        return 200, {}, vector()

    server = start(hang)
    signals = await read(PrometheusSettings(server.url, timeout_seconds=0.3, slow_timeout_seconds=0.3))
    assert "did not answer" in signals.problem
    assert "prometheus.timeout" in signals.problem


async def test_an_answer_larger_than_the_limit_is_refused(start: Start) -> None:
    server = start(fixed(200, b" " * 2000))
    signals = await read(patient(server.url, max_answer_bytes=1000))
    assert "more than 1000 bytes" in signals.problem


def answering(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """One pod with one running request, and nothing else."""
    labels = {"namespace": "team-a", GROUP_LABEL: "llm/*", "pod": "a"}
    rows = [
        (labels | {SERIES_LABEL: part}, value)
        for part, value in (("sampled_at", NOW), ("running", 1), ("waiting", 0))
        if "timestamp" in form["query"] and "DCGM" not in form["query"]
    ]
    return 200, {}, vector(*rows)


async def test_one_failing_query_takes_down_only_its_own_signals(start: Start) -> None:
    def respond(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return (500, {}, b"") if "DCGM" in form["query"] or "_bucket" in form["query"] else answering(form)

    signals = await read(patient(start(respond).url))
    assert signals.problem == ""
    assert signals.variant("main").running.ok
    assert signals.variant("main").gpu_utilization.state is SignalState.ABSENT
    assert signals.objectives[0].state is SignalState.ABSENT


async def test_queries_are_posted_in_the_body_with_headers_and_a_fresh_token(start: Start, tmp_path: Path) -> None:
    server, token = start(answering), tmp_path / "token"
    token.write_text("first\n")
    settings = patient(server.url + "/prefix/", bearer_token_file=str(token), headers=(("X-Scope-OrgID", "tenant"),))
    metrics = PrometheusMetrics(settings)
    await metrics.read([SPEC], NOW)
    path, headers, form = server.requests[0]
    assert (path, headers["X-Scope-OrgID"], headers["Authorization"]) == (
        "/prefix/api/v1/query",
        "tenant",
        "Bearer first",
    )
    assert (form["time"], form["partial_response"]) == ("1000.000", "false")
    token.write_text("second")
    await metrics.read([SPEC], NOW)
    await metrics.aclose()
    assert server.requests[-1][1]["Authorization"] == "Bearer second"


async def test_a_missing_token_file_is_named(start: Start, tmp_path: Path) -> None:
    signals = await read(patient(start(answering).url, bearer_token_file=str(tmp_path / "token")))
    assert str(tmp_path / "token") in signals.problem
    assert "cannot be read" in signals.problem


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param(TelemetrySource(engine="Grep"), ("Grep", "VLLM"), id="an engine without profile"),
        pytest.param(TelemetrySource(selector=(("a) b", "c"),)), ("a) b", "model_name"), id="a label that is none"),
        pytest.param(TelemetrySource(overrides=(("Speed", "1"),)), ("Speed", "KVCacheUsage"), id="an unknown signal"),
    ],
)
async def test_a_workload_that_cannot_be_asked_for_is_told_why(
    start: Start, source: TelemetrySource, words: tuple[str, ...]
) -> None:
    metrics = PrometheusMetrics(patient(start(answering).url))
    bad = make_spec("bad", telemetry=source)
    signals = await metrics.read([bad, SPEC], NOW)
    await metrics.aclose()
    assert all(word in signals[bad.key].problem for word in words)
    assert signals[SPEC.key].variant("main").running.ok


async def test_overrides_beyond_the_limit_are_not_asked(start: Start) -> None:
    specs = [make_spec(f"w{n}", telemetry=TelemetrySource(overrides=(("Running", f"vector({n})"),))) for n in range(4)]
    server = start(answering)
    metrics = PrometheusMetrics(patient(server.url, override_limit=3))
    signals = await metrics.read(specs, NOW)
    await metrics.aclose()
    assert "4 overrides are more than the 3" in signals[specs[3].key].problem
    assert sum(form["query"].startswith("vector(") for _, _, form in server.requests) == 3


async def test_overrides_of_several_targets_must_say_which(start: Start) -> None:
    spec = make_spec(
        variants=(make_variant("a", "llm"), make_variant("b", "other")),
        telemetry=TelemetrySource(overrides=(("KVCacheUsage", "kv"),)),
    )

    def respond(labels: dict[str, str]) -> Respond:
        return lambda form: (200, {}, vector((labels, 0.5))) if form["query"].startswith("kv or ") else answering(form)

    assert "`variant`" in (await read(patient(start(respond({})).url), spec)).problem
    signals = await read(patient(start(respond({"variant": "b"})).url), spec)
    assert signals.variant("a").kv_cache_usage.state is SignalState.ABSENT
    assert signals.variant("b").kv_cache_usage.value == 0.5


async def test_long_windows_are_asked_for_once_in_a_while(start: Start) -> None:
    server = start(answering)
    metrics = PrometheusMetrics(patient(server.url, slow_refresh_seconds=300))

    def asked() -> int:
        return sum("[86400s]" in form["query"] for _, _, form in server.requests)

    counts = []
    for at in (NOW, NOW + 15, NOW + 299, NOW + 300):
        await metrics.read([SPEC], at)
        await until_idle()
        counts.append(asked())
    await metrics.aclose()
    assert counts == [1, 1, 1, 2]


async def until_idle() -> None:
    """Wait for what runs in the background."""
    background = {task for task in asyncio.all_tasks() if task.get_name().startswith("slow-window")}
    if background:
        await asyncio.wait(background)


async def test_nothing_is_asked_for_nobody(start: Start) -> None:
    server = start(answering)
    metrics = PrometheusMetrics(patient(server.url))
    assert await metrics.read([], NOW) == {}
    assert server.requests == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"url": "prometheus:9090"}, "http://", id="no scheme"),
        pytest.param({"url": "http://p/?a=b"}, "query", id="a query"),
        pytest.param({"timeout_seconds": 0}, "timeout_seconds", id="no time"),
        pytest.param({"rate_window_seconds": float("nan")}, "rate_window_seconds", id="no window"),
        pytest.param({"concurrency": 0}, "concurrency", id="no query at a time"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PrometheusSettings(**{"url": "http://p"} | change)


@pytest.mark.parametrize("ahead", [90.0, -90.0])
async def test_ages_go_by_prometheus_clock_where_it_is_another(
    start: Start, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    date = BaseHTTPRequestHandler.date_time_string
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda self: date(self, time.time() + ahead))
    labels = {"namespace": "team-a", GROUP_LABEL: "llm/*", "pod": "a"}

    def scraped(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        rows = [
            ({**labels, SERIES_LABEL: "sampled_at"}, time.time() + ahead - 5),
            ({**labels, SERIES_LABEL: "running"}, 3),
        ]
        return 200, {}, vector(*rows) if "timestamp" in form["query"] and "DCGM" not in form["query"] else vector()

    metrics = PrometheusMetrics(patient(start(scraped).url))
    for _ in range(2):  # The first answer tells of the clock.
        signals = await metrics.read([SPEC], time.time())
    await metrics.aclose()
    running = signals[SPEC.key].variant("main").running
    assert (running.state, running.value) == (SignalState.OK, 3.0)
    assert running.age_seconds < 30.0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself; its key lies beside it."""
    found = tmp_path / "tls.crt"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"),
            *("-keyout", str(tmp_path / "tls.key"), "-out", str(found)),
        ],
        check=True,
        capture_output=True,
    )
    return found


async def test_a_client_certificate_is_shown_where_one_is_asked_for(certificate: Path) -> None:
    key = certificate.with_name("tls.key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    server = Stub(answering, context)
    shown = {"client_certificate_file": str(certificate), "client_key_file": str(key)}
    try:
        assert (await read(patient(server.url, ca_file=str(certificate)))).problem
        assert (await read(patient(server.url, ca_file=str(certificate), **shown))).problem == ""
    finally:
        server.close()


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs its key"):
        PrometheusSettings("https://prometheus", client_certificate_file="/tls.crt")
