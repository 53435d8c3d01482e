"""Several operators over one real API server, each a process of its own and a user of its own.

Who wrote when is read from the API server's audit log.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from e2e.faults.audit import strays, writes
from flyball_cluster.ports import free_ports
from support.api_server import Kubectl
from support.objects import deployment, workload_slo
from support.world import PRICED

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

PATIENCE_SECONDS = 180.0


class Replica:
    """One `flyball run`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.name, self.process, self.port, self.log = name, process, port, log

    def leads(self) -> bool:
        """Whether it says so; False where it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                return "flyball_leader 1.0" in answer.read().decode()
        except OSError:
            return False

    def ready(self) -> bool:
        """Whether it knows what is declared."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def told(self) -> set[str]:
        """What its log tells."""
        return {str(json.loads(line)["event"]) for line in self.log.read_text().splitlines() if line.startswith("{")}


@asynccontextmanager
async def replica(server: "Server", namespace: str, name: str, folder: Path) -> AsyncIterator[Replica]:
    """Start one, and kill it in the end."""
    kubeconfig, port = server.kubeconfig_for(f"{namespace}-{name}", "system:masters"), free_ports(1)[0]
    command = [
        str(Path(sys.executable).parent / "flyball"), "run", "--prometheus-url=http://127.0.0.1:9", "--tick=1s",
        f"--watch-namespaces={namespace}", f"--listen=127.0.0.1:{port}", f"--lease={namespace}/flyball",
        f"--identity={name}",
    ]  # fmt: skip
    with (folder / name).open("w") as log:
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        process = await asyncio.create_subprocess_exec(*command, stderr=log, env=environment)
    try:
        yield Replica(name, process, port, folder / name)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(happened: Callable[[], Any]) -> Any:
    """Wait until it is true; returns what it is then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await asyncio.to_thread(happened)):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
        await asyncio.sleep(0.1)
    return found


def mode(kubectl: Kubectl) -> str:
    return str(kubectl.get("wslo", "chat").get("status", {}).get("mode", ""))


async def test_a_leader_that_was_stopped_writes_nothing_when_it_wakes_and_one_that_is_told_to_end_hands_over(
    server: "Server", kubectl: Kubectl, tmp_path: Path
) -> None:
    declared = workload_slo()
    declared["spec"]["targets"][0] |= PRICED
    declared["spec"] |= {"mode": "Auto"}
    kubectl.create(deployment(), declared)
    began = time.time()
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(replica(server, kubectl.namespace, name, tmp_path)) for name in ("a", "b")
        ]
        await until(lambda: first.ready() and second.ready() and (first.leads() or second.leads()) and mode(kubectl))
        leader, follower = (first, second) if first.leads() else (second, first)

        leader.process.send_signal(signal.SIGSTOP)
        kubectl.patch("wslo", "chat", {"spec": {"mode": "Recommend"}})
        await until(lambda: follower.leads() and mode(kubectl) == "Recommend")
        woken = time.time()
        leader.process.send_signal(signal.SIGCONT)
        kubectl.patch("wslo", "chat", {"spec": {"mode": "Paused"}})
        await until(lambda: mode(kubectl) == "Paused" and leader.ready() and not leader.leads())

        follower.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(follower.process.wait(), PATIENCE_SECONDS) == 0
        assert {"stopped", "the lease is given up"} <= follower.told()
        kubectl.patch("wslo", "chat", {"spec": {"mode": "Recommend"}})
        await until(lambda: leader.leads() and mode(kubectl) == "Recommend")

        leader.process.kill()
        third = await stack.enter_async_context(replica(server, kubectl.namespace, "c", tmp_path))
        await until(third.leads)

    seen = [write for write in writes(server.audit_log, began) if write.namespace == kubectl.namespace]
    by_stopped = [w for w in seen if w.author.endswith(f"-{leader.name}") and w.resource == "workloadslos/status"]
    assert any(w.at < woken for w in by_stopped)
    assert any(w.at > woken for w in by_stopped), "it wrote when it led again"
    assert strays(seen, f"{kubectl.namespace}/flyball") == []
