"""Which programs are built, how many at a time, and what becomes of the others when one fails."""

import sys
from pathlib import Path

import pytest
from flyball_cluster.builds import CONTAINERD, COREDNS, HELM, LANES, PAUSE, Builds
from flyball_cluster.errors import ClusterError
from flyball_cluster.toolchain import Go

# A compiler that writes down when it begins and ends. Every build waits until a second one has begun, so that what may
# run side by side does, however slowly anything starts. Where one is to fail, the others have no end of their own.
FAKE_GO = """#!{python}
import os, signal, sys, time
name = os.path.basename(os.getcwd())

def log(what):
    with open("{log}", "a") as file:
        file.write(what + " " + name + chr(10))

def begun():
    with open("{log}") as file:
        return sum(line.startswith("begin ") for line in file)

def interrupted(*_):
    log("interrupted")
    os._exit(1)

signal.signal(signal.SIGINT, interrupted)
log("begin")
while begun() < 2 or "{failing}" not in ("", name):
    time.sleep(0.01)
if name == "{failing}":
    sys.exit("no such package")
with open(sys.argv[sys.argv.index("-o") + 1] + name, "w") as file:
    file.write("program")
log("end")
"""


def builds(tmp_path: Path, failing: str = "") -> tuple[Builds, Path]:
    log, program = tmp_path / "log", tmp_path / "go"
    log.touch()
    program.write_text(FAKE_GO.format(python=sys.executable, log=log, failing=failing))
    program.chmod(0o755)
    return Builds(tmp_path / "cache", Go(str(program), "go1.26.8")), log


def test_what_is_missing_is_built_once_two_at_a_time(tmp_path: Path) -> None:
    made, log = builds(tmp_path)
    made.ensure([PAUSE, HELM, COREDNS])
    assert all(made.program(component).read_text() == "program" for component in (PAUSE, HELM, COREDNS))
    running, most = 0, 0
    for line in log.read_text().splitlines():
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    assert (running, most) == (0, LANES)
    before = log.read_text()
    made.ensure([PAUSE, HELM, COREDNS])
    assert log.read_text() == before


def test_one_that_fails_is_named_and_stops_the_others(tmp_path: Path) -> None:
    made, log = builds(tmp_path, failing="helm")
    with pytest.raises(ClusterError, match="building helm failed with exit code 1:\nno such package"):
        made.ensure([PAUSE, HELM, COREDNS, CONTAINERD])
    lines = log.read_text().splitlines()
    assert "interrupted pause" in lines
    assert "begin containerd" not in lines
    assert not any(made.folder(component).exists() for component in (PAUSE, HELM, CONTAINERD))
