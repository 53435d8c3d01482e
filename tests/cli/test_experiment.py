"""`flyball experiment`: what was registered and shown, for people, for finance and for programs; and power."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from core.experiments import BEGIN, HOUR, blocks, cheaper

from flyball.api.experiments import fingerprint, registered, to_plan
from flyball.api.v1alpha1 import ROIExperimentSpec
from flyball.cli.main import main
from flyball.core.evidence.experiment import Arm, Block
from flyball.core.evidence.experiment_verdict import judge
from flyball.core.money.bill import Entry, PathUse
from flyball.core.names import WorkloadKey
from flyball.core.value.outcomes import Outcome
from flyball.ledger import experiments as records
from flyball.ledger.outcomes import record
from flyball.ledger.store import Ledger

KEY = WorkloadKey("team", "quantized")
WIRE: dict[str, Any] = {
    "hypothesis": {
        "metric": "CostPerRequest",
        "direction": "Decrease",
        "by": "18%",
        "statement": "cheaper | <script>alert(1)</script> `x` [link](http://elsewhere)",
    },
    "baseline": {"workloads": ["chat"]},
    "treatment": {"workloads": ["chat-int4"]},
}
SPEC = ROIExperimentSpec.model_validate(WIRE, by_alias=True)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["experiment", *arguments])


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A ledger of one experiment that was decided, and one that was given up."""
    url = str(tmp_path / "ledger.db")
    ledger = Ledger(url)
    plan = to_plan(KEY, "u-1", SPEC)
    for uid, at in (("u-0", BEGIN - HOUR), ("u-1", BEGIN - 60_000)):
        records.register(ledger, records.Registered(uid, KEY, at, BEGIN, fingerprint(SPEC), registered(SPEC)))
    found = [
        replace(each, unusable="no pod was ready") if (each.block.pair, each.block.arm) == (3, Arm.BASELINE) else each
        for each in blocks(plan, 90, cheaper(0.3))
    ]
    records.add_blocks(ledger, "u-1", found)
    now = BEGIN + 180 * HOUR
    records.decide(ledger, "u-1", now, judge(plan, (), found, BEGIN, now))
    ledger.close()
    return url


def test_show_says_what_was_claimed_found_and_how_sure_that_is(url: str) -> None:
    done = invoke("show", "--ledger", url, "-n", "team", "quantized")
    assert done.exit_code == 0, done.output
    assert "team/quantized: CostPerRequest: decrease by 18.0% or more" in done.output
    assert "verdict: Supported (EffectShown): the effect is surely at least a decrease by 18.0%" in done.output
    assert "effect: -30." in done.output
    assert "89 pairs compared, 1 could not be" in done.output
    assert "unusable: 1 block: no pod was ready" in done.output


def test_the_list_has_those_that_were_given_up(url: str) -> None:
    done = invoke("list", "--ledger", url)
    assert [line.split()[1] for line in done.output.splitlines()[1:]] == ["u-1", "u-0"]
    assert "no decision" in done.output
    assert json.loads(invoke("list", "--ledger", url, "-o", "json").output)[0]["verdict"] == "Supported (Randomized)"


def test_one_that_is_not_decided_is_judged_as_of_now(url: str) -> None:
    done = invoke("show", "--ledger", url, "-n", "team", "quantized", "--uid", "u-0")
    assert "verdict: Inconclusive (TimeOver)" in done.output
    assert "Not decided yet" in invoke("export", "--ledger", url, "-n", "team", "quantized", "--uid", "u-0").output


def test_the_export_has_every_block_and_what_users_wrote_stays_text(url: str, tmp_path: Path) -> None:
    out = tmp_path / "quantized.md"
    done = invoke("export", "--ledger", url, "-n", "team", "quantized", "--out", str(out))
    assert done.exit_code == 0, done.output
    text = out.read_text(encoding="utf-8")
    assert "**Supported**, Randomized: the effect is surely at least a decrease by 18.0%." in text
    assert r"cheaper \| \<script\>alert(1)\</script\> \`x\` \[link\](http://elsewhere)" in text
    assert sum(line.startswith(("| 0 |", "| 89 |")) for line in text.splitlines()) == 4
    assert f"`{fingerprint(SPEC)}`" in text
    assert "| Treatment | 90 |" in text


def test_json_has_what_the_text_has(url: str) -> None:
    found = json.loads(invoke("show", "--ledger", url, "-n", "team", "quantized", "-o", "json").output)
    assert (found["judgement"]["verdict"], len(found["blocks"])) == ("Supported", 180)
    assert found["spec"]["hypothesis"]["by"] == "18%"


def test_an_experiment_that_nobody_registered_is_an_error(url: str) -> None:
    done = invoke("show", "--ledger", url, "other")
    assert done.exit_code != 0
    assert "the ledger knows no experiment default/other; -n names its namespace" in done.output


def manifest(folder: Path, **changes: Any) -> str:
    raw = {
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "ROIExperiment",
        "metadata": {"name": "x", "namespace": "shop"},
    }
    path = folder / "x.yaml"
    path.write_text(yaml.safe_dump({**raw, "spec": {**WIRE, "minDays": 0, "maxDays": 7, **changes}}), encoding="utf-8")
    return str(path)


def test_power_by_a_scatter_that_is_given(tmp_path: Path) -> None:
    done = invoke("power", manifest(tmp_path), "--noise", "10%", "--runs", "60")
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line.split()[1:] for line in done.output.splitlines()[2:]}
    assert rows["-36.0%"] == ["100%", "0%", "0%", "12"]
    assert rows["+0.0%"][:2] == ["0%", "100%"]
    assert "84 pairs at most" in done.output


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        pytest.param({}, [], "name a ledger with --ledger, or give --noise", id="neither"),
        pytest.param({"blockMinutes": 7}, ["--noise", "10%"], "spec.blockMinutes", id="an invalid spec"),
        pytest.param({}, ["--noise", "much"], "'much' is not a percentage", id="no scatter"),
    ],
)
def test_power_says_what_it_lacks(tmp_path: Path, changes: Any, arguments: list[str], said: str) -> None:
    done = invoke("power", manifest(tmp_path, **changes), *arguments)
    assert done.exit_code != 0
    assert said in done.output


@pytest.mark.parametrize(
    ("by", "row"), [pytest.param("3 points", "+3.0 points", id="points"), pytest.param("10%", "+10.0%", id="percent")]
)
def test_power_by_the_outcomes_of_the_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, row: str) -> None:
    now = BEGIN + 200 * HOUR
    monkeypatch.setattr("flyball.cli.experiment.time.time", lambda: now / 1000)
    url = str(tmp_path / "past.db")
    ledger, key = Ledger(url), WorkloadKey("shop", "chat")
    reported = [
        Outcome(key, "contained", f"{at}", at, Decimal(400 + at // HOUR * 7919 % 21), Decimal(1000))
        for at in range(now - 96 * HOUR, now, HOUR)
    ]
    record(ledger, reported)
    ledger.close()
    claim = {"metric": "Kpi", "kpi": "contained", "direction": "Increase", "by": by}
    file = manifest(tmp_path, hypothesis=claim, blockMinutes=120)
    done = invoke("power", file, "--ledger", url, "--runs", "60")
    assert done.exit_code == 0, done.output
    assert (
        f"KPI contained: Increase by {by if 'points' in by else '10.0%'}, 42 pairs at most, 23 differences"
        in done.output
    )
    assert any(line.startswith(row) for line in done.output.splitlines())
    missing = invoke(
        "power", manifest(tmp_path, hypothesis=claim | {"kpi": "other"}, blockMinutes=120), "--ledger", url
    )
    assert "0 pairs of neighbouring blocks of shop/chat with outcomes of KPI other" in missing.output


def test_power_by_the_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = BEGIN + 200 * HOUR
    monkeypatch.setattr("flyball.cli.experiment.time.time", lambda: now / 1000)
    url = str(tmp_path / "past.db")
    ledger, key = Ledger(url), WorkloadKey("shop", "chat")
    entries = []
    for start in range(now - 96 * HOUR, now, 300_000):
        cost = Decimal(str(round(cheaper(0.0)(Block(0, 0, Arm.BASELINE, start, start)) * 100, 9)))
        use = PathUse("gpu", serving=cost, requests=Decimal(100), measured_ms=300_000)
        entries.append(Entry(key, "w-1", start, start + 300_000, (use,)))
    ledger.append(entries)
    ledger.close()
    done = invoke("power", manifest(tmp_path), "--ledger", url, "--runs", "60")
    assert done.exit_code == 0, done.output
    assert "47 differences of the past" in done.output or "48 differences of the past" in done.output
