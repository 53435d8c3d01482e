"""A past read from a real Prometheus whose every number is known, and what is said where it cannot be read."""

import math
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.prometheus import Stub, make_objective, make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.core.observation import SignalState
from flyball.core.spec import TelemetrySource
from flyball.telemetry import history as subject
from flyball.telemetry.history import HistoryError, Range, read_history
from flyball.telemetry.settings import PrometheusSettings

END = 1_700_000_040.0
"""A whole minute."""
START = END - 7200
POD = "llm-6d4f5c9b7d-bcdfg"
LABELS = {"namespace": "team-a", "pod": POD, "model_name": "m", "engine": "0"}
SILENT = (START + 3600, START + 4500)
RESTARTED = START + 5400
TIMES = [START + 15 * index for index in range(481) if not SILENT[0] < START + 15 * index <= SILENT[1]]
SPEC = make_spec(variants=(make_variant(),), objectives=(make_objective(threshold=1.0),))


def counted(at: float) -> float:
    """Requests finished since the process began: 2/s for an hour, then 5/s, from 0 again after the restart."""
    if at >= RESTARTED:
        return 5.0 * (at - RESTARTED)
    return 2.0 * min(at - START, 3600.0) + 5.0 * max(0.0, at - START - 3600.0)


def build() -> History:
    history = History()
    history.add("vllm:num_requests_running", LABELS, TIMES, lambda at: 8.0 if at < START + 3600 else 20.0)
    history.add("vllm:num_requests_waiting", LABELS, TIMES, lambda _: 1.0)
    history.add("vllm:request_success_total", LABELS | {"finished_reason": "stop"}, TIMES, counted)
    for name, mean in (("request_prompt_tokens", 100.0), ("request_generation_tokens", 20.0)):
        history.add(f"vllm:{name}_sum", LABELS, TIMES, lambda at, mean=mean: mean * counted(at))
        history.add(f"vllm:{name}_count", LABELS, TIMES, counted)
    for edge, share in (("0.5", 0.5), ("1.0", 0.9), ("+Inf", 1.0)):
        bucket = LABELS | {"le": edge}
        history.add(
            "vllm:time_to_first_token_seconds_bucket", bucket, TIMES, lambda at, share=share: share * counted(at)
        )
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


def read(url: str, span: Range, spec=SPEC):
    return read_history(PrometheusSettings(url, timeout_seconds=60), spec, span)


def test_every_step_is_what_was_recorded(url: str) -> None:
    found = read(url, Range(START, END, 60.0))
    assert (len(found.steps), found.start, found.end) == (120, START, END)
    early, late = found.steps[30].signals, found.steps[110].signals
    assert early.variant("main").completions_per_second.value == pytest.approx(2.0)
    assert late.variant("main").completions_per_second.value == pytest.approx(5.0)
    assert early.variant("main").running.value == 8.0
    assert late.variant("main").reporting_replicas.value == 1.0
    assert late.variant("main").prompt_tokens_per_request.value == pytest.approx(100.0)
    share = late.objective(SPEC.objectives[0].name).shares[0]
    assert (share.window_seconds, share.good, share.total) == (60.0, pytest.approx(270.0), pytest.approx(300.0))


def test_a_gap_is_silence_and_never_zero(url: str) -> None:
    found = read(url, Range(START, END, 60.0))
    silent = [step for step in found.steps if SILENT[0] + 120 <= step.at <= SILENT[1]]
    states = {step.signals.variant("main").running.state for step in silent}
    assert states == {SignalState.STALE}
    assert all(math.isnan(step.signals.variant("main").running.value) for step in silent)


def test_a_restart_is_counted_and_takes_nothing_away(url: str) -> None:
    found = read(url, Range(START, END, 60.0))
    rates = [step.signals.variant("main").completions_per_second for step in found.steps]
    assert found.counter_resets == 1.0
    assert all(rate.value >= 1.9 for rate in rates if rate.ok)


def test_a_range_in_parts_is_the_same_range(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(url, Range(START, END, 60.0))
    monkeypatch.setattr(subject, "PART_POINTS", 7)
    assert repr(read(url, Range(START, END, 60.0))) == repr(whole)


def test_progress_is_told_of_every_query(url: str) -> None:
    told: list[tuple[int, int]] = []
    read_history(
        PrometheusSettings(url, timeout_seconds=60), SPEC, Range(END - 600, END, 60.0), lambda *done: told.append(done)
    )
    assert told == [(done, len(told)) for done in range(1, len(told) + 1)]


def test_users_own_queries_replace_a_profile(url: str) -> None:
    source = TelemetrySource(
        engine="Custom",
        overrides=(
            ("Running", "vector(7)"),
            ("Waiting", "vector(0)"),
            ("Completions", 'sum(rate(vllm:request_success_total{namespace="team-a"}[1m]))'),
        ),
    )
    found = read(url, Range(START, START + 1800, 60.0), make_spec(telemetry=source))
    main = found.steps[20].signals.variant("main")
    assert (main.running.value, main.completions_per_second.value) == (7.0, pytest.approx(2.0))


def test_a_range_before_all_history_is_empty_not_an_error(url: str) -> None:
    found = read(url, Range(START - 86400, START - 82800, 60.0))
    assert {step.signals.variant("main").running.state for step in found.steps} == {SignalState.ABSENT}


@pytest.mark.parametrize(
    ("start", "end", "step", "ends"),
    [
        pytest.param(60, 180, 60, (120, 180), id="on the grid"),
        pytest.param(61, 179, 60, (120,), id="only whole steps"),
        pytest.param(0, 90, 30, (30, 60, 90), id="a finer step"),
    ],
)
def test_steps_lie_on_multiples_since_the_epoch(start: float, end: float, step: float, ends: tuple[float, ...]) -> None:
    assert Range(start, end, step).ends == ends


@pytest.mark.parametrize(
    ("start", "end", "step", "message"),
    [
        pytest.param(0, 30, 60, "holds no whole step of 1m; give a longer range", id="shorter than a step"),
        pytest.param(100, 0, 60, "holds no whole step", id="backwards"),
        pytest.param(0, 1e9, 60, "more than 100000; give a longer step", id="too long"),
        pytest.param(0, 100, 0.5, "give whole seconds, 1s or more", id="too fine"),
        pytest.param(0, 100, 1.5, "give whole seconds", id="half seconds"),
    ],
)
def test_a_range_that_cannot_be_is_refused_with_the_fix(start: float, end: float, step: float, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        Range(start, end, step)


def test_no_part_asks_for_more_points_than_prometheus_gives() -> None:
    parts = list(Range(0, 60 * 99_999, 60.0).parts())
    assert max(len(part) for part in parts) <= subject.MOST_POINTS
    assert [at for part in parts for at in part] == [60.0 * index for index in range(1, 100_000)]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        pytest.param(401, b"no", "wants credentials", id="no token"),
        pytest.param(200, b'{"data":{"result":[{"metric":{}}]}}', "an entry has no values", id="an instant vector"),
        pytest.param(200, b'{"data":{"result":7}}', "result is int, not a list", id="a number"),
        pytest.param(422, b'{"error":"too many samples"}', "too many samples", id="over a query limit"),
    ],
)
def test_what_prometheus_refuses_is_told(status: int, body: bytes, message: str) -> None:
    with closing(Stub(lambda _: (status, {}, body))) as stub, pytest.raises(HistoryError, match=message):
        read(stub.url, Range(START, START + 600, 60.0))


def test_an_engine_without_a_profile_is_refused() -> None:
    with pytest.raises(HistoryError, match="has no profile"):
        read("http://127.0.0.1:9", Range(0, 60, 60.0), make_spec(telemetry=TelemetrySource(engine="Nope")))
