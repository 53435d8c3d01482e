"""`flyball cost prices`, and that `flyball doctor` finds OpenCost: what a GPU hour costs, by whom, as of when."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml
from click.testing import CliRunner, Result
from support.objects import workload_slo
from support.prometheus import Respond, Stub, vector

from flyball.cli.main import main

BOOK = """
apiVersion: flyball.dev/v1alpha1
kind: PriceBook
metadata: {name: prices}
spec:
  effectiveFrom: "2026-01-01"
  nodeOverhead: 10%
  gpus:
    - {accelerator: NVIDIA-L4, onDemand: "0.80", reserved: "0.45"}
    - {accelerator: NVIDIA-H100, openCost: {instanceTypes: [p5.48xlarge]}}
    - {accelerator: NVIDIA-A100, onDemand: "3.00", openCost: {nodePrefixes: [a100-]}}
    - {accelerator: NVIDIA-B200, openCost: {nodePrefixes: [b200-]}}
"""
SEEN_AGO = 65.0
NODES = {
    ("gpu-1", "p5.48xlarge"): {"node_gpu_count": 8, "node_gpu_hourly_cost": 2.5, "kubecost_node_is_spot": 0},
    ("a100-1", "p4d.24xlarge"): {"node_gpu_count": 8, "node_gpu_hourly_cost": 2.0, "kubecost_node_is_spot": 0},
    ("b200-1", "p6-b200.48xlarge"): {"node_gpu_count": 8, "node_gpu_hourly_cost": 0.95, "kubecost_node_is_spot": 0},
}
CHAT = {"namespace": "shop", "model_name": "chat-8b", "model_version": "unknown"}
LOST = {"namespace": "shop", "model_name": "nowhere", "model_version": "unknown"}


def answer(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """What a Prometheus that scrapes OpenCost answers."""
    if "llm_total_hourly_cost" in form["query"]:
        costs = [(CHAT, "llm_total_hourly_cost", 11.52), (CHAT, "llm_cost_per_million_tokens", 1.75)]
        costs += [(LOST, "llm_total_hourly_cost", 0.0), (LOST, "llm_cost_per_million_tokens", 0.0)]
        return 200, {}, vector(*(({**labels, "flyball_series": name}, value) for labels, name, value in costs))
    rows = [
        ({"node": node, "instance_type": kind, "flyball_series": name}, value)
        for (node, kind), figures in NODES.items()
        for name, value in {**figures, "seen": time.time() - SEEN_AGO}.items()
    ]
    return 200, {}, vector(*rows) if "node_gpu_hourly_cost" in form["query"] else vector(({}, 1))


Serve = Callable[[Respond], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    stubs: list[Stub] = []

    def start(respond: Respond) -> str:
        stubs.append(Stub(respond))
        return stubs[-1].url

    yield start
    for stub in stubs:
        stub.close()


@pytest.fixture
def book(tmp_path: Path) -> str:
    path = tmp_path / "book.yaml"
    path.write_text(BOOK)
    return str(path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"FLYBALL_PROMETHEUS_URL": None})


def test_every_price_has_its_source_its_date_and_what_is_wrong_with_it(serve: Serve, book: str) -> None:
    done = invoke("cost", "prices", "--file", book, "--prometheus-url", serve(answer), "-o", "json")
    assert done.exit_code == 1, "a price is missing"
    said = json.loads(done.output)
    assert said["unit"] == "GPU hour"
    assert {each["currency"] for each in said["prices"]} == {"USD"}
    found = {(each["accelerator"], each["capacityType"]): each for each in said["prices"]}
    assert {key: (each["price"], each["basis"], len(each["problems"])) for key, each in found.items()} == {
        ("NVIDIA-L4", "OnDemand"): ("0.880", "PriceBook", 0),
        ("NVIDIA-L4", "Reserved"): ("0.495", "PriceBook", 0),
        ("NVIDIA-H100", "OnDemand"): ("2.75", "node_gpu_hourly_cost", 0),
        ("NVIDIA-A100", "OnDemand"): ("3.300", "PriceBook", 1),
        ("NVIDIA-B200", "OnDemand"): (None, "node_gpu_hourly_cost", 1),
        ("NVIDIA-B200", "Spot"): (None, "node_gpu_hourly_cost", 1),
    }
    assert found["NVIDIA-L4", "OnDemand"]["asOf"] == "2026-01-01T00:00:00+00:00"
    assert SEEN_AGO - 1 <= found["NVIDIA-H100", "OnDemand"]["ageSeconds"] <= SEEN_AGO + 60
    [apart] = found["NVIDIA-A100", "OnDemand"]["problems"]
    assert "says $3.30 per GPU hour of NVIDIA-A100, OnDemand, and OpenCost $2.20: more than 10% apart" in apart
    assert "$0.95 for nodes named b200-… is its built-in default" in found["NVIDIA-B200", "OnDemand"]["problems"][0]
    assert [(each["model"], each["perHour"], each["perMillionTokens"]) for each in said["models"]] == [
        ("chat-8b", "11.52", "1.75"),
        ("nowhere", None, None),
    ]


def test_the_table_names_what_is_missing_and_shows_what_opencost_says_of_models(serve: Serve, book: str) -> None:
    lines = invoke("cost", "prices", "--file", book, "--prometheus-url", serve(answer)).output.splitlines()
    assert lines[0].split() == ["book", "accelerator", "capacity", "per", "GPU", "hour", "as", "of", "age", "source"]
    assert lines[1].startswith("prices  NVIDIA-L4    OnDemand  $0.8800       2026-01-01 00:00Z")
    assert any(line.startswith("NVIDIA-B200, Spot: OpenCost tells of no nodes named b200-…") for line in lines)
    assert lines[-2].split() == ["shop", "chat-8b", "unknown", "11.5200", "1.7500"]
    assert lines[-1].split() == ["shop", "nowhere", "unknown", "-", "-"]


def test_without_a_prometheus_the_book_s_own_prices_are_shown(book: str) -> None:
    done = invoke("cost", "prices", "--file", book)
    assert "NVIDIA-A100  OnDemand  $3.3000" in done.output
    assert "NVIDIA-H100, OnDemand: OpenCost's prices were not read" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("kind: Pod", "holds no PriceBook; give a manifest that does", id="no book"),
        pytest.param("a: [", "is not readable as YAML", id="no YAML"),
        pytest.param(
            "kind: PriceBook\napiVersion: flyball.dev/v1alpha1\nmetadata: {name: x}\nspec: {gpus: []}",
            "PriceBook x is not valid",
            id="an invalid book",
        ),
    ],
)
def test_bad_input_names_the_fix(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(text)
    done = invoke("cost", "prices", "--file", str(path))
    assert done.exit_code != 0
    assert said in done.output


def test_a_prometheus_that_refuses_is_an_error(serve: Serve, book: str) -> None:
    done = invoke("cost", "prices", "--file", book, "--prometheus-url", serve(lambda _: (403, {}, b"")))
    assert done.exit_code == 1
    assert "forbids the query (403)" in done.output


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        pytest.param(answer, "knows what the GPUs of 2 of 3 nodes with GPUs cost, as of 1m", id="found"),
        pytest.param(
            lambda form: (200, {}, vector(({}, 1)) if "node_gpu" not in form["query"] else vector()),
            "has no node prices of OpenCost; only PriceBooks with openCost need them",
            id="not found",
        ),
    ],
)
def test_doctor_says_whether_opencost_is_found(serve: Serve, respond: Respond, said: str) -> None:
    with patch("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", "/none"):
        done = invoke("doctor", "--prometheus-url", serve(respond), "-o", "json")
    found = {each["name"]: each for each in json.loads(done.output)["checks"]}
    assert found["OpenCost"]["ok"]
    assert said in found["OpenCost"]["text"]


def test_backtests_and_plans_reckon_with_opencost_s_price_of_the_end_of_their_range(serve: Serve, book: str) -> None:
    workload = workload_slo("chat")
    workload["spec"]["targets"][0] |= {"accelerator": "NVIDIA-H100"}
    workload["spec"]["cost"] = {"priceBookRef": {"name": "prices"}}
    path = Path(book)
    path.write_text(f"{BOOK}\n---\n{yaml.safe_dump(workload)}")
    asked: list[str] = []

    def respond(form: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        asked.append(form["time"])
        return answer(form)

    with patch("flyball.cli.past.read_history") as read:
        invoke("backtest", "--file", book, "--prometheus-url", serve(respond), "--to", "2026-01-09T12:00")
    [variant] = read.call_args.args[1].variants
    assert (variant.price_per_gpu_hour, asked) == (Decimal("2.75"), ["1767960000.000"])
