import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from flyball.lab.load.command import load
from flyball.lab.load.results import read_results
from flyball.lab.load.runner import LoadOptions

SHORT = "generate:conversation?rate=20&duration=1s&burst=0&output=3&outputSigma=0&seed=2"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(load, arguments)


def test_a_run_prints_its_figures_and_writes_them_down(threaded_stub: Any, tmp_path: Path) -> None:
    out = tmp_path / "results.csv.gz"
    threaded_stub.first_seconds = 0.02
    result = run(
        SHORT,
        "--url",
        threaded_stub.url,
        "--objective",
        "TimeToFirstToken<10m@95%",
        "--objective",
        "EndToEnd<10ms@95%",
        "--out",
        str(out),
    )
    assert result.exit_code == 0, result.output
    count = len(threaded_stub.bodies)
    assert f"done: {count} of {count} requests sent" in result.stdout
    assert f"TimeToFirstToken<10m@95% (latency): 100.00% of {count} met" in result.stdout
    assert "EndToEnd<10ms@95% (latency): 0.00%" in result.stdout
    assert "MISSED" in result.stdout
    assert f"served by: stub-0 {count}" in result.stdout
    assert f"sent {count}/{count}, in flight 0" in result.stderr
    assert len(read_results(out)) == count
    summary = json.loads((tmp_path / "results.summary.json").read_text())
    assert (summary["completed"], summary["outputTokensReceived"]) == (count, 3 * count)
    assert [objective["met"] for objective in summary["objectives"]] == [True, False]


def test_the_summary_as_json_is_all_of_standard_output(threaded_stub: Any) -> None:
    result = run(SHORT, "--url", threaded_stub.url, "--rate-scale", "0.5", "--model", "llama", "-o", "json")
    summary = json.loads(result.stdout)
    assert (summary["schema"], summary["model"], summary["rateScale"], summary["errors"]) == (1, "llama", 0.5, {})
    assert summary["ttftSeconds"]["p50"] <= summary["ttftSeconds"]["p99"]
    assert summary["planned"] == len(threaded_stub.bodies) < 20


def test_only_the_part_asked_for_is_played(threaded_stub: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("t_seconds,input_tokens,output_tokens\n0,11,1\n60,12,1\n60.1,13,1\n300,14,1\n")
    result = run(str(path), "--url", threaded_stub.url, "--start", "1m", "--duration", "30s")
    assert result.exit_code == 0, result.output
    assert [len(body["prompt"]) for body in threaded_stub.bodies] == [12, 13]


def test_headers_reach_the_gateway(threaded_stub: Any) -> None:
    result = run(
        SHORT, "--url", threaded_stub.url, "--duration", "300ms", "--api", "chat",
        "--host-header", "llama.example", "--header", "X-Tenant: acme",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert {(headers["host"], headers["x-tenant"]) for headers in threaded_stub.headers} == {("llama.example", "acme")}


def test_interrupted_it_tells_what_was_done_and_exits_with_130(
    threaded_stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupt(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response: web.StreamResponse = await threaded_stub.stream(request, body)
        os.kill(os.getpid(), signal.SIGINT)
        return response

    threaded_stub.answer = interrupt
    monkeypatch.setattr("flyball.lab.load.command.LoadOptions", partial(LoadOptions, grace_seconds=60.0))
    path = tmp_path / "t.csv"
    path.write_text("t_seconds,input_tokens,output_tokens\n0,10,2\n9000,10,2\n")
    result = run(str(path), "--url", threaded_stub.url)
    assert result.exit_code == 130
    assert "stopped early: 1 of" in result.stdout
    assert "1 completed" in result.stdout
    assert "Stopping; waiting up to 1m" in result.stderr


def test_it_exits_with_1_when_nothing_succeeded(deaf_port: int) -> None:
    result = run(SHORT, "--url", f"http://127.0.0.1:{deaf_port}", "--duration", "300ms")
    assert result.exit_code == 1
    assert "error connect:" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["none.csv"], "none.csv: no such file", id="no such trace"),
        pytest.param([SHORT, "--start", "1h"], "no requests from 1h on", id="past the trace's end"),
        pytest.param([SHORT, "--rate-scale", "0"], "give a number above 0", id="no rate"),
        pytest.param(
            [SHORT, "--duration", "5"], "'5' is not a duration; write for example", id="a duration without unit"
        ),
        pytest.param([SHORT, "--header", "novalue"], "is not a header; write 'Name: value'", id="no header"),
        pytest.param([SHORT, "--objective", "TTFT<1s@95%"], "is not an objective", id="no objective"),
        pytest.param([SHORT, "--out", "r.txt"], "the name must end in .csv, .csv.gz", id="unknown results format"),
        pytest.param([SHORT, "--out", "/nowhere/r.csv"], "there is no folder /nowhere", id="no such folder"),
        pytest.param([SHORT, "--url", "http://192.0.2.1"], "--allow-external", id="a stranger's server"),
        pytest.param([SHORT, "--url", "localhost:80"], "is not a URL", id="no URL"),
        pytest.param([SHORT, "--timeout", "0s"], "give more than 0", id="no time"),
        pytest.param([SHORT, "--max-in-flight", "0"], "0 is not in the range", id="no requests allowed"),
    ],
)
def test_wrong_usage_is_refused_with_status_2(arguments: list[str], complaint: str) -> None:
    result = run("--url", "http://127.0.0.1:1", *arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.split())
