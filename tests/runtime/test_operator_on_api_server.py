"""The whole operator, kopf's watch among it, in this process against a real API server; only telemetry is a fake."""

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
import pytest_asyncio
from flyball_cluster.ports import free_ports
from support.advising import FakeHours, FakeReplicas
from support.api_server import Kubectl
from support.objects import demand_event, deployment, gpu_pool, http_route, workload_slo
from support.world import OVERFLOW, PRICED

from flyball.cluster.client import connect
from flyball.core.names import WorkloadKey
from flyball.core.observation import WorkloadSignals
from flyball.core.spec import WorkloadSpec
from flyball.lab.shadow import LabRivals
from flyball.runtime.advice import Advisers
from flyball.runtime.exporter import Tally
from flyball.runtime.operator import operate
from flyball.runtime.planner import Planner
from flyball.runtime.settings import Settings
from flyball.runtime.shadow import Shadow
from flyball.telemetry.settings import PrometheusSettings

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

TICK_SECONDS = 0.3
PATIENCE_SECONDS = 120.0
WRITES = ("create", "update", "patch", "delete")


@dataclass
class NoTelemetry:
    """A Prometheus that is down: what is left are specs, the cluster and their states."""

    reads: int = 0

    async def read(self, workloads: Sequence[WorkloadSpec], at: float) -> Mapping[WorkloadKey, WorkloadSignals]:
        self.reads += 1
        return {spec.key: WorkloadSignals(problem="Prometheus is down") for spec in workloads}


@dataclass
class Running:
    """An operator that runs in this process."""

    tally: Tally
    port: int
    writes: list[tuple[str, str]] = field(default_factory=list)

    async def ticks(self, count: int) -> None:
        """Wait until so many more ticks have finished."""
        wanted = self.tally.ticks + count
        await until(lambda: self.tally.ticks >= wanted)

    def get(self, path: str) -> tuple[int, str]:
        """What one of its endpoints answers."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_SECONDS) as response:
            return response.status, response.read().decode()


async def until(happened: Callable[[], Any]) -> Any:
    """Wait until it is true; returns what it is then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await asyncio.to_thread(happened)):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
        await asyncio.sleep(0.1)
    return found


@asynccontextmanager
async def running(
    server: "Server", namespace: str, tick_seconds: float = TICK_SECONDS, advisers: Advisers | None = None
) -> AsyncIterator[Running]:
    """The operator, confined to a namespace, in a thread: when kopf ends, it cancels what else its event loop holds."""
    settings = Settings(
        PrometheusSettings("http://127.0.0.1:9"),
        tick_seconds,
        namespaces=(namespace,),
        listen=("127.0.0.1", free_ports(1)[0]),
    )
    found = Running(Tally(), settings.listen[1])
    stop: list[Callable[[], object]] = []

    async def run() -> None:
        flag, loop = asyncio.Event(), asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(flag.set))
        async with connect(server.kubeconfig, on_write=lambda *write: found.writes.append(write)) as api:
            await operate(settings, api, NoTelemetry(), found.tally, flag, advisers)

    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, run()))
    try:
        await until(lambda: found.tally.ticks or thread.done())
        yield found
    finally:
        stop[0]()
        await thread


@pytest.fixture(autouse=True)
def credentials(server: "Server", monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that kopf finds by itself."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))


@pytest_asyncio.fixture
async def operator(server: "Server", namespace: str) -> AsyncIterator[Running]:
    async with running(server, namespace) as found:
        yield found


def declared(**spec: Any) -> dict[str, Any]:
    found = workload_slo()
    found["spec"]["targets"][0] |= PRICED
    found["spec"] |= {"mode": "Auto", **spec}
    return found


def status(kubectl: Kubectl) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.get("wslo", "chat").get("status", {})
    return found


def reasons(kubectl: Kubectl) -> list[str]:
    return [event["reason"] for event in kubectl.get_all("events.v1.events.k8s.io")]


def writes_in(audit_log: Path, namespace: str, since: float) -> list[str]:
    """The operator's writes in a namespace, as the API server counted them."""
    found = []
    for line in audit_log.read_text().splitlines():
        entry = json.loads(line)
        reference = entry.get("objectRef", {})
        if (
            entry["verb"] not in WRITES
            or reference.get("namespace") != namespace
            or entry["stage"] != "ResponseComplete"
        ):
            continue
        if datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp() >= since:
            found.append(f"{entry['verb']} {reference['resource']} by {entry.get('userAgent')}")
    return found


async def test_a_declared_workload_has_a_status(operator: Running, kubectl: Kubectl) -> None:
    kubectl.create(deployment(), declared())
    found = await until(lambda: status(kubectl))
    assert found["observedGeneration"] == 1
    assert found["targets"][0]["current"] == 2
    annotations = kubectl.get("deployment", "chat")["metadata"]["annotations"]
    assert annotations["flyball.dev/governed-by"] == "WorkloadSLO/chat"
    assert operator.get("/readyz") == (200, "ready\n")
    samples = operator.get("/metrics")[1]
    assert f'flyball_replicas_current{{namespace="{kubectl.namespace}",target="gpu",workload="chat"}} 2.0' in samples


async def test_an_unchanged_world_is_not_written_to(operator: Running, server: "Server", kubectl: Kubectl) -> None:
    kubectl.create(deployment(), declared(), http_route())
    await until(lambda: status(kubectl))
    await operator.ticks(4)
    operator.writes.clear()
    since = time.time()
    version = kubectl.get("wslo", "chat")["metadata"]["resourceVersion"]
    await operator.ticks(10)
    assert operator.writes == []
    assert kubectl.get("wslo", "chat")["metadata"]["resourceVersion"] == version
    assert writes_in(server.audit_log, kubectl.namespace, since) == []


async def test_what_nobody_acts_on_is_told_once_and_kept_by_the_next_process(
    server: "Server", kubectl: Kubectl
) -> None:
    """The plan and the rivals in a status that a real API server stores; nothing of them is written again."""

    def advising() -> Advisers:
        return Advisers(Planner(FakeHours(since=time.time() - 2 * 3600)), Shadow(LabRivals(), FakeReplicas()))

    def rivals() -> dict[str, str]:
        return {rival["name"]: rival["state"] for rival in status(kubectl).get("shadow", ())}

    expected = {"hpa-queue": "Running", "hpa-gpu": "MetricMissing", "kpa": "Waiting", "dynamo": "MetricMissing"}
    async with running(server, kubectl.namespace, advisers=advising()) as first:
        kubectl.create(deployment(), declared(shadow=list(expected)))
        await until(lambda: rivals() == expected)
        told = await until(lambda: status(kubectl).get("plan"))
        assert (told["state"], "h of 24 h" in told["message"]) == ("Insufficient", True)
        replicas = kubectl.get("deployment", "chat")["spec"]["replicas"]
        await first.ticks(2)
        first.writes.clear()
        await first.ticks(8)
        assert first.writes == []
        assert kubectl.get("deployment", "chat")["spec"]["replicas"] == replicas
        assert "flyball_shadow_state{" in first.get("/metrics")[1]
    async with running(server, kubectl.namespace, advisers=advising()) as second:
        await second.ticks(2)
        assert status(kubectl)["plan"] == told
        assert set(rivals()) == set(expected)


async def test_an_edit_brings_the_next_tick_forward(server: "Server", kubectl: Kubectl) -> None:
    async with running(server, kubectl.namespace, tick_seconds=6000) as operator:
        kubectl.create(deployment(), declared())
        await until(lambda: operator.tally.ticks == 2)
        kubectl.patch("wslo", "chat", {"spec": {"mode": "Recommend"}})
        await until(lambda: operator.tally.ticks == 3)
        assert status(kubectl)["mode"] == "Recommend"


async def test_a_deleted_workload_is_gone_with_its_annotations(operator: Running, kubectl: Kubectl) -> None:
    kubectl.create(deployment(), declared())
    await until(lambda: status(kubectl))
    kubectl("delete", "wslo", "chat", "--timeout=120s")
    await until(lambda: not kubectl.get("deployment", "chat")["metadata"].get("annotations"))


async def test_a_finalizer_left_by_an_earlier_process_holds_nothing_up(operator: Running, kubectl: Kubectl) -> None:
    held = declared(fallback=OVERFLOW)
    held["metadata"]["finalizers"] = ["flyball.dev/restore-routes"]
    kubectl.create(deployment(), http_route(), held)
    await until(lambda: status(kubectl))
    kubectl("delete", "wslo", "chat", "--timeout=120s")


async def test_pools_and_announced_load_have_a_status_that_is_written_once(
    operator: Running, server: "Server", kubectl: Kubectl
) -> None:
    pool = f"pool-{kubectl.namespace}"
    limited = gpu_pool(pool, 1)
    limited["spec"]["namespaces"] = [kubectl.namespace]
    kubectl.create(deployment(gpus=1), declared())
    kubectl.create(limited, demand_event("2026-12-01T08:00:00Z", "2999-12-01T20:00:00Z"))
    try:
        found = await until(lambda: kubectl.get("gpupool", pool).get("status"))
        assert found["accelerators"][0]["capacity"] == 1
        await until(lambda: kubectl.get("deployment", "chat")["spec"]["replicas"] == 1)
        found = await until(lambda: kubectl.get("demandevent", "launch").get("status"))
        assert (found["phase"] in ("Upcoming", "Active"), found["workloads"]) == (True, ["chat"])
        assert "ScaleBlocked" in await until(lambda: reasons(kubectl))
        capacity = next(c for c in status(kubectl)["conditions"] if c["type"] == "CapacityAvailable")
        assert capacity["reason"] == "GPUsShort"
        await operator.ticks(8)
        operator.writes.clear()
        await operator.ticks(8)
        assert operator.writes == []
        kubectl.patch("gpupool", pool, {"spec": {"inventory": [{"accelerator": "NVIDIA-L4", "gpus": 5}]}})
        await until(lambda: kubectl.get("gpupool", pool)["status"]["accelerators"][0]["capacity"] == 5)
    finally:
        kubectl("delete", "gpupool", pool)


async def test_a_missing_target_is_told_and_governed_when_it_comes(operator: Running, kubectl: Kubectl) -> None:
    bad = declared()
    bad["spec"]["targets"][0]["targetRef"] = {"name": "nobody"}
    kubectl.create(bad)
    found = await until(lambda: status(kubectl))
    ready = next(c for c in found["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "TargetMissing")
    assert reasons(kubectl) == ["TargetMissing"]
    kubectl.create(deployment("nobody"))
    await until(lambda: next(c for c in status(kubectl)["conditions"] if c["type"] == "Ready")["status"] == "True")


async def test_it_outlives_a_restart_of_the_api_server(server: "Server", kubectl: Kubectl) -> None:
    async with running(server, kubectl.namespace, tick_seconds=1.0) as operator:
        kubectl.create(deployment(), declared())
        await until(lambda: status(kubectl))
        await asyncio.to_thread(server.stop)
        try:
            await operator.ticks(2)
            assert operator.get("/healthz")[0] == 200, "an API server that is down is no reason to be restarted"
        finally:
            await asyncio.to_thread(server.start)
        kubectl.patch("wslo", "chat", {"spec": {"mode": "Recommend"}})
        await until(lambda: status(kubectl).get("mode") == "Recommend")
        assert operator.tally.failed_ticks == operator.tally.defects == 0
        assert set(reasons(kubectl)) <= {"TelemetryStale", "TelemetryRecovered"}, "nothing is said to be missing"


async def test_a_new_process_writes_next_to_nothing(server: "Server", kubectl: Kubectl) -> None:
    async with running(server, kubectl.namespace) as first:
        kubectl.create(deployment(), declared())
        await until(lambda: status(kubectl))
        await first.ticks(2)
    events = kubectl.get_all("events.v1.events.k8s.io")
    async with running(server, kubectl.namespace) as second:
        await second.ticks(5)
        assert sorted(second.writes) == [("deployments", "patch"), ("workloadslos/status", "patch")]
    assert kubectl.get_all("events.v1.events.k8s.io") == events


@pytest.fixture(params=["refuses", "never answers"])
def prometheus(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Prometheus that does not work."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1] if request.param == 'never answers' else 9}"


async def test_the_command_runs_until_it_is_told_to_end(
    server: "Server", kubectl: Kubectl, prometheus: str, tmp_path: Path
) -> None:
    kubectl.create(deployment(), declared())
    command = [
        str(Path(sys.executable).parent / "flyball"), "run", f"--prometheus-url={prometheus}", "--tick=1s",
        f"--watch-namespaces={kubectl.namespace}", f"--listen=127.0.0.1:{free_ports(1)[0]}",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*command, stderr=log)
        try:
            await until(lambda: status(kubectl) or process.returncode is not None)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) in (0, 1), "1: the machine was too busy"
        finally:
            if process.returncode is None:
                process.kill()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"stopped", "ends before all was closed"} & {line["event"] for line in lines}
    decisions = [line for line in lines if line["event"] == "decision"]
    assert status(kubectl)["lastDecision"]["id"] in {line["decision"] for line in decisions}
