"""`flyball telemetry check` on a real Prometheus: what is there, what is amiss, which field says so, and what to do."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.prometheus import Stub, make_spec, make_variant, vector
from support.real_prometheus import History, serve

from flyball.cli.main import main
from flyball.telemetry.check import Checker
from flyball.telemetry.check_results import State
from flyball.telemetry.profiles import ENGINES, GATEWAYS, GPU
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
TIMES = [NOW - 600 + 15 * step for step in range(41)]
LONG_AGO = [at - 1500 for at in TIMES]
MANIFEST = """
apiVersion: flyball.dev/v1alpha1
kind: WorkloadSLO
metadata: {name: chat, namespace: team}
spec:
  workloadType: Assistant
  targets: [{targetRef: {name: chat, kind: StatefulSet}, maxReplicas: 4}]
"""


def build() -> History:
    history = History()

    def add(name: str, value: float, times: list[float] = TIMES, **labels: str) -> None:
        history.add(name, {"job": "a", **labels}, times, lambda _: value)

    def engine(times: list[float] = TIMES, **labels: str) -> None:
        add("vllm:num_requests_running", 1.0, times, **labels)
        add("vllm:num_requests_waiting", 0.0, times, **labels)
        add("vllm:request_success_total", 9.0, times, finished_reason="stop", **labels)

    def histogram(name: str, edges: tuple[str, ...], **labels: str) -> None:
        for edge in (*edges, "+Inf"):
            add(f"{name}_bucket", 5.0, le=edge, **labels)
        add(f"{name}_count", 5.0, **labels)

    engine(namespace="team", pod="chat-0")
    histogram("vllm:time_to_first_token_seconds", ("0.25", "0.5"), namespace="team", pod="chat-0")
    histogram("vllm:request_queue_time_seconds", ("0.3", "1.0"), namespace="team", pod="chat-0")
    # One pod, by two monitors, of which one tells its service.
    engine(namespace="team", pod="chat-1")
    engine(namespace="team", pod="chat-1", service="chat")
    add("vllm:num_requests_running", 1.0, namespace="team", pod="chat-1", job="b")
    engine(namespace="podless")
    engine(namespace="others", pod="another-0")
    engine(LONG_AGO, namespace="ended", pod="chat-0")
    add("llm_d_epp_request_total", 4.0, fairness_id="a")
    histogram("shop_seconds", ("1.0", "3.0"), namespace="team", stage="rerank")
    add("DCGM_FI_DEV_GPU_UTIL", 50.0, exported_namespace="team", exported_pod="chat-0", namespace="gpu", pod="dcgm-0")
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


@pytest.fixture
def checker(url: str) -> Iterator[Checker]:
    with closing(Checker(PrometheusSettings(url, timeout_seconds=60), NOW)) as made:
        yield made


def check(url: str, *arguments: str) -> Result:
    options = ["telemetry", "check", "--prometheus-url", url, "--prometheus-timeout", "60s", *arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flyball.cli.telemetry.time.time", lambda: NOW)
        # The stored past is not that of the server's clock, by which ages go otherwise.
        patch.setattr("flyball.telemetry.transport._Session._compare", lambda *_: None)
        return CliRunner().invoke(main, options)


def of_manifest(url: str, folder: Path, more: str, *arguments: str) -> Result:
    path = folder / "chat.yaml"
    path.write_text(MANIFEST + more)
    return check(url, "--file", str(path), *arguments)


def line(result: Result, name: str) -> str:
    found = [each for each in result.output.splitlines() if name in each.split()]
    assert len(found) == 1, result.output
    return found[0]


@pytest.mark.parametrize(
    ("namespace", "words"),
    [
        pytest.param("podless", "without a label `pod`", id="no pod"),
        pytest.param("others", "of other pods than those of StatefulSet chat", id="other pods"),
        pytest.param("empty", "in other namespaces only", id="other namespaces"),
    ],
)
def test_series_that_are_not_the_workload_s_are_told(checker: Checker, namespace: str, words: str) -> None:
    spec = make_spec("chat", namespace, (make_variant("main", "chat", "StatefulSet"),))
    found = checker.engine(ENGINES["VLLM"], spec)
    assert not found.usable
    assert len(found.notes) == 1
    assert words in found.notes[0]


def test_what_ended_lately_is_stale(checker: Checker) -> None:
    spec = make_spec("chat", "ended", (make_variant("main", "chat", "StatefulSet"),))
    found = checker.engine(ENGINES["VLLM"], spec)
    states = {signal.signal: signal.state for signal in found.signals}
    assert (states["Running"], states["KVCacheUsage"], found.usable) == (State.STALE, State.MISSING, False)


def test_a_pod_of_two_monitors_is_named(checker: Checker) -> None:
    (note,) = checker.engine(ENGINES["VLLM"]).notes
    assert note.startswith("pod chat-1 is scraped by more than one job or server")


def test_a_name_that_no_recording_held_is_told_apart(checker: Checker) -> None:
    found = checker.gateway(GATEWAYS["EndpointPicker"])
    states = {signal.signal: signal for signal in found.signals}
    assert (states["Requests"].source, states["Requests"].documented) == ("llm_d_epp_request_total", True)
    assert states["EndToEnd"].costs == "objectives on it are not judged"
    assert "counted at the engine alone" in states["TimeToFirstToken"].costs


def test_a_selector_that_selects_nothing_is_named(checker: Checker) -> None:
    found = checker.gateway(GATEWAYS["EndpointPicker"], (("fairness_id", 'b"\n'),))
    assert found.notes == (
        '1 series of the gateway are there, none with fairness_id="b\\"\\n": correct telemetry.gatewaySelector',
    )


@pytest.mark.parametrize(("target", "state"), [("chat", State.FOUND), ("calm", State.MISSING)])
def test_gpus_are_those_that_an_exporter_tells_of(checker: Checker, target: str, state: State) -> None:
    found = checker.gpus(GPU, make_spec(target, "team", (make_variant("main", target, "StatefulSet"),)))
    assert [signal.state for signal in found.signals] == [state]
    assert found.usable


@pytest.mark.parametrize("profile", ["TGI", "NIM"])
def test_a_profile_without_a_recording_is_labelled(url: str, profile: str) -> None:
    found = check(url, "--engine", profile)
    assert "documentation only" in found.output
    as_json = json.loads(check(url, "--engine", profile, "-o", "json").output)
    assert [each["evidence"] for each in as_json["profiles"]] == ["DocumentationOnly"]


OBJECTIVES = """
  telemetry:
    stages:
      - {name: Rerank, histogram: {metric: shop_seconds, matchLabels: {stage: rerank}}}
      - {name: Retrieval, histogram: {metric: shop_seconds, matchLabels: {stage: "re\\"trieval"}}}
  objectives:
    - {name: exact, indicator: TimeToFirstToken, threshold: 500ms}
    - {name: between, indicator: TimeToFirstToken, threshold: 400ms}
    - {name: below, indicator: QueueTime, threshold: 100ms}
    - {name: none, indicator: InterTokenLatency, threshold: 50ms}
    - {name: stage, indicator: Stage, stage: Rerank, threshold: 3s}
"""


def test_objectives_are_held_against_the_edges_that_there_are(url: str, tmp_path: Path) -> None:
    found = of_manifest(url, tmp_path, OBJECTIVES)
    assert found.exit_code == 0, found.output
    for name, state, words in (
        ("exact", "Found", "500ms is a bucket edge of vllm:time_to_first_token_seconds"),
        ("between", "Estimated", "write 250ms or 500ms"),
        ("below", "Missing", "whose edges are 300ms to 1s: write one from 300ms to 1s"),
        ("none", "Missing", "nothing that it could be counted from"),
        ("stage", "Found", "3s is a bucket edge of shop_seconds"),
    ):
        told = line(found, f"objectives[{name}]")
        assert (told.split()[0], words in told) == (state, True), told
    assert "shop_seconds: 1 series" in line(found, "telemetry.stages[Rerank]")
    assert 'looked for shop_seconds; with stage="re\\"trieval", namespace="team"' in line(
        found, "telemetry.stages[Retrieval]"
    )


QUERIES = """
  telemetry:
    overrides: {GPUUtilization: "su(", ActiveSessions: "count by (pod) (up)", Waiting: "vector(-1)"}
    requestEvents: [{event: Retry, query: "sum(increase(retries_total[$window]))"}]
"""


def test_every_query_of_the_user_is_asked_and_named_by_its_field(url: str, tmp_path: Path) -> None:
    found = of_manifest(url, tmp_path, QUERIES)
    assert found.exit_code == 1, found.output
    for name, state, words in (
        ("telemetry.overrides.GPUUtilization", "Refused", "parse error"),
        ("telemetry.overrides.ActiveSessions", "Missing", "no series"),
        ("telemetry.overrides.Waiting", "Refused", "the query gives -1"),
        ("telemetry.requestEvents[Retry].query", "Missing", "no series"),
    ):
        told = line(found, name)
        assert (told.split()[0], words in told) == (state, True), told
    assert "Without what is missing of telemetry.overrides above, nothing can be decided." in found.output


def test_a_custom_engine_needs_queries_for_what_decides(url: str, tmp_path: Path) -> None:
    found = of_manifest(url, tmp_path, "  telemetry: {engine: Custom, overrides: {Running: vector(1)}}\n", "-o", "json")
    assert found.exit_code == 1, found.output
    told = json.loads(found.output)
    assert (told["workload"], told["usable"]) == ("team/chat", False)
    states = {each["signal"]: each["state"] for each in told["declared"] if "overrides" in each["signal"]}
    assert states == {
        "telemetry.overrides.Running": "Found",
        "telemetry.overrides.Waiting": "Missing",
        "telemetry.overrides.Completions": "Missing",
    }


@pytest.mark.parametrize(("ahead", "words"), [(600.0, "10m ahead of"), (-90.0, "1m30s behind"), (0.0, "")])
def test_a_clock_that_differs_is_told_and_ages_go_by_prometheus(
    monkeypatch: pytest.MonkeyPatch, ahead: float, words: str
) -> None:
    date = BaseHTTPRequestHandler.date_time_string
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda self: date(self, time.time() + ahead))
    server = Stub(lambda _: (200, {}, vector()))
    try:
        with closing(Checker(PrometheusSettings(server.url, timeout_seconds=60), time.time())) as made:
            told = made.clock()
            made.answer("up")
        asked = [float(form["time"]) for _, _, form in server.requests]
    finally:
        server.close()
    assert bool(told) == bool(words)
    assert words in told
    assert asked[1] - asked[0] == pytest.approx(ahead, abs=5.0)


def test_a_prometheus_that_does_not_answer_is_an_error_with_the_fix(deaf_port: int) -> None:
    found = check(f"http://127.0.0.1:{deaf_port}", "--engine", "VLLM")
    assert (found.exit_code, "check prometheus.url" in found.output) == (1, True)
