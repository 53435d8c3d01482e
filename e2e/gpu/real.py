"""The agent on a real NVIDIA GPU: what it tells beside nvidia-smi, at rest and under load, and what it costs its node.

    python -m e2e.gpu.real [--seconds 60] [--load COMMAND] [--fault COMMAND] [--out FOLDER]

The agent is a process of its own, swept every 5 s and scraped as often, while a socket of ours plays the kubelet and
says that a pod holds the first GPU. `--load` is a program that keeps that GPU busy until it is stopped; `--fault` one
whose kernel fails, which the driver reports as an XID. Prints Markdown; the metrics of each phase go to FOLDER.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from e2e.gpu import kubelet
from prometheus_client.parser import text_string_to_metric_families

PERIOD_SECONDS = 5.0
SETTLE_SECONDS = 10.0
POD = "chat-0"
AGENT = "from flyball.cli.gpuagent import gpuagent; gpuagent()"
# What nvidia-smi calls it, and what the agent does; both in the same unit.
BESIDE = {
    "utilization.gpu": "DCGM_FI_DEV_GPU_UTIL",
    "utilization.memory": "DCGM_FI_DEV_MEM_COPY_UTIL",
    "memory.total": "DCGM_FI_DEV_FB_TOTAL",
    "memory.used": "DCGM_FI_DEV_FB_USED",
    "memory.reserved": "DCGM_FI_DEV_FB_RESERVED",
    "power.draw.instant": "DCGM_FI_DEV_POWER_USAGE",
    "enforced.power.limit": "DCGM_FI_DEV_ENFORCED_POWER_LIMIT",
    "clocks.sm": "DCGM_FI_DEV_SM_CLOCK",
    "clocks.mem": "DCGM_FI_DEV_MEM_CLOCK",
    "temperature.gpu": "DCGM_FI_DEV_GPU_TEMP",
    "temperature.memory": "DCGM_FI_DEV_MEMORY_TEMP",
    "ecc.errors.corrected.volatile.total": "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
}
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
TOLD = (
    "flyball_gpu_process_",
    "DCGM_EXP_",
    "DCGM_FI_DEV_XID",
    "DCGM_FI_DEV_CLOCKS_EVENT",
    "DCGM_FI_PROF_",
    "flyball_gpuagent_sweep_d",
)
OWN_LABELS = re.compile(r'(Hostname|UUID|container|device|gpu|modelName|namespace|pci_bus_id)="[^"]*",?')

Sample = Mapping[str, float]


def main() -> int:
    """Measure, print, and exit with 1 where the agent told nothing of any GPU."""
    parser = argparse.ArgumentParser(prog="python -m e2e.gpu.real", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each phase lasts")
    parser.add_argument("--load", default="", help="shell command that keeps the first GPU busy until it is stopped")
    parser.add_argument("--fault", default="", help="shell command whose kernel fails")
    parser.add_argument("--out", type=Path, help="folder for the metrics of each phase")
    options = parser.parse_args()
    if shutil.which("nvidia-smi") is None:
        parser.error("nvidia-smi is not on the path: run this where the NVIDIA driver is installed")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        socket = Path(folder) / "kubelet.sock"
        stack.enter_context(kubelet.serving(socket, [kubelet.pod(POD, _smi("uuid"))]))
        command = [sys.executable, "-c", AGENT, "--listen", "127.0.0.1:0", "--pod-resources", str(socket)]
        agent = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        stack.callback(agent.send_signal, signal.SIGINT)
        url = f"http://127.0.0.1:{_port(agent)}/metrics"
        time.sleep(SETTLE_SECONDS)
        began, before = time.monotonic(), _processor_seconds(agent.pid)
        text = _run(url, options.seconds, options.load, options.fault, options.out)
        share = (_processor_seconds(agent.pid) - before) / (time.monotonic() - began)
    print(f"\nThe agent took {share:.2%} of a core at a sweep and a scrape each {PERIOD_SECONDS:g} s.")
    return int(f'pod="{POD}"' not in text)


def _run(url: str, seconds: float, load: str, fault: str, out: Path | None) -> str:
    """All phases; the last metrics."""

    def phase(name: str) -> str:
        text = _phase(name, url, seconds)
        if out is not None:
            (out / f"{name.replace(' ', '-')}.prom").write_text(text, encoding="utf-8")
        return text

    print(f"{_smi('name')}, driver {_smi('driver_version')}\n", flush=True)
    text = phase("at rest")
    if load:
        busy = subprocess.Popen(load, shell=True, start_new_session=True)
        try:
            time.sleep(SETTLE_SECONDS)
            text = phase("under load")
        finally:
            os.killpg(busy.pid, signal.SIGKILL)
            busy.wait()
    if fault:
        subprocess.run(fault, shell=True, check=False, capture_output=True)
        time.sleep(SETTLE_SECONDS)
        text = phase("after a fault")
    return text


def _phase(name: str, url: str, seconds: float) -> str:
    """Ask both as often as the agent sweeps, and print what they said on average; the last metrics."""
    theirs, ours, energies, text = list[Sample](), list[Sample](), list[tuple[float, float]](), ""
    for _ in range(max(2, round(seconds / PERIOD_SECONDS))):
        time.sleep(PERIOD_SECONDS)
        text = _fetch(url)
        found = _of_first_gpu(text)
        ours.append(found)
        theirs.append(_all_of_smi())
        if ENERGY in found:
            energies.append((time.monotonic(), found[ENERGY] / 1000))
    print(f"### {name}\n\n| nvidia-smi | agent | nvidia-smi's mean | agent's mean |\n| --- | --- | --- | --- |")
    for smi, dcgm in BESIDE.items():
        means = [_mean(each, key) for each, key in ((theirs, smi), (ours, dcgm))]
        print(f"| `{smi}` | `{dcgm}` | {means[0]} | {means[1]} |")
    print()
    if len(energies) > 1:
        watts = (energies[-1][1] - energies[0][1]) / (energies[-1][0] - energies[0][0])
        print(f"- `{ENERGY}` rose by {watts:.1f} J a second.")
    print(f"- nvidia-smi's processes: {_smi('pid,used_memory', 'compute-apps') or 'none'}")
    for line in text.splitlines():
        if line.startswith(TOLD):
            print(f"- `{OWN_LABELS.sub('', line)}`")
    print(flush=True)
    return text


def _of_first_gpu(text: str) -> dict[str, float]:
    """The agent's series of the first GPU by name, but for those that have more labels than that GPU's own."""
    found = dict[str, float]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("gpu") == "0" and sample.labels.get("pod") == POD:
                # The parser gives counters the ending that DCGM's have not.
                found.setdefault(sample.name.removesuffix("_total"), sample.value)
    return found


def _all_of_smi() -> dict[str, float]:
    """What nvidia-smi says of the first GPU; without what it has no number for."""
    told = (each.strip() for each in _smi(",".join(BESIDE)).split(","))
    return {name: float(each) for name, each in zip(BESIDE, told, strict=True) if re.fullmatch(r"[\d.]+", each)}


def _smi(fields: str, of: str = "gpu") -> str:
    command = ["nvidia-smi", f"--query-{of}={fields}", "--format=csv,noheader,nounits", "--id=0"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _mean(samples: Sequence[Sample], key: str) -> str:
    values = [sample[key] for sample in samples if key in sample]
    return f"{statistics.fmean(values):.1f}" if values else "none"


def _port(agent: "subprocess.Popen[str]") -> int:
    assert agent.stderr is not None
    return int(json.loads(agent.stderr.readline())["port"])


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read().decode())


def _processor_seconds(pid: int) -> float:
    """User and system time of a process and all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    raise SystemExit(main())
