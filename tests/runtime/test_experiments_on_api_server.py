"""The whole operator with an experiment, on a real API server: from its creation to its registration and its end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from flyball_cluster.ports import free_ports
from support.api_server import Kubectl
from support.objects import deployment, endpoint_slice, experiment, http_route, workload_slo

from flyball.cluster.client import connect
from flyball.core.names import WorkloadKey
from flyball.core.observation import WorkloadSignals
from flyball.core.spec import WorkloadSpec
from flyball.ledger.experiments import listed
from flyball.ledger.store import Ledger
from flyball.runtime.exporter import Tally
from flyball.runtime.operator import operate
from flyball.runtime.settings import Settings
from flyball.telemetry.settings import PrometheusSettings

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

PATIENCE_SECONDS = 180.0


class NoTelemetry:
    """A Prometheus that is down."""

    async def read(self, workloads: Sequence[WorkloadSpec], at: float) -> Mapping[WorkloadKey, WorkloadSignals]:
        return {spec.key: WorkloadSignals(problem="Prometheus is down") for spec in workloads}


async def until(happened: Callable[[], Any]) -> Any:
    """Wait until it is true; returns what it is then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await asyncio.to_thread(happened)):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
        await asyncio.sleep(0.2)
    return found


@pytest_asyncio.fixture
async def url(
    server: "Server", kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """An operator of the test's namespace that keeps a ledger; its file."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))  # kopf finds its credentials by itself
    url = str(tmp_path / "ledger.db")
    listen = ("127.0.0.1", free_ports(1)[0])
    settings = Settings(
        PrometheusSettings("http://127.0.0.1:9"), 0.3, namespaces=(kubectl.namespace,), listen=listen, ledger=url
    )
    tally, stop = Tally(), list[Callable[[], object]]()

    async def run() -> None:
        flag, loop = asyncio.Event(), asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(flag.set))
        async with connect(server.kubeconfig) as api:
            await operate(settings, api, NoTelemetry(), tally, flag)

    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, run()))
    await until(lambda: tally.ticks or thread.done())
    yield url
    stop[0]()
    await thread


def status(kubectl: Kubectl) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.get("roiexperiment", "quantized").get("status") or {}
    return found


async def test_an_experiment_waits_for_what_it_names_and_is_registered_when_that_is_there(
    url: str, kubectl: Kubectl
) -> None:
    wanted = experiment()
    wanted["spec"]["route"] = {"httpRoute": "chat", "baseline": "chat", "treatment": "chat-small"}
    kubectl.create(wanted)
    await until(lambda: status(kubectl).get("phase") == "Pending")
    assert status(kubectl)["conditions"][0]["reason"] == "NoWorkload"
    kubectl.create(deployment(), deployment("chat-small"), workload_slo(), workload_slo("chat-small"), http_route())
    kubectl.create(endpoint_slice("chat", "10.0.0.8"), endpoint_slice("chat-small", "10.0.0.9"))
    found = await until(lambda: status(kubectl) if status(kubectl).get("phase") == "Running" else None)
    assert (found["verdict"], found["pairs"], found["evidence"]) == ("Running", 0, "Randomized")
    (registered,) = listed(Ledger(url))
    assert (registered.spec_hash, json.loads(registered.spec)["blockMinutes"]) == (found["specHash"], 60)
    events = kubectl.get_all("events.v1.events.k8s.io")
    started = [each for each in events if each["reason"] == "ExperimentStarted"]
    assert [(each["regarding"]["kind"], each["regarding"]["name"]) for each in started] == [
        ("WorkloadSLO", "chat-small")
    ]
    kubectl("delete", "roiexperiment", "quantized", "--timeout=60s")
    assert len(listed(Ledger(url))) == 1, "what was registered stays"
