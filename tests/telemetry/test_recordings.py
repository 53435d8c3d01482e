"""What gateways' own code printed (`make exporters`), scraped into a real Prometheus and read with their profiles."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.prometheus import make_objective, make_spec, make_variant
from support.real_prometheus import History, serve

from flyball.core.names import Indicator
from flyball.core.observation import SignalState
from flyball.core.spec import TelemetrySource
from flyball.telemetry.check import Checker, State
from flyball.telemetry.profiles import GATEWAYS
from flyball.telemetry.profiles.model import Evidence
from flyball.telemetry.prometheus import PrometheusMetrics
from flyball.telemetry.settings import PrometheusSettings

NOW = 1_700_000_000.0
TIMES = [NOW - 120 + 15 * step for step in range(9)]
RECORDINGS = Path(__file__).parent / "recordings"
ODD = 'code "x"\n'
CASES = {
    "LiteLLM": ("litellm", ("requested_model", "chat")),
    "OpenTelemetry": ("opentelemetry", ("gen_ai_request_model", "llama-3-8b")),
    "EndpointPicker": ("endpoint-picker", ("model_name", ODD)),
}


def recorded(name: str) -> str:
    return (RECORDINGS / f"{name}.prom").read_text(encoding="utf-8")


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def scraped(history: History, text: str) -> None:
    """The recording as if all that it counts had happened in the last minute, evenly."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: escaped(value) for name, value in sample.labels.items()}
            labels |= {"namespace": "gateways", "pod": "gateway-0", "job": "gateway"}
            grows, value = family.type in ("counter", "histogram"), float(sample.value)
            history.add(
                sample.name,
                labels,
                TIMES,
                lambda at, grows=grows, value=value: value * (at - TIMES[0]) / 60 if grows else value,
            )


def counted(text: str, name: str, labels: tuple[str, str], **more: str) -> float:
    """What the recording itself says of the series with these labels."""
    wanted = {labels[0]: labels[1], **more}
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and wanted.items() <= sample.labels.items()
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    history = History()
    for recording, _ in CASES.values():
        scraped(history, recorded(recording))
    with serve(history, tmp_path_factory.mktemp("prometheus")) as address:
        yield address


@pytest.mark.parametrize("gateway", CASES)
async def test_end_to_end_is_counted_where_the_gateway_counts_it(url: str, gateway: str) -> None:
    recording, labels = CASES[gateway]
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


@pytest.mark.parametrize("gateway", CASES)
def test_the_recording_holds_the_profile_to_what_it_says(url: str, gateway: str) -> None:
    profile = GATEWAYS[gateway]
    with closing(Checker(PrometheusSettings(url, timeout_seconds=60), NOW)) as checker:
        found = checker.gateway(profile)
    states = {signal.signal: signal.state for signal in found.signals}
    assert profile.origin.evidence is Evidence.RECORDED
    assert found.usable
    assert {states[name] for name in ("Requests", "EndToEnd", "PromptTokens", "OutputTokens")} == {State.FOUND}


@pytest.mark.parametrize("gateway", CASES)
def test_the_edges_are_those_that_are_printed(gateway: str) -> None:
    recording, labels = CASES[gateway]
    for histograms in GATEWAYS[gateway].latencies.values():
        for histogram in histograms:
            for family in text_string_to_metric_families(recorded(recording)):
                printed = {
                    float(sample.labels["le"])
                    for sample in family.samples
                    if family.name in histogram.names and "le" in sample.labels
                }
                assert not printed or printed == {*histogram.edges, float("inf")}, (family.name, labels)
