"""`flyball backtest` from a manifest and a real Prometheus, and what is said of input that cannot work."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from support.real_prometheus import History, serve

from flyball.cli.main import main
from flyball.cli.past import parse_time

END = 1_700_000_040.0
START = END - 3600
TIMES = [START + 15 * index for index in range(241)]
LABELS = {"namespace": "team-a", "pod": "llm-6d4f5c9b7d-bcdfg", "model_name": "m", "engine": "0"}
MANIFEST = {
    "apiVersion": "flyball.dev/v1alpha1",
    "kind": "WorkloadSLO",
    "metadata": {"name": "chat", "namespace": "team-a"},
    "spec": {
        "workloadType": "Assistant",
        "objectives": [{"name": "first-token", "indicator": "TimeToFirstToken", "threshold": "1s", "target": "95%"}],
        "targets": [
            {"name": "gpu", "targetRef": {"name": "llm"}, "maxReplicas": 4, "pricePerGpuHour": "2", "gpusPerReplica": 1}
        ],
    },
}
RANGE = ("--from", "2023-11-14T21:14:00", "--to", "2023-11-14T22:14:00")


def build() -> History:
    """One replica that finishes 2 requests/s of 100 prompt and 20 output tokens for an hour, 90% of them in time."""
    history = History()

    def rising(name: str, per_second: float, **labels: str) -> None:
        history.add(f"vllm:{name}", LABELS | labels, TIMES, lambda at: per_second * (at - START))

    history.add("vllm:num_requests_running", LABELS, TIMES, lambda _: 4.0)
    history.add("vllm:num_requests_waiting", LABELS, TIMES, lambda _: 0.0)
    rising("request_success_total", 2.0, finished_reason="stop")
    rising("request_prompt_tokens_sum", 200.0)
    rising("request_prompt_tokens_count", 2.0)
    rising("request_generation_tokens_sum", 40.0)
    rising("request_generation_tokens_count", 2.0)
    rising("request_time_per_output_token_seconds_sum", 0.04)
    rising("request_time_per_output_token_seconds_count", 2.0)
    for edge, share in (("0.5", 0.5), ("1.0", 0.9), ("+Inf", 1.0)):
        rising("time_to_first_token_seconds_bucket", 2.0 * share, le=edge)
    return history


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(build(), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "wslo.yaml"
    path.write_text(yaml.safe_dump(MANIFEST))
    return str(path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["backtest", *arguments])


def test_what_happened_and_what_flyball_would_have_done_side_by_side(url: str, manifest: str, tmp_path: Path) -> None:
    picture = tmp_path / "page.html"
    done = invoke("--file", manifest, "--prometheus-url", url, *RANGE, "--startup", "1m", "--html", str(picture))
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "team-a/chat, 2023-11-14 21:14 to 2023-11-14 22:14 UTC, 60 steps of 1m"
    assert lines[1].split("  ")[-1] == "flyball (simulated)"
    row = next(line for line in lines if line.startswith("first-token (target 95.0%)"))
    assert row.split()[3] == "90.00%"
    assert next(line for line in lines if line.startswith("GPU-hours")).split()[1] == "1.0"
    assert next(line for line in lines if line.startswith("cost")).split()[1] == "$2.00"
    assert "<svg" in picture.read_text()


def test_json_says_the_same(url: str, manifest: str) -> None:
    done = invoke("--file", manifest, "--prometheus-url", url, *RANGE, "--startup", "1m", "-o", "json")
    document = json.loads(done.stdout)
    happened, model, ours = document["columns"]
    assert (happened["name"], model["name"], ours["name"]) == ("happened", "as it ran", "flyball")
    assert happened["requests"] == 7200
    assert happened["attainment"] == {"first-token": pytest.approx(0.9)}
    assert ours["gpuHours"] == pytest.approx(model["gpuHours"], rel=0.01), "one replica is the least there can be"
    assert document["engines"][0]["steps"] > 50
    assert (document["from"], document["stepSeconds"]) == ("2023-11-14T21:14:00Z", 60.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "name the WorkloadSLO, or give its manifest with --file", id="no workload"),
        pytest.param(["other", "--file", "{manifest}"], "holds 0 of WorkloadSLO other", id="another name"),
        pytest.param(["--file", "{manifest}", "--from", "yesterday"], "'yesterday' is no time", id="a word"),
        pytest.param(
            ["--file", "{manifest}", "--from", "2023-11-15", "--to", "2023-11-14"], "is not before", id="backwards"
        ),
        pytest.param(["--file", "{manifest}", "--timezone", "Moon/Base"], "is no time zone", id="no zone"),
        pytest.param(
            ["--file", "{manifest}", "--from", "2020-01-01", "--to", "2020-01-02"],
            "Prometheus holds nothing of Deployment/llm in namespace team-a in these 1d",
            id="before all history",
        ),
        pytest.param(
            ["--file", "{manifest}", *RANGE, "--step", "5s"], "at least four scrape intervals", id="too fine a step"
        ),
    ],
)
def test_what_cannot_be_played_is_explained(url: str, manifest: str, arguments: list[str], message: str) -> None:
    done = invoke(*(argument.format(manifest=manifest) for argument in arguments), "--prometheus-url", url)
    assert done.exit_code in (1, 2), done.output
    assert message in " ".join(done.output.split())


def test_a_manifest_that_is_not_valid_is_told_by_field(url: str, tmp_path: Path) -> None:
    path = tmp_path / "wslo.yaml"
    path.write_text(yaml.safe_dump({**MANIFEST, "spec": {"workloadType": "Assistant"}}))
    done = invoke("--file", str(path), "--prometheus-url", url)
    assert done.exit_code == 1
    assert "spec.targets" in done.output


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        pytest.param("2026-01-05T08:00", UTC, 1_767_600_000.0, id="UTC"),
        pytest.param("2026-01-05T08:00", BERLIN, 1_767_596_400.0, id="winter"),
        pytest.param("2026-07-05T08:00", BERLIN, 1_783_231_200.0, id="summer"),
        pytest.param("2026-01-05T08:00+05:00", BERLIN, 1_767_582_000.0, id="an offset of its own"),
    ],
)
def test_times_are_of_the_zone_unless_they_say_otherwise(text: str, zone: ZoneInfo, expected: float) -> None:
    assert parse_time(text, zone, "--from") == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [("2026-10-25T02:30", "comes twice"), ("2026-03-29T02:30", "does not exist")],
    ids=["clocks go back", "clocks go forward"],
)
def test_a_time_that_a_change_of_clocks_makes_unclear_is_refused(text: str, what: str) -> None:
    with pytest.raises(click.BadParameter, match=f"{what} in Europe/Berlin"):
        parse_time(text, BERLIN, "--from")


@pytest.mark.parametrize(
    ("command", "module"),
    [("backtest", "flyball.lab.backtest.compare"), ("plan", "flyball.lab.backtest.purchase")],
)
def test_without_the_lab_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, command: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = CliRunner().invoke(main, [command, "chat", "--prometheus-url", "http://127.0.0.1:9"])
    assert done.exit_code == 1
    assert "pip install 'flyball[lab]'" in done.output
