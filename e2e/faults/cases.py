"""The faults: each a context in which it lasts, for clusters whose components are processes of this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.faults.stage import SYSTEM, Seen, Stage
from e2e.story import kit as tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# How a component that is slow is played: stopped for most of each second.
PULSE_SECONDS, STOPPED_SHARE = 1.0, 0.8


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what happens, for how long, and whether clients' requests go through what is broken,
    and how many nudges are given meanwhile and after it."""

    name: str
    what: str
    play: Callable[[Stage, float], None]
    seconds: float = 0.0
    in_path: bool = False
    nudges: int = 1

    def run(self, stage: Stage) -> Seen:
        """Play it once under load, and nudge right after it."""
        restarts, terms = stage.restarts(), stage.transitions()
        with tempfile.TemporaryDirectory() as folder:
            with stage.load(Path(folder)) as rows:
                time.sleep(3)
                began = time.time()
                self.play(stage, self.seconds)
                stage.raise_floor()
                recovery = stage.follow()
                time.sleep(6)  # a tick more: whatever is done twice is done by now
            seen = stage.judge(began, recovery, rows, self.nudges, restarts)
        return replace(seen, takeover=round(stage.taken_at() - began, 1)) if stage.transitions() != terms else seen


def _kill_leader(stage: Stage, _: float) -> None:
    stage.containers("kill", stage.leader(), "--signal", "SIGKILL")


def _end_leader(stage: Stage, _: float) -> None:
    stage.kit.kubectl("-n", SYSTEM, "delete", "pod", stage.leader()["metadata"]["name"])


def _pause_leader(stage: Stage, seconds: float) -> None:
    pod, before = stage.leader(), stage.transitions()
    stage.containers("pause", pod)
    try:
        deadline = time.monotonic() + seconds
        while stage.transitions() == before and time.monotonic() < deadline:
            time.sleep(0.2)
        stage.nudge()
    finally:
        stage.containers("resume", pod)


def _stopped(component: str) -> Callable[[Stage, float], None]:
    def play(stage: Stage, seconds: float) -> None:
        with frozen(stage.processes(component)):
            time.sleep(seconds)

    return play


def _slow(component: str) -> Callable[[Stage, float], None]:
    def play(stage: Stage, seconds: float) -> None:
        pid, deadline = stage.processes(component), time.monotonic() + seconds
        while time.monotonic() < deadline:
            with frozen(pid):
                time.sleep(PULSE_SECONDS * STOPPED_SHARE)
            time.sleep(PULSE_SECONDS * (1 - STOPPED_SHARE))

    return play


def _restarted(component: str) -> Callable[[Stage, float], None]:
    def play(_: Stage, __: float) -> None:
        subprocess.run([sys.executable, str(tools.DRIVER), "restart", component], check=True, capture_output=True)

    return play


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process as long as the context lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _cut(towards: Callable[[Stage], tuple[str, ...]], *, leader: bool) -> Callable[[Stage, float], None]:
    """Drop what operators' pods send to an address: only the leader's, or all of them."""

    def play(stage: Stage, seconds: float) -> None:
        pods = [stage.leader()]
        if not leader:
            pods = stage.kit.get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/component=operator")["items"]
        rules = [("-s", pod["status"]["podIP"], *towards(stage), "-j", "DROP") for pod in pods]
        with contextlib.ExitStack() as cut:
            for chain in ("INPUT", "FORWARD"):
                for rule in rules:
                    subprocess.run(["iptables", "--wait", "-I", chain, *rule], check=True)
                    cut.callback(subprocess.run, ["iptables", "--wait", "-D", chain, *rule], check=True)
            time.sleep(seconds)

    return play


def _api_server(stage: Stage) -> tuple[str, ...]:
    address, _, port = str(stage.kit.facts["apiServer"]).rpartition("/")[2].rpartition(":")
    return ("-p", "tcp", "-d", address, "--dport", port)


def _everything(_: Stage) -> tuple[str, ...]:
    return ()


FAULTS = (
    Fault("leader killed", "the process that acts is killed (SIGKILL)", _kill_leader),
    Fault("leader drained", "the pod that acts is told to end", _end_leader),
    Fault(
        "leader paused", "the pod that acts is frozen until another one leads, and wakes", _pause_leader, 30.0, nudges=2
    ),
    Fault("leader cut off", "the pod that acts reaches nothing for 20 s", _cut(_everything, leader=True), 20.0),
    Fault("operators cut off", "no operator reaches the API server for 20 s", _cut(_api_server, leader=False), 20.0),
    Fault("API server stopped", "the API server answers nobody for 15 s", _stopped("kube-apiserver"), 15.0),
    Fault(
        "API server slow",
        "the API server stands still for 0.8 s of each second, for 30 s",
        _slow("kube-apiserver"),
        30.0,
    ),
    Fault("API server restarted", "the API server is killed and started again", _restarted("kube-apiserver")),
    Fault("etcd stopped", "etcd answers nobody for 15 s", _stopped("etcd"), 15.0),
    Fault("Prometheus stopped", "Prometheus answers nobody for 30 s", _stopped("prometheus"), 30.0),
    Fault("Prometheus slow", "Prometheus stands still for 0.8 s of each second, for 30 s", _slow("prometheus"), 30.0),
    Fault("Prometheus restarted", "Prometheus is killed and started again", _restarted("prometheus")),
    Fault("gateway stopped", "the gateway passes nothing on for 10 s", _stopped("traefik"), 10.0, in_path=True),
)


def named(name: str) -> Fault:
    """The fault of that name."""
    return next(fault for fault in FAULTS if fault.name == name)
