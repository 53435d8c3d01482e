"""What `flyball gpuagent` costs its node: processor time of the real process at a 5 s period, eight fake GPUs under it.

Every GPU is held by a pod and has a process and all metrics; the kubelet's socket tells of a hundred pods more; what a
Prometheus would scrape is fetched as often as the agent sweeps. The fake library answers at once: what a real driver
takes in the kernel for an answer comes on top, and is not measured here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from e2e.gpu import fake, kubelet

from flyball.gpuagent.metrics import FIELDS, GPM

GPUS = 8
PERIOD_SECONDS = 5.0
LIMIT = 0.01
"""Of one core, from the issue that asked for the agent."""


def measure(minutes: float = 2.0, **_: float) -> dict[str, str]:
    """The share of a core that the agent takes, its memory, and how much it tells."""
    sweeps = max(4, round(min(minutes, 2.0) * 60 / PERIOD_SECONDS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fake.build(folder)
        fake.Script(folder / "script").write(f"gpus {GPUS}", *_lines())
        held = [kubelet.pod(f"chat-{index}", f"GPU-00000000-0000-0000-0000-{index:012}") for index in range(GPUS)]
        with kubelet.serving(folder / "kubelet.sock", [*held, *(kubelet.pod(f"web-{index}") for index in range(100))]):
            return _measure(folder, sweeps)


def _lines() -> list[str]:
    each = range(GPUS)
    fields = [f"field {number} {gpu} 123456789" for gpu in each for number in FIELDS]
    parts = [line for gpu in each for line in (f"set gpm {gpu} 1", *(f"set gpm{number} {gpu} 40" for number in GPM))]
    return [*fields, *parts, *(f"process {gpu} -1 {4000 + gpu} 60000 40" for gpu in each)]


def _measure(folder: Path, sweeps: int) -> dict[str, str]:
    command = [
        str(Path(sys.executable).parent / "flyball"), "gpuagent", "--listen", "127.0.0.1:0",
        "--interval", f"{PERIOD_SECONDS:g}s", "--pod-resources", str(folder / "kubelet.sock"),
    ]  # fmt: skip
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as agent:
        try:
            url = f"http://127.0.0.1:{json.loads(agent.stderr.readline())['port']}/metrics"
            time.sleep(PERIOD_SECONDS)
            text = _fetch(url)
            before, began_at = _processor_seconds(agent.pid), time.monotonic()
            for _ in range(sweeps):
                time.sleep(PERIOD_SECONDS)
                text = _fetch(url)
            share = (_processor_seconds(agent.pid) - before) / (time.monotonic() - began_at)
            memory = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{agent.pid}/status").read_text())[1]) / 1024
        finally:
            agent.send_signal(signal.SIGINT)
    series = sum(not line.startswith("#") for line in text.splitlines())
    return {
        f"share of a core, {GPUS} GPUs, {PERIOD_SECONDS:g} s, {sweeps} sweeps": f"{share:.2%}",
        "as a share of the 1% that it may take": f"{share / LIMIT:.2f}",
        "memory": f"{memory:.0f} MiB",
        "series that a scrape gives": str(series),
    }


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


def _processor_seconds(pid: int) -> float:
    """User and system time of a process and all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
