import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from flyball_cluster.console import wait_until
from flyball_cluster.guard import guarded
from flyball_cluster.processes import Processes, identify

PACKAGES = Path(__file__).parents[2] / "e2e" / "cluster"
SLEEPS = """
from flyball_cluster.guard import guarded
processes = Processes(folder)
with guarded(folder):
    processes.start("server", ["sleep", "300"])
    print(processes.pid("server"), flush=True)
    signal.pause()
"""
SERVES = """
from flyball_cluster import api_server
with api_server() as server:
    print(*map(server.processes.pid, ("etcd", "kube-apiserver")), flush=True)
    print(server.kubeconfig.parent, flush=True)
    signal.pause()
"""


def killed(script: str, folder: Path, how: signal.Signals) -> list[str]:
    """What a process of that script printed before it was killed, its words from all lines."""
    imports = "import signal\nfrom pathlib import Path\nfrom flyball_cluster.processes import Processes"
    head = f"{imports}\nfolder = Path({str(folder)!r})\n"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    lines = script.count("print(")
    with subprocess.Popen(
        [sys.executable, "-c", head + script], stdout=subprocess.PIPE, text=True, env=environment
    ) as it:
        assert it.stdout
        words = [word for _ in range(lines) for word in it.stdout.readline().split()]
        assert all(identify(int(word)) for word in words if word.isdigit()), words
        it.send_signal(how)
    return words


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_what_a_killed_process_started_ends_and_its_folder_goes(tmp_path: Path, how: signal.Signals) -> None:
    folder = tmp_path / "runtime"
    folder.mkdir()
    (pid,) = killed(SLEEPS, folder, how)
    wait_until(lambda: identify(int(pid)) is None, what="the end of the server", timeout_seconds=60)
    wait_until(lambda: not folder.exists(), what="the end of the folder", timeout_seconds=60)


def test_others_processes_stay(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    other = Processes(theirs)
    other.start("server", ["sleep", "300"])
    with guarded(ours):
        Processes(ours).start("server", ["sleep", "300"])
    assert not ours.exists()
    assert other.pid("server") is not None
    other.stop(["server"], grace_seconds=0.1)


@pytest.mark.api_server
@pytest.mark.timeout(1800)  # the first start may build kube-apiserver
def test_a_killed_test_run_leaves_no_api_server_behind(tmp_path: Path) -> None:
    *pids, folder = killed(SERVES, tmp_path, signal.SIGTERM)
    assert len(pids) == 2
    for pid in pids:
        wait_until(lambda p=pid: identify(int(p)) is None, what="the end of the API server", timeout_seconds=60)  # type: ignore[misc]
    wait_until(lambda: not Path(folder).exists(), what="the end of its folder", timeout_seconds=60)
