"""`flyball gpuagent` as a process: with GPUs, without, and told to stop."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from e2e.gpu import fake, kubelet

from flyball.cli.main import main

FLYBALL = str(Path(sys.executable).parent / "flyball")
GPU = "GPU-00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the fake library, and beside it the script of one GPU."""
    folder = tmp_path_factory.mktemp("nvml")
    fake.build(folder)
    fake.Script(folder / "script").write("set util 0 64")
    return folder


def _environment(library: Path) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": str(library)}


def test_it_finds_the_library_by_its_name_and_the_kubelet_by_its_socket(library, tmp_path):
    socket = tmp_path / "kubelet.sock"
    command = [FLYBALL, "gpuagent", "--once", "--node-name", "node-a", "--pod-resources", str(socket)]
    with kubelet.serving(socket, [kubelet.pod("chat-0", GPU)]):
        told = subprocess.run(command, env=_environment(library), capture_output=True, text=True, check=True).stdout
    assert told.startswith("# Running: 1 GPU read\n")
    (series,) = re.findall(r"^DCGM_FI_DEV_GPU_UTIL\{(.*)\} 64.0$", told, re.MULTILINE)
    assert {'Hostname="node-a"', f'UUID="{GPU}"', 'pod="chat-0"'} <= set(series.split(","))


def test_it_serves_until_it_is_told_to_stop(library):
    command = [FLYBALL, "gpuagent", "--no-pods", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=_environment(library), stderr=subprocess.PIPE, text=True) as agent:
        try:
            port = json.loads(agent.stderr.readline())["port"]
            assert json.loads(agent.stderr.readline())["event"] == "Running: 1 GPU read"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                assert "DCGM_FI_DEV_GPU_UTIL{" in answer.read().decode()
        finally:
            agent.send_signal(signal.SIGTERM)
    assert agent.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--interval", "10ms"], "write 1s or more", id="sweeps without a pause"),
        pytest.param(["--listen", "9400"], "write host:port", id="no host"),
        pytest.param(["--listen", "192.0.2.1:9400"], "cannot listen there", id="an address of another machine"),
    ],
)
def test_bad_options_are_refused_by_name(arguments, said):
    result = CliRunner().invoke(main, ["gpuagent", "--no-pods", *arguments])
    assert result.exit_code == 2
    assert arguments[0] in result.output
    assert said in result.output
