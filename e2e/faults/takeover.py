"""How long it takes until another replica leads, without a cluster: processes over an API server of their own.

    python -m e2e.faults.takeover

One of two operators leads; it is killed, or told to end, by turns. The times are those of the Lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from e2e.bench.report import machine, today, write_section
from e2e.faults.__main__ import HEAD, REPORT
from e2e.faults.audit import strays, writes
from e2e.story.kit import REPOSITORY
from flyball_cluster import api_server
from flyball_cluster.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyball_cluster import ApiServer

NAMESPACE = "takeover"
TRIALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)
PATIENCE_SECONDS = 180.0


class Replica:
    """One `flyball run` that wants the Lease."""

    def __init__(self, server: ApiServer, name: str, folder: Path) -> None:
        self._port = free_ports(1)[0]
        command = [
            str(Path(sys.executable).parent / "flyball"), "run", "--prometheus-url=http://127.0.0.1:9", "--tick=5s",
            f"--watch-namespaces={NAMESPACE}", f"--listen=127.0.0.1:{self._port}", f"--lease={NAMESPACE}/flyball",
            f"--identity={name}",
        ]  # fmt: skip
        environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig_for(name, "system:masters"))}
        with (folder / name).open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def leads(self) -> bool:
        """Whether it says so."""
        return "flyball_leader 1.0" in self._get("/metrics")

    def ready(self) -> bool:
        """Whether it knows what is declared."""
        return self._get("/readyz") == "ready\n"

    def _get(self, path: str) -> str:
        with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
        return ""


def main() -> None:
    """Measure, print and write the section."""
    lines = ["| the replica that acts is | another one leads after | the process ended after |", "| --- | --- | --- |"]
    with api_server() as server, tempfile.TemporaryDirectory() as folder:
        for arguments in (("apply", "--server-side", "-f", str(REPOSITORY / "crds")), ("create", "ns", NAMESPACE)):
            subprocess.run([*server.kubectl, *arguments], check=True, capture_output=True)
        replicas = [Replica(server, f"replica-{number}", Path(folder)) for number in range(2)]
        try:
            for trial, how in enumerate(TRIALS):
                _until(lambda: all(r.ready() for r in replicas) and any(r.leads() for r in replicas))
                taken, ended = _trial(server, replicas, how)
                what = "killed (SIGKILL)" if how is signal.SIGKILL else "told to end (SIGTERM)"
                lines.append(f"| {what} | {taken:.1f} s | {ended:.1f} s |")
                print(lines[-1], flush=True)
                replicas.append(Replica(server, f"replica-{trial + 2}", Path(folder)))
        finally:
            for replica in replicas:
                replica.process.kill()
                replica.process.wait()
        stray = len(strays(writes(server.audit_log), f"{NAMESPACE}/flyball"))
    text = "\n".join([*lines, "", f"Writes by replicas that did not hold the Lease: {stray}."])
    write_section(REPORT, HEAD, "taking over, processes over an API server alone", f"{today()}, {machine()}\n\n{text}")


def _trial(server: ApiServer, replicas: list[Replica], how: signal.Signals) -> tuple[float, float]:
    """End the leader so; seconds until another one had the Lease, and until the process was gone."""
    leader = next(replica for replica in replicas if replica.leads())
    before, began = _lease(server)["leaseTransitions"], time.time()
    leader.process.send_signal(how)
    leader.process.wait()
    ended = time.time() - began
    replicas.remove(leader)
    _until(lambda: _lease(server)["leaseTransitions"] != before and bool(_lease(server)["holderIdentity"]))
    return datetime.fromisoformat(_lease(server)["acquireTime"]).timestamp() - began, ended


def _lease(server: ApiServer) -> dict[str, Any]:
    command = [*server.kubectl, "-n", NAMESPACE, "get", "lease", "flyball", "-o", "json"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["spec"]
    return found


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
