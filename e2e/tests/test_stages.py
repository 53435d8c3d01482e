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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from e2e.story.clients import Clients, over_http
from e2e.story.kit import DRIVER, REPOSITORY
from e2e.story.watch import until
from flyball_cluster.builds import COLLECTOR, Builds
from flyball_cluster.oci import write_image
from flyball_cluster.settings import settings_from
from flyball_cluster.toolchain import find_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.story.kit import Kit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

MANIFESTS = REPOSITORY / "e2e" / "retrieval"
REQUESTS_PER_SECOND = 2.0
SLOW_SECONDS = 5.0
STAGES = ["Retrieval", "Rerank", "PromptAssembly", "Generation", "PostProcessing", "Serialization"]
HOST = "shop.test"
QUESTION = json.dumps({"question": "Can an order be returned?"})


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


def ask(kit: Kit, **headers: str) -> None:
    """Ask the application once, through the gateway."""
    with over_http(kit, HOST, "/ask", QUESTION, **headers) as once:
        once()


@contextmanager
def questions(kit: Kit) -> Iterator[None]:
    """Ask twice a second while inside, a third of it by gold customers."""
    done = threading.Event()

    def run() -> None:
        with ThreadPoolExecutor(32) as callers:
            number = 0
            while not done.wait(1 / REQUESTS_PER_SECOND):
                callers.submit(ask, kit, x_tier="free" if number % 3 else "gold", x_tenant=f"t{number % 5}")
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
    found: dict[str, Any] = {}

    def there() -> bool:
        found.clear()
        found.update(status(kit, namespace))
        return holds(found)

    try:
        until(what, there)
    except TimeoutError as error:
        pytest.fail(f"{error}:\n{json.dumps(found, indent=1)}")
    return found


def objective(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next((each for each in found.get("objectives", []) if each["name"] == name), {})


def deploy(kit: Kit, namespace: str) -> None:
    config = f"--from-file=collector.yaml={MANIFESTS / 'collector.yaml'}"
    kit.kubectl("-n", namespace, "create", "configmap", "collector", config)
    kit.apply(MANIFESTS / "application.yaml", namespace)
    for name in ("chat", "collector", "shop"):
        kit.kubectl("-n", namespace, "rollout", "status", f"deploy/{name}", "--timeout=120s")
    kit.apply(MANIFESTS / "workloadslo.yaml", namespace)


def test_a_slow_stage_is_named_and_adds_no_gpu(collector: Kit, flyball: Kit, namespace: str) -> None:
    deploy(flyball, namespace)
    Clients(partial(over_http, flyball, HOST, "/ask", QUESTION)).wait_until_served()
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

        with over_http(flyball, HOST, "/delays", json.dumps({"retrieval": SLOW_SECONDS}), method="PUT") as put:
            put()
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
