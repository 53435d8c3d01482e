"""`flyball run` on a real API server and a real Prometheus with a past: the plan and the rivals in the status."""

import asyncio
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flyball_cluster.ports import free_ports
from support.api_server import Kubectl
from support.objects import deployment, workload_slo
from support.real_prometheus import History, serve
from support.world import PRICED

if TYPE_CHECKING:
    from flyball_cluster import ApiServer as Server

pytestmark = [pytest.mark.api_server, pytest.mark.timeout(1800)]  # the first start may build kube-apiserver

PODS = ("chat-6d4f5c9b7d-bcdfg", "chat-6d4f5c9b7d-hjklm")
DAYS = 2
PATIENCE_SECONDS = 120.0


def counted(at: float) -> float:
    """Requests that a replica has finished: 3/s on average, most at noon."""
    turn = 2 * math.pi / 86400
    return 3.0 * at - 2.0 / turn * math.sin(turn * at)


@pytest.fixture
def prometheus(namespace: str, tmp_path: Path) -> Iterator[str]:
    """Two days of two replicas, a sample every two minutes, and every five seconds from now on for ten minutes."""
    history, now = History(), time.time()
    start = now - DAYS * 86400
    times = [start + 120 * n for n in range(DAYS * 720)] + [now + 5 * n for n in range(120)]
    for pod in PODS:
        labels = {"namespace": namespace, "pod": pod, "model_name": "m"}
        for name, value in (("running", 12.0), ("waiting", 6.0)):
            history.add(f"vllm:num_requests_{name}", labels, times, lambda _, value=value: value)
        history.add("vllm:kv_cache_usage_perc", labels, times, lambda _: 0.4)
        finished = labels | {"finished_reason": "stop"}
        history.add("vllm:request_success_total", finished, times, lambda at: counted(at) - counted(start))
        for name, mean in (("prompt", 300.0), ("generation", 200.0)):
            for part, factor in (("sum", mean), ("count", 1.0)):
                series = f"vllm:request_{name}_tokens_{part}"
                history.add(series, labels, times, lambda at, by=factor: by * (counted(at) - counted(start)))
    with serve(history, tmp_path) as url:
        yield url


async def test_a_past_becomes_a_plan_and_rivals_answer(
    server: "Server", kubectl: Kubectl, prometheus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    declared = workload_slo()
    declared["spec"]["targets"][0] |= PRICED
    declared["spec"] |= {"mode": "Recommend", "shadow": ["hpa-queue", "hpa-gpu", "llmd-keda"]}
    kubectl.create(deployment(), declared)
    command = [
        str(Path(sys.executable).parent / "flyball"), "run", f"--prometheus-url={prometheus}", "--tick=1s",
        f"--watch-namespaces={kubectl.namespace}", f"--listen=127.0.0.1:{free_ports(1)[0]}", "--log-format=text",
    ]  # fmt: skip
    with (tmp_path / "run.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*command, stderr=log, stdout=log)
    try:
        found = await told(kubectl)
    finally:
        process.terminate()
        await process.wait()
    plan, rivals = found["plan"], {rival["name"]: rival for rival in found["shadow"]}
    assert float(plan["load"]["mean"]) == pytest.approx(6.0, rel=0.1)
    assert float(plan["load"]["peak"]) == pytest.approx(10.0, rel=0.1)
    assert plan["needs"][0]["why"] == "now"
    assert "fewer than five full days are known" in plan["message"]
    assert rivals["hpa-queue"]["targets"] == [{"name": "gpu", "desired": 3}], "12 wait, 5 a replica"
    assert rivals["hpa-gpu"]["missing"] == ["GPU utilization"]
    assert rivals["llmd-keda"]["missing"] == ["time to first token", "time per output token"]
    assert kubectl.get("deployment", "chat")["spec"]["replicas"] == 2


async def told(kubectl: Kubectl) -> dict[str, Any]:
    """The status once it has a plan and every rival's answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status: dict[str, Any] = (await asyncio.to_thread(kubectl.get, "wslo", "chat")).get("status", {})
        if status.get("plan", {}).get("state") == "Known" and status.get("shadow"):
            return status
        await asyncio.sleep(0.5)
    raise AssertionError(f"not within {PATIENCE_SECONDS} s: {status}")
