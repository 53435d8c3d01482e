import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flyball.cli.main import main
from flyball.lab.run_command import read_all, scaled
from flyball.lab.suite.results import Results

TRACE = "generate:conversation?rate=2&duration=15m&burst=0.2"
QUICK = ["--trace", TRACE, "--engine", "l4_8b", "--startup", "1m", "--warmup", "2m", "--seeds", "1", "--workers", "1"]
QUICK += ["--objective", "TimeToFirstToken<2s@90%", "--sweep-points", "0"]

SCENARIO = f"""
name: written
trace: {{path: "{TRACE}", warmup: 2m}}
variants: [{{name: l4, engine: l4_8b, startup: 1m}}]
objectives: [{{indicator: TimeToFirstToken, threshold: 2s, target: "90%"}}]
seeds: 1
policies: [hpa-queue]
"""


def lab_run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["lab", "run", *map(str, arguments)])


def test_a_question_without_a_file_is_answered_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/flyball", "lab", "run", "--objective", "TimeToFirstToken<2s@90%"])
    result = lab_run(*QUICK, "--policies", "hpa-queue,kpa", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "hpa-queue" in result.stdout
    assert "TTFT %" in result.stdout
    document = Results.model_validate_json((tmp_path / "results.json").read_text())
    assert [(run.policy, run.seed) for run in document.runs] == [("hpa-queue", 1), ("kpa", 1)]
    assert document.runs[0].scenario == f"{TRACE}-l4_8b"
    assert document.command == "flyball lab run --objective 'TimeToFirstToken<2s@90%'"
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_the_twin_in_json_is_all_that_stdout_holds(tmp_path: Path) -> None:
    result = lab_run(*QUICK, "--policies", "hpa-queue", "--out", tmp_path, "-o", "json")
    assert result.exit_code == 0
    (scenario,) = json.loads(result.stdout)
    assert [line["policy"] for line in scenario["policies"]] == ["hpa-queue"]
    assert f"Wrote {tmp_path / 'results.json'}" in result.stderr


def test_a_folder_is_a_suite_and_a_trace_that_is_not_at_hand_is_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "suite" / "inner"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(SCENARIO)
    (folder.parent / "b.yml").write_text(
        SCENARIO.replace(f'"{TRACE}"', "traces/gone.csv.gz").replace("written", "gone")
    )
    result = lab_run(folder.parent, "--workers", "1", "--sweep-points", "0", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "traces/gone.csv.gz is not at hand; put it there, or name another one." in result.stdout
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {run["scenario"] for run in document["runs"]} == {"written"}


def test_options_override_single_fields(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SCENARIO)
    overrides = {"trace.rateScale": 2.0, "variants.startup": "3m", "objectives": [
        {"indicator": "EndToEnd", "threshold": "20s", "target": "99%"},
    ]}  # fmt: skip
    (scenario,) = read_all([tmp_path / "a.yaml"], overrides)
    assert (scenario.trace.rate_scale, scenario.variants[0].startup_seconds) == (2.0, 180.0)
    assert [objective.indicator for objective in scenario.objectives] == ["EndToEnd"]


def test_thresholds_of_the_first_token_are_scaled_as_scenarios_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SCENARIO)
    found = scaled(read_all([tmp_path / "a.yaml"], {}), [1.5, 2.0, 1.0, 1.5])
    assert [(s.name, s.objectives[0].threshold_seconds) for s in found] == [
        ("written", 2.0), ("written-ttft-x1.5", 3.0), ("written-ttft-x2", 4.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(
            [], "name a scenario file or a folder, or give --trace (and --engine and --startup)", id="nothing"
        ),
        pytest.param(["--trace", TRACE], "or give --engine (and --trace and --startup)", id="half a question"),
        pytest.param(["gone.yaml"], "gone.yaml: cannot be read (No such file or directory)", id="no such file"),
        pytest.param([*QUICK, "--engine", "b200"], "there is no engine preset 'b200'; choose one of", id="engine"),
        pytest.param([*QUICK, "--rate-scale", "0"], "trace.rateScale: is 0.0; give more than 0", id="rate scale"),
        pytest.param([*QUICK, "--startup", "soon"], "variants[0].startup: 'soon' is not a duration", id="startup"),
        pytest.param([*QUICK, "--policies", "hpa"], "policies: there is no policy 'hpa'; choose of", id="policy"),
        pytest.param([*QUICK, "--objective", "fast"], "'fast' is not an objective; write for example", id="objective"),
        pytest.param([*QUICK, "--objective", "Availability@99%"], "has no threshold that a simulation", id="no time"),
        pytest.param(
            [*QUICK, "--max-replicas", "0"], "variants[0].maxReplicas: is 0; give a whole number, 1", id="max"
        ),
    ],
)
def test_wrong_usage_is_named_with_its_fix(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    result = lab_run(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_two_scenarios_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    result = lab_run(tmp_path / "suite", "--out", tmp_path / "out")
    assert (result.exit_code, "no scenario (*.yaml) is in this folder" in result.stderr) == (2, True)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / "suite" / name).write_text(SCENARIO)
    result = lab_run(tmp_path / "suite", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "name: 'written' is that of" in " ".join(result.stderr.split())


def test_where_nothing_could_be_played_the_status_says_so(tmp_path: Path) -> None:
    result = lab_run(*QUICK, "--objective", "EndToEnd<10ms@90%", "--policies", "hpa-queue", "--out", tmp_path)
    assert result.exit_code == 2
    assert "EndToEnd within 10ms for 90.0% cannot be met" in result.stdout


def test_without_its_extra_the_lab_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyball.lab.run_command.importlib.util.find_spec", lambda name: None)
    result = lab_run(*QUICK, "--out", tmp_path)
    assert result.exit_code == 2
    assert "pip install 'flyball[lab]'" in result.stderr


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """Of twenty seeds' work, so that much is left to do however late the Ctrl-C comes."""
    command = [
        sys.executable,
        "-m",
        "flyball",
        "lab",
        "run",
        *QUICK,
        "--policies",
        "kpa,hpa-queue,ray,hpa-gpu,llmd-keda",
    ]
    command += ["--out", str(tmp_path), "--tune", "hindsight", "--workers", "2", "--seeds", "20"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    kept = tmp_path / "kept"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not kept.is_dir() or len(list(kept.glob("*.json"))) < 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert f"Stopped. What is done is kept in {tmp_path}; the same command goes on from there." in said
    assert "Traceback" not in said
    before = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    result = lab_run(*QUICK, "--policies", "kpa", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert {name: (kept / name).stat().st_mtime_ns for name in before} == before
