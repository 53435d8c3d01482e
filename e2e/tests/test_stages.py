"""A retrieval application whose spans go through a real OpenTelemetry Collector: the stage that is slowed is named, and
no GPU is added for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from e2e.story.kit import DRIVER, REPOSITORY
from flyball_cluster.builds import COLLECTOR, Builds
from flyball_cluster.oci import write_image
from flyball_cluster.settings import settings_from
from flyball_cluster.toolchain import find_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.story.kit import Kit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

MANIFESTS = REPOSITORY / "e2e" / "retrieval"
PATIENCE = 120
REQUESTS_PER_SECOND = 2.0
SLOW_SECONDS = 5.0
STAGES = ["Retrieval", "Rerank", "PromptAssembly", "Generation", "PostProcessing", "Serialization"]
QUESTION = json.dumps({"question": "Can an order be returned?"}).encode()


@pytest.fixture(scope="module")
def collector(cluster: Kit, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """The cluster with the collector's image on its node; built from the Go module proxy by the first who asks."""
    cache = settings_from(os.environ).cache
    builds = Builds(cache, find_go(cache))
    builds.ensure([COLLECTOR])
    archive = tmp_path_factory.mktemp("collector") / "collector.tar"
    reference = "docker.io/library/flyball-collector:dev"
    write_image(archive, reference, files={"collector": builds.program(COLLECTOR)}, entrypoint=["/collector"])
    subprocess.run([sys.executable, str(DRIVER), "load-image", str(archive)], check=True)
    return cluster


def send(kit: Kit, path: str, body: bytes, method: str = "POST", **headers: str) -> bytes:
    """What the application answers through the gateway."""
    url = f"{kit.gateway}{path}"
    told = {"Host": "shop.test", "Content-Type": "application/json", **headers}
    asked = urllib.request.Request(url, data=body, method=method, headers=told)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        content: bytes = answer.read()
    return content


@contextmanager
def questions(kit: Kit) -> Iterator[None]:
    """Ask twice a second while inside, a third of it by gold customers."""
    done = threading.Event()

    def ask(number: int) -> None:
        send(kit, "/ask", QUESTION, **{"X-Tier": "free" if number % 3 else "gold", "X-Tenant": f"t{number % 5}"})

    def run() -> None:
        with ThreadPoolExecutor(32) as callers:
            number = 0
            while not done.wait(1 / REQUESTS_PER_SECOND):
                callers.submit(ask, number)
                number += 1

    asking = threading.Thread(target=run)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()


def status(kit: Kit, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = kit.get("-n", namespace, "workloadslo", "shop").get("status", {})
    return found


def wait_for(kit: Kit, namespace: str, what: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The status, once it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds(found := status(kit, namespace)):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} was not seen within {PATIENCE} s:\n{json.dumps(found, indent=1)}")
        time.sleep(1)
    return found


def objective(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next((each for each in found.get("objectives", []) if each["name"] == name), {})


def deploy(kit: Kit, namespace: str) -> None:
    text = (MANIFESTS / "collector.yaml").read_text()
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "collector"},
        "data": {"collector.yaml": text},
    }
    kit.kubectl("-n", namespace, "apply", "-f", "-", text=json.dumps(config))
    kit.kubectl("-n", namespace, "apply", "-f", str(MANIFESTS / "application.yaml"))
    for name in ("chat", "collector", "shop"):
        kit.kubectl("-n", namespace, "rollout", "status", f"deploy/{name}", "--timeout=120s")
    kit.kubectl("-n", namespace, "apply", "-f", str(MANIFESTS / "workloadslo.yaml"))


def answers(kit: Kit) -> bool:
    try:
        send(kit, "/ask", QUESTION)
    except OSError:
        return False
    return True


def test_a_slow_stage_is_named_and_adds_no_gpu(collector: Kit, flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    deadline = time.monotonic() + PATIENCE
    while not answers(flyball):
        assert time.monotonic() < deadline, "the application never answered through the gateway"
        time.sleep(0.5)
    with questions(flyball):
        calm = wait_for(
            flyball,
            namespace,
            "every stage, and the objective met",
            lambda found: (
                [stage["name"] for stage in found.get("stages", [])] == STAGES
                and objective(found, "answer").get("state") == "Met"
            ),
        )
        assert objective(calm, "gold-answer")["state"] in ("Met", "Insufficient")
        assert {stage["name"]: "p95" in stage for stage in calm["stages"]} == dict.fromkeys(STAGES, True)

        send(flyball, "/delays", json.dumps({"retrieval": SLOW_SECONDS}).encode(), method="PUT")
        slow = wait_for(
            flyball,
            namespace,
            "the objective breached because of retrieval",
            lambda found: (
                objective(found, "answer").get("state") == "Breached"
                and objective(found, "answer").get("slowBecauseOf") == "Retrieval"
            ),
        )
        replicas = [slow["targets"][0]["desired"]]
        for _ in range(10):  # two ticks
            time.sleep(1)
            replicas.append(status(flyball, namespace)["targets"][0]["desired"])
    met = next(each for each in slow["conditions"] if each["type"] == "SLOMet")
    assert "slow because of Retrieval" in met["message"]
    assert "more GPUs will not help" in met["message"]
    assert "more GPUs will not help" in slow["targets"][0]["reason"]
    assert set(replicas) == {1}
    deployment = flyball.get("-n", namespace, "deploy", "chat")
    assert deployment["spec"]["replicas"] == 1
    notes = [event["note"] for event in flyball.get("-n", namespace, "events.events.k8s.io")["items"]]
    assert any("slow because of Retrieval" in note for note in notes)
    assert not any("scaled" in note and "Deployment/chat" in note for note in notes)
