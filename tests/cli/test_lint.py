"""`flyball lint`: manifests and what is said of them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flyball.cli.main import main

GOOD = """
apiVersion: flyball.dev/v1alpha1
kind: WorkloadSLO
metadata: {name: chat}
spec:
  workloadType: Assistant
  targets: [{targetRef: {name: chat}, maxReplicas: 8}]
"""
BOOK = """
apiVersion: flyball.dev/v1alpha1
kind: PriceBook
metadata: {name: gpus}
spec:
  source: contract
  gpus: [{accelerator: NVIDIA-L4, onDemand: "0.80"}]
"""
POOL = """
apiVersion: flyball.dev/v1alpha1
kind: GPUPool
metadata: {name: shared}
spec:
  inventory: [{accelerator: NVIDIA-L4, gpus: 4}]
"""
EVENT = """
apiVersion: flyball.dev/v1alpha1
kind: DemandEvent
metadata: {name: launch}
spec:
  start: 2999-12-01T08:00:00Z
  end: "2999-12-01T20:00:00Z"
  multiple: "3"
  workloads: [chat]
"""


def lint(tmp_path: Path, text: str | bytes, *options: str) -> Result:
    path = tmp_path / "manifest.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CliRunner().invoke(main, ["lint", str(path), *options])


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param(GOOD, 0, ["1 files, 0 findings"], id="a good one"),
        pytest.param(f"{GOOD}---{BOOK}---\n", 0, ["1 files, 0 findings"], id="several documents, an empty one too"),
        pytest.param(
            GOOD.replace("maxReplicas: 8", "minReplicas: 9, maxReplicas: 8"),
            1,
            ["error: ", "WorkloadSLO/chat: ", "minReplicas"],
            id="min above max",
        ),
        pytest.param(
            f"{GOOD}---\n{GOOD.replace('8', 'many').replace('name: chat', 'name: other')}",
            1,
            ["WorkloadSLO/other: spec.targets[0].maxReplicas", "1 findings"],
            id="only the second is bad",
        ),
        pytest.param(
            f"{GOOD}  cost: {{currency: EUR, priceBookRef: {{name: gpus}}}}\n---{BOOK}",
            1,
            ["spec.cost.priceBookRef: PriceBook gpus is in USD (its spec.currency)", "in EUR (spec.cost.currency"],
            id="two currencies",
        ),
        pytest.param(GOOD + "  budget: 5\n", 1, ["spec.budget", "1 findings"], id="an unknown field"),
        pytest.param(
            GOOD + "  scaling: {scaleToZero: {idleAfter: 30m, wakeUp: {query: sum(waiting)}}}\n",
            0,
            ["warning: ", "scaleToZero: is refused: minReplicas of chat is above 0", "set it to 0"],
            id="zero replicas beside a minimum",
        ),
        pytest.param(
            GOOD.replace("maxR", "minReplicas: 0, maxR") + "  scaling: {scaleToZero: {idleAfter: 30m}}\n",
            0,
            ["warning: ", "nothing would say that somebody asks", "wakeUp.query"],
            id="zero replicas that nobody could wake",
        ),
        pytest.param(BOOK.replace('"0.80"', "-1"), 1, ["PriceBook/gpus", "onDemand"], id="a negative price"),
        pytest.param(POOL, 0, ["0 findings"], id="a good pool"),
        pytest.param(
            POOL.replace("gpus: 4", "gpus: 4, reserve: 5"),
            1,
            ["GPUPool/shared", "reserve is greater than gpus"],
            id="a reserve above the inventory",
        ),
        pytest.param(
            POOL.replace(", gpus: 4", ""),
            0,
            ["warning: ", "NVIDIA-L4 without gpus", "gpuPools.discovery=true"],
            id="a pool that is counted",
        ),
        pytest.param(EVENT, 0, ["0 findings"], id="a good event, with a time that has no quotes"),
        pytest.param(EVENT.replace("2999", "2020"), 0, ["warning: ", "is past"], id="an event that is past"),
        pytest.param(
            EVENT.replace("T20", "T07"),
            1,
            ["DemandEvent/launch: spec.end", "ends before it begins"],
            id="an event that ends before it begins",
        ),
        pytest.param("kind: [", 1, ["error: ", "not readable as YAML"], id="not YAML"),
        pytest.param(b"\xff\xfe\x00", 1, ["error: ", "not readable as YAML"], id="not text"),
        pytest.param("kind: Service\n", 0, ["warning: ", "Service: not a Flyball resource"], id="another kind"),
        pytest.param("- a\n- b\n", 0, ["warning: ", "not a Flyball resource"], id="a list"),
        pytest.param("just text", 0, ["warning: ", "not a Flyball resource"], id="a text"),
        pytest.param(GOOD.replace("metadata: {name: chat}", "metadata: chat"), 1, ["WorkloadSLO/?"], id="no metadata"),
        pytest.param("", 0, ["0 findings"], id="an empty file"),
    ],
)
def test_what_is_said(tmp_path: Path, text: str | bytes, code: int, said: list[str]) -> None:
    done = lint(tmp_path, text)
    assert done.exit_code == code, done.output
    assert not done.exception or isinstance(done.exception, SystemExit)
    assert all(part in done.output for part in said), done.output


def test_what_is_declared_and_not_acted_on_is_a_warning(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["lint", str(Path(__file__).parents[2] / "tests/api/data/accept/every-field.yaml")])
    assert done.exit_code == 0
    assert "warning: " in done.output


def test_as_json(tmp_path: Path) -> None:
    done = lint(tmp_path, GOOD + "  budget: 5\n", "-o", "json")
    findings = json.loads(done.output)["findings"]
    assert (done.exit_code, len(findings)) == (1, 1)
    assert set(findings[0]) == {"level", "file", "object", "text"}
    assert "spec.budget" in findings[0]["text"]


def test_a_file_that_does_not_exist_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["lint", "nowhere.yaml"])
    assert done.exit_code == 2
    assert "'nowhere.yaml' does not exist" in done.output
