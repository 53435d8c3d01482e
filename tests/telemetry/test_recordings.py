"""What engines' and gateways' own code printed (`make exporters`), in a real Prometheus, read with their profiles."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.exporters.install import folder_of
from e2e.exporters.recordings import is_current, recipe
from e2e.exporters.recordings import recorded as recorded_by
from e2e.exporters.stacks import STACKS
from prometheus_client.parser import text_string_to_metric_families
from support.prometheus import make_objective, make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.core.observation import SignalState
from flyball.core.service.sources import SignalQuality
from flyball.core.spec import TelemetrySource
from flyball.telemetry.check import Checker
from flyball.telemetry.check_results import State
from flyball.telemetry.profiles import ENGINES, GATEWAYS, EngineProfile, GatewayProfile
from flyball.telemetry.profiles.listing import engine_signals, gateway_signals
from flyball.telemetry.profiles.model import Evidence
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
TIMES = [NOW - 120 + 15 * step for step in range(9)]
RECORDINGS = Path(__file__).parent / "recordings"
ODD = 'code "x"\n'
GATEWAY_CASES = {
    "LiteLLM": ("litellm", ("requested_model", "chat")),
    "OpenTelemetry": ("opentelemetry", ("gen_ai_request_model", "llama-3-8b")),
    "EndpointPicker": ("endpoint-picker", ("model_name", ODD)),
    "EnvoyAIGateway": ("envoy-ai-gateway", ("gen_ai_request_model", "qwen3-8b")),
}
# What the programs have counted: running, waiting for a GPU, finished with an answer.
ENGINE_CASES = {"VLLM": ("vllm", 4.0, 2.0, 9.0), "SGLang": ("sglang", 4.0, 3.0, 10.0)}
PROFILES: dict[str, EngineProfile | GatewayProfile] = {**ENGINES, **GATEWAYS}
RECORDED = {name: case[0] for name, case in (*GATEWAY_CASES.items(), *ENGINE_CASES.items())} | {
    "Dynamo": "dynamo",
    "Triton": "triton",
}


def recorded(name: str) -> str:
    return (RECORDINGS / f"{name}.prom").read_text(encoding="utf-8")


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def spelled(text: str) -> set[str]:
    """The names of the series, to which the parser would add what counters lack of their usual ending."""
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}


def scraped(history: History, text: str, namespace: str, pod: str) -> None:
    """The recording of a pod as if it had counted all that twice in two minutes, evenly."""
    names = spelled(text)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: escaped(value) for name, value in sample.labels.items()}
            labels |= {"namespace": namespace, "pod": pod, "job": "recorded"}
            grows, value = family.type in ("counter", "histogram"), float(sample.value)
            history.add(
                sample.name if sample.name in names else sample.name.removesuffix("_total"),
                labels,
                TIMES,
                lambda at, grows=grows, value=value: value * (at - TIMES[0]) / 60 if grows else value,
            )


def counted(text: str, name: str, *labels: tuple[str, str], **more: str) -> float:
    """What the recording itself says of the series with these labels."""
    wanted = {**dict(labels), **more}
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and wanted.items() <= sample.labels.items()
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    history = History()
    for recording, _ in GATEWAY_CASES.values():
        scraped(history, recorded(recording), "gateways", f"{recording}-0")
    for recording in (RECORDED[name] for name in ENGINES if name in RECORDED):
        scraped(history, recorded(recording), "team-a", f"{recording}-0")
    with serve(history, tmp_path_factory.mktemp("prometheus")) as address:
        yield address


@pytest.mark.parametrize("gateway", GATEWAY_CASES)
async def test_end_to_end_is_counted_where_the_gateway_counts_it(url: str, gateway: str) -> None:
    recording, labels = GATEWAY_CASES[gateway]
    text, histogram = recorded(recording), GATEWAYS[gateway].latencies[Indicator.END_TO_END][0]
    name = next(each for each in histogram.names if counted(text, f"{each}_count", labels))
    edge = histogram.edges[len(histogram.edges) // 2]
    spec = make_spec(
        variants=(make_variant(),),
        objectives=(make_objective(Indicator.END_TO_END, edge),),
        telemetry=TelemetrySource(gateway=gateway, gateway_selector=(labels,)),
    )
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    signals = await metrics.read([spec], NOW)
    await metrics.aclose()
    reading = signals[spec.key].objectives[0]
    assert reading.state is SignalState.OK
    assert reading.edges is not None
    assert reading.edges.exact
    assert reading.shares[0].total == pytest.approx(counted(text, f"{name}_count", labels))
    within = max(counted(text, f"{name}_bucket", labels, le=spelled) for spelled in (repr(edge), f"{edge:g}"))
    assert reading.shares[0].good == pytest.approx(within)


@pytest.mark.parametrize("engine", ENGINE_CASES)
async def test_an_engine_is_recognized_and_read_as_its_own_code_counts(url: str, engine: str) -> None:
    recording, running, waiting, answered = ENGINE_CASES[engine]
    text, histogram = recorded(recording), ENGINES[engine].latencies[Indicator.TIME_TO_FIRST_TOKEN][0]
    objective = make_objective(Indicator.TIME_TO_FIRST_TOKEN, histogram.edges[len(histogram.edges) // 3])
    spec = make_spec(recording, "team-a", (make_variant(recording, recording, "StatefulSet"),), objectives=(objective,))
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    signals = (await metrics.read([spec], NOW))[spec.key]
    await metrics.aclose()
    main, sources = signals.variants[0], {source.signal: source for source in signals.sources}
    assert (signals.problem, main.running.value, main.waiting.value) == ("", running, waiting)
    assert main.kv_cache_usage.value == pytest.approx(0.5)
    assert main.completions_per_second.value == pytest.approx(answered / 60)
    assert main.prompt_tokens_per_request.value == pytest.approx(100.0)
    assert main.output_tokens_per_request.value == pytest.approx(21.0)
    assert main.cached_prompt_share.value == pytest.approx(0.25)
    assert sources["SecondsPerOutputToken"].quality is SignalQuality.EXACT
    assert signals.objectives[0].shares[0].total == pytest.approx(counted(text, f"{histogram.names[0]}_count"))


async def test_of_a_bare_dynamo_worker_what_it_works_on_runs_and_what_ended_is_completed(url: str) -> None:
    objective = make_objective(Indicator.END_TO_END, 0.5)
    spec = make_spec("dynamo", "team-a", (make_variant("dynamo", "dynamo", "StatefulSet"),), objectives=(objective,))
    metrics = PrometheusMetrics(PrometheusSettings(url, timeout_seconds=60))
    signals = (await metrics.read([spec], NOW))[spec.key]
    main, whole = signals.variants[0], signals.objectives[0]
    await metrics.aclose()
    assert (whole.state, whole.estimated, whole.shares[0].total) == (SignalState.OK, True, pytest.approx(10.0))
    assert (main.running.value, main.waiting.state) == (2.0, SignalState.ABSENT)
    assert main.completions_per_second.value == pytest.approx(10 / 60)


@pytest.mark.parametrize("gateway", GATEWAY_CASES)
def test_what_the_gateway_counts_is_found(url: str, gateway: str) -> None:
    with closing(Checker(PrometheusSettings(url, timeout_seconds=60), NOW)) as checker:
        found = checker.gateway(GATEWAYS[gateway])
    states = {signal.signal: signal.state for signal in found.signals}
    assert found.usable
    assert {states[name] for name in ("Requests", "EndToEnd", "PromptTokens", "OutputTokens")} == {State.FOUND}


def test_a_profile_is_from_its_own_code_where_there_is_a_recording() -> None:
    assert {name for name, profile in PROFILES.items() if profile.origin.evidence is Evidence.RECORDED} == set(RECORDED)
    assert {path.stem for path in RECORDINGS.glob("*.prom")} == set(RECORDED.values())


@pytest.mark.parametrize("name", RECORDED)
def test_the_profile_says_which_software_it_was(name: str) -> None:
    assert recorded(RECORDED[name]).startswith(f"# {PROFILES[name].origin.recorded}\n")


@pytest.mark.parametrize("name", RECORDED)
def test_every_source_was_printed_or_is_said_to_be_documentation_only(name: str) -> None:
    profile = PROFILES[name]
    signals = engine_signals(profile) if isinstance(profile, EngineProfile) else gateway_signals(profile)
    printed = spelled(recorded(RECORDED[name]))
    documented = profile.origin.documented
    for signal, sources in signals.items():
        for source in sources:
            newest = [each for each in source.series if not each.startswith(documented)]
            assert not newest or printed & set(newest), signal
            assert {each for each in source.added if not each.startswith(documented)} <= printed, signal
    assert not {each for each in printed if documented and each.startswith(documented)}


@pytest.mark.parametrize("name", RECORDED)
def test_the_edges_are_those_that_are_printed(name: str) -> None:
    families = list(text_string_to_metric_families(recorded(RECORDED[name])))
    for histograms in PROFILES[name].latencies.values():
        for histogram in histograms:
            for family in families:
                printed = {
                    float(sample.labels["le"])
                    for sample in family.samples
                    if family.name in histogram.names and "le" in sample.labels
                }
                assert not printed or printed == {*histogram.edges, float("inf")}, family.name


def test_every_stack_has_its_recording() -> None:
    for stack in STACKS:
        assert recorded(stack.name).startswith(f"# {stack.software}\n"), f"run: make exporters EXPORTERS={stack.name}"


def test_another_version_is_another_recording() -> None:
    stack = next(stack for stack in STACKS if stack.name == "vllm")
    newer = replace(stack, sources=("vllm==9.9.9",))
    assert (is_current(newer), folder_of(stack) == folder_of(newer)) == (False, False)
    kept = recorded_by(newer, "# HELP python_info x\npython_info 1\nx_total 1.0\nx_created 2.0\n")
    assert kept == f"# {stack.software}\n# {stack.note}\n# recipe {recipe(newer)}\nx_total 1.0\n"
