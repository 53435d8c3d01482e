"""`flyball baseline` and what `flyball roi` claims with and without one."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from ledger.entries import DAY
from ledger.weeks import MONDAY, fill
from support.objects import workload_slo

from flyball.cli.main import main
from flyball.ledger.store import Ledger

NOW = MONDAY + 21 * DAY
TARGET = {"name": "cheaper", "metric": "CostPerRequest", "amount": "0.95", "baseline": "Recorded", "window": "7d"}


@pytest.fixture(autouse=True)
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the ledger."""
    for module in ("baseline", "roi"):
        monkeypatch.setattr(f"flyball.cli.{module}.time.time", lambda: NOW / 1000)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Three weeks, in which chat's requests grow by a tenth a week at the same cost."""
    url = str(tmp_path / "ledger.db")
    ledger = Ledger(url)
    fill(ledger, MONDAY, NOW)
    ledger.close()
    return url


@pytest.fixture
def file(tmp_path: Path) -> str:
    raw = workload_slo("chat")
    raw["metadata"]["namespace"] = "shop"
    priced = {"pricePerGpuHour": "2", "accelerator": "NVIDIA-L4", "gpusPerReplica": 1}
    raw["spec"]["targets"][0] |= priced
    raw["spec"] |= {"value": {"perRequest": "0.02"}, "roiTargets": [TARGET]}
    path = tmp_path / "chat.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return str(path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments])


def judged(url: str, file: str) -> dict[str, Any]:
    done = invoke("roi", "--ledger", url, "--file", file, "-o", "json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)[0]
    return found


def test_no_saving_is_claimed_before_a_baseline_is_recorded_and_one_is_after(url: str, file: str) -> None:
    before = judged(url, file)
    assert (before["state"], "baseline" in before["why"]) == ("Unproven", True)
    made = invoke("baseline", "record", "--ledger", url, "--file", file, "--to", "2025-12-08T00:00", "--note", "before")
    assert made.exit_code == 0, made.output
    assert "recorded the baseline of shop/chat" in made.output
    assert judged(url, file)["state"] == "Met"
    listed = json.loads(invoke("baseline", "list", "--ledger", url, "-o", "json").output)
    assert [(each["workload"], each["from"], each["note"]) for each in listed] == [
        ("shop/chat", "2025-11-24T00:00Z", "before")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--last", "7d"], "no baseline of shop/chat can be recorded: ", id="a week is too short"),
        pytest.param(["--to", "2026-03-01T00:00"], "2026-03-01T00:00 is ahead", id="what is to come"),
        pytest.param(
            ["--to", "2025-11-30T00:00"], "no baseline of shop/chat can be recorded: ", id="before the ledger"
        ),
    ],
)
def test_what_makes_no_baseline_says_why(url: str, file: str, arguments: list[str], said: str) -> None:
    done = invoke("baseline", "record", "--ledger", url, "--file", file, *arguments)
    assert done.exit_code != 0
    assert said in done.output
    assert "no baseline is recorded" in invoke("baseline", "list", "--ledger", url).output
