"""The engine's own stages: from a real Prometheus with known history, and when they are asked for."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.prometheus import make_objective, make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.core.observation import WorkloadSignals
from flyball.core.service.latency import LatencySource, Stage
from flyball.core.spec import TelemetrySource, WorkloadSpec
from flyball.telemetry import mixed
from flyball.telemetry.engine_stages import histograms, query
from flyball.telemetry.profiles import ENGINES
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.promql import Scope
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
TIMES = [NOW - 600 + 15 * step for step in range(41)]
PER_SECOND = 2.0
VLLM = ENGINES["VLLM"]
TEN_SECONDS, HUNDRED_MS = (make_objective(Indicator.END_TO_END, each, 60.0) for each in (10.0, 0.3))
SHARES = {
    # Nobody waits longer than 300 ms, the first edge that vLLM's queue histogram has.
    "vllm:request_queue_time_seconds": {"0.3": 1.0, "0.5": 1.0},
    "vllm:request_prefill_time_seconds": {"0.3": 0.5, "0.5": 0.9, "0.8": 1.0},
    "vllm:request_decode_time_seconds": {"1.0": 0.0, "2.0": 0.5, "5.0": 1.0},
    "vllm:e2e_request_latency_seconds": {"0.3": 0.0, "2.0": 0.5, "10.0": 1.0},
}


def build() -> History:
    history = History()
    labels = {"namespace": "team-a", "pod": "llm-0", "job": "engines"}
    for name in ("num_requests_running", "num_requests_waiting"):
        history.add(f"vllm:{name}", labels, TIMES, lambda _: 0.0)
    for name, shares in SHARES.items():
        for edge, share in {**shares, "+Inf": 1.0}.items():
            rate = PER_SECOND * share
            bucket = labels | {"le": edge}
            history.add(f"{name}_bucket", bucket, TIMES, lambda at, rate=rate: rate * (at - TIMES[0]))
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


def workload(**rest: object) -> WorkloadSpec:
    return make_spec(variants=(make_variant(target="llm", kind="StatefulSet"),), **rest)


async def read(url: str, spec: WorkloadSpec, reads: int = 1) -> WorkloadSignals:
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60.0, slow_timeout_seconds=60.0))
    for _ in range(reads):
        signals = (await metrics.read([spec], NOW))[spec.key]
        if signals.stages:
            break
    await metrics.aclose()
    return signals


@pytest.mark.parametrize(
    ("objective", "reads"),
    [
        pytest.param(HUNDRED_MS, 1, id="at once while an objective is missed"),
        pytest.param(TEN_SECONDS, 500, id="beside the ticks else"),
    ],
)
async def test_stages_are_there_without_being_declared(url: str, objective: object, reads: int) -> None:
    stages = {stage.name: stage for stage in (await read(url, workload(objectives=(objective,)), reads)).stages}
    assert list(stages) == ["Queue", "Prefill", "Decode"]
    assert all(stage.measured_by_engine for stage in stages.values())
    assert stages["Prefill"].requests == pytest.approx(300 * PER_SECOND)
    assert (stages["Prefill"].p50, stages["Prefill"].p95) == (pytest.approx(0.3), pytest.approx(0.65))
    assert stages["Decode"].p95 == pytest.approx(4.7)
    assert stages["Decode"].whole_p95 == pytest.approx(9.2)
    assert stages["Queue"].p99 <= stages["Queue"].least == 0.3


async def test_a_declared_stage_of_the_same_name_stays(url: str) -> None:
    source = LatencySource((("vllm:request_decode_time_seconds", 1.0),), (("pod", "llm-0"),))
    telemetry = TelemetrySource(stages=(Stage("Prefill", source, engine=True),))
    signals = await read(url, workload(objectives=(HUNDRED_MS,), telemetry=telemetry))
    assert [(stage.name, stage.measured_by_engine) for stage in signals.stages] == [
        ("Prefill", False),
        ("Queue", True),
        ("Decode", True),
    ]
    assert signals.stages[0].p95 == pytest.approx(4.7)


async def test_of_two_engines_neither_speaks_for_the_whole(url: str) -> None:
    spec = workload(objectives=(HUNDRED_MS,))
    signals = await read(url, spec)
    assert mixed.together(spec, [signals, replace(signals, variants=())]).stages == ()


def test_every_engine_tells_what_it_exports() -> None:
    assert [*histograms(VLLM)] == ["Queue", "Prefill", "Decode"]
    for profile in ENGINES.values():
        stages = histograms(profile)
        assert not {"Prefill", "FirstToken"} <= stages.keys(), profile.name
        assert bool(query(profile, Scope(("team-a",)))) == bool(stages)
